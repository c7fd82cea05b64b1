"""Every AppStream image builder of an AWS Organization, as Parquet and DuckDB.

The folders are the stages, in the order in which rows flow:

    extract      requests pages from AWS, through botocore clients
    normalize    flattens nested items into Arrow tables, as `contracts` say
    lake         stores them: Parquet files, one manifest per snapshot, the DuckDB catalog
    feeds        publishes what dashboards read, and the report

`run` wires them. The command line (`cli`) and Dagster (`definitions`, `defs`) only translate. docs/architecture.md
has the whole picture.
"""

from typing import TYPE_CHECKING

from appstream_export.version import __version__

if TYPE_CHECKING:
    import duckdb

__all__ = ["__version__", "connect"]


def connect(warehouse: str, *, as_of: str | None = None, timeout_s: float = 600) -> "duckdb.DuckDBPyConnection":
    """Return a read-only DuckDB connection to a warehouse: newest snapshot, history and views; time zone UTC.

    It shows what was committed when it was opened: connect again to see later snapshots. `warehouse` is a folder, or
    `s3://bucket/prefix` as boto3 reaches it. `as_of` is a moment such as `2026-01-31` (its end, UTC): all of it is then
    as it was. Statements may read files that the warehouse's manifests name, and write nowhere but in a private folder
    that is gone with the process. One that takes longer than `timeout_s` fails; 0 is no limit (DuckDB before 2.0 has
    none). Raises ConfigurationError where there is no warehouse, or nothing of that time.
    """
    from appstream_export.lake.catalog import connect_unchecked

    return connect_unchecked(warehouse, as_of=as_of, timeout_s=timeout_s)
