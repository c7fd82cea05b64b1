"""Every AppStream image builder of an AWS Organization, as Parquet and DuckDB.

The folders are the stages, in the order in which rows flow:

    extract    asks AWS, page by page: the only door to boto3 clients
    tables     flattens nested items into Arrow tables, as `contracts` say
    lake       keeps them: Parquet files, one manifest per snapshot, the DuckDB catalog
    defs       shows the same run to Dagster

`sweep` joins the first two to the third; `run` is a sweep with everything that follows. `scope` holds the values that
stages exchange, `errors` what may go wrong. The command line (`cli`) and Dagster (`definitions`) only translate.
"""

from typing import TYPE_CHECKING

from appstream_export.version import __version__

if TYPE_CHECKING:
    import duckdb

__all__ = ["__version__", "connect"]


def connect(warehouse: str, *, as_of: str | None = None) -> "duckdb.DuckDBPyConnection":
    """A read-only DuckDB connection to a warehouse's newest snapshot, its history and views; time zone UTC.

    It shows what was committed when it was opened: connect again to see later snapshots. `warehouse` is a folder, or
    `s3://bucket/prefix` as boto3 reaches it. `as_of` is a moment such as `2026-01-31` (its end, UTC): all of it is then
    as it was. Raises ConfigurationError where there is no warehouse, or nothing of that time.
    """
    from appstream_export.lake.catalog import connect_warehouse

    return connect_warehouse(warehouse, as_of=as_of)
