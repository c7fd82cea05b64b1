"""An Arrow table as text: for people (table, md) and for programs (json, ndjson, csv, parquet).

Programs get exactly what is stored, in UTF-8; only csv guards text that a spreadsheet would run as a formula. People
get it without control characters.
"""

import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

from pipelines import console
from pipelines.errors import BadSettings

_JSON = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
_UTC_US = pa.timestamp("us", "UTC")
_ROWS_AT_ONCE = 5_000
"""Rows turned into text together: bounds memory where a result is large."""
_WRAP_MIN = 24
"""A column of prose is wrapped, but not narrower than this."""
_GAP = "  "


def write(table: pa.Table, kind: str) -> None:
    """Print a result as one of `FORMATS`."""
    WRITERS[kind](_for_reading(table))


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as Python values, times in UTC."""
    return list(_rows(_for_reading(table)))


def plain(value: object) -> str:
    """A value as text on one line: times as ISO 8601 with Z, nested values as JSON; null is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = _JSON.encode(value).decode()
    return text[1:-1] if text.startswith('"') and not isinstance(value, Sequence) else text


def _for_reading(table: pa.Table) -> pa.Table:
    """Column names made unique (`name`, `name_1`), times as UTC in microseconds, what Python cannot hold as text."""
    names: list[str] = []
    for name in table.column_names:
        names.append(next(n for n in _candidates(name) if n not in names))
    columns = [_readable(column) for column in table.columns]
    return pa.table(columns, names=names) if columns else table


def _candidates(name: str) -> Iterator[str]:
    yield name
    number = 0
    while True:
        number += 1
        yield f"{name}_{number}"


def _readable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    column = column.cast(_in_utc(column.type), safe=False)
    try:
        if pa.types.is_temporal(column.type):
            column.to_pylist()  # Python's times end with the year 9999, Arrow's and DuckDB's do not
    except (ValueError, OverflowError):
        return column.cast(pa.string())
    return column


def _in_utc(kind: pa.DataType) -> pa.DataType:
    """The same type with every time in it in UTC and microseconds; a time without a zone is taken as UTC."""
    if pa.types.is_timestamp(kind):
        return _UTC_US
    if pa.types.is_list(kind):
        return pa.list_(_in_utc(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _in_utc(field.type)) for field in kind])
    return kind


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from batch.to_pylist(maps_as_pydicts="lossy")


def _write_json(table: pa.Table) -> None:
    between = b"[\n  "
    for row in _rows(table):
        console.say_bytes(between + _JSON.encode(row))
        between = b",\n  "
    console.say_bytes(b"\n]\n" if table.num_rows else b"[]\n")


def _write_ndjson(table: pa.Table) -> None:
    for row in _rows(table):
        console.say_bytes(_JSON.encode(row) + b"\n")


def _write_csv(table: pa.Table) -> None:
    """RFC 4180: lines end with CR LF; an empty text is `""`, null is nothing at all."""
    console.say_bytes(_csv_line(table.column_names))
    for row in _rows(table):
        console.say_bytes(_csv_line(row.values()))


def _csv_line(values: object) -> bytes:
    return (",".join(_csv_field(value) for value in values) + "\r\n").encode()


def _csv_field(value: object) -> str:
    text = plain(value)
    if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r"):
        text = f"'{text}"
    needs_quotes = value is not None and (not text or any(c in text for c in ',"\r\n'))
    return '"' + text.replace('"', '""') + '"' if needs_quotes else text


def _write_markdown(table: pa.Table) -> None:
    console.say(_markdown_line(table.column_names))
    console.say("|" + " --- |" * table.num_columns)
    for row in _rows(table):
        console.say(_markdown_line(row.values()))


def _markdown_line(values: object) -> str:
    return "| " + " | ".join(_markdown_text(plain(value)) for value in values) + " |"


def _markdown_text(text: str) -> str:
    text = re.sub(r"([\\`*\[\]|~!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))", r"\\\1", console.clean(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _write_parquet(table: pa.Table) -> None:
    import pyarrow.parquet as pq

    if console.is_terminal(sys.stdout):
        raise BadSettings("--format parquet writes bytes; send them to a file: ... --format parquet > result.parquet")
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    console.say_bytes(sink.getvalue().to_pybytes())
