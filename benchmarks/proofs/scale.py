"""A thousand accounts in twenty regions, exported twice; the second time, a part of the scopes is denied."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.children import Aws, Exporter
from benchmarks.findings import Findings
from benchmarks.warehouse import Scopes, by_role, mismatches, seen, settings_of
from benchmarks.world import REGIONS, World

RATIO_MAX = 2.0  # wall of the sweep over calls x latency / workers
PEAK_MB_MAX = 256  # until the last task has ended; the commit adds DuckDB's memory, see docs/performance.md
HELD_MAX = 1.2
CONNECTIONS_PER_WORKER = 4
CLIENTS_BESIDES_REGIONS = 4  # STS, Organizations, SSM, S3


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is. Where `is_timed` is off, time and memory are shown and not judged."""

    accounts: int = 1000
    regions: int = 20
    workers: int = 64
    latency_ms: tuple[float, float] = (30.0, 80.0)
    denied: float = 0.01
    is_timed: bool = True


FULL = Size()
QUICK = Size(accounts=50, is_timed=False)


@dataclass(frozen=True, slots=True)
class Run:
    """One export: its World, the exporter's costs, the page server's record, and the scopes in the warehouse."""

    world: World
    export: Mapping[str, Any]
    served: Mapping[str, Any]
    scopes: Scopes

    def compute_ratio(self, workers: int) -> float:
        """Return the sweep's wall over the time in which ideal workers would only wait for answers."""
        return self.export["sweep_s"] / (self.served["asked_latency_s"] / workers)

    def list_stale(self) -> set[tuple[str, str]]:
        """Return scopes that show old rows."""
        return {scope for scope, found in self.scopes.items() if found.is_stale}


def prove(size: Size, folder: Path) -> Findings:
    """Export twice into one warehouse, clean and with denials. The better wall counts, and the worse memory."""
    found = Findings(f"Scale: {size.accounts:,} accounts x {size.regions} regions, {size.workers} workers")
    with Aws(World(accounts=size.accounts, latency_ms=size.latency_ms)) as aws:
        first = _run(aws, size, folder)
        aws.change(generation=1, denied=size.denied)
        second = _run(aws, size, folder)
    runs = [first, second]
    found.figures = {
        "wall/ideal": min(run.compute_ratio(size.workers) for run in runs),
        "sweep CPU": min(run.export["sweep_cpu_s"] for run in runs),
        "sweep MB": max(run.export["sweep_peak_mb"] for run in runs),
        "connections": max(run.served["connections"] for run in runs),
        "clients": max(run.export["clients"] for run in runs),
        "AssumeRole": max(run.served["calls"]["AssumeRole"] for run in runs),
        "stale": len(second.list_stale()),
    }
    rows = [*_judge_costs(found, size, runs), *_judge_counts(found, size, runs), *_judge_rows(found, first, second)]
    found.table(["figure", "clean", f"{size.denied:.0%} denied", "promise", ""], rows)
    return found


def _run(aws: Aws, size: Size, folder: Path) -> Run:
    accounts = [by_role(account) for account in aws.world.account_ids()]
    mapping = settings_of(aws.url, accounts, REGIONS[: size.regions], workers=size.workers)
    bound_s = 60 + 10 * size.accounts * size.regions * size.latency_ms[1] / 1000 / size.workers
    with Exporter() as exporter:  # a new process each time: its peak memory is the run's
        export = exporter.run(mapping, folder, bound_s)
    return Run(aws.world, export, aws.change(), seen(folder / "warehouse"))


def _judge_costs(found: Findings, size: Size, runs: list[Run]) -> list[list[object]]:
    ratios = [run.compute_ratio(size.workers) for run in runs]
    peaks = [run.export["sweep_peak_mb"] for run in runs]
    held = [run.served["held_s"] / run.served["asked_latency_s"] for run in runs]
    is_untimed = not size.is_timed
    names = [name for name in runs[0].export if name.endswith("_s") and not name.endswith("_cpu_s")]
    stages: list[list[object]] = [[f"{name} of the run", *(run.export[name] for run in runs), "", ""] for name in names]
    return [
        found.judge("sweep / ideal", ratios, f"one <= {RATIO_MAX}", is_untimed or min(ratios) <= RATIO_MAX),
        ["CPU of the sweep, s", *(run.export["sweep_cpu_s"] for run in runs), "", ""],
        found.judge("peak MB of the sweep", peaks, f"<= {PEAK_MB_MAX}", is_untimed or max(peaks) <= PEAK_MB_MAX),
        found.judge("time in the server / latency", held, f"one <= {HELD_MAX}", is_untimed or min(held) <= HELD_MAX),
        ["peak MB of the run", *(run.export["peak_mb"] for run in runs), "", ""],
        ["page server's CPU / sweep", *(run.served["cpu_s"] / run.export["sweep_s"] for run in runs), "", ""],
        *stages,
    ]


def _judge_counts(found: Findings, size: Size, runs: list[Run]) -> list[list[object]]:
    connections_max = CONNECTIONS_PER_WORKER * size.workers + size.regions
    clients_max = size.regions + CLIENTS_BESIDES_REGIONS
    connections = [run.served["connections"] for run in runs]
    clients = [run.export["clients"] for run in runs]
    roles = [run.served["calls"]["AssumeRole"] for run in runs]
    calls = [run.served["calls"]["DescribeImageBuilders"] for run in runs]
    recorded = [sum(scope.api_calls for scope in run.scopes.values()) for run in runs]
    return [
        found.judge("connections", connections, f"<= {connections_max}", max(connections) <= connections_max),
        found.judge("clients", clients, f"<= {clients_max}", max(clients) <= clients_max),
        found.judge("AssumeRole calls", roles, f"= {size.accounts}", set(roles) == {size.accounts}),
        found.judge("DescribeImageBuilders calls", calls, f"scope_runs: {recorded}", recorded == calls),
    ]


def _judge_rows(found: Findings, first: Run, second: Run) -> list[list[object]]:
    denied = {scope for scope in second.scopes if second.world.is_denied(*scope)}
    wrong = [mismatches(first.scopes, first.world), mismatches(second.scopes, second.world, first.world)]
    stale = [first.list_stale(), second.list_stale()]
    exits = [first.export["exit_code"], second.export["exit_code"]]
    found.promise(not any(wrong), "; ".join([*wrong[0], *wrong[1]][:5]))
    counts = [len(each) for each in stale]
    return [
        ["builders", *(sum(len(s.rows) for s in run.scopes.values()) for run in (first, second)), "", ""],
        found.judge("stale scopes", counts, f"exactly the {len(denied)} denied", stale == [set(), denied]),
        found.judge("scopes with wrong rows", [len(each) for each in wrong], "0", not any(wrong)),
        found.judge("exit code", exits, "0, then 3", exits == [0, 3 if denied else 0]),
    ]
