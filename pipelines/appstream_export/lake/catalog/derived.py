"""Compute what derives from the history once per connection, so that checks, feeds and report share the rows.

As views, a mart's rows would be computed again by each query that reads it, directly or through another view.
"""
# ruff: noqa: S608 - names and SQL come from checked files of sql/, values are quoted by lake/duckdb.py

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import duckdb

from appstream_export.contracts import Contract, SqlFile, list_view_files
from appstream_export.errors import ContractError
from appstream_export.lake.catalog.compaction import get_kept_view_name
from appstream_export.lake.catalog.views import HISTORY_SUFFIX
from appstream_export.lake.duckdb import quote_identifier, translate_duckdb_errors

MONTHS_SUFFIX = "_span_months"
"""End of the names of views with rows by `month`, of which marts by day derive: each day from its month alone."""
_TEMPORARY_SQL = "select table_name from duckdb_tables() where temporary"
_TEMPORARY_VIEW_SQL = "select 1 from duckdb_views() where temporary and view_name = ?"
_log = logging.getLogger(__name__)


def derive_tables(
    con: duckdb.DuckDBPyConnection,
    contracts: Sequence[Contract],
    reads: Iterable[str],
    limited: set[str] | None = None,
) -> list[str]:
    """Compute the views below `reads` that derive from a history, unless the connection has them; return their names.

    Each becomes a temporary table, which hides the view of its name. So use only a connection whose snapshot does not
    change. Tables of `limited` are computed again, and leave it. Raises StorageFailed if files cannot be read.
    """
    views, limited = {view.name: view for view in list_view_files(contracts)}, set() if limited is None else limited
    with translate_duckdb_errors():
        missing = _list_missing(con, views, reads, limited)
        for name in missing:
            _log.debug("derived from the history: %s", name)
            _derive_table(con, views[name])
            limited.discard(name)
    return missing


def compute_views(con: duckdb.DuckDBPyConnection, contracts: Sequence[Contract], names: Iterable[str]) -> list[str]:
    """Compute those of the names that are views of `sql/`, unless the connection has them as tables; return theirs.

    A query that joins them then needs the memory of its own joins alone. Drop the tables after it.
    """
    with translate_duckdb_errors():
        known = {name for (name,) in con.execute(_TEMPORARY_SQL).fetchall()}
        wanted = {*names} - known
        computed = list[str]()
        try:
            for view in [view for view in list_view_files(contracts) if view.name in wanted]:
                con.execute(f"create temp table {quote_identifier(view.name)} as {view.sql}")
                computed.append(view.name)
        except BaseException:
            with suppress(duckdb.Error):
                for name in computed:
                    con.execute(f"drop table temp.{quote_identifier(name)}")
            raise
    return computed


def derive_newest_months(
    con: duckdb.DuckDBPyConnection, contracts: Sequence[Contract], reads: Iterable[str], months: int
) -> list[str]:
    """Compute the views below `reads` that derive from a history: of marts by day, only the newest months.

    Return the names of these marts.
    """
    views = {view.name: view for view in list_view_files(contracts)}
    by_day = {name: source for name in views if (source := _find_months_source(views, name))}
    wanted = _collect_sources(views, reads)
    derive_tables(con, contracts, {*by_day.values()} & wanted | wanted - by_day.keys())
    with translate_duckdb_errors():
        missing = _list_missing(con, views, reads, set())
        for name in missing:
            _log.debug("derived from the history: the newest %d months of %s", months, name)
            query = _limit_months(views[name], by_day[name], months)
            con.execute(f"create temp table {quote_identifier(name)} as {query}")
    return missing


def _list_missing(
    con: duckdb.DuckDBPyConnection, views: Mapping[str, SqlFile], reads: Iterable[str], limited: set[str]
) -> list[str]:
    """Return the views to derive, in their order: each follows those that it reads."""
    known = {name for (name,) in con.execute(_TEMPORARY_SQL).fetchall()} - limited
    needed = _collect_sources(views, reads)
    return [name for name in _find_derived_views(views) if name in needed and name not in known]


def _find_months_source(views: Mapping[str, SqlFile], name: str) -> str | None:
    """Return the view by months that a view derives from, directly or through others; None if there is none."""
    return next((s for s in _collect_sources(views, views[name].reads) if s.endswith(MONTHS_SUFFIX)), None)


def _limit_months(view: SqlFile, source: str, months: int) -> str:
    """Return the query of a view for the newest months; those that it reads through other views are limited already."""
    if source not in view.reads:
        return view.sql
    name = quote_identifier(source)
    first = f"(select date_trunc('month', max(month)) - interval {months - 1} month from temp.main.{name})"
    return f"with {name} as (select * from temp.main.{name} where month >= {first}) select * from ({view.sql}\n)"


def restrict_source(
    contracts: Sequence[Contract], query: str, reads: Iterable[str], source: str, condition: str
) -> str:
    """Return the query as if the temporary table `source` had only the rows for which the condition is true.

    The views between the query and `source` become a part of the query, so that they compute only what it needs.
    """
    views = {view.name: view for view in list_view_files(contracts)}
    between = _collect_sources(views, reads) & {
        name for name, view in views.items() if name != source and source in _collect_sources(views, view.reads)
    }
    name = quote_identifier(source)
    parts = [f"{name} as (select * from temp.main.{name} where {condition})"]
    parts += [f"{quote_identifier(view.name)} as ({view.sql}\n)" for view in views.values() if view.name in between]
    return f"with {', '.join(parts)} select * from ({query}\n)"


def _derive_table(con: duckdb.DuckDBPyConnection, view: SqlFile) -> None:
    query, source = view.sql, get_kept_view_name(view)
    if view.kept_columns and con.execute(_TEMPORARY_VIEW_SQL, [source]).fetchall():
        history = quote_identifier(view.reads[0])
        query = f"with {history} as (from temp.main.{quote_identifier(source)}) select * from ({view.sql}\n)"
    try:
        con.execute(f"create or replace temp table {quote_identifier(view.name)} as {query}")
    except duckdb.BinderException as error:
        if query is view.sql:
            raise
        raise ContractError(f"{view.place}: kept: it reads more than that: {str(error).splitlines()[0]}") from error


def _collect_sources(views: Mapping[str, SqlFile], reads: Iterable[str]) -> set[str]:
    """Return the names of all views that these read, directly or through other views."""
    found, waiting = set[str](), [*reads]
    while waiting:
        name = waiting.pop()
        if name in views and name not in found:
            found.add(name)
            waiting.extend(views[name].reads)
    return found


def _find_derived_views(views: Mapping[str, SqlFile]) -> list[str]:
    """Return the names of views that read a history, directly or through other views, in their order."""
    found: list[str] = []
    for view in views.values():
        if any(source.endswith(HISTORY_SUFFIX) or source in found for source in view.reads):
            found.append(view.name)
    return found
