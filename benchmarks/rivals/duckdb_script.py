"""A DuckDB script as a user runs it: public boto3 lists, items become lines of JSON, DuckDB reads, unnests and writes.

It leaves out coverage, carried rows, quarantine (one odd value fails everything), page integrity and an atomic commit.
"""

import json
from pathlib import Path

import duckdb

from benchmarks.rivals.job import Job, work
from benchmarks.rivals.plain import Script
from benchmarks.rivals.rows import LISTS, PATHS

COLUMNS = {
    **dict.fromkeys(("account_id", "region", *(path for path in PATHS.values() if "." not in path)), "varchar"),
    "CreatedTime": "timestamptz",
    "EnableDefaultInternetAccess": "boolean",
    "VpcConfig": 'struct("SubnetIds" varchar[], "SecurityGroupIds" varchar[])',
    "NetworkAccessConfiguration": 'struct("EniPrivateIpAddress" varchar, "EniId" varchar)',
}


def run_job(job: Job) -> None:
    """List to a file, then let DuckDB read it with the schema given, and write a table at a time."""
    path = Path(job["folder"]) / "items.ndjson"
    with path.open("w") as file:
        for account, region, items in Script(job).list_scopes():
            scope = {"account_id": account, "region": region}
            file.writelines(json.dumps(scope | item, default=str) + "\n" for item in items)
    con = duckdb.connect()
    con.sql("set preserve_insertion_order = false")
    con.read_json(str(path), format="newline_delimited", columns=COLUMNS).create("items")
    write_tables(con, job)


def write_tables(con: duckdb.DuckDBPyConnection, job: Job) -> None:
    """Write the tables of the loaded items, one Parquet file for each."""
    columns = ", ".join(f"{path} as {column}" for column, path in PATHS.items())
    _copy(con, job, "builders", f"select account_id, region, {columns} from items")  # noqa: S608  our own words
    for table, (name, column) in LISTS.items():
        ids = f"VpcConfig.{name}"
        lists = f"unnest({ids}) as {column}, generate_subscripts({ids}, 1) - 1 as position"
        _copy(con, job, table, f"select account_id, region, Name as image_builder_name, {lists} from items")  # noqa: S608


def _copy(con: duckdb.DuckDBPyConnection, job: Job, table: str, query: str) -> None:
    con.sql(f"copy ({query}) to '{job['folder']}/{table}.parquet' (format parquet, compression zstd)")


if __name__ == "__main__":
    work(run_job)
