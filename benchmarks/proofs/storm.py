"""Every account and region answers two calls a second: all scopes land, beside what botocore's own retrying does."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.children import Aws, Child, Exporter
from benchmarks.findings import Findings
from benchmarks.warehouse import by_role, mismatches, seen, settings_of
from benchmarks.world import REGIONS, World

BOUND_S = 500.0


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


FULL = Size()
QUICK = Size(accounts=10)


@dataclass(frozen=True, slots=True)
class _Mode:
    """One way to ask: what it cost, what the server served it, and how many scopes came whole."""

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
        modes = {"appstream-export": _ours(found, aws, size, folder)}
        modes |= {f"plain script, {mode}": _plain(aws, size, mode) for mode in size.rivals}
    ideal_s = max(0.0, world.pages_per_scope() - size.calls_per_s) / size.calls_per_s
    found.table(
        [
            "mode",
            "scopes landed",
            "builders",
            "calls",
            "throttled",
            "wall, s",
            f"wall / ideal of {ideal_s:g} s",
            "rows",
        ],
        [_line(name, mode, scopes, size.items, ideal_s) for name, mode in modes.items()],
    )
    landed = modes["appstream-export"].landed
    found.promise(landed == scopes, f"{landed} of {scopes} scopes landed")
    return found


def _ours(found: Findings, aws: Aws, size: Size, folder: Path) -> _Mode:
    accounts = [by_role(account) for account in aws.world.account_ids()]
    extract = {"workers": size.workers, "max_attempts": size.attempts}
    with Exporter() as exporter:
        costs = exporter.run(settings_of(aws.url, accounts, REGIONS[: size.regions], **extract), folder, BOUND_S)
    served, scopes = aws.change(), seen(folder / "warehouse")
    wrong = mismatches(scopes, aws.world)
    found.promise(not wrong, "; ".join(wrong[:3]))
    told = [sum(s.throttles for s in scopes.values()), sum(s.api_calls for s in scopes.values())]
    counted = [served["throttled"], served["calls"]["DescribeImageBuilders"]]
    found.promise(told == counted, f"scope_runs count {told} throttles and calls, AWS {counted}")
    return _Mode(costs, served, sum(s.is_ok for s in scopes.values()), sum(len(s.rows) for s in scopes.values()))


def _plain(aws: Aws, size: Size, mode: str) -> _Mode:
    accounts = aws.world.account_ids()
    regions = REGIONS[: size.regions]
    job = {"url": aws.url, "accounts": accounts, "regions": regions, "workers": size.workers, "mode": mode}
    with Child("benchmarks.rivals.plain") as script:
        told = script.ask(job | {"max_attempts": size.attempts}, BOUND_S)
    truth = {f"{a}/{r}": [row[0] for row in aws.world.truth(a, r)] for a in accounts for r in regions}
    whole = sum(told["names"].get(scope) == names for scope, names in truth.items())
    return _Mode(told, aws.change(), whole, sum(map(len, told["names"].values())))


def _line(name: str, mode: _Mode, scopes: int, items: int, ideal_s: float) -> list[object]:
    wall_s = float(mode.costs["sweep_s"])
    equal = "equal" if mode.landed == scopes and mode.builders == scopes * items else "LOST: disqualified"
    calls = mode.served["calls"]["DescribeImageBuilders"]
    ratio = wall_s / ideal_s if ideal_s else wall_s
    return [name, mode.landed, mode.builders, calls, mode.served["throttled"], wall_s, ratio, equal]
