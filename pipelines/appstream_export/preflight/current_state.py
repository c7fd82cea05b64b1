"""The newest snapshot, as far as it foretells the next run."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from appstream_export.contracts import Contract
from appstream_export.extract import PreviousSnapshot
from appstream_export.lake.catalog import connect_warehouse, run_query
from appstream_export.lake.snapshots import Manifest, get_task, load_head, load_head_rows, load_head_scope_runs
from appstream_export.model import Scope, Task
from appstream_export.run import open_existing_warehouse
from appstream_export.settings import Settings

_LAST_SWEEP = "select started_at from snapshots where kind = 'sweep' order by seq desc limit 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentState:
    """Rows of scope_runs and numbers of items by task, rows of accounts, and when the newest sweep began.

    All of it empty, and `manifest` None, before the first snapshot.
    """

    manifest: Manifest | None = None
    runs: Mapping[Task, Mapping[str, Any]] = field(default_factory=dict)
    items: Mapping[Task, int] = field(default_factory=dict)
    accounts: Sequence[Mapping[str, Any]] = ()
    swept_at: datetime | None = None

    @property
    def previous_snapshot(self) -> PreviousSnapshot | None:
        """What a plan needs of it."""
        return PreviousSnapshot(accounts=self.accounts, tasks=frozenset(self.runs)) if self.manifest else None

    @property
    def size_bytes(self) -> int:
        """Of the snapshot's files."""
        return sum(f.bytes for t in self.manifest.tables.values() for f in t.files) if self.manifest else 0


def load_current_state(settings: Settings, contracts: Sequence[Contract]) -> CurrentState:
    """Read it, create nothing; raises ConfigurationError, or StorageFailed where the warehouse is damaged."""
    store = open_existing_warehouse(settings)
    made = load_head(store) if store else None
    if store is None or made is None:
        return CurrentState()
    with closing(connect_warehouse(settings.warehouse, s3=settings.s3)) as con:
        swept_at = run_query(con, _LAST_SWEEP).to_pylist()[0]["started_at"]
        items = {
            Task(contract.name, Scope(row["account_id"], row["region"])): row["items"]
            for contract in contracts
            for row in run_query(con, _build_item_count_sql(contract)).to_pylist()
        }
    return CurrentState(
        manifest=made,
        runs={get_task(run): run for run in load_head_scope_runs(store, made)},
        items=items,
        accounts=load_head_rows(store, made, "accounts"),
        swept_at=swept_at,
    )


def _build_item_count_sql(contract: Contract) -> str:
    return f"select account_id, region, count(*) as items from {contract.item_table.name} group by all"  # noqa: S608
