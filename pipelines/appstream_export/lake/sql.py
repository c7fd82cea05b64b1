"""Pieces of DuckDB SQL. Whatever comes from paths, contracts or AWS enters quoted, through these functions alone."""

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa

from appstream_export.errors import StorageFailed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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


def moment(micros: int) -> datetime:
    """What `epoch_us` gave, in UTC: DuckDB 1.4 hands out a TIMESTAMPTZ itself only where pytz is installed."""
    return _EPOCH + timedelta(microseconds=micros)


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
