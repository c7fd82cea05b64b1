"""The tables and views of a warehouse without rows, to be written to: SQL of sql/ is tried on rows of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa

from appstream_export.contracts import STAR_FOLDER, list_sql_files
from appstream_export.feeds.definitions import build_feed_schema
from appstream_export.feeds.star import build_star_feeds
from appstream_export.lake.catalog.views import MACROS
from tests.lake.lakes import Lake


def open_empty_tables(lake: Lake, names: Iterable[str]) -> duckdb.DuckDBPyConnection:
    """A DuckDB of its own with these tables of the star or of `lake`'s catalog, and the catalog's macros."""
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'")
    star = {file.name for file in list_sql_files(lake.contracts, STAR_FOLDER)}
    for name in sorted({*names, "prices"}):
        nothing = make_star_table(lake, name) if name in star else lake.con.sql(f"from {name} limit 0").to_arrow_table()
        con.execute(f"create table raw_{name} as from nothing")
        con.execute(f"create view {name} as from raw_{name}")
        del nothing
    for macro in MACROS:
        con.execute(f"create macro {macro}")
    return con


def make_star_table(lake: Lake, name: str) -> pa.Table:
    """A feed of the star without rows, as it is in bi.duckdb."""
    feed = next(feed for feed in build_star_feeds(lake.contracts, ()) if feed.name == name)
    return build_feed_schema(replace(feed, has_zone=False)).empty_table()


def insert_row(con: duckdb.DuckDBPyConnection, table: str, row: Mapping[str, Any]) -> None:
    """A row with these columns; the others are null."""
    places = ", ".join("?" * len(row))
    con.execute(f"insert into raw_{table} ({', '.join(row)}) values ({places})", list(row.values()))
