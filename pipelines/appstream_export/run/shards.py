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

from appstream_export.contracts import Contract, build_arrow_schema, get_operational_table, list_snapshot_tables
from appstream_export.extract import restore_secrets, strip_secrets
from appstream_export.inputs import read_prices
from appstream_export.lake.snapshots import FileEntry, StagedSnapshot, find_attempt
from appstream_export.model import Outcome, RunListener, Task
from appstream_export.run.ingest import merge_drift_tables
from appstream_export.run.request import Request
from appstream_export.run.result import RunResult
from appstream_export.run.stages import (
    PreparedRun,
    commit_and_publish,
    execute_run,
    finish_unchanged,
    prepare_run,
    sweep_tasks,
)
from appstream_export.run.warehouse import open_warehouse
from appstream_export.settings import Secret, Settings
from appstream_export.status import Status

SHARD_LOST = "ShardLost"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What one process asks: a run with only this part of its tasks. `number` counts from 1 to `count`."""

    number: int
    count: int
    part: PreparedRun

    def __str__(self) -> str:
        return f"shard {self.number} of {self.count}"


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What came of a shard: entries for a manifest, unknown fields and values, one outcome per task."""

    snapshot_id: str
    files: Mapping[str, tuple[FileEntry, ...]]
    drift: tuple[dict[str, Any], ...]
    outcomes: tuple[Outcome, ...]


def split_into_shards(prepared: PreparedRun, count: int) -> list[Shard]:
    """At most so many shards with nearly as many tasks each. An account is in one of them: its role is assumed once.

    Accounts come largest first, each to the shard that has the fewest tasks so far.
    """
    sizes = Counter(task.scope.account_id for task in prepared.pending)
    loads = [0] * min(count, len(sizes))
    place: dict[str, int] = {}
    for account_id, tasks in sizes.most_common():
        place[account_id] = min(range(len(loads)), key=loads.__getitem__)
        loads[place[account_id]] += tasks
    return [
        Shard(number=n + 1, count=len(loads), part=_build_shard_part(prepared, place, n)) for n in range(len(loads))
    ]


def _build_shard_part(prepared: PreparedRun, place: Mapping[str, int], number: int) -> PreparedRun:
    mine = {account_id for account_id, n in place.items() if n == number}
    asked = tuple(task for task in prepared.pending if task.scope.account_id in mine)
    accounts = tuple(account for account in prepared.accounts if account.id in mine)
    return replace(prepared, accounts=strip_secrets(accounts), tasks=asked, pending=asked, skipped=())


def plan_shards(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request,
    count: int,
    *,
    run_id: str,
    attempt_id: str,
    listener: RunListener,
    stop: Event,
) -> tuple[PreparedRun, list[Shard]]:
    """Whom the run asks, and who of so many shards asks whom. Raises as `run()` does before it asks."""
    read_prices(settings.feeds.prices)  # a list that cannot be read is refused now, not after the sweep
    _, prepared = prepare_run(
        settings,
        contracts,
        request,
        run_id=run_id,
        attempt_id=attempt_id,
        started_at=datetime.now(UTC),
        listener=listener,
        stop=stop,
    )
    listener.on_plan(len(prepared.pending))
    return replace(prepared, accounts=strip_secrets(prepared.accounts)), split_into_shards(prepared, count)


def sweep_shard(
    settings: Settings, contracts: Sequence[Contract], shard: Shard, *, listener: RunListener, stop: Event
) -> ShardResult:
    """Ask a shard's tasks into files of its own. AWS's faults are outcomes; raises ConfigurationError and CommitError.

    Asked again, it writes other files: nothing that another try of it wrote is touched.
    """
    part = replace(shard.part, accounts=restore_secrets(shard.part.accounts, settings))
    draft = StagedSnapshot(
        open_warehouse(settings),
        list_snapshot_tables(contracts),
        part.snapshot_id,
        writer=f"{shard.number:02}-{ULID()}",
    )
    drift: list[pa.Table] = []

    def write_tables(parts: Mapping[str, pa.Table]) -> None:
        drift.extend(rows for name, rows in parts.items() if name == "drift")
        draft.write({name: rows for name, rows in parts.items() if name != "drift"})

    try:
        outcomes = sweep_tasks(
            settings, contracts, part, write_tables, listener=listener, stop=stop, process_count=shard.count
        )
    except BaseException:
        draft.discard()
        raise
    return ShardResult(
        snapshot_id=part.snapshot_id,
        files={name: tuple(files) for name, files in draft.files.items()},
        drift=tuple(merge_drift_tables(drift).to_pylist()),
        outcomes=tuple(outcomes.values()),
    )


def build_lost_shard_result(shard: Shard, why: str, since: datetime) -> ShardResult:
    """A shard that nothing came of: each of its tasks is a failure, and keeps the rows that it had."""
    outcomes = _build_failed_outcomes(shard.part.pending, f"{shard} was lost: {why}", since)
    return ShardResult(snapshot_id=shard.part.snapshot_id, files={}, drift=(), outcomes=outcomes)


def commit_shards(
    settings: Settings,
    contracts: Sequence[Contract],
    prepared: PreparedRun,
    results: Sequence[ShardResult],
    *,
    retry_attempt_id: str | None = None,
    listener: RunListener,
    stop: Event,
) -> RunResult:
    """One commit of what all shards swept, then all that follows a commit. What was committed before stands.

    Unless this is done again as another attempt: then what failed is asked here, by this process alone. Tasks of which
    no shard tells anything, or one of another plan, are failures.
    """
    prices = read_prices(settings.feeds.prices)
    store, facts = open_warehouse(settings, create=True), prepared.facts
    before = find_attempt(store, run_id=facts.run_id, attempt_id=facts.attempt_id)
    is_done = before is not None and before.attempt_id == facts.attempt_id
    if is_done and retry_attempt_id:
        again = prepared.request
        return execute_run(
            settings, contracts, again, run_id=facts.run_id, attempt_id=retry_attempt_id, listener=listener, stop=stop
        )
    by = before.seq if before and is_done else prepared.result_seq
    if by is not None:
        return finish_unchanged(settings, contracts, prepared, store, by, listener=listener, stop=stop)
    ours = [each for each in results if each.snapshot_id == prepared.snapshot_id]
    draft = StagedSnapshot(store, list_snapshot_tables(contracts), prepared.snapshot_id, writer=str(ULID()))
    for each in ours:
        draft.add_files(each.files)
    drift = build_arrow_schema(get_operational_table("drift"))
    draft.write({"drift": merge_drift_tables(pa.Table.from_pylist(list(each.drift), drift) for each in ours)})
    told = {outcome.task: outcome for each in ours for outcome in each.outcomes}
    silent = [task for task in prepared.pending if task not in told]
    outcomes = told | {
        o.task: o for o in _build_failed_outcomes(silent, "its shard told nothing of it", facts.started_at)
    }
    return commit_and_publish(settings, contracts, prepared, draft, outcomes, prices, listener=listener, stop=stop)


def encode_message(value: PreparedRun | Shard | ShardResult) -> bytes:
    """As JSON on one line."""
    return msgspec.json.encode(value)


def decode_message(raw: bytes, kind: type[T]) -> T:
    """What `encoded` made of such a value."""
    return msgspec.json.decode(raw, type=kind, dec_hook=_reject_secret)


def _reject_secret(kind: type, text: object) -> object:
    """Nobody writes a secret down; the type alone may be met."""
    if kind is Secret:
        raise ValueError("a secret has no place between steps")
    raise NotImplementedError(f"{kind}: {text}")


def _build_failed_outcomes(tasks: Iterable[Task], reason: str, since: datetime) -> tuple[Outcome, ...]:
    now = datetime.now(UTC)
    return tuple(
        Outcome(
            task=task, status=Status.ERROR, reason=reason, error_code=SHARD_LOST, attempted_at=since, finished_at=now
        )
        for task in tasks
    )
