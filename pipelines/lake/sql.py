"""Pieces of DuckDB SQL. Whatever comes from paths, contracts or AWS enters quoted, through these functions alone."""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by sql.py

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from pipelines.contracts import Column, Table
from pipelines.contracts.arrow import DUCKDB_TYPES
from pipelines.errors import StorageFailed
from pipelines.lake.manifest import TableFiles

_HIVE = "hive_partitioning = true, hive_types = {'snapshot_id': VARCHAR}"


_PYTHON_ERROR = re.compile(r"^(?:\w+\.)*\w+Error: (?:\[Errno -?\d+\] )?(.+)$", re.MULTILINE)


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string constant."""
    return "'" + text.replace("'", "''") + "'"


def listed(names: Iterable[str], prefix: str = "") -> str:
    """Identifiers with commas between them."""
    return ", ".join(prefix + quoted(name) for name in names)


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


def stream(con: duckdb.DuckDBPyConnection, sql: str, batch_rows: int) -> pa.RecordBatchReader:
    """Rows in batches. Nothing else may run on the connection until the reader is read to its end or deleted."""
    relation = con.sql(sql)
    if hasattr(relation, "to_arrow_reader"):  # DuckDB 1.4 knows only the older name, 2.0 warns about it
        return relation.to_arrow_reader(batch_rows)
    return relation.fetch_arrow_reader(batch_rows)


@contextmanager
def reading_errors() -> Generator[None]:
    """Turn what DuckDB says of files that it cannot read, or of a full disk, into StorageFailed."""
    try:
        yield
    except duckdb.Error as error:
        is_its_own = isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException)
        if said := str(error).splitlines()[0] if is_its_own else python_said(error):
            raise StorageFailed(said) from error
        raise


def python_said(error: duckdb.Error) -> str | None:
    """What a filesystem of ours raised while DuckDB read from it; None for DuckDB's own errors.

    DuckDB hands such an exception on as a text: with its traceback before it (2.0) or behind it (1.4).
    """
    if type(error) is not duckdb.Error:
        return None
    found = _PYTHON_ERROR.findall(str(error))
    return found[-1] if found else str(error).splitlines()[0]


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
