"""Export every AppStream image builder of an AWS Organization to Parquet and DuckDB.

The folders are the stages, in the order in which rows flow:

    extract      requests pages from AWS, through botocore clients
    normalize    flattens nested items into Arrow tables, as `contracts` define
    lake         stores them: Parquet files, one manifest per snapshot, the DuckDB catalog
    feeds        publishes the feeds that dashboards read, and the report

`run` wires them. The command line (`cli`) and Dagster (`definitions`, `defs`) only translate. See docs/architecture.md.
"""

from typing import TYPE_CHECKING

from appstream_export.version import __version__

if TYPE_CHECKING:
    import duckdb

__all__ = ["__version__", "connect"]


def connect(warehouse: str, *, as_of: str | None = None, timeout_s: float = 600) -> "duckdb.DuckDBPyConnection":
    """Return a read-only DuckDB connection to a warehouse: newest snapshot, history and views; time zone UTC.

    The connection shows what was committed when it was opened; connect again to see later snapshots. `warehouse` is a
    folder, or `s3://bucket/prefix` as boto3 reaches it. `as_of` is a moment such as `2026-01-31` (its end, UTC): every
    table then shows the newest snapshot of that moment. Statements can read the files that the warehouse's manifests
    name, and write only to a private temporary folder of the process. A statement that takes longer than `timeout_s`
    fails; 0 means no limit (DuckDB before 2.0 has none). Raises ConfigurationError if there is no warehouse or no such
    snapshot.
    """
    from appstream_export.lake.catalog import connect_unchecked

    return connect_unchecked(warehouse, as_of=as_of, timeout_s=timeout_s)
