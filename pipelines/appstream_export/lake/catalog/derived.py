"""Compute what derives from the history once per connection, so that checks, feeds and report share the rows.

As views, a mart's rows would be computed again by each query that reads it, directly or through another view. Marts
whose header says so are split by month, and parts that later snapshots share are kept in the warehouse.
"""
# ruff: noqa: S608 - names and SQL come from checked files of sql/, values are quoted by lake/duckdb.py

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

import duckdb

from appstream_export.contracts import Contract, SqlFile, list_view_files
from appstream_export.lake.catalog.kept_parts import KeptParts
from appstream_export.lake.catalog.views import MACROS
from appstream_export.lake.duckdb import quote_identifier, quote_literal, translate_duckdb_errors

HISTORY_SUFFIX = "_history"
MONTHS_SUFFIX = "_span_months"
"""End of the names of views with rows by `month`, of which marts by day derive: each day from its month alone."""
_TEMPORARY_SQL = "select table_name from duckdb_tables() where temporary"
_FILE_VIEW_SQL = "select sql from duckdb_views() where schema_name = 'files' and view_name = ?"
_COMMITS_SQL = """select snapshot_id, strftime(make_timestamp(epoch_us(committed_at)), '%Y-%m') from lake.commits
where is_retained order by seq"""
_TABLE_FILE = re.compile(r"(tables/\w+/snapshot_id=(\w+)/[\w-]+\.parquet)")
_log = logging.getLogger(__name__)


def derive_tables(
    con: duckdb.DuckDBPyConnection,
    contracts: Sequence[Contract],
    reads: Iterable[str],
    kept: KeptParts | None = None,
    limited: set[str] | None = None,
) -> list[str]:
    """Compute the views below `reads` that derive from a history, unless the connection has them; return their names.

    Each becomes a temporary table, which hides the view of its name. So use only a connection whose snapshot does not
    change. Parts are read from `kept` and written there. Tables of `limited` are computed again, and leave it. Raises
    StorageFailed if files cannot be read.
    """
    views, limited = {view.name: view for view in list_view_files(contracts)}, set() if limited is None else limited
    with translate_duckdb_errors():
        missing = _list_missing(con, views, reads, limited)
        for name in missing:
            _log.debug("derived from the history: %s", name)
            _derive_table(con, views[name], kept)
            limited.discard(name)
    return missing


def compute_views(con: duckdb.DuckDBPyConnection, contracts: Sequence[Contract], names: Iterable[str]) -> list[str]:
    """Compute those of the names that are views of `sql/`, unless the connection has them as tables; return theirs.

    A query that joins them then needs the memory of its own joins alone. Drop the tables after it.
    """
    with translate_duckdb_errors():
        known = {name for (name,) in con.execute(_TEMPORARY_SQL).fetchall()}
        wanted = {*names} - known
        found = [view for view in list_view_files(contracts) if view.name in wanted]
        for view in found:
            con.execute(f"create temp table {quote_identifier(view.name)} as {view.sql}")
    return [view.name for view in found]


def derive_newest_months(
    con: duckdb.DuckDBPyConnection, contracts: Sequence[Contract], reads: Iterable[str], months: int
) -> list[str]:
    """Do the same, but compute of marts by day only the newest months; return the names of those."""
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
    first = f"(select max(month) - interval {months - 1} month from temp.main.{name})"
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


def _derive_table(con: duckdb.DuckDBPyConnection, view: SqlFile, kept: KeptParts | None) -> None:
    months = _list_months(con, view.reads[0]) if kept and view.is_kept else {}
    if kept and months:
        try:
            return _derive_from_parts(con, view, months, kept)
        except duckdb.BinderException as error:
            _log.warning("%s: not kept, it reads more than its history's files: %s", view.place, error)
    con.execute(f"create or replace temp table {quote_identifier(view.name)} as {view.sql}")


def _list_months(con: duckdb.DuckDBPyConnection, history: str) -> dict[str, dict[str, list[str]]]:
    """Return the files that a history reads, by month and snapshot; none if some hold rows of expired snapshots."""
    (sql,) = con.execute(_FILE_VIEW_SQL, [history]).fetchone() or ("",)
    commits = con.execute(_COMMITS_SQL).fetchall()
    files: dict[str, list[str]] = {}
    for path, snapshot_id in _TABLE_FILE.findall(sql):
        files.setdefault(snapshot_id, []).append(path)
    if not files.keys() <= {snapshot_id for snapshot_id, _ in commits}:
        return {}
    months: dict[str, dict[str, list[str]]] = {}
    for snapshot_id, month in commits:
        months.setdefault(month, {})[snapshot_id] = sorted(files.get(snapshot_id, ()))
    return months


def _derive_from_parts(
    con: duckdb.DuckDBPyConnection, view: SqlFile, months: Mapping[str, Mapping[str, list[str]]], kept: KeptParts
) -> None:
    """Create the table from kept parts; compute what is missing, and keep it unless it is of the newest month."""
    table, found, newest = quote_identifier(view.name), set[str](), max(months)
    keys = {month: _compute_key(view, files) for month, files in months.items() if month != newest}
    con.execute(f"create temp table {table} as from ({view.sql}\n) limit 0")
    for month, rows in kept.load_parts(view.name, keys):
        con.register("kept_part", rows)
        con.execute(f"insert into {table} by name from kept_part")
        con.unregister("kept_part")
        found.add(month)
    missing = [month for month in months if month not in found]
    _insert_snapshots(con, view, [snapshot_id for month in missing for snapshot_id in months[month]])
    for month in (month for month in missing if month != newest):
        _log.debug("kept for later snapshots: %s of %s", month, view.name)
        where = f"snapshot_id in ({', '.join(map(quote_literal, months[month]))})"
        rows = con.sql(f"from {table} where {where} order by all").to_arrow_table()
        kept.write_part(view.name, month, keys[month], rows)
    kept.prune_parts(view.name, keys)


def _compute_key(view: SqlFile, files: Mapping[str, list[str]]) -> str:
    """Return a digest of what the rows of a month derive from: SQL, macros, snapshots, and their files."""
    lines = [*MACROS, view.sql, *(f"{snapshot_id} {' '.join(paths)}" for snapshot_id, paths in sorted(files.items()))]
    return sha256("\n".join(lines).encode()).hexdigest()


def _insert_snapshots(con: duckdb.DuckDBPyConnection, view: SqlFile, snapshot_ids: Sequence[str]) -> None:
    """Compute the rows of some snapshots: the view's SQL finds its history restricted to them."""
    history, listed = quote_identifier(view.reads[0]), ", ".join(map(quote_literal, snapshot_ids))
    [(database,)] = con.execute("select current_database()").fetchall()
    # The view over files: that of the history joins accounts and scopes, from which a part may not derive.
    part = f"select * from {quote_identifier(database)}.files.{history} where snapshot_id in ({listed})"
    query = f"with {history} as ({part}) select * from ({view.sql}\n)"
    con.execute(f"insert into {quote_identifier(view.name)} {query}")


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
