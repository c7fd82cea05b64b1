"""Arrow tables as compact text that the page unpacks: columns of JSON, compressed, in base64."""

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

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
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), LEVEL, mtime=0)).decode()


def replace_keys(table: pa.Table, keys: pa.ChunkedArray) -> pa.Table:
    """Return the rows of the builders in `keys`, sorted by builder, each with its place there instead of its key."""
    places = pc.index_in(table[KEY], value_set=keys.combine_chunks())
    known = table.set_column(table.column_names.index(KEY), "builder", places).filter(pc.is_valid(places))
    return known.take(pc.sort_indices(known["builder"])) if table.num_rows else known


def split_by_builder(table: pa.Table, builders: int, size: int) -> list[pa.Table]:
    """Return the rows of each `size` builders as a table of its own."""
    found = table["builder"]
    return [
        table.filter(pc.and_(pc.greater_equal(found, start), pc.less(found, start + size)))
        for start in range(0, builders, size)
    ]


def _encode_column(values: pa.Array) -> dict[str, Any] | list[Any]:
    """Return a dictionary and indexes for texts, else numbers: seconds or days since 1970 for times, 0 or 1 for bools.

    Whole columns of increasing numbers and times are given as differences.
    """
    if pa.types.is_null(values.type) or pa.types.is_string(values.type):
        coded = values.cast(pa.string()).dictionary_encode()
        return {"texts": coded.dictionary.to_pylist(), "places": coded.indices.to_pylist()}
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    elif pa.types.is_date(values.type):
        values = values.cast(pa.date32()).cast(pa.int32())
    elif pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if pa.types.is_integer(values.type) and not values.null_count:
        return {"steps": _compute_steps(values.to_pylist())}
    return [_shorten_number(value) for value in values.to_pylist()]


def _compute_steps(numbers: Sequence[int]) -> list[int]:
    return [number - before for before, number in zip([0, *numbers], numbers, strict=False)]


def _shorten_number(value: float | None) -> float | None:
    """Return whole numbers without `.0`, which JSON has no use for."""
    return int(value) if value is not None and value == int(value) else value
