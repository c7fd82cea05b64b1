"""Arrow schemas of contract tables: column types, and docs as Parquet field metadata."""

from collections.abc import Mapping

import pyarrow as pa

from appstream_export.contracts.model import Column, Table

ARROW_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"),
    "number": pa.float64(),
    "json": pa.string(),
}


def build_arrow_schema(table: Table) -> pa.Schema:
    """Return the columns of a table's Parquet files, in order, with docs as field metadata `comment`.

    `snapshot_id` is not included: it is the name of the folder, as in Hive partitions. Only a cumulative table, whose
    rows belong to several snapshots, has it as a column.
    """
    stored = table.columns if table.cumulative else table.columns[1:]
    return pa.schema([_build_arrow_field(column) for column in stored], metadata={"comment": table.doc})


def _build_arrow_field(column: Column) -> pa.Field:
    return pa.field(column.name, ARROW_TYPES[column.type], metadata={"comment": column.doc})
