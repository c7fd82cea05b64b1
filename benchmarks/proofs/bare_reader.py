"""Read a catalog with a bare DuckDB, without our code: `python bare_reader.py CATALOG` prints its rows as JSON."""

import json
import sys

import duckdb

VIEWS = "select view_name from duckdb_views() where not internal and schema_name = 'main' order by 1"
COMMENTS = "select count(*) from duckdb_columns() where not internal and comment is not null"
ROWS = (
    "select snapshot_at::varchar, account_id, region, name, state, observed_at::varchar"
    " from image_builders_history order by all",
    "select account_id, region, image_builder_name, position, subnet_id from image_builder_subnets order by all",
    "select name, state from image_builders_as_of('2026-01-01 00:30') order by all",
    "select name, change, column_name, old_value, new_value from image_builder_changes_history order by all",
)


if __name__ == "__main__":
    con = duckdb.connect(sys.argv[1], read_only=True)
    con.execute("set TimeZone = 'UTC'")
    views = [name for (name,) in con.execute(VIEWS).fetchall()]
    counts = {name: con.execute(f'select count(*) from "{name}"').fetchall()[0][0] for name in views}  # noqa: S608
    comments = {"comments": con.execute(COMMENTS).fetchall()[0][0]}
    rows = {query: con.execute(query).fetchall() for query in ROWS}
    print(json.dumps({"counts": counts} | comments | rows))  # noqa: T201
