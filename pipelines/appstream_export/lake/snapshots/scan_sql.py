"""SQL over committed files: what older snapshots do not have is null, so that all of them stay readable."""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by sql.py

from collections.abc import Callable, Sequence

from appstream_export.contracts import Column, Table
from appstream_export.contracts.arrow_schema import DUCKDB_TYPES
from appstream_export.lake.snapshots.manifest import TableFiles
from appstream_export.lake.sql import literal, quoted

_HIVE = "hive_partitioning = true, hive_types = {'snapshot_id': VARCHAR}"


def rows(table: Table, sources: Sequence[TableFiles], uri: Callable[[str], str]) -> str:
    """SELECT every column of a contract table from committed files, in contract order.

    A column that the files do not have yet, or have with another type, is null or cast as far as it goes: older
    snapshots stay readable. Files without rows are not even opened.
    """
    sources = [source for source in sources if source.rows]
    files = [file.path for source in sources for file in source.files if file.rows]
    if not files:
        return f"select {', '.join(_absent(c) for c in table.columns)} where false"
    known = _known(sources)
    if not table.cumulative:
        known["snapshot_id"] = {"string"}
    columns = ", ".join(_column(column, known.get(column.name, set())) for column in table.columns)
    options = "hive_partitioning = false" if table.cumulative else _HIVE
    if any(source.columns != sources[0].columns for source in sources):
        options += ", union_by_name = true"
    paths = ", ".join(literal(uri(path)) for path in files)
    return f"select {columns} from read_parquet([{paths}], {options})"


def _known(sources: Sequence[TableFiles]) -> dict[str, set[str]]:
    known: dict[str, set[str]] = {}
    for source in sources:
        for name, kind in source.columns.items():
            known.setdefault(name, set()).add(kind)
    return known


def _column(column: Column, stored: set[str]) -> str:
    if not stored:
        return _absent(column)
    if stored == {column.type}:
        return quoted(column.name)
    return f"try_cast({quoted(column.name)} as {DUCKDB_TYPES[column.type]}) as {quoted(column.name)}"


def _absent(column: Column) -> str:
    return f"null::{DUCKDB_TYPES[column.type]} as {quoted(column.name)}"
