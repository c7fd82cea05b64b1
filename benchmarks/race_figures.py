"""The races `sparse` and `dense`, the figures that come of them, and their budgets."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks import race
from benchmarks.figures import Budget, Figure, figure, missing, ratio
from benchmarks.findings import markdown, say
from benchmarks.race import Load, Race
from benchmarks.rivals import FLOORS, OURS, PAGES, RIVALS, TRANSFORMS, Rival
from benchmarks.sizes import Size

ANCHOR = "duckdb"
"""Whom we may not be slower than: told as ours over its own."""


def sparse(size: Size, folder: Path) -> list[Figure]:
    """Three hundred scopes of one page each: clients and calls are what costs."""
    rivals = {n: r for n, r in size.rivals.items() if n not in FLOORS or n == PAGES}
    raced = _raced(size, size.sparse, rivals, folder)
    found = _walls(raced, size, plain=Budget(at_least=2.0))
    return [*found, *_shared(raced), *_transforms(raced), *_rates(raced), _out(raced)]


def dense(size: Size, folder: Path) -> list[Figure]:
    """Fifty thousand items in full pages: reading them is what costs."""
    raced = _raced(size, size.dense, {n: r for n, r in size.rivals.items() if n not in (*TRANSFORMS, PAGES)}, folder)
    found = _walls(raced, size, plain=Budget(at_least=1.8))
    ours, rival = raced.take(OURS, "peak_mb"), raced.take(ANCHOR, "peak_mb")
    name, budget = "dense: peak memory over the DuckDB script's", Budget(at_most=0.7)
    if ours and rival:
        found.append(ratio(name, ours, rival, budget, is_judged=size.is_timed))
    elif ANCHOR in size.rivals:
        found.append(missing(name, budget))
    return [*found, *_pages(raced, size), *_rates(raced), *_stages(raced), _out(raced)]


def _raced(size: Size, load: Load, rivals: Mapping[str, Rival], folder: Path) -> Race:
    say(f"\n## Race, {load}; {race.WORKERS} threads each, {size.rounds} rounds")
    raced = race.run(load, rivals, size.pythons, size.rounds, folder)
    say(f"\n{_board(raced, rivals)}")
    return raced


def _board(raced: Race, rivals: Mapping[str, Rival]) -> str:
    rows = []
    for name, rival in rivals.items():
        if name in raced.disqualified:
            rows.append([rival.title, *["-"] * 7, f"DISQUALIFIED: {raced.disqualified[name].splitlines()[0]}"])
            continue
        what = ("process_s", "cpu_s", "imports_cpu_s", "peak_mb")
        wall, cpu, imports, peak = (figure("", raced.take(name, each)).value for each in what)
        numbers = [len(raced.laps[name]), f"{wall:.2f}", f"{cpu:.2f}", f"{cpu - imports:.2f}", f"{peak:.0f}"]
        pandas = " (pandas imported)" if any(raced.take(name, "has_pandas")) else ""
        share = f"{raced.server_share(name):.0%}"
        rows.append([rival.title, *numbers, share, "equal" if rival.layout else "-", rival.leaves_out + pandas])
    header = ["who", "rounds", "wall s", "CPU s", "without imports", "peak MB", "page server", "rows", "leaves out"]
    return markdown(header, rows)


def _walls(raced: Race, size: Size, *, plain: Budget) -> list[Figure]:
    """Walls of whole processes over ours; of the DuckDB script's, ours over its own."""
    budgets = {"plain": plain, "dlt": Budget(at_least=2.5), ANCHOR: Budget(at_most=1.0)}
    load, found, ours = raced.load.name, list[Figure](), raced.take(OURS, "process_s")
    for name, rival in size.rivals.items():
        if name == OURS or name not in RIVALS:
            continue
        theirs = raced.take(name, "process_s")
        same = slice(len(theirs))  # the rounds in which both ran
        pair, title = (theirs, ours[same]), f"{load}: wall, {rival.title} / ours"
        if name == ANCHOR:
            pair, title = pair[::-1], f"{load}: wall, ours / {rival.title}"
        if theirs and ours:
            found.append(ratio(title, *pair, budgets.get(name), is_judged=size.is_timed))
            cpu = raced.take(name, "cpu_s"), raced.take(OURS, "cpu_s")[same]
            found.append(ratio(f"{load}: CPU, {rival.title} / ours", *cpu))
        elif budget := budgets.get(name):
            found.append(missing(title, budget))
    return found


def _shared(raced: Race) -> list[Figure]:
    """How much of our wall is what rivals with our clients are given."""
    theirs, ours = raced.take(PAGES, "process_s"), raced.take(OURS, "process_s")
    name = f"{raced.load.name}: wall, {FLOORS[PAGES].title} / ours"
    return [ratio(name, theirs, ours[: len(theirs)])] if theirs and ours else []


def _pages(raced: Race, size: Size) -> list[Figure]:
    ours, bare = raced.take("tables", "part_cpu_s"), raced.take("fetch", "part_cpu_s")
    name, budget = "dense: CPU per page, fetch to tables over botocore's bare fetch", Budget(at_most=1.8)
    if not (ours and bare):
        return [missing(name, budget)] if {"tables", "fetch"} <= size.rivals.keys() else []
    floors = [
        figure(f"dense: CPU per page, {FLOORS[floor].title}", _per(raced, floor), "ms") for floor in ("fetch", "parse")
    ]
    written = figure("dense: CPU of Parquet alone", raced.take("write", "part_cpu_s"), "s")
    return [ratio(name, ours, bare, budget, is_judged=size.is_timed), *floors, written]


def _per(raced: Race, floor: str) -> list[float]:
    return [1000 * value / raced.load.calls for value in raced.take(floor, "part_cpu_s")]


def _out(raced: Race) -> Figure:
    """Whoever lost rows, with a budget or without."""
    return figure(f"{raced.load.name}: disqualified", [len(raced.disqualified)], "", Budget(at_most=0))


def _rates(raced: Race) -> list[Figure]:
    load, cpu = raced.load, raced.take(OURS, "work_cpu_s")
    name, budget = f"{load.name}: pages asked more than once", Budget(at_most=0)
    if not cpu:
        return [missing(name, budget)]
    twice = max(float(lap.calls - load.calls) for lap in raced.laps[OURS])  # no median: once is too often
    return [
        figure(name, [twice], "", budget),
        figure(f"{load.name}: calls per CPU second", [load.calls / value for value in cpu], "1/s"),
        figure(f"{load.name}: CPU per scope", [1000 * value / load.scopes for value in cpu], "ms"),
        figure(f"{load.name}: peak memory", raced.take(OURS, "peak_mb"), "MB"),
    ]


def _transforms(raced: Race) -> list[Figure]:
    ours, theirs = raced.take("transform", "part_cpu_s"), raced.take("cloudquery", "part_cpu_s")
    return [ratio("sparse: CPU of the transform, CloudQuery's SDK / ours", theirs, ours)] if ours and theirs else []


def _stages(raced: Race) -> list[Figure]:
    """A whole run by its stages, and when the first row could be seen."""
    laps = raced.laps.get("ours_published", [])
    stages = ("sweep", "commit", "catalog", "checks", "feeds", "report")
    if not laps:
        return []
    found = [
        figure(f"dense: CPU of a whole run's {stage}", [lap.told["stages"][f"{stage}_cpu_s"] for lap in laps], "s")
        for stage in stages
    ]
    after = ("checks_s", "feeds_s", "report_s")
    seen = [lap.process_s - sum(lap.told["stages"][stage] for stage in after) for lap in laps]
    return [*found, figure("dense: from process start to the first row in a view", seen, "s")]
