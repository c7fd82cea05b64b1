"""Read whole tables of one snapshot, as Arrow or as a DuckDB relation."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from appstream_export.errors import QueryError, suggest_correction
from appstream_export.lake.catalog.connect import build_no_snapshot_error, connect_unchecked, connect_warehouse
from appstream_export.lake.catalog.query import list_view_names, run_query
from appstream_export.lake.duckdb import quote_identifier
from appstream_export.lake.snapshots import KIND_SWEEP, load_head, load_history
from appstream_export.lake.storage import Store

if TYPE_CHECKING:
    from appstream_export.contracts import Contract
    from appstream_export.settings import Settings


def find_newest_snapshot_id(store: Store) -> str:
    """Return the id of the newest snapshot; raises ConfigurationError if there is none."""
    head = load_head(store)
    if head is None:
        raise build_no_snapshot_error(store)
    # A commit that expires or erases rows is newer than the snapshot that it leaves.
    manifests = [head] if head.kind == KIND_SWEEP else load_history(store, pass_damage=True)
    return next(manifest.snapshot_id for manifest in reversed(manifests) if manifest.kind == KIND_SWEEP)


def load_table(
    settings: "Settings",
    name: str,
    *,
    snapshot_id: str | None = None,
    load_contracts: "Callable[[], Sequence[Contract]] | None" = None,
) -> pa.Table:
    """Return the rows of a table, view or mart in a snapshot, by default the newest; raises QueryError.

    `load_contracts` returns the reader's own contracts and SQL.
    """
    with closing(
        connect_warehouse(settings.warehouse, s3=settings.s3, snapshot_id=snapshot_id, load_contracts=load_contracts)
    ) as con:
        _require_view(con, name)
        return run_query(con, f"from {quote_identifier(name)}")


def open_relation(
    settings: "Settings",
    name: str,
    *,
    snapshot_id: str | None = None,
    load_contracts: "Callable[[], Sequence[Contract]] | None" = None,
) -> duckdb.DuckDBPyRelation:
    """Return a table, view or mart as a relation, on a connection that can only read this warehouse.

    The connection lives as long as the relation and those derived from it. `load_contracts` returns the reader's own
    contracts and SQL. Raises QueryError.
    """
    con = connect_unchecked(settings.warehouse, s3=settings.s3, snapshot_id=snapshot_id, load_contracts=load_contracts)
    _require_view(con, name)
    return con.sql(f"from {quote_identifier(name)}")


def wrap_relation(rows: pa.Table) -> duckdb.DuckDBPyRelation:
    """Return Arrow rows as a relation, on a connection in memory that reads no files."""
    con = duckdb.connect()
    con.execute("set enable_external_access = false")
    return con.from_arrow(rows)


def is_relation_type(kind: object) -> bool:
    """Return whether a type annotation is that of DuckDB's relations."""
    return kind is duckdb.DuckDBPyRelation


def _require_view(con: duckdb.DuckDBPyConnection, name: str) -> None:
    known: Sequence[str] = list_view_names(con)
    if name not in known:
        tables = [view for view in known if not view.endswith("_history")]
        raise QueryError(f'there is no table "{name}"', fix=suggest_correction(name, tables))
