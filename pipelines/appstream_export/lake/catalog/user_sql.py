"""Check users' SQL before a run: each file is tried on an empty catalog."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime

import duckdb

from appstream_export.contracts import (
    Contract,
    ContractSet,
    SqlFile,
    find_unknown_sources,
    list_sql_files,
    list_view_files,
)
from appstream_export.errors import ExportError
from appstream_export.lake.catalog.file import create_views
from appstream_export.lake.catalog.named_queries import run_named_query
from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.catalog.views import render_sql_file_view
from appstream_export.lake.duckdb import lock_to_files
from appstream_export.lake.snapshots import KIND_SWEEP, Manifest, TableFiles

_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
_EMPTY = Manifest(
    seq=1, kind=KIND_SWEEP, snapshot_id="none", run_id="", attempt_id="", schema_version=1, parent_seq=None,
    parent_digest=None, started_at=_MOMENT, committed_at=_MOMENT, tool_version="", counts={},
    tables={"snapshots": TableFiles(files=[], columns={})},
)  # fmt: skip
_FEED_SOURCES = (
    "set TimeZone = 'UTC'",
    "set python_enable_replacements = false",  # else a table name in SQL could mean a Python variable
    "create temp macro utc(t) as make_timestamp(epoch_us(t))",
    "create temp view feed_snapshot as select ''::varchar as snapshot_id, null::timestamp as as_of_utc,"
    " null::timestamptz as as_of",
)


def find_user_sql_problems(contracts: Sequence[Contract], every: Sequence[Contract]) -> list[str]:
    """Return a line per mistake in a user's SQL: unknown sources, SQL that DuckDB refuses, columns unlike the header.

    `every` are all contracts, on or off: files over a resource that is off are left out, and not tried.
    """
    if not isinstance(contracts, ContractSet) or not contracts.user_sql:
        return []
    problems = list(find_unknown_sources(contracts, every))
    if problems:
        return problems
    with closing(duckdb.connect()) as con:
        create_views(con, ContractSet(contracts.contracts), [_EMPTY], "/", is_commented=False)
        for statement in _FEED_SOURCES:
            con.execute(statement)
        lock_to_files(con)  # as when it is published: a file of the user reads and writes no other file
        return [*_try_views(con, contracts), *_try_others(con, contracts)]


def _try_views(con: duckdb.DuckDBPyConnection, contracts: ContractSet) -> Iterator[str]:
    own = {file for folder in ("views", "marts") for file in contracts.user_sql.get(folder, ())}
    for file in (file for file in list_view_files(contracts) if file in own):
        try:
            for statement in render_sql_file_view(file):
                con.execute(statement)
        except duckdb.Error as error:
            yield _format_problem(file, error)
            continue
        yield from _compare_columns(con, file, f"from {file.name}")


def _try_others(con: duckdb.DuckDBPyConnection, contracts: ContractSet) -> Iterator[str]:
    for folder in ("feeds", "checks", "queries"):
        own = contracts.user_sql.get(folder, ())
        for file in (file for file in list_sql_files(contracts, folder) if file in own):
            try:
                if folder == "feeds":
                    yield from _compare_columns(con, file, file.sql)
                elif folder == "queries":
                    run_named_query(con, file, {})
                else:
                    run_query(con, file.sql)
            except (duckdb.Error, ExportError) as error:
                yield _format_problem(file, error)


def _compare_columns(con: duckdb.DuckDBPyConnection, file: SqlFile, query: str) -> Iterator[str]:
    """Yield a line if the columns of a query are not those of the header."""
    found = [(name, kind) for name, kind, *_ in con.execute(f"describe {query}").fetchall()]
    described = [(column.name, column.type.upper()) for column in file.columns]
    if found != described:
        said, given = (", ".join(map(" ".join, columns)) for columns in (described, found))
        yield f"{file.place}: its header describes {said}; the statement returns {given}"


def _format_problem(file: SqlFile, error: Exception) -> str:
    return f"{file.place}: {' '.join(str(error).split())[:300]}"
