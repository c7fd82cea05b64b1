"""Every account and region answers two calls a second: all scopes land, beside what botocore's own retrying does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.children import Aws, Child, Exporter
from benchmarks.findings import Findings
from benchmarks.warehouse import by_role, mismatches, seen, settings_of
from benchmarks.world import REGIONS, World

BOUND_S = 500.0
OURS = "appstream-export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is. More scopes than workers: who sleeps in a worker keeps others from asking."""

    accounts: int = 20
    regions: int = 5
    items: int = 12
    page_size: int = 2
    workers: int = 32
    attempts: int = 8
    calls_per_s: float = 2.0
    rivals: tuple[str, ...] = ("standard", "adaptive")
    """botocore's retry modes that are asked for the same."""
    rounds: int = 3
    """Each round asks every mode, in turned order; walls are medians."""
    is_timed: bool = True


FULL = Size()
QUICK = Size(accounts=10, rounds=1)


@dataclass(frozen=True, slots=True)
class _Try:
    """One mode asked once: what it cost, what the server served it, and how many scopes came whole."""

    costs: Mapping[str, Any]
    served: Mapping[str, Any]
    landed: int
    builders: int


def prove(size: Size, folder: Path) -> Findings:
    """One table; our own scopes must all land, and equal rows are checked before anything is compared."""
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
                tried = _ours(found, aws, size, folder / f"{n}") if mode == OURS else _plain(aws, size, mode)
                tries[mode].append(tried)
    ideal_s = max(0.0, world.pages_per_scope() - size.calls_per_s) / size.calls_per_s
    found.table(
        ["mode", "scopes landed", "builders", "calls", "throttled", "wall, s", f"wall / ideal of {ideal_s:g} s",
         "server's share", "rows"],
        [_line(mode, tries[mode], scopes, size.items, ideal_s) for mode in modes],
    )  # fmt: skip
    landed = min(each.landed for each in tries[OURS])
    found.promise(landed == scopes, f"{landed} of {scopes} scopes landed")
    walls = {mode: _middle(tries[mode], _wall_s) for mode in modes}
    found.figures = {"landed": f"{landed}/{scopes}", "throttled": _middle(tries[OURS], _throttled)}
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
    told = [sum(s.throttles for s in scopes.values()), sum(s.api_calls for s in scopes.values())]
    counted = [served["throttled"], served["calls"]["DescribeImageBuilders"]]
    found.promise(told == counted, f"scope_runs count {told} throttles and calls, AWS {counted}")
    return _Try(costs, served, sum(s.is_ok for s in scopes.values()), sum(len(s.rows) for s in scopes.values()))


def _plain(aws: Aws, size: Size, mode: str) -> _Try:
    accounts = aws.world.account_ids()
    regions = REGIONS[: size.regions]
    job = {"url": aws.url, "accounts": accounts, "regions": regions, "workers": size.workers, "mode": mode}
    with Child("benchmarks.rivals.plain") as script:
        told = script.ask(job | {"max_attempts": size.attempts}, BOUND_S)
    truth = {f"{a}/{r}": [row[0] for row in aws.world.truth(a, r)] for a in accounts for r in regions}
    whole = sum(told["names"].get(scope) == names for scope, names in truth.items())
    return _Try(told, aws.change(), whole, sum(map(len, told["names"].values())))


def _line(mode: str, tries: Sequence[_Try], scopes: int, items: int, ideal_s: float) -> list[object]:
    wall_s = _middle(tries, _wall_s)
    landed, builders = min(each.landed for each in tries), min(each.builders for each in tries)
    equal = "equal" if (landed, builders) == (scopes, scopes * items) else "LOST: disqualified"
    return [
        mode if mode == OURS else f"plain script, {mode}",
        landed,
        builders,
        _middle(tries, lambda each: each.served["calls"]["DescribeImageBuilders"]),
        _middle(tries, _throttled),
        wall_s,
        wall_s / ideal_s if ideal_s else wall_s,
        _middle(tries, lambda each: each.served["cpu_s"] / _wall_s(each)),
        equal,
    ]


def _wall_s(each: _Try) -> float:
    return float(each.costs["sweep_s"])


def _throttled(each: _Try) -> int:
    return each.served["throttled"]


def _middle(tries: Sequence[_Try], figure: Callable[[_Try], float]) -> float:
    return median(map(figure, tries))
