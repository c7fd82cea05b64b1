"""Many threads and accounts at once, each with credentials of its own: nobody's builders land under another's name."""

from collections.abc import Mapping
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
    with Aws(World(accounts=size.accounts, items=size.items, page_size=size.page_size)) as aws:
        doors = [_by_profile(a) if n % 2 else by_role(a) for n, a in enumerate(aws.world.account_ids())]
        config = folder / "aws-config"
        _write_profiles(config, {account: account for account in aws.world.account_ids()})
        settings = settings_of(aws.url, doors, REGIONS[: size.regions], workers=size.workers)
        environ = {"AWS_CONFIG_FILE": str(config)}
        rounds = [_faulty(found, aws, size, settings, folder, environ) for _ in range(size.rounds)]
        found.table(["figure", *(f"round {n + 1}" for n in range(size.rounds)), "promise", ""], _leaks(found, rounds))
        found.table(["figure", "scopes", "promise", ""], _misled(found, aws, settings, folder, environ))
    return found


@dataclass(frozen=True, slots=True)
class _Round:
    served: Mapping[str, Any]
    scopes: Scopes
    wrong: list[str]

    def count(self, status: str) -> int:
        return statuses(self.scopes.values()).get(status, 0)


def _by_profile(account: str) -> dict[str, Any]:
    return {"id": account, "profile": f"of-{account}"}


def _write_profiles(config: Path, keys: Mapping[str, str]) -> None:
    """A profile for each account, with the keys of the account that it leads to."""
    text = "[profile of-{}]\naws_access_key_id = {}\naws_secret_access_key = not-a-secret\n"
    config.write_text("".join(text.format(account, key_of(leads_to)) for account, leads_to in keys.items()))


def _faulty(
    found: Findings, aws: Aws, size: Size, settings: dict[str, Any], folder: Path, environ: Mapping[str, str]
) -> _Round:
    before = aws.world
    kinds = tuple(kind for kind in FAULTS if kind not in _NEVER_OURS)
    changed = {"generation": before.generation + 1, "fault_rate": size.fault_rate, "faults": kinds}
    aws.change(**changed, seed=before.seed + 1)
    with Exporter(environ) as exporter:
        exporter.run(settings, folder, BOUND_S)
    world = aws.world
    served = aws.change(fault_rate=0.0)
    scopes = seen(folder / "warehouse")
    # A scope that failed keeps rows of some earlier round, which is no question of isolation: only `ok` is compared.
    wrong = mismatches({scope: s for scope, s in scopes.items() if s.is_ok}, world)
    found.promise(not wrong, "; ".join(wrong[:3]))
    return _Round(served, scopes, wrong)


def _leaks(found: Findings, rounds: list[_Round]) -> list[list[object]]:
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
        none("ok scopes unlike the truth", [len(each.wrong) for each in rounds]),
    ]


def _misled(
    found: Findings, aws: Aws, settings: dict[str, Any], folder: Path, environ: Mapping[str, str]
) -> list[list[object]]:
    """After a clean run, the second account's profile leads to an account that has no builders."""
    victim = aws.world.account_ids()[1]
    with Exporter(environ) as exporter:
        exporter.run(settings, folder, BOUND_S)
        before = aws.world
        others = {account: account for account in before.account_ids() if account != victim}
        _write_profiles(Path(environ["AWS_CONFIG_FILE"]), others | {victim: _EMPTY_ACCOUNT})
        aws.change(generation=before.generation + 1)
    with Exporter(environ) as exporter:
        export = exporter.run(settings, folder, BOUND_S)
    scopes = seen(folder / "warehouse")
    his = {scope: s for scope, s in scopes.items() if scope[0] == victim}
    wrong = mismatches(scopes, aws.world, before)
    refused, deleted = statuses(his.values()), sum(s.deleted or 0 for s in his.values())
    kept = sum(len(s.rows) for s in his.values())
    held = len(his) * before.items
    return [
        ["mismatched", refused.get("mismatched", 0), f"= {len(his)}", found.promise(len(his) == refused.get("mismatched"), f"{refused}")],
        ["builders kept", kept, f"= {held}", found.promise(kept == held, f"{kept} of {held} builders kept")],
        ["builders called deleted", deleted, "= 0", found.promise(not deleted, f"{deleted} called deleted")],
        ["all scopes unlike the truth", len(wrong), "= 0", found.promise(not wrong, "; ".join(wrong[:3]))],
        ["exit code", export["exit_code"], "= 3", found.promise(export["exit_code"] == 3, "exit code")],
    ]  # fmt: skip
