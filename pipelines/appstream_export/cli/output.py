"""An Arrow table as text: for people (table, md) and for programs (json, ndjson, csv, parquet).

Programs get what is stored, in UTF-8, with times in UTC; only csv guards text that a spreadsheet would run as a
formula. People get it without control characters.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

from appstream_export.cli import console
from appstream_export.cli.grid import print_table
from appstream_export.errors import SettingsError
from appstream_export.inputs.csv import FORMULA

_JSON = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
_UTC = pa.timestamp("us", "UTC")
_BATCH_ROWS = 5_000
"""Rows turned into text together: bounds memory where a result is large."""
_MARKUP = re.compile(r"([\\`*\[\]|~!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


def write_result(table: pa.Table, kind: str) -> None:
    """Print a result in one of `FORMATS`."""
    WRITERS[kind](_prepare_table(table))


def convert_to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as Python values, times in UTC."""
    return list(_iterate_rows(_prepare_table(table)))


def encode_json(value: object) -> bytes:
    """JSON in UTF-8: times as ISO 8601 with Z, decimals as numbers in full, NaN as null."""
    return _JSON.encode(value)


def format_value(value: object) -> str:
    """A value as text: times as ISO 8601 with Z, nested values as JSON, nothing for null and NaN."""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = _JSON.encode(value).decode()
    return "" if text == "null" else text.strip('"') if text.startswith('"') else text


def _prepare_table(table: pa.Table) -> pa.Table:
    """The same with unique column names (`name`, `name_1`: joins repeat them) and values that Python can hold."""
    names: list[str] = []
    for name in table.column_names:
        names.append(next(n for n in _generate_column_names(name) if n not in names))
    return pa.table([_convert_column(c) for c in table.columns], names=names) if names else table


def _generate_column_names(name: str) -> Iterator[str]:
    yield name
    number = 1
    while True:
        yield f"{name}_{number}"
        number += 1


def _convert_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if (kind := _convert_type_to_utc(column.type)) != column.type:  # a cast loads pyarrow.compute, which takes its time
        column = column.cast(kind, safe=False)
    try:
        if pa.types.is_temporal(column.type):
            column.to_pylist()
    except (ValueError, OverflowError):  # Python's times end with the year 9999; Arrow's and DuckDB's do not
        return column.cast(pa.string())
    return column


def _convert_type_to_utc(kind: pa.DataType) -> pa.DataType:
    """The same type with every time in it in UTC and microseconds; a time without a zone is one in UTC."""
    if pa.types.is_timestamp(kind):
        return _UTC
    if pa.types.is_list(kind):
        return pa.list_(_convert_type_to_utc(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _convert_type_to_utc(field.type)) for field in kind])
    return kind


def _iterate_batches(table: pa.Table) -> Iterator[list[dict[str, Any]]]:
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        yield batch.to_pylist(maps_as_pydicts="lossy")


def _iterate_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in _iterate_batches(table):
        yield from batch


def _write_table(table: pa.Table) -> None:
    cells = [
        [None if v is None else console.strip_control_characters(format_value(v)) for v in row.values()]
        for row in _iterate_rows(table)
    ]
    numeric = [
        pa.types.is_integer(f.type) or pa.types.is_floating(f.type) or pa.types.is_decimal(f.type) for f in table.schema
    ]
    print_table([console.strip_control_characters(name) for name in table.column_names], cells, numeric)


def _write_json(table: pa.Table) -> None:
    between = b"[\n"
    for batch in _iterate_batches(table):
        console.print_result_bytes(between + b",\n".join(b"  " + _JSON.encode(row) for row in batch))
        between = b",\n"
    console.print_result_bytes(b"\n]\n" if table.num_rows else b"[]\n")


def _write_ndjson(table: pa.Table) -> None:
    for batch in _iterate_batches(table):
        console.print_result_bytes(b"".join(_JSON.encode(row) + b"\n" for row in batch))


def _write_csv(table: pa.Table) -> None:
    """RFC 4180: lines end with CR LF; an empty text is `""`, null is nothing at all."""
    console.print_result_bytes(_encode_csv_line(table.column_names))
    for batch in _iterate_batches(table):
        console.print_result_bytes(b"".join(_encode_csv_line(row.values()) for row in batch))


def _encode_csv_line(values: Iterable[object]) -> bytes:
    return (",".join(map(_format_csv_field, values)) + "\r\n").encode()


def _format_csv_field(value: object) -> str:
    text = format_value(value)
    if isinstance(value, str):
        text = f"'{text}" if text.startswith(tuple(FORMULA)) else text
        if not text:
            return '""'
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def _write_markdown(table: pa.Table) -> None:
    console.print_result(_format_markdown_line(table.column_names))
    console.print_result("|" + " --- |" * table.num_columns)
    for row in _iterate_rows(table):
        console.print_result(_format_markdown_line(row.values()))


def _format_markdown_line(values: Iterable[object]) -> str:
    return "| " + " | ".join(_escape_markdown(format_value(value)) for value in values) + " |"


def _escape_markdown(text: str) -> str:
    text = _MARKUP.sub(r"\\\1", console.strip_control_characters(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _write_parquet(table: pa.Table) -> None:
    import pyarrow.parquet as pq

    if console.is_terminal(sys.stdout):
        raise SettingsError(
            "--format parquet writes bytes, not text; send them to a file: --format parquet > result.parquet"
        )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    console.print_result_bytes(sink.getvalue().to_pybytes())


WRITERS: Mapping[str, Callable[[pa.Table], None]] = {
    "table": _write_table,
    "json": _write_json,
    "ndjson": _write_ndjson,
    "csv": _write_csv,
    "md": _write_markdown,
    "parquet": _write_parquet,
}
