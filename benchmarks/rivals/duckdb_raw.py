"""DuckDB on raw pages, fetched with our clients: its parser reads them all at once, in as many threads as there are.

Leaves out: coverage, carried rows, quarantine (one odd value fails everything), page integrity, an atomic commit.
"""

import duckdb

from benchmarks.rivals.job import Job, work
from benchmarks.rivals.our_clients import write_raw
from benchmarks.rivals.rows import LISTS, PATHS

ITEM = """struct(
    "Name" varchar, "Arn" varchar, "ImageArn" varchar, "Description" varchar, "DisplayName" varchar,
    "VpcConfig" struct("SubnetIds" varchar[], "SecurityGroupIds" varchar[]), "InstanceType" varchar,
    "Platform" varchar, "IamRoleArn" varchar, "State" varchar, "CreatedTime" double,
    "EnableDefaultInternetAccess" boolean,
    "NetworkAccessConfiguration" struct("EniPrivateIpAddress" varchar, "EniId" varchar),
    "AppstreamAgentVersion" varchar, "LatestAppstreamAgentVersion" varchar)"""
COLUMNS = {"account_id": "varchar", "region": "varchar", "page": f'struct("ImageBuilders" {ITEM}[])'}


def act(job: Job) -> None:
    """Ask, then let DuckDB read, open lists, and write."""
    path, _ = write_raw(job)
    con = duckdb.connect()
    con.sql("set preserve_insertion_order = false")
    con.read_json(str(path), format="newline_delimited", columns=COLUMNS).create("pages")
    con.sql('create view items as select account_id, region, unnest(page."ImageBuilders") as item from pages')
    columns = ", ".join(f"{_column(column, path)} as {column}" for column, path in PATHS.items())
    _copy(con, job, "builders", f"select account_id, region, {columns} from items")  # noqa: S608  our own words
    for table, (path_, column) in LISTS.items():
        ids = f'item."VpcConfig"."{path_}"'
        opened = f"unnest({ids}) as {column}, generate_subscripts({ids}, 1) - 1 as position"
        owner = 'account_id, region, item."Name" as image_builder_name'
        _copy(con, job, table, f"select {owner}, {opened} from items")  # noqa: S608  our own words


def _column(column: str, path: str) -> str:
    value = "item." + ".".join(f'"{step}"' for step in path.split("."))
    return f"make_timestamp(round({value} * 1e6)::bigint)" if column == "created_time" else value


def _copy(con: duckdb.DuckDBPyConnection, job: Job, table: str, query: str) -> None:
    con.sql(f"copy ({query}) to '{job['folder']}/{table}.parquet' (format parquet, compression zstd)")


if __name__ == "__main__":
    work(act)
