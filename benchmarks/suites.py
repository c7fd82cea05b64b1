"""What `python -m benchmarks` measures, part by part: each gives figures, and prints more than those as it goes."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import commit, history, questions, race
from benchmarks.children import Aws, Exporter, told
from benchmarks.figures import Budget, Figure, figure, missing, ratio
from benchmarks.findings import Findings, markdown, say
from benchmarks.proofs import scale
from benchmarks.race import DENSE, SPARSE, Load, Race
from benchmarks.rivals import FLOORS, OURS, RIVALS, TRANSFORMS, Rival
from benchmarks.warehouse import by_role, settings_of
from benchmarks.world import REGIONS, World

BOUND_S = 900.0
WORKERS = 32
SLOWER = Budget(at_most=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured. Where `is_timed` is off, sizes are too small for budgets of time and memory: not judged."""

    pythons: Mapping[str, Path]
    rounds: int = 5
    sparse: Load = SPARSE
    dense: Load = DENSE
    rivals: Mapping[str, Rival] = field(default_factory=lambda: {**RIVALS, **TRANSFORMS, **FLOORS})
    scaled: scale.Size = scale.FULL
    two_accounts: int = 500
    scopes: tuple[int, ...] = (100, 1_000, 5_000, 20_000)
    items: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    committed: int = 50_000
    kept: tuple[int, int] = (5_000, 200)
    """Builders and snapshots of a long history."""
    asked: tuple[int, int] = (50_000, 200)
    """The same, where every question is asked."""
    is_timed: bool = True


def quick(size: Size) -> Size:
    """The same machinery in three minutes."""
    return replace(
        size, rounds=1, sparse=replace(size.sparse, accounts=3), dense=replace(size.dense, accounts=2, regions=3),
        scaled=replace(scale.QUICK, accounts=10), two_accounts=10, scopes=(20, 100), items=(1_000, 5_000),
        committed=1_000, kept=(200, 5), asked=(200, 5), is_timed=False,
    )  # fmt: skip


def sparse(size: Size, folder: Path) -> list[Figure]:
    """Three hundred scopes of one page each: clients and calls are what costs."""
    raced = _raced(size, size.sparse, {n: r for n, r in size.rivals.items() if n not in FLOORS}, folder)
    cpu = [size.sparse.scopes / value for value in raced.take(OURS, "work_cpu_s")]
    found = [*_walls(raced, size, plain=Budget(at_least=2.0)), *_transforms(raced)]
    return [*found, *_rates(raced), figure("sparse: scopes per CPU second", cpu, "1/s")] if cpu else found


def dense(size: Size, folder: Path) -> list[Figure]:
    """Fifty thousand items in full pages: reading them is what costs."""
    raced = _raced(size, size.dense, {n: r for n, r in size.rivals.items() if n not in TRANSFORMS}, folder)
    found = _walls(raced, size, plain=Budget(at_least=1.8))
    ours, rival = raced.take(OURS, "peak_mb"), raced.take("duckdb", "peak_mb")
    name, budget = "dense: peak memory over the DuckDB script's", Budget(at_most=0.7)
    if ours and rival:
        found.append(ratio(name, ours, rival, budget, is_judged=size.is_timed))
    elif "duckdb" in size.rivals:
        found.append(missing(name, budget))
    return [*found, *_pages(raced, size), *_rates(raced), *_stages(raced)]


def _raced(size: Size, load: Load, rivals: Mapping[str, Rival], folder: Path) -> Race:
    say(f"\n## Race, {load}; {race.WORKERS} threads each, {size.rounds} rounds")
    raced = race.run(load, rivals, size.pythons, size.rounds, folder)
    say(f"\n{_board(raced, rivals)}")
    return raced


def _board(raced: Race, rivals: Mapping[str, Rival]) -> str:
    rows = []
    for name, rival in rivals.items():
        if name in raced.disqualified:
            rows.append([rival.title, *["-"] * 6, f"DISQUALIFIED: {raced.disqualified[name].splitlines()[0]}"])
            continue
        what = ("process_s", "cpu_s", "imports_cpu_s", "peak_mb")
        wall, cpu, imports, peak = (figure("", raced.take(name, each)).value for each in what)
        numbers = [f"{wall:.2f}", f"{cpu:.2f}", f"{cpu - imports:.2f}", f"{peak:.0f}"]
        pandas = " (pandas imported)" if any(raced.take(name, "has_pandas")) else ""
        share = f"{raced.server_share(name):.0%}"
        rows.append([rival.title, *numbers, share, "equal" if rival.layout else "-", rival.leaves_out + pandas])
    header = ["who", "wall s", "CPU s", "without imports", "peak MB", "page server", "rows", "leaves out"]
    return markdown(header, rows)


def _walls(raced: Race, size: Size, *, plain: Budget) -> list[Figure]:
    """Walls of whole processes over ours; of the DuckDB script's, ours over its own."""
    budgets = {"plain": plain, "dlt": Budget(at_least=2.5)}
    load, found, ours = raced.load.name, list[Figure](), raced.take(OURS, "process_s")
    for name, rival in size.rivals.items():
        if name == OURS or name not in RIVALS:
            continue
        theirs, title = raced.take(name, "process_s"), f"{load}: wall, {rival.title} / ours"
        if name == "duckdb":
            theirs, ours_, title, budget = ours, theirs, f"{load}: wall, ours / {rival.title}", SLOWER
        else:
            ours_, budget = ours, budgets.get(name)
        if theirs and ours_:
            found.append(ratio(title, theirs, ours_, budget, is_judged=size.is_timed))
        elif budget:
            found.append(missing(title, budget))
    return found


def _pages(raced: Race, size: Size) -> list[Figure]:
    ours, bare = raced.take("tables", "part_cpu_s"), raced.take("fetch", "part_cpu_s")
    if not (ours and bare):
        return []
    name = "dense: CPU per page, fetch to tables over botocore's bare fetch"
    floors = [
        figure(f"dense: CPU per page, {FLOORS[floor].title}", _per(raced, floor), "ms") for floor in ("fetch", "parse")
    ]
    written = figure("dense: CPU of Parquet alone", raced.take("write", "part_cpu_s"), "s")
    return [ratio(name, ours, bare, Budget(at_most=1.8), is_judged=size.is_timed), *floors, written]


def _per(raced: Race, floor: str) -> list[float]:
    return [1000 * value / raced.load.calls for value in raced.take(floor, "part_cpu_s")]


def _rates(raced: Race) -> list[Figure]:
    load, cpu = raced.load, raced.take(OURS, "work_cpu_s")
    if not cpu:
        return []
    twice = [float(lap.calls - load.calls) for lap in raced.laps[OURS]]
    return [
        figure(f"{load.name}: pages asked more than once", twice, "", Budget(at_most=0)),
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


def _transcribed(found: Findings) -> Findings:
    say(f"\n{found}")
    return found


def at_scale(size: Size, folder: Path) -> list[Figure]:
    """20,000 scopes with latency: wall over the ideal, memory, connections, clients, sessions."""
    proved = _transcribed(scale.prove(size.scaled, folder)).figures
    connections = 4 * size.scaled.workers + size.scaled.regions
    budgets = {
        "wall/ideal": ("x", Budget(at_most=scale.RATIO_MAX), size.is_timed),
        "sweep MB": ("MB", Budget(at_most=scale.PEAK_MB_MAX), size.is_timed),
        "connections": ("", Budget(at_most=connections), True),
        "clients": ("", Budget(at_most=size.scaled.regions + scale.CLIENTS_BESIDES_REGIONS), True),
        "AssumeRole": ("", Budget(at_most=size.scaled.accounts), True),
    }
    return [
        figure(f"scale: {name}", [float(proved[name])], unit, budget, is_judged=is_judged)
        for name, (unit, budget, is_judged) in budgets.items()
    ]


def two_processes(size: Size, folder: Path) -> list[Figure]:
    """The same scopes in one process and halved between two; kept only if it gave 1.4."""
    rounds = min(2, size.rounds)
    accounts = World(accounts=size.two_accounts).account_ids()
    shares = {"one": [accounts], "two": [accounts[::2], accounts[1::2]]}
    walls: dict[str, list[float]] = {name: [] for name in shares}
    with Aws(World(accounts=size.two_accounts, latency_ms=(30.0, 80.0))) as aws:
        for n in range(rounds):
            for name, halves in shares.items():
                places = [folder / f"{name}-{n}-{half}" for half in range(len(halves))]
                with ThreadPoolExecutor() as pool:
                    walls[name].append(max(pool.map(lambda a, p: _swept(aws.url, a, p)["sweep_s"], halves, places)))
    return [ratio("scale: sweep of one process / of two that share its scopes", walls["one"], walls["two"])]


def _swept(url: str, accounts: list[str], folder: Path, regions: int = 20) -> dict[str, Any]:
    settings = settings_of(url, [by_role(a) for a in accounts], REGIONS[:regions], workers=WORKERS)
    with Exporter() as exporter:
        return exporter.run(settings, folder, BOUND_S, publish=False)


def growth(size: Size, folder: Path) -> list[Figure]:
    """Sweeps of more and more scopes, without latency."""
    found: list[Figure] = []
    for scopes in size.scopes:
        world = World(accounts=scopes // 20)
        with Aws(world) as aws:
            export = _swept(aws.url, world.account_ids(), folder / str(scopes))
        found += [
            figure(f"growth: sweep of {scopes:,} scopes, wall", [export["sweep_s"]], "s"),
            figure(f"growth: sweep of {scopes:,} scopes, CPU", [export["sweep_cpu_s"]], "s"),
            figure(f"growth: sweep of {scopes:,} scopes, peak memory", [export["sweep_peak_mb"]], "MB"),
        ]
    return found


def memory(size: Size, _: Path) -> list[Figure]:
    """Two sweeps and commits of more and more items, a process for each size."""
    found, peaks = list[Figure](), dict[int, float]()
    for items in size.items:
        peak, swept, _changes, seconds = map(float, told("benchmarks.commit", "--peak", str(items)).split())
        peaks[items] = peak
        found += [
            figure(f"growth: {items:,} items, peak memory", [peak], "MB"),
            figure(f"growth: {items:,} items, peak memory of the sweep", [swept], "MB"),
            figure(f"growth: {items:,} items, two snapshots", [seconds], "s"),
        ]
    few, many = size.items[-3] if len(size.items) > 2 else size.items[0], size.items[-1]
    name, budget = f"peak memory at {many:,} items over that at {few:,}", Budget(at_most=1.5)
    return [*found, figure(name, [peaks[many] / peaks[few]], "x", budget, is_judged=size.is_timed)]


def committing(size: Size, _: Path) -> list[Figure]:
    """A commit over writing the same Parquet files alone."""
    rounds = min(3, size.rounds)
    costs = _transcribed(commit.cost(size.committed, rounds)).figures
    return [
        figure(f"commit over writing the same files, CPU: {name}", [float(value)], "x",
               Budget(at_most=2.0) if name.endswith("catalog") else None, is_judged=size.is_timed)
        for name, value in costs.items()
    ]  # fmt: skip


def kept(size: Size, folder: Path) -> list[Figure]:
    """A query after a long history over the same after one snapshot, and commands that start cold."""
    builders, snapshots = size.kept
    after = _transcribed(history.long(builders, snapshots, 2 * size.rounds + 1, folder)).figures
    cold = _transcribed(history.cold(folder / "all", size.rounds)).figures
    name, budget = f"query of a view after {snapshots} snapshots over the same after 1", Budget(at_most=1.5)
    found = [figure(name, [float(after["all"])], "x", budget, is_judged=size.is_timed)]
    for command, value in cold.items():
        judged = Budget(at_most=2.0) if command == "sql select 1" else None
        if command != "import duckdb":
            title = f"cold start of `{command}` over bare `import duckdb`"
            found.append(figure(title, [float(value)], "x", judged, is_judged=size.is_timed))
    return found


def asked(size: Size, folder: Path) -> list[Figure]:
    """Every question, mart and check after a long history of many builders."""
    builders, snapshots = size.asked
    questions.build(str(folder), builders, snapshots)
    found = []
    for told_ in (questions.opening(str(folder)), *questions.answers(str(folder))):
        _transcribed(told_)
        rows = told_.tables[0].rows
        slowest = max(rows, key=lambda row: float(str(row[-1])))
        title = f"{builders:,} builders x {snapshots} snapshots, {told_.title}: slowest, {slowest[0]}"
        found.append(figure(title, [float(str(slowest[-1]))], "s"))
    return found


SUITES: Mapping[str, Callable[[Size, Path], list[Figure]]] = {
    "sparse": sparse,
    "dense": dense,
    "scale": at_scale,
    "processes": two_processes,
    "growth": growth,
    "memory": memory,
    "commit": committing,
    "history": kept,
    "questions": asked,
}
LONG = ("questions",)
"""Only when they are named: they take longer than all others."""
