"""What `python -m benchmarks` measures, part by part: each gives figures, and prints more than those as it goes."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import commit, history, questions, race_figures
from benchmarks.children import Aws, Exporter, told
from benchmarks.figures import Budget, Figure, figure, ratio
from benchmarks.findings import Findings, say
from benchmarks.proofs import scale
from benchmarks.sizes import Size
from benchmarks.warehouse import by_role, settings_of
from benchmarks.world import REGIONS, World

BOUND_S = 900.0
WORKERS = 32


def _transcribed(found: Findings) -> Findings:
    say(f"\n{found}")
    return found


def _median_of(rounds: int, taken: Figure) -> Figure:
    """A figure that was a median already when we got it."""
    return replace(taken, rounds=rounds)


def _broken(suite: str, *all_found: Findings) -> Figure:
    """How many promises were broken meanwhile: rows that are not the truth are no figure to be proud of."""
    return figure(f"{suite}: promises broken", [sum(len(f.broken) for f in all_found)], "", Budget(at_most=0))


def at_scale(size: Size, folder: Path) -> list[Figure]:
    """20,000 scopes with latency: wall over the ideal, memory, connections, clients, sessions."""
    found = _transcribed(scale.prove(size.scaled, folder))
    proved = found.figures
    connections = 4 * size.scaled.workers + size.scaled.regions
    budgets = {
        "wall/ideal": ("x", Budget(at_most=scale.RATIO_MAX), size.is_timed),
        "sweep MB": ("MB", Budget(at_most=scale.PEAK_MB_MAX), size.is_timed),
        "connections": ("", Budget(at_most=connections), True),
        "clients": ("", Budget(at_most=size.scaled.regions + scale.CLIENTS_BESIDES_REGIONS), True),
        "AssumeRole": ("", Budget(at_most=size.scaled.accounts), True),
    }
    figures = [
        figure(f"scale: {name}", [float(proved[name])], unit, budget, is_judged=is_judged)
        for name, (unit, budget, is_judged) in budgets.items()
    ]
    return [*figures, _broken("scale", found)]


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
    """A commit over writing the same Parquet files alone, which is soon done: in nearly twice as many rounds."""
    measured = commit.costs(size.committed, 2 * size.rounds - 1)
    _transcribed(commit.compared(size.committed, measured))
    _transcribed(commit.by_part(size.committed, min(commit.PART_ROUNDS, size.rounds)))
    named, budget = "commit over writing the same files, CPU", Budget(at_most=2.0)
    found = list[Figure]()
    for name, costs in measured.items():
        alone, made, whole = (
            [took.cpu_s for took in some] for some in zip(*((c.alone, c.commit, c.whole) for c in costs), strict=True)
        )
        found += [
            ratio(f"{named}: {name}, commit", made, alone),
            ratio(f"{named}: {name}, with the catalog", whole, alone, budget, is_judged=size.is_timed),
        ]
    return found


def kept(size: Size, folder: Path) -> list[Figure]:
    """A query after a long history over the same after one snapshot, and commands that start cold."""
    builders, snapshots = size.kept
    rounds = 2 * size.rounds + 1
    after = _transcribed(history.long(builders, snapshots, rounds, folder))
    cold = _transcribed(history.cold(folder / "all", rounds))
    name, budget = f"query of a view after {snapshots} snapshots over the same after 1", Budget(at_most=1.5)
    found = [_median_of(rounds, figure(name, [float(after.figures["all"])], "x", budget, is_judged=size.is_timed))]
    for command, value in cold.figures.items():
        judged = Budget(at_most=2.0) if command == "sql select 1" else None
        if command != "import duckdb":
            title = f"cold start of `{command}` over bare `import duckdb`"
            taken = figure(title, [float(value)], "x", judged, is_judged=size.is_timed)
            found.append(_median_of(rounds, taken))
    return [*found, _broken("history", after, cold)]


def asked(size: Size, folder: Path) -> list[Figure]:
    """Every question, mart and check after a long history of many builders."""
    builders, snapshots = size.asked
    questions.build(str(folder), builders, snapshots)
    found = []
    for told_ in (questions.opening(str(folder)), *questions.answers(str(folder))):
        _transcribed(told_)
        rows = told_.tables[0].rows
        slowest = max(rows, key=lambda row: float(str(row[-1])))
        title = f"{builders:,} builders x {snapshots} snapshots, {told_.title}: slowest"
        say(f"slowest: {slowest[0]}")  # not in the figure's name, by which it replaces the one before
        found.append(figure(title, [float(str(slowest[-1]))], "s"))
    return found


SUITES: Mapping[str, Callable[[Size, Path], list[Figure]]] = {
    "sparse": race_figures.sparse,
    "dense": race_figures.dense,
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
