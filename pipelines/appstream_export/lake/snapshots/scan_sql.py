"""SQL over committed files. Columns that older snapshots lack are null, so that every snapshot is readable."""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by lake/duckdb.py

from collections.abc import Callable, Mapping, Sequence

from appstream_export.contracts import DUCKDB_TYPES, Column, Table
from appstream_export.lake.duckdb import quote_identifier, quote_literal
from appstream_export.lake.snapshots.manifest import TableFiles

# With a stated type, because DuckDB would guess one from the folder names.
_HIVE_OPTIONS = "hive_partitioning = true, hive_types = {'snapshot_id': VARCHAR}"


def build_scan_query(table: Table, sources: Sequence[TableFiles], uri: Callable[[str], str]) -> str:
    """Return a query for every column of a contract table over committed files, in contract order.

    A column that the files lack is null. A column of another type is cast, and null if the cast fails. Files without
    rows are not opened.
    """
    sources = [source for source in sources if source.rows]
    files = [file.path for source in sources for file in source.files if file.rows]
    if not files:
        return f"select {', '.join(_render_null_column(c) for c in table.columns)} where false"
    known = _collect_column_types(kinds := _find_different_columns(sources))
    if not table.cumulative:
        known["snapshot_id"] = {"string"}
    columns = ", ".join(_render_column(column, known.get(column.name, set())) for column in table.columns)
    options = "hive_partitioning = false" if table.cumulative else _HIVE_OPTIONS
    # Columns of different releases differ. By name is slower, since DuckDB opens every file first, so only if needed.
    if len(kinds) > 1:
        options += ", union_by_name = true"
    paths = ", ".join(quote_literal(uri(path)) for path in files)
    return f"select {columns} from read_parquet([{paths}], {options})"


def _find_different_columns(sources: Sequence[TableFiles]) -> list[Mapping[str, str]]:
    """Return each set of columns once: there are few, however many snapshots there are."""
    found: list[Mapping[str, str]] = []
    for source in sources:
        if source.columns not in found:
            found.append(source.columns)
    return found


def _collect_column_types(kinds: Sequence[Mapping[str, str]]) -> dict[str, set[str]]:
    known: dict[str, set[str]] = {}
    for columns in kinds:
        for name, kind in columns.items():
            known.setdefault(name, set()).add(kind)
    return known


def _render_column(column: Column, stored: set[str]) -> str:
    if not stored:
        return _render_null_column(column)
    if stored == {column.type}:
        return quote_identifier(column.name)
    return (
        f"try_cast({quote_identifier(column.name)} as {DUCKDB_TYPES[column.type]}) as {quote_identifier(column.name)}"
    )


def _render_null_column(column: Column) -> str:
    return f"null::{DUCKDB_TYPES[column.type]} as {quote_identifier(column.name)}"
