"""Compute what derives from the history once per connection, so that checks, feeds and report share the rows.

As views, a mart's rows would be computed again by each query that reads it, directly or through another view.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

import duckdb

from appstream_export.contracts import Contract, SqlFile, list_sql_files, list_view_files
from appstream_export.lake.duckdb import quote_identifier, translate_duckdb_errors

HISTORY_SUFFIX = "_history"
_TEMPORARY_SQL = "select table_name from duckdb_tables() where temporary"
_log = logging.getLogger(__name__)


def derive_tables(con: duckdb.DuckDBPyConnection, contracts: Sequence[Contract], reads: Iterable[str]) -> list[str]:
    """Compute the views below `reads` that derive from a history, unless the connection has them; return their names.

    Each becomes a temporary table, which hides the view of its name. So use only a connection whose snapshot does not
    change. Raises StorageFailed if files cannot be read.
    """
    views = {view.name: view for view in list_view_files(contracts)}
    needed = _collect_sources(views, reads)
    with translate_duckdb_errors():
        known = {name for (name,) in con.execute(_TEMPORARY_SQL).fetchall()}
        # In the order of the views: each follows those that it reads.
        missing = [name for name in _find_derived_views(views) if name in needed and name not in known]
        for name in missing:
            _log.debug("derived from the history: %s", name)
            con.execute(f"create temp table {quote_identifier(name)} as {views[name].sql}")
    return missing


def derive_sources(con: duckdb.DuckDBPyConnection, contracts: Sequence[Contract], *folders: str) -> list[str]:
    """Do the same for what the files of these folders of `sql/` read."""
    files = [file for folder in folders for file in list_sql_files(contracts, folder)]
    return derive_tables(con, contracts, [source for file in files for source in file.reads])


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
