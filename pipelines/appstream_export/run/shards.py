"""A sweep that several processes share: tasks are divided, each process writes its files, one commit takes them all.

Shards and what they swept are plain values without a secret: JSON carries them between machines.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Event
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
from ulid import ULID

from appstream_export.contracts import Contract
from appstream_export.contracts.arrow_schema import schema
from appstream_export.contracts.model import all_tables, operational_table
from appstream_export.extract import with_secrets, without_secrets
from appstream_export.inputs.prices import read_prices
from appstream_export.lake.snapshots.commit import find_attempt
from appstream_export.lake.snapshots.manifest import FileEntry
from appstream_export.lake.snapshots.staged_snapshot import Draft
from appstream_export.model import Outcome, Status, Task, Watch
from appstream_export.run import run
from appstream_export.run.ingest import add_drift
from appstream_export.run.request import Request
from appstream_export.run.result import RunResult
from appstream_export.run.stages import Prepared, asked_and_written, finish, prepare, settle
from appstream_export.run.warehouse import opened
from appstream_export.settings import Secret, Settings

LOST = "ShardLost"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What one process asks: a run with only this part of its tasks. `number` counts from 1 to `count`."""

    number: int
    count: int
    part: Prepared

    def __str__(self) -> str:
        return f"shard {self.number} of {self.count}"


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What came of a shard: entries for a manifest, unknown fields and values, one outcome per task."""

    snapshot_id: str
    files: Mapping[str, tuple[FileEntry, ...]]
    drift: tuple[dict[str, Any], ...]
    outcomes: tuple[Outcome, ...]


def divide(prepared: Prepared, count: int) -> list[Shard]:
    """At most so many shards with nearly as many tasks each. An account is in one of them: its role is assumed once.

    Accounts come largest first, each to the shard that has the fewest tasks so far.
    """
    sizes = Counter(task.scope.account_id for task in prepared.asked)
    loads = [0] * min(count, len(sizes))
    place: dict[str, int] = {}
    for account_id, tasks in sizes.most_common():
        place[account_id] = min(range(len(loads)), key=loads.__getitem__)
        loads[place[account_id]] += tasks
    return [Shard(number=n + 1, count=len(loads), part=_part(prepared, place, n)) for n in range(len(loads))]


def _part(prepared: Prepared, place: Mapping[str, int], number: int) -> Prepared:
    mine = {account_id for account_id, n in place.items() if n == number}
    asked = tuple(task for task in prepared.asked if task.scope.account_id in mine)
    accounts = tuple(account for account in prepared.accounts if account.id in mine)
    return replace(prepared, accounts=without_secrets(accounts), tasks=asked, asked=asked, skipped=())


def plan_shards(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request,
    count: int,
    *,
    run_id: str,
    attempt_id: str,
    watch: Watch,
    stop: Event,
) -> tuple[Prepared, list[Shard]]:
    """Whom the run asks, and who of so many shards asks whom. Raises as `run()` does before it asks."""
    read_prices(settings.feeds.prices)  # a list that cannot be read is refused now, not after the sweep
    _, prepared = prepare(
        settings,
        contracts,
        request,
        run_id=run_id,
        attempt_id=attempt_id,
        started_at=datetime.now(UTC),
        watch=watch,
        stop=stop,
    )
    watch.planned(len(prepared.asked))
    return replace(prepared, accounts=without_secrets(prepared.accounts)), divide(prepared, count)


def sweep_shard(settings: Settings, contracts: Sequence[Contract], shard: Shard, *, watch: Watch, stop: Event) -> Swept:
    """Ask a shard's tasks into files of its own. AWS's faults are outcomes; raises SetupError and CommitError.

    Asked again, it writes other files: nothing that another try of it wrote is touched.
    """
    part = replace(shard.part, accounts=with_secrets(shard.part.accounts, settings))
    draft = Draft(opened(settings), all_tables(contracts), part.snapshot_id, writer=f"{shard.number:02}-{ULID()}")
    drift: list[pa.Table] = []

    def write(parts: Mapping[str, pa.Table]) -> None:
        drift.extend(rows for name, rows in parts.items() if name == "drift")
        draft.write({name: rows for name, rows in parts.items() if name != "drift"})

    try:
        outcomes = asked_and_written(settings, contracts, part, write, watch=watch, stop=stop, sharers=shard.count)
    except BaseException:
        draft.discard()
        raise
    return Swept(
        snapshot_id=part.snapshot_id,
        files={name: tuple(files) for name, files in draft.files.items()},
        drift=tuple(add_drift(drift).to_pylist()),
        outcomes=tuple(outcomes.values()),
    )


def lost(shard: Shard, why: str, since: datetime) -> Swept:
    """A shard that nothing came of: each of its tasks is a failure, and keeps the rows that it had."""
    outcomes = _failed(shard.part.asked, f"{shard} was lost: {why}", since)
    return Swept(snapshot_id=shard.part.snapshot_id, files={}, drift=(), outcomes=outcomes)


def finish_shards(
    settings: Settings,
    contracts: Sequence[Contract],
    prepared: Prepared,
    swept: Sequence[Swept],
    *,
    again_as: str | None = None,
    watch: Watch,
    stop: Event,
) -> RunResult:
    """One commit of what all shards swept, then all that follows a commit. What was committed before stands.

    Unless this is done again as another attempt: then what failed is asked here, by this process alone. Tasks of which
    no shard tells anything, or one of another plan, are failures.
    """
    prices = read_prices(settings.feeds.prices)
    store, facts = opened(settings, create=True), prepared.facts
    before = find_attempt(store, run_id=facts.run_id, attempt_id=facts.attempt_id)
    is_done = before is not None and before.attempt_id == facts.attempt_id
    if is_done and again_as:
        again = prepared.request
        return run(settings, contracts, again, run_id=facts.run_id, attempt_id=again_as, watch=watch, stop=stop)
    by = before.seq if before and is_done else prepared.settled_by
    if by is not None:
        return settle(settings, contracts, prepared, store, by, watch=watch, stop=stop)
    ours = [each for each in swept if each.snapshot_id == prepared.snapshot_id]
    draft = Draft(store, all_tables(contracts), prepared.snapshot_id, writer=str(ULID()))
    for each in ours:
        draft.take(each.files)
    drift = schema(operational_table("drift"))
    draft.write({"drift": add_drift(pa.Table.from_pylist(list(each.drift), drift) for each in ours)})
    told = {outcome.task: outcome for each in ours for outcome in each.outcomes}
    silent = [task for task in prepared.asked if task not in told]
    outcomes = told | {o.task: o for o in _failed(silent, "its shard told nothing of it", facts.started_at)}
    return finish(settings, contracts, prepared, draft, outcomes, prices, watch=watch, stop=stop)


def encoded(value: Prepared | Shard | Swept) -> bytes:
    """As JSON on one line."""
    return msgspec.json.encode(value)


def decoded(raw: bytes, kind: type[T]) -> T:
    """What `encoded` made of such a value."""
    return msgspec.json.decode(raw, type=kind, dec_hook=_secret)


def _secret(kind: type, text: object) -> object:
    """Nobody writes a secret down; the type alone may be met."""
    if kind is Secret:
        raise ValueError("a secret has no place between steps")
    raise NotImplementedError(f"{kind}: {text}")


def _failed(tasks: Iterable[Task], reason: str, since: datetime) -> tuple[Outcome, ...]:
    now = datetime.now(UTC)
    return tuple(
        Outcome(task=task, status=Status.ERROR, reason=reason, error_code=LOST, attempted_at=since, finished_at=now)
        for task in tasks
    )
