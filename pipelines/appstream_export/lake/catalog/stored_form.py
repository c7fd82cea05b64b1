"""The form of a catalog's file: write a database in it, and print queries as DuckDB prints stored ones.

The oldest supported DuckDB can open the file, so DuckDB stores some SQL in an older form: `a union all b union all c`
as `a union all (b union all c)`, `text` as `varchar`, `x'ab'` as `x'AB'`, a CTE without `materialized`. It prints the
stored form only after it has read the file again.
"""

from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from tempfile import TemporaryDirectory

import duckdb

from appstream_export.lake.duckdb import quote_literal

STORAGE_VERSION = "v1.4.0"  # the oldest supported DuckDB can open the file


@contextmanager
def attach_for_writing(con: duckdb.DuckDBPyConnection, file: str) -> Generator[None]:
    """Attach a catalog's file as `warehouse`; when the block ends, checkpoint and detach it."""
    con.execute("set threads = 1")  # each of the hundreds of small statements is slower with more threads
    con.execute("set checkpoint_threshold = '1TB'")  # one checkpoint, at the end: see _restore_cut_blocks in file.py
    con.execute(f"attach {quote_literal(file)} as warehouse (storage_version {quote_literal(STORAGE_VERSION)})")
    yield
    con.execute("checkpoint warehouse")
    con.execute("use memory")
    con.execute("detach warehouse")


@lru_cache(maxsize=4)
def print_stored_views(queries: tuple[str, ...]) -> list[str] | None:
    """Return the CREATE VIEW statements of queries as DuckDB prints them from a catalog's file, without binding them.

    None if this DuckDB cannot create views without binding (before 2.0), or no temporary file can be written.
    """
    created = [f"create view v{n} with (defer_binding) as {query}" for n, query in enumerate(queries)]
    with suppress(duckdb.Error, OSError), TemporaryDirectory() as folder, closing(duckdb.connect()) as con:
        file = f"{folder}/views.duckdb"
        with attach_for_writing(con, file):
            con.execute("use warehouse")
            for statement in ("begin", *created, "commit"):
                con.execute(statement)
        con.execute(f"attach {quote_literal(file)} as warehouse (read_only)")
        rows = con.execute("select view_name, sql from duckdb_views() where database_name = 'warehouse'").fetchall()
        printed: dict[str, str] = dict(rows)
        return [printed[f"v{n}"] for n in range(len(queries))]
    return None
