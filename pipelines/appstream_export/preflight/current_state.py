"""The state of the newest snapshot, from which the next run is predicted."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from appstream_export.contracts import Contract
from appstream_export.extract import PreviousSnapshot
from appstream_export.lake.catalog import connect_warehouse, count_items_by_scope, load_last_sweep_started_at
from appstream_export.lake.snapshots import Manifest, get_task, load_head, load_last_known_rows
from appstream_export.model import Scope, Task
from appstream_export.run import open_existing_warehouse
from appstream_export.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentState:
    """Rows of scope_runs and counts of items by task, rows of accounts, and the start time of the newest sweep.

    Before the first snapshot all of these are empty, and `manifest` is None.
    """

    manifest: Manifest | None = None
    runs: Mapping[Task, Mapping[str, Any]] = field(default_factory=dict)
    items: Mapping[Task, int] = field(default_factory=dict)
    accounts: Sequence[Mapping[str, Any]] = ()
    swept_at: datetime | None = None

    @property
    def previous_snapshot(self) -> PreviousSnapshot | None:
        """The part of the state that a plan needs."""
        return PreviousSnapshot(accounts=self.accounts, tasks=frozenset(self.runs)) if self.manifest else None

    @property
    def size_bytes(self) -> int:
        """The total size of the snapshot's files."""
        return sum(f.bytes for t in self.manifest.tables.values() for f in t.files) if self.manifest else 0


def load_current_state(settings: Settings, contracts: Sequence[Contract]) -> CurrentState:
    """Return the state of the newest snapshot; raises ConfigurationError, StorageFailed for a damaged warehouse."""
    store = open_existing_warehouse(settings)
    head = load_head(store) if store else None
    if store is None or head is None:
        return CurrentState()
    with closing(connect_warehouse(settings.warehouse, s3=settings.s3)) as con:
        swept_at = load_last_sweep_started_at(con)
        items = {
            Task(contract.name, Scope(*place)): count
            for contract in contracts
            if contract.item_table.name in head.tables  # a new contract has no rows, and no view yet
            for place, count in count_items_by_scope(con, contract).items()
        }
    return CurrentState(
        manifest=head,
        runs={get_task(run): run for run in load_last_known_rows(store, head, "scope_runs")},
        items=items,
        accounts=load_last_known_rows(store, head, "accounts"),
        swept_at=swept_at,
    )
