"""Read rows of the newest snapshot."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from appstream_export.contracts import build_arrow_schema, get_operational_table
from appstream_export.lake.snapshots.manifest import KIND_ERASE, Manifest, load_head
from appstream_export.lake.snapshots.parquet import build_records, read_rows
from appstream_export.lake.storage import Store, translate_storage_errors


def load_head_scope_runs(store: Store, manifest: Manifest) -> list[dict[str, Any]]:
    """Return the rows of `scope_runs` in a snapshot, without snapshot_id; `is_failed` says which to request again."""
    return load_head_rows(store, manifest, "scope_runs")


def load_head_rows(store: Store, manifest: Manifest, name: str, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of an operational table in a snapshot: these columns, or all that its files have.

    Read without DuckDB, which a sweep need not load before its first request.
    """
    whole = build_arrow_schema(get_operational_table(name))
    wanted = pa.schema([whole.field(column) for column in only]) if only else whole
    with translate_storage_errors(store):
        parts = [read_rows(store, file.path, wanted) for file in manifest.tables[name].files]
    return build_records(pa.concat_tables(parts))


def find_last_erase(store: Store) -> Mapping[str, Any] | None:
    """Return the newest erase in the table `snapshots`, or None; later expire and erase commits do not hide it."""
    newest = load_head(store)
    rows = load_head_rows(store, newest, "snapshots") if newest else []
    return max((row for row in rows if row["kind"] == KIND_ERASE), key=lambda row: row["seq"], default=None)
