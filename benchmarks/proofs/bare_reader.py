"""What a bare DuckDB, without any of our code, reads in a catalog: `python bare_reader.py CATALOG` prints JSON."""

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


def answers(catalog: str) -> dict[str, object]:
    """The rows of every view, counted, and some of them as they are; times in UTC."""
    con = duckdb.connect(catalog, read_only=True)
    con.execute("set TimeZone = 'UTC'")
    views = [name for (name,) in con.execute(VIEWS).fetchall()]
    counts = {name: con.execute(f'select count(*) from "{name}"').fetchall()[0][0] for name in views}  # noqa: S608
    said = {"counts": counts, "comments": con.execute(COMMENTS).fetchall()[0][0]}
    return said | {query: con.execute(query).fetchall() for query in ROWS}


if __name__ == "__main__":
    print(json.dumps({"version": duckdb.__version__, "answers": answers(sys.argv[1])}))  # noqa: T201
