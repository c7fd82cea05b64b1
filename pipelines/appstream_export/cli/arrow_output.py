"""Arrow tables as printed results: large ones, nested values, and Parquet. Small results need no Arrow."""

import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from appstream_export.cli import console
from appstream_export.cli.result_rows import (
    Result,
    ResultColumn,
    ResultRows,
    TimeOutOfRange,
    describe_column,
    make_unique,
)
from appstream_export.errors import SettingsError

_UTC = pa.timestamp("us", "UTC")
_BATCH_ROWS = 5_000
"""Rows that are converted to text at a time: it bounds memory for a large result."""


def build_arrow_result(table: pa.Table) -> Result:
    """Return the rows of a table; raises TimeOutOfRange."""
    table = _prepare_table(table)
    _check_times(table)
    return Result([_describe_field(field) for field in table.schema], table.num_rows, _iterate_batches(table))


def convert_to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows as Python values, times in UTC."""
    return [row for batch in _iterate_batches(_prepare_table(table)) for row in batch]


def write_parquet(rows: ResultRows) -> None:
    """Print rows as a Parquet file; raises SettingsError on a terminal."""
    import pyarrow.parquet as pq

    if console.is_terminal(sys.stdout):
        raise SettingsError(
            "--format parquet writes bytes, not text", fix="redirect it to a file: --format parquet > result.parquet"
        )
    table = _prepare_table(_build_table(rows))
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    console.print_result_bytes(buffer.getvalue().to_pybytes())


def _build_table(rows: ResultRows) -> pa.Table:
    """Return rows as a table; what has no value in any row is text."""
    if isinstance(rows, pa.Table):
        return rows
    found = pa.table([pa.array([row[n] for row in rows.rows]) for n in range(len(rows.names))], names=[*rows.names])
    return found.cast(pa.schema([(field.name, _replace_null_type(field.type)) for field in found.schema]))


def _replace_null_type(kind: pa.DataType) -> pa.DataType:
    """Return a type with text in the place of Arrow's null, which most readers of Parquet do not know."""
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_replace_null_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _replace_null_type(field.type)) for field in kind])
    return kind


def _prepare_table(table: pa.Table) -> pa.Table:
    """Return a table with unique column names and values that Python can hold."""
    if not table.num_columns:
        return table
    names, columns = make_unique(table.column_names), [_convert_column(column) for column in table.columns]
    fields = [
        pa.field(name, column.type, metadata=field.metadata)
        for name, column, field in zip(names, columns, table.schema, strict=True)
    ]
    return pa.table(columns, schema=pa.schema(fields))


def _convert_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if (kind := _convert_type_to_utc(column.type)) != column.type:  # a cast imports pyarrow.compute, which is slow
        column = column.cast(kind, safe=False)
    return column


def _convert_type_to_utc(kind: pa.DataType) -> pa.DataType:
    """Return a type with all its times in UTC and microseconds; a time without a zone counts as UTC."""
    if pa.types.is_timestamp(kind):
        return _UTC
    if pa.types.is_list(kind):
        return pa.list_(_convert_type_to_utc(kind.value_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_convert_type_to_utc(kind.value_type), kind.list_size)
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, _convert_type_to_utc(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _convert_type_to_utc(field.type)) for field in kind])
    return kind


def _check_times(table: pa.Table) -> None:
    """Raise TimeOutOfRange for a time that Python cannot hold: its years are 1 to 9999, those of DuckDB are more."""
    for column in table.columns:
        if _has_times(column.type):
            try:
                column.to_pylist()
            except (ValueError, OverflowError) as error:
                raise TimeOutOfRange(str(error)) from error


def _has_times(kind: pa.DataType) -> bool:
    if pa.types.is_map(kind):
        return _has_times(kind.item_type)
    return pa.types.is_temporal(kind) or any(_has_times(kind.field(n).type) for n in range(kind.num_fields))


def _iterate_batches(table: pa.Table) -> Iterator[list[dict[str, Any]]]:
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        # "lossy": a repeated key of a MAP value takes its last value instead of raising.
        yield batch.to_pylist(maps_as_pydicts="lossy")


def _describe_field(field: pa.Field) -> ResultColumn:
    kind, named = field.type, (field.metadata or {}).get(b"duckdb_type", b"").decode()
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return describe_column(field.name, named, is_number=is_number)
