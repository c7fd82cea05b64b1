"""The races `whole`, `sparse`, `dense` and `calls`, and their budgets: ratios of our costs over a rival's."""

from collections.abc import Container, Mapping
from pathlib import Path
from statistics import median

from benchmarks.children import ROOT, Unreachable
from benchmarks.figures import Figure, make_figure, make_ratio
from benchmarks.findings import markdown, say
from benchmarks.race import WORKERS, Load, Race, Size, run_race
from benchmarks.releases import OLD, install_release
from benchmarks.rivals import FLOORS, OURS, PUBLISHED, RIVALS, Rival, build_whole_run
from benchmarks.rivals.whole_run import AFTER_SWEEP

AT_MOST: Mapping[str, Mapping[str, float]] = {
    "sparse": {"plain": 0.2, "duckdb": 0.2, "duckdb_ours": 0.9, "dlt": 0.17},
    "dense": {"plain": 0.3, "duckdb": 0.3, "duckdb_ours": 0.9, "dlt": 0.2},
}  # budgets of our time over a rival's
MEMORY_AT_MOST = 0.7
CALL_AT_MOST = {16: 0.6, 50: 0.9}
"""Budgets of our CPU per call and page, over that of botocore's call alone, by the items of a page."""
CPU_AT_MOST_MS = {"sparse": 1.25}
STAGES = ("sweep", *AFTER_SWEEP)
WHOLE_AT_MOST: Mapping[str, Mapping[str, float]] = {
    "sparse": {"time": 0.33, "CPU": 0.35},
    "dense": {"time": 0.5, "CPU": 0.25, "MB": 350},
    "20,000 scopes": {"MB": 350},
}
"""Budgets of a whole run: its time over a plain script's, its CPU after the sweep over that of 0.3.0, its peak."""


def measure_whole(size: Size, folder: Path) -> list[Figure]:
    """Race whole runs, from the first call to the report, beside those of version 0.3.0 and a plain boto3 script."""
    rivals = {name: size.rivals[name] for name in (PUBLISHED, "plain") if name in size.rivals}
    place = ROOT / ".benchmarks" / OLD
    try:
        rivals[OLD] = build_whole_run(f"version {OLD}: whole run", place, install_release(place) / "python", {})
    except Unreachable as why:
        say(f"\nWithout version {OLD}: {why}")
    found = list[Figure]()
    for load in (size.sparse, size.dense, size.wide):
        is_wide = load is size.wide
        chosen = {name: rival for name, rival in rivals.items() if not (is_wide and name == "plain")}
        race = _run(size, load, chosen, folder / load.name, rounds=1 if is_wide else size.rounds)
        found += [*compare_whole_runs(race, chosen, is_timed=size.is_timed), *_list_stages(race)]
    return found


def measure_sparse(size: Size, folder: Path) -> list[Figure]:
    """Race over three hundred scopes of one page each: clients and calls are the cost."""
    race = _run(size, size.sparse, _list_sweeps(size), folder)
    return [*_compare(race, size), *_list_rates(race, is_timed=size.is_timed)]


def measure_dense(size: Size, folder: Path) -> list[Figure]:
    """Race over fifty thousand items in full pages: reading them is the cost."""
    race = _run(size, size.dense, _list_sweeps(size), folder)
    return [*_compare(race, size), *_list_rates(race, is_timed=size.is_timed)]


def measure_calls(size: Size, folder: Path) -> list[Figure]:
    """Race over four thousand pages of 16 builders, then of 50, beside botocore's calls alone: what each page costs."""
    floors = {name: rival for name, rival in {**size.rivals, **FLOORS}.items() if name in FLOORS}
    found = list[Figure]()
    for items, load in zip(CALL_AT_MOST, size.called, strict=True):
        race = _run(size, load, floors, folder / load.name)
        name = f"CPU per call and page of {items} builders, fetch to tables / botocore's call alone"
        ours, bare = race.take("tables", "part_cpu_s"), race.take("fetch", "part_cpu_s")
        found.append(make_ratio(name, ours, bare, CALL_AT_MOST[items], is_judged=size.is_timed))
    return found


def _list_sweeps(size: Size) -> dict[str, Rival]:
    return {name: rival for name, rival in size.rivals.items() if name not in (*FLOORS, PUBLISHED)}


def _run(size: Size, load: Load, rivals: Mapping[str, Rival], folder: Path, *, rounds: int | None = None) -> Race:
    rounds = rounds or size.rounds
    say(f"\n## Race, {load}; {WORKERS} threads each, {rounds} rounds")
    race = run_race(load, rivals, size.dlt_python, rounds, folder)
    header = ["who", "rounds", "wall s", "CPU s", "without imports", "peak MB", "page server", "rows", "leaves out"]
    say("\n" + markdown(header, [_make_line(race, name, rival) for name, rival in rivals.items()]))
    return race


def _make_line(race: Race, name: str, rival: Rival) -> list[object]:
    if name in race.disqualified:
        return [rival.title, *["-"] * 7, f"DISQUALIFIED: {race.disqualified[name].splitlines()[0]}"]
    what = ("process_s", "cpu_s", "imports_cpu_s", "peak_mb")
    wall, cpu, imports, peak = (median(race.take(name, each)) for each in what)
    numbers = [len(race.laps[name]), f"{wall:.2f}", f"{cpu:.2f}", f"{cpu - imports:.2f}", f"{peak:.0f}"]
    share = f"{race.compute_server_share(name):.0%}"
    return [rival.title, *numbers, share, "equal" if rival.layout else "-", rival.leaves_out]


def _compare(race: Race, size: Size) -> list[Figure]:
    """Return our wall, CPU and memory over each rival's, process by process, and how many are disqualified."""
    load, found = race.load.name, list[Figure]()
    for name, rival in size.rivals.items():
        if name not in RIVALS or name in (OURS, PUBLISHED):
            continue
        for word, what in (("time", "process_s"), ("CPU", "cpu_s"), ("peak memory", "peak_mb")):
            memory = MEMORY_AT_MOST if name == "duckdb" and load == "dense" else None
            at_most = {"time": AT_MOST[load].get(name), "peak memory": memory}.get(word)
            ratio = (race.take(OURS, what), race.take(name, what), at_most)
            found.append(make_ratio(f"{load}: our {word} / {word} of {rival.title}", *ratio, is_judged=size.is_timed))
    return [*found, make_figure(f"{load}: disqualified", [len(race.disqualified)], "", 0)]


def _list_rates(race: Race, *, is_timed: bool) -> list[Figure]:
    load, cpu = race.load, race.take(OURS, "work_cpu_s")
    name, per_call = f"{load.name}: pages requested more than once", f"{load.name}: CPU per call, without imports"
    if not cpu:
        return [make_ratio(name, [], [], 0)]
    twice = max(float(lap.calls - load.calls) for lap in race.laps[OURS])  # no median: once is too often
    return [
        make_figure(name, [twice], "", 0),
        make_figure(f"{load.name}: calls per CPU second", [load.calls / value for value in cpu], "1/s"),
        make_figure(
            per_call,
            [1000 * value / load.calls for value in cpu],
            "ms",
            CPU_AT_MOST_MS.get(load.name),
            is_judged=is_timed,
        ),
        make_figure(f"{load.name}: peak memory", race.take(OURS, "peak_mb"), "MB"),
    ]


def compare_whole_runs(race: Race, rivals: Container[str], *, is_timed: bool) -> list[Figure]:
    """Return the costs of our whole run over those of others, its peak memory, and how many are disqualified."""
    load, found = race.load.name, list[Figure]()
    at_most = WHOLE_AT_MOST.get(load, {})
    ratios: list[tuple[str, str, str, float | None]] = [
        (OLD, f"CPU after the sweep / that of version {OLD}", "after_cpu_s", at_most.get("CPU")),
        ("plain", "time of a whole run / time of a plain boto3 script", "process_s", at_most.get("time")),
        (OLD, f"time of a whole run / that of version {OLD}", "process_s", None),
        (OLD, f"peak memory of a whole run / that of version {OLD}", "peak_mb", None),
    ]
    for name, words, what, budget in ratios:
        if name in rivals:
            ours, theirs = race.take(PUBLISHED, what), race.take(name, what)
            found.append(make_ratio(f"{load}: {words}", ours, theirs, budget, is_judged=is_timed))
    if peaks := race.take(PUBLISHED, "peak_mb"):
        words = f"{load}: peak memory of a whole run"
        found.append(make_figure(words, peaks, "MB", at_most.get("MB"), is_judged=is_timed))
    return [*found, make_figure(f"{load}: whole runs disqualified", [len(race.disqualified)], "", 0)]


def _list_stages(race: Race) -> list[Figure]:
    """Return the CPU of whole runs by stage, and the time to the first row in a view."""
    load, found = race.load.name, list[Figure]()
    for name, words in ((PUBLISHED, "a whole run"), (OLD, f"version {OLD}")):
        stages = [lap.costs["stages"] for lap in race.laps.get(name, [])]
        if stages:
            costs = {stage: [each[f"{stage}_cpu_s"] for each in stages] for stage in STAGES}
            found += [make_figure(f"{load}: CPU of {words}'s {stage}", values, "s") for stage, values in costs.items()]
    laps = race.laps.get(PUBLISHED, [])
    after = [sum(lap.costs["stages"][f"{stage}_s"] for stage in STAGES[3:]) for lap in laps]
    seen = [lap.process_s - seconds for lap, seconds in zip(laps, after, strict=True)]
    return [
        *found,
        *([make_figure(f"{load}: from process start to the first row in a view", seen, "s")] if seen else []),
    ]
