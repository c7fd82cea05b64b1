"""Rows of operational tables in the newest snapshot."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import pyarrow as pa

from appstream_export.contracts import build_arrow_schema, get_operational_table
from appstream_export.errors import StorageFailed
from appstream_export.lake.snapshots.manifest import KIND_ERASE, Manifest, load_head, load_history
from appstream_export.lake.snapshots.parquet import build_records, read_rows
from appstream_export.lake.storage import Store, translate_storage_errors

_log = logging.getLogger(__name__)
_SNAPSHOTS = "snapshots"


def load_head_scope_runs(store: Store, manifest: Manifest) -> list[dict[str, Any]]:
    """Return the rows of `scope_runs` in a snapshot, without snapshot_id; `is_failed` selects the failures."""
    return load_head_rows(store, manifest, "scope_runs")


def load_head_rows(store: Store, manifest: Manifest, name: str, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of an operational table in a snapshot: the columns `only`, or all columns of its files.

    Reads without DuckDB, so that a sweep need not load it before its first request.
    """
    whole = build_arrow_schema(get_operational_table(name))
    wanted = pa.schema([whole.field(column) for column in only]) if only else whole
    with translate_storage_errors(store):
        parts = [read_rows(store, file.path, wanted) for file in manifest.tables[name].files]
    return build_records(pa.concat_tables(parts)) if parts else []


def load_last_known_rows(store: Store, head: Manifest, name: str, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of `load_head_rows`; if a file is lost, the rows of the newest older snapshot that has them.

    Raises the head's StorageFailed if no retained snapshot has them.
    """
    try:
        return load_head_rows(store, head, name, only)
    except StorageFailed as error:
        _log.warning("%s; using the rows of %s from an older snapshot", error.message, name)
        found = load_older_rows(store, head, name)
        if found is None:
            raise
        return [{column: row[column] for column in only} for row in found] if only else found


def load_older_rows(store: Store, head: Manifest, name: str) -> list[dict[str, Any]] | None:
    """Return the rows of an operational table in the newest readable older snapshot; None if there is none."""
    manifests = load_history(store, pass_damage=True)
    for older in reversed([manifest for manifest in manifests if manifest.seq < head.seq]):
        if name in older.tables:
            with suppress(StorageFailed):
                return load_head_rows(store, older, name)
    return None


def restore_snapshot_rows(store: Store, head: Manifest) -> list[dict[str, Any]]:
    """Return the rows of `snapshots` if the head's file is lost: from an older snapshot, and from newer manifests."""
    rows = load_older_rows(store, head, _SNAPSHOTS) or []
    known = {row["seq"] for row in rows}
    manifests = [*load_history(store, pass_damage=True), head]
    newer = {m.seq: m for m in manifests if m.seq not in known and m.seq <= head.seq}
    return [*rows, *(build_snapshot_row(newer[seq]) for seq in sorted(newer))]


def build_snapshot_row(manifest: Manifest) -> dict[str, Any]:
    """Return a commit's row of `snapshots`, with the columns that its manifest has."""
    return msgspec.structs.asdict(manifest) | manifest.counts | {"forced": False}


def find_last_erase(store: Store) -> Mapping[str, Any] | None:
    """Return the newest erase commit's row of `snapshots`, or None. Later expire commits do not hide it."""
    newest = load_head(store)
    rows = load_head_rows(store, newest, _SNAPSHOTS) if newest else []
    return max((row for row in rows if row["kind"] == KIND_ERASE), key=lambda row: row["seq"], default=None)
