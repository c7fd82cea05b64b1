"""Arrow tables as compact text that the page unpacks: columns of JSON, compressed, in base64."""

import base64
import gzip
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

KEY = "image_builder_key"
LEVEL = 6  # levels above cost twice the time and save one percent


def encode_table(table: pa.Table) -> str:
    """Return the table's columns; the page reads them with `decodeTable` in javascript/data.js."""
    columns = {name: _encode_column(table[name].combine_chunks()) for name in table.column_names}
    return encode_data({"rows": table.num_rows, "columns": columns})


def encode_data(value: Any) -> str:
    """Return a JSON value, compressed, in base64; equal values give equal text."""
    return base64.b64encode(gzip.compress(msgspec.json.encode(value), LEVEL, mtime=0)).decode()


def replace_keys(table: pa.Table, keys: pa.ChunkedArray) -> pa.Table:
    """Return the rows of the builders in `keys`, sorted by builder, each with its place there instead of its key."""
    places = pc.index_in(table[KEY], value_set=keys.combine_chunks())
    known = table.set_column(table.column_names.index(KEY), "builder", places).filter(pc.is_valid(places))
    return known.take(pc.sort_indices(known["builder"])) if table.num_rows else known


def split_by_builder(table: pa.Table, builders: int, size: int) -> list[pa.Table]:
    """Return the rows of each `size` builders as a table of its own; the rows are sorted by builder."""
    chunks = pc.value_counts(pc.divide(table["builder"].cast(pa.int64()), size)).to_pylist()
    counts, parts, start = {chunk["values"]: chunk["counts"] for chunk in chunks}, [], 0
    for number in range(-(-builders // size)):
        parts.append(table.slice(start, rows := counts.get(number, 0)))
        start += rows
    return parts


def _encode_column(values: pa.Array) -> dict[str, Any] | msgspec.Raw:
    """Return a dictionary and indexes for texts, else numbers: seconds or days since 1970 for times, 0 or 1 for bools.

    Whole columns of increasing numbers and times are given as differences.
    """
    if pa.types.is_null(values.type) or pa.types.is_string(values.type):
        coded = values.cast(pa.string()).dictionary_encode()
        return {"texts": coded.dictionary.to_pylist(), "places": _render_numbers(coded.indices)}
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    elif pa.types.is_date(values.type):
        values = values.cast(pa.date32()).cast(pa.int32())
    elif pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if pa.types.is_integer(values.type) and not values.null_count:
        return {"steps": _render_numbers(_compute_steps(values))}
    return _render_numbers(values)


def _compute_steps(numbers: pa.Array) -> pa.Array:
    numbers = numbers.cast(pa.int64())
    return pc.subtract(numbers, pa.concat_arrays([pa.array([0] * min(len(numbers), 1), pa.int64()), numbers[:-1]]))


def _render_numbers(numbers: pa.Array) -> msgspec.Raw:
    """Return a JSON list, with nulls; whole numbers have no `.0`."""
    # As texts that Arrow joins, because a Python object for each number takes four times as long.
    texts = pc.fill_null(numbers.cast(pa.string()), "null")
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), ",")[0].as_py()
    return msgspec.Raw(f"[{joined}]".encode())
