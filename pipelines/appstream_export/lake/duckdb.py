"""DuckDB as all of the lake opens it. Apart from what writes, so that readers need not load that."""

import duckdb

from appstream_export.lake import sql
from appstream_export.lake.storage.base import Store


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
        f"temp_directory = {sql.quote_literal(store.scratch)}",
    ):
        con.execute(f"set {setting}")
    return con
