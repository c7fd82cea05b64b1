"""Every account and region answers two calls a second: all scopes land, no later than with botocore's own retries."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq

from benchmarks.children import Aws, Child, Exporter
from benchmarks.findings import Findings
from benchmarks.warehouse import by_role, mismatches, seen, settings_of
from benchmarks.world import REGIONS, World

BOUND_S = 500.0
OURS = "appstream-export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is. More scopes than workers: a client that sleeps in a worker holds up the others."""

    accounts: int = 20
    regions: int = 5
    items: int = 12
    page_size: int = 2
    workers: int = 32
    attempts: int = 8
    calls_per_s: float = 2.0
    rivals: tuple[str, ...] = ("standard", "adaptive")
    """botocore's retry modes, in a plain script."""
    rounds: int = 3
    """Each round runs every mode, in turned order; walls are medians."""
    is_timed: bool = True


FULL = Size()
QUICK = Size(accounts=10, rounds=1)


@dataclass(frozen=True, slots=True)
class _Try:
    """One run of a mode: its costs, the page server's record, and the scopes that came whole."""

    costs: Mapping[str, Any]
    served: Mapping[str, Any]
    landed: int

    @property
    def wall_s(self) -> float:
        """Seconds of its sweep."""
        return float(self.costs["sweep_s"])


def prove(size: Size, folder: Path) -> Findings:
    """Run each mode; our own scopes must all land, with equal rows, before walls are compared."""
    scopes = size.accounts * size.regions
    found = Findings(f"Storm: {scopes} scopes, each limited to {size.calls_per_s:g} calls/s, {size.workers} workers")
    world = World(
        accounts=size.accounts, items=size.items, page_size=size.page_size, calls_per_s=size.calls_per_s,
        latency_ms=(20.0, 40.0),
    )  # fmt: skip
    with Aws(world) as aws:
        modes = [OURS, *size.rivals]
        tries: dict[str, list[_Try]] = {mode: [] for mode in modes}
        for n in range(size.rounds):
            for mode in modes[n % len(modes) :] + modes[: n % len(modes)]:
                place = folder / f"{mode}-{n}"
                tried = _ours(found, aws, size, place) if mode == OURS else _plain(aws, size, mode, place)
                tries[mode].append(tried)
    ideal_s = max(0.0, world.pages_per_scope() - size.calls_per_s) / size.calls_per_s
    header = ["mode", "scopes landed", "calls", "throttled", "wall, s", "server's share", "rows"]
    found.table(header, [_line(mode, tries[mode], scopes) for mode in modes])
    landed = min(each.landed for each in tries[OURS])
    found.promise(landed == scopes, f"{landed} of {scopes} scopes landed")
    walls = {mode: median(each.wall_s for each in tries[mode]) for mode in modes}
    found.figures = {"landed": f"{landed}/{scopes}", "wall / ideal": walls[OURS] / ideal_s if ideal_s else walls[OURS]}
    for mode in size.rivals:
        found.figures[f"{mode}/ours"] = walls[mode] / walls[OURS]
        if size.is_timed:
            found.promise(walls[OURS] <= walls[mode], f"{walls[OURS]:.1f} s; botocore's {mode}: {walls[mode]:.1f} s")
    return found


def _ours(found: Findings, aws: Aws, size: Size, folder: Path) -> _Try:
    accounts = [by_role(account) for account in aws.world.account_ids()]
    extract = {"workers": size.workers, "max_attempts": size.attempts}
    with Exporter() as exporter:
        settings = settings_of(aws.url, accounts, REGIONS[: size.regions], **extract)
        costs = exporter.run(settings, folder, BOUND_S, publish=False)
    served, scopes = aws.change(), seen(folder / "warehouse")
    wrong = mismatches(scopes, aws.world)
    found.promise(not wrong, "; ".join(wrong[:3]))
    recorded = [sum(s.throttles for s in scopes.values()), sum(s.api_calls for s in scopes.values())]
    counted = [served["throttled"], served["calls"]["DescribeImageBuilders"]]
    found.promise(recorded == counted, f"scope_runs count {recorded} throttles and calls, AWS {counted}")
    return _Try(costs, served, sum(s.is_ok for s in scopes.values()))


def _plain(aws: Aws, size: Size, mode: str, folder: Path) -> _Try:
    accounts, regions = aws.world.account_ids(), REGIONS[: size.regions]
    job = {"url": aws.url, "accounts": accounts, "regions": regions, "workers": size.workers, "folder": str(folder)}
    with Child("benchmarks.rivals.plain") as script:
        costs = script.ask(job | {"mode": mode, "max_attempts": size.attempts}, BOUND_S)
    names: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in pq.read_table(folder / "builders.parquet").to_pylist():
        names[row["account_id"], row["region"]].append(row["name"])
    whole = sum(names[a, r] == [row[0] for row in aws.world.truth(a, r)] for a in accounts for r in regions)
    return _Try(costs, aws.change(), whole)


def _line(mode: str, tries: Sequence[_Try], scopes: int) -> list[object]:
    landed = min(each.landed for each in tries)
    equal = "equal" if landed == scopes else "LOST: disqualified"
    calls = median(each.served["calls"]["DescribeImageBuilders"] for each in tries)
    throttled, wall_s = median(each.served["throttled"] for each in tries), median(each.wall_s for each in tries)
    share = median(each.served["cpu_s"] / each.wall_s for each in tries)
    title = mode if mode == OURS else f"plain script, {mode}"
    return [title, landed, calls, throttled, wall_s, share, equal]
