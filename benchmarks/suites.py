"""The parts of `python -m benchmarks`: each returns figures, and prints more than those as it goes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks import age, commit, history, races
from benchmarks.children import Aws, Exporter
from benchmarks.figures import Figure, make_figure, make_ratio
from benchmarks.findings import say
from benchmarks.more_resources import measure_more_resources
from benchmarks.proofs import scale
from benchmarks.race import Size
from benchmarks.warehouse import by_role, settings_of
from benchmarks.world import REGIONS, World

BOUND_S = 900.0
IDEAL_AT_MOST = 1.15
SWEEP_CPU_AT_MOST_S = 22.0


def measure_scale(size: Size, folder: Path) -> list[Figure]:
    """Measure 20,000 scopes with latency: wall over the ideal, memory, connections, clients, sessions."""
    found = scale.prove(size.scaled, folder)
    connections = scale.CONNECTIONS_PER_WORKER * size.scaled.workers + size.scaled.regions
    budgets = {
        "wall/ideal": ("x", IDEAL_AT_MOST, size.is_timed),
        "sweep CPU": ("s", SWEEP_CPU_AT_MOST_S, size.is_timed),
        "sweep MB": ("MB", scale.PEAK_MB_MAX, size.is_timed),
        "connections": ("", connections, True),
        "clients": ("", size.scaled.regions + scale.CLIENTS_BESIDES_REGIONS, True),
        "AssumeRole": ("", size.scaled.accounts, True),
    }
    figures = [
        make_figure(f"scale: {name}", [float(found.figures[name])], unit, at_most, is_judged=is_judged)
        for name, (unit, at_most, is_judged) in budgets.items()
    ]
    say(f"\n{found}")
    return [*figures, make_figure("scale: promises broken", [len(found.broken)], "", 0)]


def measure_resources(size: Size, folder: Path) -> list[Figure]:
    """Measure the same scopes with tags and images on: three calls for each."""
    return measure_more_resources(size.scaled, folder)


def measure_shards(size: Size, folder: Path) -> list[Figure]:
    """Measure one process and two shards over the same pages, with latency, in turns, from plan to commit."""
    accounts = size.sharded // len(REGIONS)
    few = max(2, accounts // 20)
    worlds = {
        f"{size.sharded:,} scopes": World(accounts=accounts, latency_ms=(30.0, 80.0)),
        f"{few * len(REGIONS) * 2:,} pages of 50": World(accounts=few, items=100, latency_ms=(30.0, 80.0)),
    }
    return [_measure_shards(name, world, size, folder / f"{n}") for n, (name, world) in enumerate(worlds.items())]


def _measure_shards(name: str, world: World, size: Size, folder: Path) -> Figure:
    walls: dict[int, list[float]] = {1: [], 2: []}
    with Aws(world) as aws:
        mapping = settings_of(aws.url, [by_role(a) for a in aws.world.account_ids()], REGIONS, workers=64)
        for number in range(min(2, size.rounds)):
            for shards, seconds in walls.items():
                with Exporter() as exporter:
                    place = folder / f"{shards}-{number}"
                    costs = exporter.run(mapping, place, BOUND_S, shards, publish=False)
                seconds.append(costs["sweep_s"] + costs.get("commit_s", 0.0))
    say(f"{name}: one process {walls[1]} s, two shards {walls[2]} s")
    return make_ratio(f"{name}: time of two shards / of one process", walls[2], walls[1])


def measure_memory(size: Size, folder: Path) -> list[Figure]:
    """Measure two exports of few and of many items, the second with 1% of the scopes denied, a process per size."""
    found, peaks = list[Figure](), list[float]()
    for items in size.items:
        with Aws(World(accounts=items // 1000, items=50)) as aws, Exporter() as exporter:
            mapping = settings_of(aws.url, [by_role(a) for a in aws.world.account_ids()], REGIONS, workers=64)
            first = exporter.run(mapping, folder / f"{items}", BOUND_S, publish=False)
            aws.change(denied=0.01)
            second = exporter.run(mapping, folder / f"{items}", BOUND_S, publish=False)
        peaks.append(second["peak_mb"])
        found += [
            make_figure(f"{items:,} items: peak memory", [second["peak_mb"]], "MB"),
            make_figure(f"{items:,} items: peak memory of the first sweep", [first["sweep_peak_mb"]], "MB"),
            make_figure(f"{items:,} items: two exports", [first["total_s"] + second["total_s"]], "s"),
        ]
    few, many = size.items
    name = f"peak memory at {many:,} items / at {few:,}"
    return [*found, make_ratio(name, peaks[1:], peaks[:1], 1.5, is_judged=size.is_timed)]


def measure_commit(size: Size, _: Path) -> list[Figure]:
    """Measure a commit beside writing the same Parquet files alone, which is quick: in nearly twice as many rounds."""
    found = list[Figure]()
    for name, costs in commit.measure(size.committed, 2 * size.rounds - 1).items():
        alone, made, whole = ([took.cpu_s for took in some] for some in zip(*costs, strict=True))
        title = f"{name}: CPU of the commit"
        found += [
            make_ratio(f"{title} / of writing its files", made, alone),
            make_ratio(f"{title} and the catalog / of writing its files", whole, alone, 2, is_judged=size.is_timed),
        ]
    return found


def measure_history(size: Size, folder: Path) -> list[Figure]:
    """Measure a query after a long history beside one after a single snapshot, and commands that start cold."""
    builders, snapshots = size.kept
    rounds = 2 * size.rounds + 1
    long = history.measure_long(builders, snapshots, rounds, folder)
    cold = history.time_commands(folder / "all", rounds)
    judged = {"sql select 1": 1.3, "status": 1.5}
    names: list[tuple[str, float, float | None]] = [
        (f"query of a view after {snapshots} snapshots / after 1", float(long.figures["all"]), 1.5)
    ]
    names += [
        (f"start of `{command}` / of a Python that imports duckdb", float(value), judged.get(command))
        for command, value in cold.figures.items()
        if command != "import duckdb"
    ]
    figures = [make_figure(name, [value], "x", at_most, is_judged=size.is_timed) for name, value, at_most in names]
    say(f"\n{long}\n\n{cold}")
    return [replace(each, rounds=rounds) for each in figures]


def measure_age(size: Size, folder: Path) -> list[Figure]:
    """Measure what follows the commit after a year of daily snapshots beside that of the second day."""
    builders, days = size.aged
    return age.measure(builders, days, size.rounds, folder, is_judged=size.is_timed)


def measure_long_age(size: Size, folder: Path) -> list[Figure]:
    """Measure the same of a larger estate after two years, with feeds/v2 alone. Its history takes minutes to make."""
    (builders, days), rounds, at_most = size.aged_long, size.rounds, age.LONG_GROWTH_MAX
    return age.measure(builders, days, rounds, folder, published=age.STAR, at_most=at_most, is_judged=size.is_timed)


SUITES: Mapping[str, Callable[[Size, Path], list[Figure]]] = {
    "whole": races.measure_whole,
    "sparse": races.measure_sparse,
    "dense": races.measure_dense,
    "calls": races.measure_calls,
    "scale": measure_scale,
    "shards": measure_shards,
    "memory": measure_memory,
    "resources": measure_resources,
    "commit": measure_commit,
    "history": measure_history,
    "age": measure_age,
    "age_long": measure_long_age,
}
