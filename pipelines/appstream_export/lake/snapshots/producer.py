"""The files and the manifest of a snapshot, built on top of one head: carry rows forward, compare, write, check.

Readers see none of it until the manifest that `SnapshotProducer.build_snapshot` returns is created.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa

from appstream_export.contracts import (
    Contract,
    Table,
    build_arrow_schema,
    list_snapshot_tables,
    load_operational_tables,
)
from appstream_export.errors import ExportError
from appstream_export.lake.snapshots import change_log, task_transitions, validation
from appstream_export.lake.snapshots.losses import HeadFiles, find_lost_tasks
from appstream_export.lake.snapshots.manifest import FORMAT, KIND_SWEEP, FileEntry, Manifest, TableFiles, read_manifest
from appstream_export.lake.snapshots.parquet import get_sort_columns, skip_empty_parts, write_table_file
from appstream_export.lake.snapshots.reader import load_head_scope_runs, load_older_rows, restore_snapshot_rows
from appstream_export.lake.snapshots.staged_snapshot import StagedSnapshot
from appstream_export.lake.snapshots.task_transitions import (
    Decision,
    ExistingRows,
    RowAction,
    ScopeRunRow,
    get_task,
    is_failed,
)
from appstream_export.lake.snapshots.workspace import CommitWorkspace, get_stored_columns
from appstream_export.lake.storage import Store, build_carried_path
from appstream_export.model import Outcome, Task
from appstream_export.status import Status

AccountRow = Mapping[str, Any]
"""account_id, account_name, ou_path, state, source and labels_json of an account that the run covers."""

PriceRow = Mapping[str, Any]
"""A row of the table `prices`, without snapshot_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """Facts about a snapshot's run, for the manifest and the table `snapshots`."""

    run_id: str
    attempt_id: str
    started_at: datetime
    tool_version: str
    botocore_version: str
    endpoint_url: str | None
    discovery: str
    regions_source: str = "settings"
    forced: bool


def get_utc_now() -> datetime:
    """Return the current time in UTC: the clock of commits."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRequest:
    """A staged snapshot to commit, and the facts about its run. The commit uses it unchanged for every head."""

    store: Store
    contracts: Sequence[Contract]
    staged: StagedSnapshot
    planned: Collection[Task] | None
    """Tasks of the snapshot; None means the tasks of the head. Tasks without an outcome carry their rows forward; other
    tasks of the head end."""
    outcomes: Mapping[Task, Outcome]
    accounts: Sequence[AccountRow]
    facts: RunFacts
    prices: Sequence[PriceRow] = ()
    max_drop_percent: int = 50
    head_seq: int | None = None
    """Seq of the head when the run started; None if unknown, or if there was no head."""
    max_rebases: int = 10
    """Number of times that the commit may start over because another run committed first."""
    clock: Callable[[], datetime] = get_utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitBase:
    """The base of a commit: the head with its intact and lost files, and the next seq."""

    files: HeadFiles
    seq: int
    rebase: int
    """Number of times that the commit has started over from a newer head."""


class SnapshotProducer:
    """The builder of a snapshot on top of one head, with a memory limit for DuckDB."""

    def __init__(self, request: CommitRequest, base: CommitBase, memory: str) -> None:
        self.request, self.files, self.memory = request, base.files, memory
        self.base, self.seq, self.rebase = base.files.base, base.seq, base.rebase
        self.operational = {table.name: table for table in load_operational_tables()}
        self.written_tables: dict[str, TableFiles] = {}
        self.decisions: list[Decision] = []
        self.items: Counter[Task] = Counter()
        """Number of items per task, old and new ones together."""

    def build_snapshot(self) -> Manifest:
        """Write and check every file that the commit adds; return the manifest, which the caller creates."""
        request = self.request
        try:
            with self._open_workspace() as workspace:
                self._decide_tasks(workspace)
                self._write_contract_tables(workspace)
                runs = [d.scope_run for d in self.decisions if d.scope_run]
                self._write_records("scope_runs", runs)
                self._write_records("accounts", self._merge_accounts(workspace, runs))
                self._write_records("prices", request.prices)
                validation.check_scope_runs(request.planned or (), runs)
                manifest = self._build_manifest(workspace, runs)
                # The check must read the stored bytes, not what DuckDB remembers of files that it has read before.
                workspace.disable_file_cache()
                validation.check_files(
                    workspace, request.contracts, list_snapshot_tables(request.contracts), self.written_tables
                )
        except Exception:
            remove_files_quietly(request.store, self._list_own_files())
            raise
        return manifest

    def _open_workspace(self) -> CommitWorkspace:
        return CommitWorkspace(self.request.store, self.request.contracts, self.base, self.request.staged, self.memory)

    def _decide_tasks(self, workspace: CommitWorkspace) -> None:
        request, existing = self.request, workspace.load_existing_rows("head")
        fresh, old = (
            {task: found.rows for task, found in side.items()}
            for side in (workspace.load_existing_rows("fresh"), existing)
        )
        self.items = Counter(fresh) + Counter(old)
        before = self._load_previous_runs(workspace, existing)
        planned = before.keys() if request.planned is None else request.planned
        validation.check_outcomes(planned, request.outcomes, fresh)
        self.decisions = task_transitions.decide_tasks(
            planned, request.outcomes, before, existing, request.facts.started_at
        )
        # The order matters, because each step judges the tasks as the step before has left them. The guard comes last:
        # rows that are lost or discarded are no drop.
        if any(decision.is_discarded for decision in self.decisions):
            self.decisions = task_transitions.fail_discarded_answers(
                self.decisions, request.outcomes, self._load_reports_at_start(before, existing), request.clock()
            )
        lost = find_lost_tasks(workspace, self.files, before, request.contracts)
        self.decisions = task_transitions.apply_losses(self.decisions, lost.reasons, lost.doubtful, request.clock())
        if not request.facts.forced:
            self.decisions = task_transitions.apply_drop_guard(self.decisions, old, request.max_drop_percent)
            parents = {c.name: c.calls.parent for c in request.contracts if c.calls.parent}
            self.decisions = task_transitions.guard_follow_ups(self.decisions, parents)
        workspace.apply_decisions(self.decisions)

    def _load_previous_runs(
        self, workspace: CommitWorkspace, existing: Mapping[Task, ExistingRows]
    ) -> dict[Task, ScopeRunRow]:
        """Return the head's rows of scope_runs, restored from older snapshots and its items if they are lost."""
        records: Iterable[ScopeRunRow] = self._load_head_records(workspace, "scope_runs")
        if "scope_runs" in self.files.lost_tables:
            older = self._load_older_records("scope_runs")
            records = task_transitions.restore_scope_runs(records, older, existing)
        served = {contract.name for contract in self.request.contracts}
        return {task: run for run in records if (task := get_task(run)).resource in served}

    def _load_older_records(self, name: str) -> list[dict[str, Any]]:
        return load_older_rows(self.request.store, self.base, name) or [] if self.base else []

    def _load_reports_at_start(
        self, before: Mapping[Task, ScopeRunRow], existing: Mapping[Task, ExistingRows]
    ) -> dict[Task, datetime | None]:
        """Return when AWS last answered each task, by the head at the run's start; empty if that head is gone."""
        request, base = self.request, self.base
        if request.head_seq is None or base is None:
            return {}
        if base.seq == request.head_seq:
            none = ExistingRows(0)
            return {
                task: task_transitions.find_last_report_time(run, existing.get(task, none))
                for task, run in before.items()
            }
        try:
            start = read_manifest(request.store, request.head_seq)
            rows = load_head_scope_runs(request.store, start)
        except (ExportError, OSError):  # expired or erased meanwhile
            return {}
        return {get_task(row): row["observed_at"] for row in rows}

    def _write_contract_tables(self, workspace: CommitWorkspace) -> None:
        for contract in self.request.contracts:
            for table in contract.tables:
                self._write_carried_rows(workspace, table)
            self._write_table(
                contract.changes_table,
                change_log.stream_change_rows(workspace, contract, self.decisions, self.items),
                [],
            )
        self._write_carried_rows(workspace, self.operational["quarantine"])
        drift = self.operational["drift"]
        self._write_table(drift, [], self.request.staged.files["drift"])

    def _write_carried_rows(self, workspace: CommitWorkspace, table: Table) -> None:
        """Write carried rows next to the staged files; or all rows again, if some of the staged rows are discarded."""
        fresh, sources = self.request.staged.files[table.name], []
        old = self.base.tables.get(table.name) if self.base else None
        if old and old.rows and any(d.row_action in (RowAction.CARRY, RowAction.MERGE) for d in self.decisions):
            sources.append(workspace.get_query(f"carried_{table.name}"))
        if any(d.is_discarded for d in self.decisions) and workspace.has_dropped_rows(table):
            sources, fresh = [workspace.get_query(f"new_{table.name}"), *sources], []
        if not sources:
            self._write_table(table, [], fresh)
            return
        union = " union all ".join(f"from {source}" for source in sources)
        order = ", ".join(f'"{column}"' for column in get_sort_columns(table))
        self._write_table(table, workspace.stream_row_groups(f"from ({union}) order by {order}"), fresh)

    def _write_records(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Write rows that the export made itself. Their types are known, so from_pylist is safe here."""
        table = self.operational[name]
        rows = pa.Table.from_pylist(list(records), schema=build_arrow_schema(table))
        ordered = rows.sort_by([(column, "ascending") for column in get_sort_columns(table)])
        self._write_table(table, [ordered], [])

    def _write_table(self, table: Table, parts: Iterable[pa.Table], fresh: Sequence[FileEntry]) -> None:
        """Write the parts to one file next to the fresh files. Without rows, write it only if the table has no file."""
        files, filled = list(fresh), skip_empty_parts(parts)
        if filled is not None or not files:
            staged = self.request.staged
            path = build_carried_path(table.name, staged.snapshot_id, self.rebase, staged.writer)
            files.append(write_table_file(self.request.store, path, table, filled or ()))
        self.written_tables[table.name] = TableFiles(files=files, columns=get_stored_columns(table))

    def _merge_accounts(self, workspace: CommitWorkspace, runs: Iterable[ScopeRunRow]) -> list[AccountRow]:
        """Return the accounts of this run, and accounts of the head whose tasks are still in the snapshot."""
        older = self._load_older_records("accounts") if "accounts" in self.files.lost_tables else []
        before = {row["account_id"]: row for row in (*older, *self._load_head_records(workspace, "accounts"))}
        now = self.request.facts.started_at
        rows = {
            account["account_id"]: {
                **account,
                "first_seen_at": before.get(account["account_id"], {}).get("first_seen_at", now),
                "last_seen_at": now,
            }
            for account in self.request.accounts
        }
        remaining = {run["account_id"] for run in runs} - rows.keys()
        return [*rows.values(), *(before[account] for account in sorted(remaining) if account in before)]

    def _load_head_records(self, workspace: CommitWorkspace, name: str) -> list[dict[str, Any]]:
        return workspace.load_head_records(self.operational[name])

    def _build_manifest(self, workspace: CommitWorkspace, runs: Collection[ScopeRunRow]) -> Manifest:
        """Write the last table, `snapshots`, and return the manifest that names every file."""
        base, facts, counts = self.base, self.request.facts, self._build_counts(runs)
        manifest = Manifest(
            seq=self.seq,
            kind=KIND_SWEEP,
            snapshot_id=self.request.staged.snapshot_id,
            run_id=facts.run_id,
            attempt_id=facts.attempt_id,
            schema_version=FORMAT,
            parent_seq=base.seq if base else None,
            parent_digest=base.digest if base else None,
            started_at=facts.started_at,
            committed_at=choose_commit_time(base, self.request.clock()),
            tool_version=facts.tool_version,
            tables={},
            counts=counts,
            lost=[file.entry.path for file in self.files.lost],
        )
        # The table `snapshots` has a row about its own snapshot, so it is written last, when all counts are known.
        row = asdict(facts) | msgspec.structs.asdict(manifest) | counts
        self._write_records("snapshots", [*self._load_snapshot_records(workspace), row])
        return msgspec.structs.replace(manifest, tables=self.written_tables).add_digest()

    def _load_snapshot_records(self, workspace: CommitWorkspace) -> list[dict[str, Any]]:
        if self.base and "snapshots" in self.files.lost_tables:
            return restore_snapshot_rows(self.request.store, self.base)
        return self._load_head_records(workspace, "snapshots")

    def _build_counts(self, runs: Collection[ScopeRunRow]) -> dict[str, int]:
        contracts, request = self.request.contracts, self.request
        items = sum(self.written_tables[c.item_table.name].rows for c in contracts)
        fresh = sum(d.outcome.rows for d in self.decisions if d.outcome and d.should_use_fresh)
        return {
            **count_tasks(runs),
            "tasks_asked": len(request.outcomes),
            "items": items,
            "items_fresh": fresh,
            "items_carried": items - fresh,
            "changes": sum(self.written_tables[c.changes_table.name].rows for c in contracts),
        }

    def _list_own_files(self) -> list[str]:
        fresh = {file.path for files in self.request.staged.files.values() for file in files}
        return [f.path for files in self.written_tables.values() for f in files.files if f.path not in fresh]


def remove_files_quietly(store: Store, paths: Iterable[str]) -> None:
    """Remove files, and stop at the first error: no manifest names the rest, so gc deletes it."""
    for path in paths:
        try:
            store.remove(path)
        except OSError:
            return


def count_tasks(runs: Collection[ScopeRunRow]) -> dict[str, int]:
    """Return the task counts of the table `snapshots` for these rows of scope_runs."""
    return {
        "tasks_total": len(runs),
        "tasks_ok": sum(Status(run["status"]).is_answer for run in runs),
        "tasks_failed": sum(is_failed(run) for run in runs),
        "tasks_skipped": sum(run["status"] == Status.SKIPPED for run in runs),
        "tasks_expected": sum(Status(run["status"]).is_failure and run["is_expected"] for run in runs),
    }


def choose_commit_time(base: Manifest | None, now: datetime) -> datetime:
    """Return the commit time: now, but later than the base's, even if the clocks of machines differ."""
    return max(now, base.committed_at + timedelta(microseconds=1)) if base else now
