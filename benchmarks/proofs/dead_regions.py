"""A thousand accounts in twenty regions, of which ten are opt-in and off, and some are dead, in one run."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.children import Aws, Exporter
from benchmarks.findings import Findings
from benchmarks.warehouse import Scopes, by_role, seen, settings_of, statuses
from benchmarks.world import World
from tests.world import open_dead_end, write_endpoint_rules

OPEN = (
    *("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-west-2", "eu-central-1", "ap-south-1"),
    *("ap-northeast-1", "ap-southeast-1", "sa-east-1"),
)
CLOSED = (
    *("eu-south-1", "eu-south-2", "eu-central-2", "il-central-1", "ca-west-1", "ap-southeast-5", "af-south-1"),
    *("ap-east-1", "me-south-1", "me-central-1"),
)
TRIES_BESIDE = 100
"""Tries before it is known that a region is dead: those under way in all workers, and their repetitions."""
RATIO_MAX = 2.0
"""Wall of the sweep over calls x latency / workers, as of `scale`: dead regions hold up no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is. Where `is_timed` is off, time is shown and judged by nobody."""

    accounts: int = 1000
    workers: int = 32
    latency_ms: tuple[float, float] = (30.0, 80.0)
    dead: Mapping[str, Mapping[str, str]]
    """Runs by name: the regions that are dead in each, and how."""
    is_timed: bool = True


FULL = Size(
    dead={
        "all answer": {},
        "one drops packets": {"eu-west-2": "dropped"},
        "one refuses": {"eu-west-2": "refused"},
        "two drop packets": {"eu-west-2": "dropped", "us-west-2": "dropped"},
    }
)
QUICK = Size(
    accounts=40,
    workers=16,
    dead={"one drops packets": {"eu-west-2": "dropped"}, "one refuses": {"eu-west-2": "refused"}},
    is_timed=False,
)


@dataclass(frozen=True, slots=True)
class _Run:
    """One export, and what the server served meanwhile."""

    dead: Mapping[str, str]
    export: dict[str, Any]
    served: dict[str, Any]
    scopes: Scopes

    def ratio(self, workers: int) -> float:
        """Wall of the sweep over the time in which ideal workers would do nothing but wait for those that answer."""
        return self.export["sweep_s"] / (self.served["asked_latency_s"] / workers)

    def calls(self) -> int:
        """All tries: what the server answered, and those that reached nobody."""
        return sum(self.served["calls"].values()) + self.dead_calls()

    def dead_calls(self) -> int:
        """Tries of calls to dead regions."""
        return sum(scope.api_calls for (_, region), scope in self.scopes.items() if region in self.dead)

    def list_expected_ends(self, accounts: int) -> dict[str, int]:
        """How many scopes must end in each way."""
        ends = {"disabled": len(CLOSED), "network": len(self.dead), "ok": len(OPEN) - len(self.dead)}
        return {status: count * accounts for status, count in ends.items() if count}


def prove(size: Size, folder: Path) -> Findings:
    """A run for each kind of dead region, each into a warehouse of its own."""
    found = Findings(f"Dead regions: {size.accounts:,} accounts x 20 regions, ten off, {size.workers} workers")
    with Aws(World(accounts=size.accounts, latency_ms=size.latency_ms, closed=CLOSED)) as aws:
        runs = {name: _run(aws, size, dead, folder / name.replace(" ", "-")) for name, dead in size.dead.items()}
    found.figures = {name: run.ratio(size.workers) for name, run in runs.items()}
    found.table(["what", *runs, "promise", ""], [*_judge(found, size, runs), *_costs(found, size, runs)])
    return found


def _run(aws: Aws, size: Size, dead: Mapping[str, str], folder: Path) -> _Run:
    accounts = [by_role(account) for account in aws.world.account_ids()]
    mapping = settings_of(aws.url, accounts, [*OPEN, *CLOSED], workers=size.workers)
    with ExitStack() as stack:
        urls = {region: open_dead_end(network, stack) for region, network in dead.items()}
        write_endpoint_rules(folder / "models", urls)
        aws.change()
        with Exporter({"AWS_DATA_PATH": str(folder / "models")}) as exporter:
            export = exporter.run(mapping, folder, 1200, publish=False)
    return _Run(dead, export, aws.change(), seen(folder / "warehouse"))


def _judge(found: Findings, size: Size, runs: Mapping[str, _Run]) -> list[list[object]]:
    ends = {name: statuses(run.scopes.values()) for name, run in runs.items()}
    wrong = [n for n, run in runs.items() if ends[n] != run.list_expected_ends(size.accounts)]
    codes = [run.export["exit_code"] for run in runs.values()]
    as_expected = found.promise(not wrong, f"scopes ended otherwise: {ends}")
    honest = found.promise(codes == [3 if run.dead else 0 for run in runs.values()], f"exit codes {codes}")
    calls = [run.dead_calls() for run in runs.values()]
    most = [len(run.dead) * (size.accounts + TRIES_BESIDE) for run in runs.values()]
    few = found.promise(all(a <= b for a, b in zip(calls, most, strict=True)), f"calls to dead regions {calls}")
    return [
        ["scopes by status", *(", ".join(f"{n} {s}" for s, n in e.items()) for e in ends.values()), "", as_expected],
        ["exit code", *codes, "3 where one is dead", honest],
        ["tries in all", *(run.calls() for run in runs.values()), "", ""],
        ["tries in dead regions", *calls, f"<= accounts + {TRIES_BESIDE} each", few],
    ]


def _costs(found: Findings, size: Size, runs: Mapping[str, _Run]) -> list[list[object]]:
    ratios = {name: run.ratio(size.workers) for name, run in runs.items()}
    slow = {name: round(ratio, 2) for name, ratio in ratios.items() if ratio > RATIO_MAX}
    verdict = found.promise(not slow, f"sweep / ideal {slow} > {RATIO_MAX}") if size.is_timed else "not judged"
    return [
        ["sweep, s", *(float(run.export["sweep_s"]) for run in runs.values()), "", ""],
        ["sweep / (answered calls x latency / workers)", *ratios.values(), f"<= {RATIO_MAX}", verdict],
    ]
