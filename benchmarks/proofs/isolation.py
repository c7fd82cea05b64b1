"""Many threads and accounts at once, each with its own credentials: no builder lands under another account."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import Aws, Exporter
from benchmarks.faults import FAULTS
from benchmarks.findings import Findings
from benchmarks.page_server import make_key
from benchmarks.proofs.scale import Run
from benchmarks.warehouse import by_role, foreign, mismatches, seen, settings_of, statuses
from benchmarks.world import REGIONS, World, account_id

BOUND_S = 300.0
_LEFT_OUT = ("foreign", "denied", "late")  # made to look like a leak, final at once, or merely slow
_EMPTY_ACCOUNT = account_id(777)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is."""

    accounts: int = 20
    regions: int = 20
    items: int = 12
    page_size: int = 4
    workers: int = 64
    fault_rate: float = 0.1
    rounds: int = 3


FULL = Size()
QUICK = Size(rounds=1, regions=10)


def prove(size: Size, folder: Path) -> Findings:
    """Export through faults in all accounts, then with a profile that begins to point at an empty account."""
    found = Findings(f"Isolation: {size.workers} threads, {size.accounts} accounts with credentials of their own")
    world = World(accounts=size.accounts, items=size.items, page_size=size.page_size)
    profiles = folder / "aws-config"
    with Aws(world) as aws, Exporter({"AWS_CONFIG_FILE": str(profiles)}) as exporter:
        _write_profiles(profiles, {account: account for account in world.account_ids()})
        accounts = [{"id": a, "profile": f"of-{a}"} if n % 2 else by_role(a) for n, a in enumerate(world.account_ids())]
        settings = settings_of(aws.url, accounts, REGIONS[: size.regions], workers=size.workers)

        def export() -> Run:
            costs = exporter.run(settings, folder, BOUND_S, publish=False)
            return Run(aws.world, costs, aws.change(fault_rate=0.0), seen(folder / "warehouse"))

        rounds = [_faulty(aws, size, export) for _ in range(size.rounds)]
        found.table(
            ["figure", *(f"round {n + 1}" for n in range(size.rounds)), "promise", ""], _judge_leaks(found, rounds)
        )
        found.table(["figure", "found", "promise", ""], _judge_misled(found, aws, export, profiles))
        found.figures = {
            "faults met": sum(sum(each.served["faults"].values()) for each in rounds),
            "foreign": sum(foreign(each.scopes) for each in rounds),
        }
    return found


def _count(run: Run, status: str) -> int:
    return statuses(run.scopes.values()).get(status, 0)


def _list_wrong(run: Run) -> list[str]:
    """Describe scopes that are ok and not the truth; a failed one keeps the rows of some earlier round."""
    return mismatches({scope: s for scope, s in run.scopes.items() if s.is_ok}, run.world)


def _write_profiles(config: Path, keys: Mapping[str, str]) -> None:
    """Write a profile for each account, with the keys of the account that it leads to."""
    text = "[profile of-{}]\naws_access_key_id = {}\naws_secret_access_key = not-a-secret\n"
    config.write_text("".join(text.format(account, make_key(leads_to)) for account, leads_to in keys.items()))


def _faulty(aws: Aws, size: Size, export: Callable[[], Run]) -> Run:
    kinds = tuple(kind for kind in FAULTS if kind not in _LEFT_OUT)
    now = aws.world
    aws.change(generation=now.generation + 1, seed=now.seed + 1, fault_rate=size.fault_rate, faults=kinds)
    return export()


def _judge_leaks(found: Findings, rounds: list[Run]) -> list[list[object]]:
    none = {
        "builders under a foreign account or region": [foreign(each.scopes) for each in rounds],
        "scopes answered with foreign builders": [_count(each, "mismatched") for each in rounds],
        "calls with credentials of two sessions": [each.served["mixed_credentials"] for each in rounds],
        "ok scopes unlike the truth": [len(_list_wrong(each)) for each in rounds],
    }
    shown = {
        "calls": [sum(each.served["calls"].values()) for each in rounds],
        "faults met": [sum(each.served["faults"].values()) for each in rounds],
        "scopes ok": [_count(each, "ok") for each in rounds],
        "builders": [sum(len(s.rows) for s in each.scopes.values()) for each in rounds],
    }
    judged = [found.judge(name, values, "0", not any(values)) for name, values in none.items()]
    return [*([name, *values, "", ""] for name, values in shown.items()), *judged]


def _judge_misled(found: Findings, aws: Aws, export: Callable[[], Run], profiles: Path) -> list[list[object]]:
    """After a clean run, lead the second account's profile to an account without builders."""
    before = export().world
    victim = before.account_ids()[1]
    _write_profiles(profiles, {account: account for account in before.account_ids()} | {victim: _EMPTY_ACCOUNT})
    aws.change(generation=before.generation + 1)
    after = export()
    scopes = {scope: s for scope, s in after.scopes.items() if scope[0] == victim}
    wanted = {
        "scopes mismatched": (statuses(scopes.values()).get("mismatched", 0), len(scopes)),
        "builders kept": (sum(len(s.rows) for s in scopes.values()), len(scopes) * before.items),
        "builders called deleted": (sum(s.deleted or 0 for s in scopes.values()), 0),
        "scopes of any account unlike the truth": (len(mismatches(after.scopes, after.world, before)), 0),
        "exit code": (after.export["exit_code"], 3),
    }
    return [found.judge(name, [value], str(right), value == right) for name, (value, right) in wanted.items()]
