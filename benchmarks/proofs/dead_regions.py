"""A thousand accounts in twenty regions, of which ten are opt-in and off, and some are dead, in one run."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import Aws, Exporter
from benchmarks.findings import Findings
from benchmarks.proofs.scale import RATIO_MAX, Run
from benchmarks.warehouse import by_role, seen, settings_of, statuses
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
TRIES_BESIDE = 100  # tries before a region counts as dead: those under way in all workers, and their retries


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is. Where `is_timed` is off, time is shown and not judged."""

    accounts: int = 1000
    workers: int = 32
    latency_ms: tuple[float, float] = (30.0, 80.0)
    dead: Mapping[str, Mapping[str, str]]
    """Runs by name: the regions that are dead in each, and how."""
    is_timed: bool = True


_DROPS, _REFUSES = {"eu-west-2": "dropped"}, {"eu-west-2": "refused"}
_RUNS = {"one drops packets": _DROPS, "one refuses": _REFUSES}
FULL = Size(dead={"all answer": {}, **_RUNS, "two drop packets": _DROPS | {"us-west-2": "dropped"}})
QUICK = Size(accounts=40, workers=16, dead=_RUNS, is_timed=False)


def prove(size: Size, folder: Path) -> Findings:
    """Run an export for each kind of dead region, each into a warehouse of its own."""
    found = Findings(f"Dead regions: {size.accounts:,} accounts x 20 regions, ten off, {size.workers} workers")
    with Aws(World(accounts=size.accounts, latency_ms=size.latency_ms, closed=CLOSED)) as aws:
        runs = {name: _run(aws, size, dead, folder / name.replace(" ", "-")) for name, dead in size.dead.items()}
    found.figures = {name: run.compute_ratio(size.workers) for name, run in runs.items()}
    found.table(["what", *runs, "promise", ""], _judge(found, size, list(runs.values()), list(size.dead.values())))
    return found


def _run(aws: Aws, size: Size, dead: Mapping[str, str], folder: Path) -> Run:
    accounts = [by_role(account) for account in aws.world.account_ids()]
    mapping = settings_of(aws.url, accounts, [*OPEN, *CLOSED], workers=size.workers)
    with ExitStack() as stack:
        urls = {region: open_dead_end(network, stack) for region, network in dead.items()}
        write_endpoint_rules(folder / "models", urls)
        aws.change()
        with Exporter({"AWS_DATA_PATH": str(folder / "models")}) as exporter:
            export = exporter.run(mapping, folder, 1200, publish=False)
    return Run(aws.world, export, aws.change(), seen(folder / "warehouse"))


def _judge(found: Findings, size: Size, runs: list[Run], dead: list[Mapping[str, str]]) -> list[list[object]]:
    ends = [statuses(run.scopes.values()) for run in runs]
    counts = [{"disabled": len(CLOSED), "network": len(each), "ok": len(OPEN) - len(each)} for each in dead]
    expected = [{status: count * size.accounts for status, count in each.items() if count} for each in counts]
    codes = [run.export["exit_code"] for run in runs]
    tries = [
        sum(scope.api_calls for (_, region), scope in run.scopes.items() if region in regions)
        for run, regions in zip(runs, dead, strict=True)
    ]
    most = [len(regions) * (size.accounts + TRIES_BESIDE) for regions in dead]
    ratios = [run.compute_ratio(size.workers) for run in runs]
    return [
        found.judge("scopes by status", ends, "dead ones fail alone", ends == expected),
        found.judge("exit code", codes, "3 where one is dead", codes == [3 if regions else 0 for regions in dead]),
        found.judge("tries in dead regions", tries, f"<= {most}", all(map(int.__le__, tries, most))),
        found.judge(
            "sweep / ideal of the answered calls",
            ratios,
            f"<= {RATIO_MAX}",
            not size.is_timed or max(ratios) <= RATIO_MAX,
        ),
    ]
