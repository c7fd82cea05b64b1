"""The tables and views of a warehouse without rows, to be written to: SQL of sql/ is tried on rows of its own."""

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb

from appstream_export.lake.catalog.views import MACROS
from tests.lake.lakes import Lake


def open_empty_tables(lake: Lake, names: Iterable[str]) -> duckdb.DuckDBPyConnection:
    """A DuckDB of its own with these tables, as they are in the catalog of `lake`, and the catalog's macros."""
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'")
    for name in sorted({*names, "prices"}):
        nothing = lake.con.sql(f"from {name} limit 0").to_arrow_table()
        con.execute(f"create table raw_{name} as from nothing")
        con.execute(f"create view {name} as from raw_{name}")
        del nothing
    for macro in MACROS:
        con.execute(f"create macro {macro}")
    return con


def insert_row(con: duckdb.DuckDBPyConnection, table: str, row: Mapping[str, Any]) -> None:
    """A row with these columns; the others are null."""
    places = ", ".join("?" * len(row))
    con.execute(f"insert into raw_{table} ({', '.join(row)}) values ({places})", list(row.values()))
