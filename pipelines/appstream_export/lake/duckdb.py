"""DuckDB: open and lock connections, quote SQL, stream results, and translate errors.

Text from paths, contracts or AWS enters SQL only quoted by these functions.
"""

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from appstream_export.errors import OutOfMemory, StorageFailed
from appstream_export.lake.storage import Store

if TYPE_CHECKING:
    import pyarrow as pa

QUERY_TIMEOUT_S = 600  # for a user's statement; far more than a warehouse of 1,000,000 items needs
SPILL_MAX = "10GiB"  # a user's statement that spills more to disk fails
_OUT_OF_MEMORY_TEXT = "Out of Memory Error"
_PYTHON_ERROR = re.compile(r"^(?:\w+\.)*\w+Error: (?:\[Errno -?\d+\] )?(.+)$", re.MULTILINE)


def quote_identifier(name: str) -> str:
    """Return a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return a quoted string constant."""
    return "'" + text.replace("'", "''") + "'"


def join_identifiers(names: Iterable[str], prefix: str = "") -> str:
    """Return quoted identifiers, separated by commas; `prefix` precedes each."""
    return ", ".join(prefix + quote_identifier(name) for name in names)


def stream_batches(con: duckdb.DuckDBPyConnection, sql: str, batch_rows: int) -> "pa.RecordBatchReader":
    """Return a query's rows in batches. Run nothing else on the connection until the reader is exhausted or deleted."""
    relation = con.sql(sql)
    if hasattr(relation, "to_arrow_reader"):  # DuckDB 1.4 has only the older name, 2.0 warns about it
        return relation.to_arrow_reader(batch_rows)
    return relation.fetch_arrow_reader(batch_rows)


def materialize_rows(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Run a relation, and return its rows as a relation that can be read several times; only DuckDB 2 can do this."""
    return relation.materialize() if hasattr(relation, "materialize") else relation


@contextmanager
def translate_duckdb_errors() -> Generator[None]:
    """Translate DuckDB's errors: about files and a full disk to StorageFailed, about memory to OutOfMemory."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise OutOfMemory(_get_first_line(error)) from error
    except duckdb.Error as error:
        reason = _get_first_line(error) if isinstance(error, duckdb.IOException) else extract_python_error(error)
        if reason:
            raise StorageFailed(reason) from error
        raise
    except (load_arrow_exception(), OSError) as error:
        # A streamed result arrives through Arrow, which keeps only the text of DuckDB's error.
        if _OUT_OF_MEMORY_TEXT in str(error):
            raise OutOfMemory(_get_first_line(error)) from error
        raise


def load_arrow_exception() -> type[Exception]:
    """Return the class of Arrow's errors. Call it where they are caught: to read with DuckDB alone is quicker."""
    import pyarrow as pa

    return pa.ArrowException


def _get_first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def extract_python_error(error: duckdb.Error) -> str | None:
    """Return the message of an exception that a registered filesystem raised; None for DuckDB's own errors.

    DuckDB passes such an exception on as text, with its traceback before (2.0) or after (1.4) the message.
    """
    # DuckDB's own errors have subclasses. An exception that Python code raised arrives as the base class.
    if type(error) is not duckdb.Error:
        return None
    found = _PYTHON_ERROR.findall(str(error))
    return found[-1] if found else _get_first_line(error)


def open_duckdb(store: Store) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB that can read a store: in UTC, without downloads, spilling to the store's scratch."""
    con = duckdb.connect()
    if (filesystem := store.get_filesystem()) is not None:
        con.register_filesystem(filesystem)
    for setting in (
        "TimeZone = 'UTC'",
        # Else a query could download an extension from the internet.
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        # Else a table name in SQL could mean a Python variable of the caller.
        "python_enable_replacements = false",
        "enable_progress_bar = false",
        f"temp_directory = {quote_literal(store.scratch)}",
    ):
        con.execute(f"set {setting}")
    return con


def lock_to_files(con: duckdb.DuckDBPyConnection, files: Iterable[str] = (), *, folders: Iterable[str] = ()) -> None:
    """Restrict a connection to given files and folders, attached databases and its spill folder.

    No statement can lift the restriction. DuckDB can also write to files that it may read.
    """
    # The order matters: after external access is off, DuckDB refuses changes of the allowed paths and folders.
    for setting in (
        f"allowed_paths = [{', '.join(map(quote_literal, files))}]",
        f"allowed_directories = [{', '.join(map(quote_literal, folders))}]",
        "enable_external_access = false",  # the spill folder stays permitted
        "lock_configuration = true",
    ):
        con.execute(f"set {setting}")


def lock_connection(
    con: duckdb.DuckDBPyConnection, *, folder: str | None = None, files: Iterable[str] = (), timeout_s: float
) -> None:
    """Restrict a connection to a folder or to files, and to a private spill folder; no statement can lift that.

    DuckDB can also write to what it may read, for example with COPY, except through a read-only registered filesystem.
    So use `folder` only if statements are checked, and `files` for connections that are handed to users. A statement
    fails after `timeout_s` seconds; 0 means no limit, and DuckDB before 2.0 has none.
    """
    # DuckDB before 2.0 does not know the setting.
    with suppress(duckdb.CatalogException):
        con.execute(f"set max_execution_time = {int(timeout_s * 1000)}")
    for setting in (
        f"temp_directory = {quote_literal(_reserve_spill_folder())}",
        f"max_temp_directory_size = {quote_literal(SPILL_MAX)}",
        "allow_persistent_secrets = false",
        "allow_community_extensions = false",
    ):
        con.execute(f"set {setting}")
    lock_to_files(con, files, folders=[folder] if folder else [])


_spill_numbers = count()


def _reserve_spill_folder() -> str:
    """Return a new folder name in this process's private folder; empty, so that DuckDB does not spill, without one.

    DuckDB creates the folder when it first spills, and removes it when it is closed.
    """
    parent = _make_spill_parent(os.getpid())
    if parent and not Path(parent).is_dir():  # cleaners of temporary files remove what a long process leaves unused
        _make_spill_parent.cache_clear()
        parent = _make_spill_parent(os.getpid())
    return f"{parent}/{next(_spill_numbers)}" if parent else ""


@cache
def _make_spill_parent(process_id: int) -> str:
    """Make a private folder that is removed when the process ends; return empty if no temporary folder is writable."""
    try:
        folder = tempfile.mkdtemp(prefix="appstream-export-")
    except OSError:
        return ""

    def remove() -> None:
        if os.getpid() == process_id:  # a forked process must not remove its parent's folder
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
