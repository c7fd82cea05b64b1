"""A run in several processes: tasks are divided, each process writes its files, and one commit includes all files.

Shards and their results are plain values without secrets, so that JSON can carry them between machines.
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
from appstream_export.extract import map_accounts, restore_secrets, strip_secrets
from appstream_export.lake.snapshots import FileEntry, StagedSnapshot, find_attempt
from appstream_export.lake.storage import Store
from appstream_export.model import Outcome, RunListener, Task
from appstream_export.run.context import RunContext
from appstream_export.run.ingest import merge_drift_tables
from appstream_export.run.input_lists import read_input_lists
from appstream_export.run.prepare import PreparedRun, prepare_run
from appstream_export.run.request import Request
from appstream_export.run.result import RunResult
from appstream_export.run.stages import commit_and_publish, execute_run, finish_unchanged, sweep_tasks
from appstream_export.run.warehouse import open_warehouse
from appstream_export.settings import Secret, Settings
from appstream_export.status import Status

SHARD_LOST = "ShardLost"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A part of a run's tasks, for one process. `number` counts from 1 to `count`."""

    number: int
    count: int
    part: PreparedRun

    def __str__(self) -> str:
        return f"shard {self.number} of {self.count}"


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """The result of a shard: manifest entries of its files, rows of `drift`, and one outcome per task."""

    snapshot_id: str
    files: Mapping[str, tuple[FileEntry, ...]]
    drift: tuple[dict[str, Any], ...]
    outcomes: tuple[Outcome, ...]


def split_into_shards(prepared: PreparedRun, count: int) -> list[Shard]:
    """Return at most `count` shards of nearly equal size. Each account is in one shard, so its role is assumed once.

    Assigns the largest accounts first, each to the shard that has the fewest tasks so far.
    """
    sizes = Counter(_list_readers(prepared))
    loads = [0] * min(count, len(sizes))
    shard_by_account: dict[str, int] = {}
    for account_id, tasks in sizes.most_common():
        shard_by_account[account_id] = min(range(len(loads)), key=loads.__getitem__)
        loads[shard_by_account[account_id]] += tasks
    parts = [_build_shard_part(prepared, shard_by_account, n) for n in range(len(loads))]
    return [Shard(number=n, count=len(parts), part=part) for n, part in enumerate(parts, 1)]


def _list_readers(prepared: PreparedRun) -> list[str]:
    """Return the account whose session reads each task: its own, or one account for scopes of no account."""
    readers = {scope_id: account.id for scope_id, account in map_accounts(prepared.accounts).items()}
    ids = [task.scope.account_id for task in prepared.pending]
    return [readers.get(account_id, account_id) for account_id in ids]


def _build_shard_part(prepared: PreparedRun, shard_by_account: Mapping[str, int], number: int) -> PreparedRun:
    account_ids = {account_id for account_id, n in shard_by_account.items() if n == number}
    readers = zip(prepared.pending, _list_readers(prepared), strict=True)
    tasks = tuple(task for task, account_id in readers if account_id in account_ids)
    accounts = tuple(account for account in prepared.accounts if account.id in account_ids)
    return replace(prepared, accounts=strip_secrets(accounts), tasks=tasks, pending=tasks, skipped=())


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
    """Prepare a run and divide its tasks into shards; raises as `execute_run` does before its first request."""
    read_input_lists(settings)  # refuse an unreadable list now, not after the extraction
    context = RunContext(settings=settings, contracts=contracts, listener=listener, stop=stop)
    _, prepared = prepare_run(context, request, run_id=run_id, attempt_id=attempt_id, started_at=datetime.now(UTC))
    listener.on_plan(len(prepared.pending))
    return replace(prepared, accounts=strip_secrets(prepared.accounts)), split_into_shards(prepared, count)


def sweep_shard(
    settings: Settings, contracts: Sequence[Contract], shard: Shard, *, listener: RunListener, stop: Event
) -> ShardResult:
    """Extract a shard's tasks into its own files; raises ConfigurationError or CommitError.

    Errors of AWS are outcomes. A second try of the same shard writes other files and does not touch these.
    """
    context = RunContext(settings=settings, contracts=contracts, listener=listener, stop=stop)
    part = replace(shard.part, accounts=restore_secrets(shard.part.accounts, settings))
    staged = StagedSnapshot(
        open_warehouse(settings),
        list_snapshot_tables(contracts),
        part.snapshot_id,
        # The ULID separates the files of two tries of the same shard.
        writer=f"{shard.number:02}-{ULID()}",
    )
    drift: list[pa.Table] = []

    def write_tables(parts: Mapping[str, pa.Table]) -> None:
        # `drift` is returned and not written: several shards may see the same field, and commit_shards adds them up.
        drift.extend(rows for name, rows in parts.items() if name == "drift")
        staged.write({name: rows for name, rows in parts.items() if name != "drift"})

    try:
        outcomes = sweep_tasks(context, part, write_tables, process_count=shard.count)
    except BaseException:
        staged.discard()
        raise
    return ShardResult(
        snapshot_id=part.snapshot_id,
        files={name: tuple(files) for name, files in staged.files.items()},
        drift=tuple(merge_drift_tables(drift).to_pylist()),
        outcomes=tuple(outcomes.values()),
    )


def build_lost_shard_result(shard: Shard, why: str, since: datetime) -> ShardResult:
    """Return the result of a lost shard: each of its tasks fails and retains its earlier rows."""
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
    """Commit the results of all shards once, then publish. If this attempt has committed already, return that result.

    In that case, with `retry_attempt_id`, this process requests the failed tasks again under that attempt id. Tasks
    without an outcome from a shard of this plan are failures.
    """
    context = RunContext(settings=settings, contracts=contracts, listener=listener, stop=stop)
    lists = read_input_lists(settings)
    store, facts = open_warehouse(settings, create=True), prepared.facts
    earlier = find_attempt(store, run_id=facts.run_id, attempt_id=facts.attempt_id)
    is_done = earlier is not None and earlier.attempt_id == facts.attempt_id
    if is_done and retry_attempt_id:
        return execute_run(
            settings, contracts, prepared.request,
            run_id=facts.run_id, attempt_id=retry_attempt_id, listener=listener, stop=stop,
        )  # fmt: skip
    result_seq = earlier.seq if earlier and is_done else prepared.result_seq
    if result_seq is not None:
        return finish_unchanged(context, prepared, store, result_seq)
    # A result of an earlier plan belongs to another snapshot, and its files are in that folder.
    own_results = [result for result in results if result.snapshot_id == prepared.snapshot_id]
    staged = _stage_shard_files(context, prepared, store, own_results)
    outcomes = _merge_shard_outcomes(prepared, own_results)
    return commit_and_publish(context, prepared, staged, outcomes, lists)


def _stage_shard_files(
    context: RunContext, prepared: PreparedRun, store: Store, results: Sequence[ShardResult]
) -> StagedSnapshot:
    staged = StagedSnapshot(store, list_snapshot_tables(context.contracts), prepared.snapshot_id, writer=str(ULID()))
    for result in results:
        staged.add_files(result.files)
    schema = build_arrow_schema(get_operational_table("drift"))
    drift = (pa.Table.from_pylist(list(result.drift), schema) for result in results)
    staged.write({"drift": merge_drift_tables(drift)})
    return staged


def _merge_shard_outcomes(prepared: PreparedRun, results: Sequence[ShardResult]) -> dict[Task, Outcome]:
    reported = {outcome.task: outcome for result in results for outcome in result.outcomes}
    missing = [task for task in prepared.pending if task not in reported]
    lost = _build_failed_outcomes(missing, "its shard returned no outcome for it", prepared.facts.started_at)
    return reported | {outcome.task: outcome for outcome in lost}


def encode_message(value: PreparedRun | Shard | ShardResult) -> bytes:
    """Return a value as one line of JSON."""
    return msgspec.json.encode(value)


def decode_message(raw: bytes, kind: type[T]) -> T:
    """Return the value that `encode_message` encoded."""
    return msgspec.json.decode(raw, type=kind, dec_hook=_reject_secret)


def _reject_secret(kind: type, text: object) -> object:
    """Raise ValueError for a secret: messages must not hold one, although their types allow it."""
    if kind is Secret:
        raise ValueError("a message must not contain a secret")
    raise NotImplementedError(f"{kind}: {text}")


def _build_failed_outcomes(tasks: Iterable[Task], reason: str, since: datetime) -> tuple[Outcome, ...]:
    now = datetime.now(UTC)
    return tuple(
        Outcome(
            task=task, status=Status.ERROR, reason=reason, error_code=SHARD_LOST, attempted_at=since, finished_at=now
        )
        for task in tasks
    )
