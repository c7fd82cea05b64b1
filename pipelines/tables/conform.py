"""Does a batch of raw items look exactly as its contract says? If so, no item needs to be looked at in Python."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipelines.tables.shape import List, Shape, Struct

EARLIEST_S, LATEST_S = -62_135_596_800, 253_402_300_799  # years 1 to 9999, the range of Python and DuckDB alike
_SURELY_A_TIME_S = 86_400  # Arrow reads true and false among floats as 1.0 and 0.0: that early, look closer


def read_if_plain(items: list[Any], shape: Struct, key: list[str]) -> pa.StructArray | None:
    """Let Arrow infer the items' type; the array if every value is as the contract says, else None.

    Inference is strict where a given schema is not: it never turns a float into an integer or a text into a list,
    and it keeps fields that the contract does not know.
    """
    try:
        rows = pa.array(items)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return None
    return rows if is_plain(rows, shape, key) else None


def is_plain(rows: pa.Array, shape: Struct, key: list[str]) -> bool:
    """Whether all values are as the contract says, and each item has its key."""
    plain = isinstance(rows, pa.StructArray) and rows.null_count == 0 and _fits(rows, shape)
    return plain and all(_is_key(rows, path) for path in key)


def field_of(rows: pa.Array, step: str) -> pa.Array:
    """One field of a struct array, null where the struct is null; all null where no item has it."""
    if pt.is_struct(rows.type) and rows.type.get_field_index(step) >= 0:
        return pc.struct_field(rows, step)
    return pa.nulls(len(rows))


def _is_key(rows: pa.Array, path: str) -> bool:
    for step in path.split("."):
        rows = field_of(rows, step)
    return rows.null_count == 0 and not pc.any(pc.equal(rows, "")).as_py()


def _fits(values: pa.Array, shape: Shape) -> bool:
    if pt.is_null(values.type):
        return True
    if isinstance(shape, Struct):
        return pt.is_struct(values.type) and all(
            f.name in shape.fields and _fits(pc.struct_field(values, f.name), shape.fields[f.name]) for f in values.type
        )
    if isinstance(shape, List):
        if not pt.is_list(values.type):
            return False
        elements = pc.list_flatten(values)
        return elements.null_count == 0 and shape.element is not None and _fits(elements, shape.element)
    return _LEAVES[shape.type](values)


def _is_time(values: pa.Array) -> bool:
    if not (pt.is_integer(values.type) or pt.is_floating(values.type)):
        return False
    extremes = pc.min_max(values).as_py()
    return extremes["min"] is None or bool(extremes["min"] >= _SURELY_A_TIME_S and extremes["max"] <= LATEST_S)


def _is_number(values: pa.Array) -> bool:
    if not pt.is_floating(values.type):
        return pt.is_integer(values.type)
    odd = pc.or_(pc.is_in(values, pa.array([0.0, 1.0])), pc.invert(pc.is_finite(values)))
    return not pc.any(odd).as_py()


_LEAVES: Mapping[str, Callable[[pa.Array], bool]] = {
    "string": lambda v: pt.is_string(v.type),
    "integer": lambda v: pt.is_int64(v.type),
    "boolean": lambda v: pt.is_boolean(v.type),
    "number": _is_number,
    "timestamp": _is_time,
    "json": lambda _: False,  # any JSON value becomes text, one by one
    "ignored": lambda _: True,
}
