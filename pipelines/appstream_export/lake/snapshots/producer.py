"""One try of a commit against one head: carry rows forward, compare, write, check, and name every file.

Nothing of it is visible: the manifest that `Attempt.build` returns has still to be created.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa

from appstream_export.contracts import Contract, Table, arrow_schema, operational_tables
from appstream_export.contracts.model import all_tables
from appstream_export.lake.snapshots import change_log, task_transitions, validation
from appstream_export.lake.snapshots.manifest import FORMAT, SWEEP, FileEntry, Manifest, TableFiles
from appstream_export.lake.snapshots.parquet import nonempty, sort_columns, write_part
from appstream_export.lake.snapshots.staged_snapshot import Draft
from appstream_export.lake.snapshots.task_transitions import Decision, Rows, Run, is_failed, task_of
from appstream_export.lake.snapshots.workspace import Staging, columns
from appstream_export.lake.storage import paths as layout
from appstream_export.lake.storage.base import Store
from appstream_export.model import Outcome, Status, Task

Account = Mapping[str, Any]
"""account_id, account_name, ou_path, state, source and labels_json of an account that the run covers."""

Price = Mapping[str, Any]
"""A row of the table `prices`, without snapshot_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """Who made the snapshot, and how; it goes into the manifest and the table `snapshots`."""

    run_id: str
    attempt_id: str
    started_at: datetime
    tool_version: str
    botocore_version: str
    endpoint_url: str | None
    discovery: str
    regions_source: str = "settings"
    forced: bool


@dataclass(frozen=True, slots=True)
class Work:
    """What the commit was asked to do, whatever the head is."""

    store: Store
    contracts: Sequence[Contract]
    draft: Draft
    planned: Collection[Task]
    outcomes: Mapping[Task, Outcome]
    accounts: Sequence[Account]
    facts: RunFacts
    prices: Sequence[Price]
    guard_percent: int
    clock: Callable[[], datetime]


class Attempt:
    """One try against one head."""

    def __init__(self, work: Work, base: Manifest | None, rebase: int, memory: str) -> None:
        self.work, self.base, self.rebase, self.memory = work, base, rebase, memory
        self.operational = {table.name: table for table in operational_tables()}
        self.written: dict[str, TableFiles] = {}
        self.decisions: list[Decision] = []
        self.items: Counter[Task] = Counter()
        """Rows of items per task, old and new ones together."""

    def build(self) -> Manifest:
        """Write every file that the commit adds, check the whole, and return the manifest that would show it."""
        work = self.work
        try:
            with self._staging() as staging:
                self._decide(staging)
                self._write_contracts(staging)
                runs = [d.run for d in self.decisions if d.run]
                self._write_records("scope_runs", runs)
                self._write_records("accounts", self._accounts(staging, runs))
                self._write_records("prices", work.prices)
                validation.check_runs(work.planned, runs)
                manifest = self._manifest(staging, runs)
                staging.forget()
                validation.check_files(staging, work.contracts, all_tables(work.contracts), self.written)
        except Exception:
            remove_quietly(work.store, self._own_files())
            raise
        return manifest

    def _staging(self) -> Staging:
        return Staging(self.work.store, self.work.contracts, self.base, self.work.draft, self.memory)

    def _decide(self, staging: Staging) -> None:
        work = self.work
        held = staging.items("head")
        fresh, old = ({task: held.rows for task, held in side.items()} for side in (staging.items("fresh"), held))
        self.items = Counter(fresh) + Counter(old)
        validation.check_outcomes(work.planned, work.outcomes, fresh)
        before = {task_of(run): run for run in self._earlier(staging, "scope_runs")}
        served = {contract.name for contract in work.contracts}
        before = {task: run for task, run in before.items() if task.resource in served}
        self.decisions = task_transitions.decide(work.planned, work.outcomes, before, held, work.facts.started_at)
        if not work.facts.forced:
            self.decisions = task_transitions.guard(self.decisions, old, work.guard_percent)
        staging.decide(self.decisions)

    def _write_contracts(self, staging: Staging) -> None:
        for contract in self.work.contracts:
            for table in contract.tables:
                self._write_carried(staging, table)
            self._write(contract.changes, change_log.rows(staging, contract, self.decisions, self.items), [])
        self._write_carried(staging, self.operational["quarantine"])
        drift = self.operational["drift"]
        self._write(drift, [], self.work.draft.files["drift"])

    def _write_carried(self, staging: Staging, table: Table) -> None:
        """Rows that stay, beside the draft's files; or all rows anew, where the draft holds some that do not count."""
        fresh, sources = self.work.draft.files[table.name], []
        old = self.base.tables.get(table.name) if self.base else None
        if old and old.rows and any(d.rows in (Rows.CARRY, Rows.MERGE) for d in self.decisions):
            sources.append(staging.query(f"carried_{table.name}"))
        if any(d.set_aside for d in self.decisions) and staging.is_cut(table):
            sources, fresh = [staging.query(f"new_{table.name}"), *sources], []
        if not sources:
            self._write(table, [], fresh)
            return
        union = " union all ".join(f"from {source}" for source in sources)
        order = ", ".join(f'"{column}"' for column in sort_columns(table))
        self._write(table, staging.stream(f"from ({union}) order by {order}"), fresh)

    def _write_records(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Rows that we made ourselves: their types are known to be right, so from_pylist is safe here."""
        table = self.operational[name]
        rows = pa.Table.from_pylist(list(records), schema=arrow_schema.schema(table))
        ordered = rows.sort_by([(column, "ascending") for column in sort_columns(table)])
        self._write(table, [ordered], [])

    def _write(self, table: Table, parts: Iterable[pa.Table], fresh: Sequence[FileEntry]) -> None:
        """Add one file, unless there is nothing to add to the fresh ones: each table has at least one file."""
        files, filled = list(fresh), nonempty(parts)
        if filled is not None or not files:
            draft = self.work.draft
            path = layout.carried_path(table.name, draft.snapshot_id, self.rebase, draft.writer)
            files.append(write_part(self.work.store, path, table, filled or ()))
        self.written[table.name] = TableFiles(files=files, columns=columns(table))

    def _accounts(self, staging: Staging, runs: Iterable[Run]) -> list[Account]:
        """Accounts of this run, and those of the head whose tasks are still in the snapshot."""
        before = {row["account_id"]: row for row in self._earlier(staging, "accounts")}
        now = self.work.facts.started_at
        rows = {
            account["account_id"]: {
                **account,
                "first_seen_at": before.get(account["account_id"], {}).get("first_seen_at", now),
                "last_seen_at": now,
            }
            for account in self.work.accounts
        }
        kept = {run["account_id"] for run in runs} - rows.keys()
        return [*rows.values(), *(before[account] for account in sorted(kept) if account in before)]

    def _earlier(self, staging: Staging, name: str) -> list[dict[str, Any]]:
        return staging.records(self.operational[name])

    def _manifest(self, staging: Staging, runs: Collection[Run]) -> Manifest:
        """Write `snapshots`, the last table, and name every file."""
        base, facts, counts = self.base, self.work.facts, self._counts(runs)
        manifest = Manifest(
            seq=base.seq + 1 if base else 1,
            kind=SWEEP,
            snapshot_id=self.work.draft.snapshot_id,
            run_id=facts.run_id,
            attempt_id=facts.attempt_id,
            schema_version=FORMAT,
            parent_seq=base.seq if base else None,
            parent_digest=base.digest if base else None,
            started_at=facts.started_at,
            committed_at=after(base, self.work.clock()),
            tool_version=facts.tool_version,
            tables={},
            counts=counts,
        )
        row = asdict(facts) | msgspec.structs.asdict(manifest) | counts
        self._write_records("snapshots", [*self._earlier(staging, "snapshots"), row])
        return msgspec.structs.replace(manifest, tables=self.written).sealed()

    def _counts(self, runs: Collection[Run]) -> dict[str, int]:
        contracts, work = self.work.contracts, self.work
        items = sum(self.written[c.item_table.name].rows for c in contracts)
        fresh = sum(d.outcome.rows for d in self.decisions if d.outcome and d.uses_fresh)
        return {
            **task_counts(runs),
            "tasks_asked": len(work.outcomes),
            "items": items,
            "items_fresh": fresh,
            "items_carried": items - fresh,
            "changes": sum(self.written[c.changes.name].rows for c in contracts),
        }

    def _own_files(self) -> list[str]:
        fresh = {file.path for files in self.work.draft.files.values() for file in files}
        return [f.path for files in self.written.values() for f in files.files if f.path not in fresh]


def remove_quietly(store: Store, paths: Iterable[str]) -> None:
    """Tidy up; what cannot be removed is out of sight anyway, and gc finds it."""
    for path in paths:
        try:
            store.remove(path)
        except OSError:
            return


def task_counts(runs: Collection[Run]) -> dict[str, int]:
    """What the rows of scope_runs add up to in the table `snapshots`."""
    return {
        "tasks_total": len(runs),
        "tasks_ok": sum(Status(run["status"]).is_answer for run in runs),
        "tasks_failed": sum(is_failed(run) for run in runs),
        "tasks_skipped": sum(run["status"] == Status.SKIPPED for run in runs),
        "tasks_expected": sum(Status(run["status"]).is_failure and run["is_expected"] for run in runs),
    }


def utc_now() -> datetime:
    """The clock of commits."""
    return datetime.now(UTC)


def after(base: Manifest | None, now: datetime) -> datetime:
    """When a commit happens: now, but later than what it builds on, whatever the clocks of machines say."""
    return max(now, base.committed_at + timedelta(microseconds=1)) if base else now
