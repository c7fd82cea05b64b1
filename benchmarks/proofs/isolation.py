"""Many threads and accounts at once, each with credentials of its own: nobody's builders land under another's name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.children import Aws, Exporter
from benchmarks.faults import FAULTS
from benchmarks.findings import Findings
from benchmarks.page_server import key_of
from benchmarks.warehouse import Scopes, by_role, foreign, mismatches, seen, settings_of, statuses
from benchmarks.world import REGIONS, World, account_id

BOUND_S = 300.0
_NEVER_OURS = ("foreign", "denied", "late")  # made to look like a leak, final at once, or merely slow
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
    """Two tables: a storm of faults over all accounts, and a profile that begins to point at an empty account."""
    found = Findings(f"Isolation: {size.workers} threads, {size.accounts} accounts with credentials of their own")
    world = World(accounts=size.accounts, items=size.items, page_size=size.page_size)
    profiles = folder / "aws-config"
    with Aws(world) as aws, Exporter({"AWS_CONFIG_FILE": str(profiles)}) as exporter:
        _write_profiles(profiles, {account: account for account in world.account_ids()})
        doors = [_by_profile(a) if n % 2 else by_role(a) for n, a in enumerate(world.account_ids())]
        settings = settings_of(aws.url, doors, REGIONS[: size.regions], workers=size.workers)

        def export() -> _Export:
            costs = exporter.run(settings, folder, BOUND_S, publish=False)
            return _Export(aws.world, costs["exit_code"], seen(folder / "warehouse"), aws.change(fault_rate=0.0))

        rounds = [_faulty(aws, size, export) for _ in range(size.rounds)]
        found.table(["figure", *(f"round {n + 1}" for n in range(size.rounds)), "promise", ""], _leaks(found, rounds))
        found.table(["figure", "found", "promise", ""], _misled(found, aws, export, profiles))
        found.figures = {
            "faults met": sum(sum(each.served["faults"].values()) for each in rounds),
            "builders": sum(len(s.rows) for each in rounds for s in each.scopes.values()),
            "foreign": sum(foreign(each.scopes) for each in rounds),
        }
    return found


@dataclass(frozen=True, slots=True)
class _Export:
    """One run: the World it met, how it ended, what the warehouse then held, and what the server served."""

    world: World
    exit_code: int
    scopes: Scopes
    served: Mapping[str, Any]

    def count(self, status: str) -> int:
        return statuses(self.scopes.values()).get(status, 0)

    def unlike(self) -> list[str]:
        """Scopes that are ok and not the truth; one that failed keeps the rows of some earlier round."""
        return mismatches({scope: s for scope, s in self.scopes.items() if s.is_ok}, self.world)


def _by_profile(account: str) -> dict[str, Any]:
    return {"id": account, "profile": f"of-{account}"}


def _write_profiles(config: Path, keys: Mapping[str, str]) -> None:
    """A profile for each account, with the keys of the account that it leads to."""
    text = "[profile of-{}]\naws_access_key_id = {}\naws_secret_access_key = not-a-secret\n"
    config.write_text("".join(text.format(account, key_of(leads_to)) for account, leads_to in keys.items()))


def _faulty(aws: Aws, size: Size, export: Callable[[], _Export]) -> _Export:
    kinds = tuple(kind for kind in FAULTS if kind not in _NEVER_OURS)
    now = aws.world
    aws.change(generation=now.generation + 1, seed=now.seed + 1, fault_rate=size.fault_rate, faults=kinds)
    return export()


def _leaks(found: Findings, rounds: list[_Export]) -> list[list[object]]:
    def none(name: str, values: list[int]) -> list[object]:
        return [name, *values, "= 0", found.promise(not any(values), f"{name}: {values}")]

    def shown(name: str, values: list[int]) -> list[object]:
        return [name, *values, "", ""]

    return [
        shown("calls", [sum(each.served["calls"].values()) for each in rounds]),
        shown("faults met", [sum(each.served["faults"].values()) for each in rounds]),
        shown("scopes ok", [each.count("ok") for each in rounds]),
        shown("scopes failed", [len(each.scopes) - each.count("ok") for each in rounds]),
        shown("builders", [sum(len(s.rows) for s in each.scopes.values()) for each in rounds]),
        none("builders under a foreign account or region", [foreign(each.scopes) for each in rounds]),
        none("scopes that were answered with foreign builders", [each.count("mismatched") for each in rounds]),
        none("calls that mixed two sessions' credentials", [each.served["mixed_credentials"] for each in rounds]),
        none("ok scopes unlike the truth", [len(each.unlike()) for each in rounds]),
    ]


def _misled(found: Findings, aws: Aws, export: Callable[[], _Export], profiles: Path) -> list[list[object]]:
    """After a clean run, the second account's profile leads to an account that has no builders."""
    before = export().world
    victim = before.account_ids()[1]
    _write_profiles(profiles, {account: account for account in before.account_ids()} | {victim: _EMPTY_ACCOUNT})
    aws.change(generation=before.generation + 1)
    after = export()
    his = {scope: s for scope, s in after.scopes.items() if scope[0] == victim}

    def exactly(name: str, value: int, wanted: int) -> list[object]:
        return [name, value, f"= {wanted}", found.promise(value == wanted, f"{name}: {value}, not {wanted}")]

    return [
        exactly("scopes mismatched", statuses(his.values()).get("mismatched", 0), len(his)),
        exactly("builders kept", sum(len(s.rows) for s in his.values()), len(his) * before.items),
        exactly("builders called deleted", sum(s.deleted or 0 for s in his.values()), 0),
        exactly("scopes of any account unlike the truth", len(mismatches(after.scopes, after.world, before)), 0),
        exactly("exit code", after.exit_code, 3),
    ]
