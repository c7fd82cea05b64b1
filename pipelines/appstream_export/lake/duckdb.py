"""Pieces of DuckDB SQL. Whatever comes from paths, contracts or AWS enters quoted, through these functions alone."""

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa

from appstream_export.errors import StorageFailed
from appstream_export.lake.storage import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PYTHON_ERROR = re.compile(r"^(?:\w+\.)*\w+Error: (?:\[Errno -?\d+\] )?(.+)$", re.MULTILINE)


def quote_identifier(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """A string constant."""
    return "'" + text.replace("'", "''") + "'"


def join_identifiers(names: Iterable[str], prefix: str = "") -> str:
    """Identifiers with commas between them."""
    return ", ".join(prefix + quote_identifier(name) for name in names)


def convert_epoch_us(micros: int) -> datetime:
    """What `epoch_us` gave, in UTC: DuckDB 1.4 hands out a TIMESTAMPTZ itself only where pytz is installed."""
    return _EPOCH + timedelta(microseconds=micros)


def stream_batches(con: duckdb.DuckDBPyConnection, sql: str, batch_rows: int) -> pa.RecordBatchReader:
    """Rows in batches. Nothing else may run on the connection until the reader is read to its end or deleted."""
    relation = con.sql(sql)
    if hasattr(relation, "to_arrow_reader"):  # DuckDB 1.4 knows only the older name, 2.0 warns about it
        return relation.to_arrow_reader(batch_rows)
    return relation.fetch_arrow_reader(batch_rows)


@contextmanager
def translate_duckdb_errors() -> Generator[None]:
    """Turn what DuckDB says of files that it cannot read, or of a full disk, into StorageFailed."""
    try:
        yield
    except duckdb.Error as error:
        is_its_own = isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException)
        if said := str(error).splitlines()[0] if is_its_own else extract_python_error(error):
            raise StorageFailed(said) from error
        raise


def extract_python_error(error: duckdb.Error) -> str | None:
    """What a filesystem of ours raised while DuckDB read from it; None for DuckDB's own errors.

    DuckDB hands such an exception on as a text: with its traceback before it (2.0) or behind it (1.4).
    """
    if type(error) is not duckdb.Error:
        return None
    found = _PYTHON_ERROR.findall(str(error))
    return found[-1] if found else str(error).splitlines()[0]


def open_duckdb(store: Store) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory for our own work on a store: UTC, no foreign extensions, spills where the store says."""
    con = duckdb.connect()
    if (filesystem := store.get_filesystem()) is not None:
        con.register_filesystem(filesystem)
    for setting in (
        "TimeZone = 'UTC'",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "python_enable_replacements = false",
        "enable_progress_bar = false",
        f"temp_directory = {quote_literal(store.scratch)}",
    ):
        con.execute(f"set {setting}")
    return con
