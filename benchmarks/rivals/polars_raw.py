"""polars on raw pages, fetched with our clients: its parser reads them all at once, with the schema given.

Leaves out: coverage, carried rows, quarantine (one odd value fails everything), page integrity, an atomic commit.
"""

from pathlib import Path

import polars as pl

from benchmarks.rivals.job import Job, work
from benchmarks.rivals.our_clients import write_raw
from benchmarks.rivals.rows import LISTS, PATHS

TEXT = pl.String()
ITEM = pl.Struct(
    {
        **dict.fromkeys(("Name", "Arn", "ImageArn", "Description", "DisplayName", "InstanceType", "Platform"), TEXT),
        **dict.fromkeys(("IamRoleArn", "State", "AppstreamAgentVersion", "LatestAppstreamAgentVersion"), TEXT),
        "VpcConfig": pl.Struct({"SubnetIds": pl.List(TEXT), "SecurityGroupIds": pl.List(TEXT)}),
        "CreatedTime": pl.Float64(),
        "EnableDefaultInternetAccess": pl.Boolean(),
        "NetworkAccessConfiguration": pl.Struct({"EniPrivateIpAddress": TEXT, "EniId": TEXT}),
    }
)
SCHEMA = {"account_id": TEXT, "region": TEXT, "page": pl.Struct({"ImageBuilders": pl.List(ITEM)})}
OWNER = ("account_id", "region")


def act(job: Job) -> None:
    """Ask, then let polars read, open lists, and write."""
    path, _ = write_raw(job)
    pages = pl.read_ndjson(path, schema=SCHEMA)
    opened = pages.select(*OWNER, pl.col("page").struct.field("ImageBuilders").alias("item"))
    items = opened.filter(pl.col("item").list.len() > 0).explode("item")
    _write(items.select(*OWNER, *(_at(path).alias(column) for column, path in PATHS.items())), job, "builders")
    for table, (name, column) in LISTS.items():
        ids = _at(f"VpcConfig.{name}")
        rows = items.select(*OWNER, _at("Name").alias("image_builder_name"), ids.alias(column))
        rows = rows.with_columns(pl.int_ranges(pl.col(column).list.len()).alias("position"))
        _write(rows.filter(pl.col(column).list.len() > 0).explode(column, "position"), job, table)


def _at(path: str) -> pl.Expr:
    value = pl.col("item")
    for step in path.split("."):
        value = value.struct.field(step)
    return (value * 1e6).round().cast(pl.Datetime("us")) if path == "CreatedTime" else value


def _write(rows: pl.DataFrame, job: Job, table: str) -> None:
    rows.write_parquet(Path(job["folder"]) / f"{table}.parquet", compression="zstd")


if __name__ == "__main__":
    work(act)
