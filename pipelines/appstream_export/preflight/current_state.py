"""The state of the newest snapshot, from which the next run is predicted."""

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from appstream_export.contracts import Contract
from appstream_export.errors import StorageFailed
from appstream_export.extract import PreviousSnapshot
from appstream_export.lake.catalog import connect_warehouse, count_items_by_scope
from appstream_export.lake.snapshots import (
    KIND_SWEEP,
    Manifest,
    get_task,
    load_head,
    load_head_scope_runs,
    load_history,
    load_last_known_rows,
)
from appstream_export.lake.storage import Store
from appstream_export.model import Scope, Task
from appstream_export.run import open_existing_warehouse
from appstream_export.settings import Settings

MEASURED_MAX = 20
"""Newest snapshots among which a sweep with calls is searched for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentState:
    """Rows of scope_runs and counts of items by task, and rows of accounts.

    Before the first snapshot all of these are empty, and `manifest` is None.
    """

    manifest: Manifest | None = None
    runs: Mapping[Task, Mapping[str, Any]] = field(default_factory=dict)
    items: Mapping[Task, int] = field(default_factory=dict)
    accounts: Sequence[Mapping[str, Any]] = ()
    measured_runs: Sequence[Mapping[str, Any]] = ()
    """Rows of scope_runs that the newest sweep with calls to AWS made, in its own snapshot."""

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
    with closing(connect_warehouse(settings.warehouse, s3=settings.s3, load_contracts=lambda: contracts)) as con:
        items = {
            Task(contract.name, Scope(*place)): count
            for contract in contracts
            if contract.item_table.name in head.tables  # a resource that is new here has no view in the catalog
            for place, count in count_items_by_scope(con, contract).items()
        }
    return CurrentState(
        manifest=head,
        runs={get_task(run): run for run in load_last_known_rows(store, head, "scope_runs")},
        items=items,
        accounts=load_last_known_rows(store, head, "accounts"),
        measured_runs=_load_measured_runs(store, head),
    )


def _load_measured_runs(store: Store, head: Manifest) -> Sequence[Mapping[str, Any]]:
    """Return the rows that the newest sweep with calls requested; empty if no recent one is readable and has any."""
    newest = load_history(store, since_seq=max(1, head.seq - MEASURED_MAX), pass_damage=True)
    for manifest in reversed([manifest for manifest in newest if manifest.kind == KIND_SWEEP]):
        # An estimate is no reason to fail because of a lost file of an older snapshot.
        with suppress(StorageFailed):
            rows = load_head_scope_runs(store, manifest)
            # Not later than: a run on an emulated AWS may request a task in the moment that it starts.
            runs = [row for row in rows if row["attempted_at"] and row["attempted_at"] >= manifest.started_at]
            if any(run["api_calls"] for run in runs):
                return runs
    return ()
