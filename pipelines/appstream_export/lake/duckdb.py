"""DuckDB: open it, quote what enters its SQL, stream what leaves it, and translate its errors.

Whatever comes from paths, contracts or AWS enters SQL quoted, through these functions alone.
"""

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from appstream_export.errors import OutOfMemory, StorageFailed
from appstream_export.lake.storage import Store

_OUT_OF_MEMORY_TEXT = "Out of Memory Error"
_PYTHON_ERROR = re.compile(r"^(?:\w+\.)*\w+Error: (?:\[Errno -?\d+\] )?(.+)$", re.MULTILINE)


def quote_identifier(name: str) -> str:
    """Return a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return a quoted string constant."""
    return "'" + text.replace("'", "''") + "'"


def join_identifiers(names: Iterable[str], prefix: str = "") -> str:
    """Return quoted identifiers with commas between them."""
    return ", ".join(prefix + quote_identifier(name) for name in names)


def stream_batches(con: duckdb.DuckDBPyConnection, sql: str, batch_rows: int) -> pa.RecordBatchReader:
    """Return a query's rows in batches. Run nothing else on the connection until the reader is exhausted or deleted."""
    relation = con.sql(sql)
    if hasattr(relation, "to_arrow_reader"):  # DuckDB 1.4 knows only the older name, 2.0 warns about it
        return relation.to_arrow_reader(batch_rows)
    return relation.fetch_arrow_reader(batch_rows)


@contextmanager
def translate_duckdb_errors() -> Generator[None]:
    """Translate DuckDB's errors about files and a full disk to StorageFailed, about memory to OutOfMemory."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise OutOfMemory(_get_first_line(error)) from error
    except duckdb.Error as error:
        reason = _get_first_line(error) if isinstance(error, duckdb.IOException) else extract_python_error(error)
        if reason:
            raise StorageFailed(reason) from error
        raise
    except (pa.ArrowException, OSError) as error:
        # A streamed result comes through Arrow, which keeps only the text of DuckDB's error.
        if _OUT_OF_MEMORY_TEXT in str(error):
            raise OutOfMemory(_get_first_line(error)) from error
        raise


def _get_first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def extract_python_error(error: duckdb.Error) -> str | None:
    """Return the message of an exception that a registered filesystem raised; None for DuckDB's own errors.

    DuckDB passes such an exception on as a text: with its traceback before it (2.0) or behind it (1.4).
    """
    if type(error) is not duckdb.Error:
        return None
    found = _PYTHON_ERROR.findall(str(error))
    return found[-1] if found else _get_first_line(error)


def open_duckdb(store: Store) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB in memory that can read a store: UTC, no downloaded extensions, spills to the store's scratch."""
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
