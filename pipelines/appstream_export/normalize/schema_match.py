"""The fast path: check in Arrow whether a whole batch matches its contract, so that Python reads no single item."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from appstream_export.normalize.item_schema import List, SchemaNode, Struct

EARLIEST_S, LATEST_S = -62_135_596_800, 253_402_300_799  # years 1 to 9999, the range of Python and DuckDB alike
# Arrow reads true and false among floats as 1.0 and 0.0, so earlier times go to the slow path.
_MIN_TIMESTAMP_S = 86_400


class NestedArray:
    """A struct array that splits into its fields only once: each call into Arrow may have to wait for the GIL."""

    __slots__ = ("_fields", "values")

    def __init__(self, values: pa.Array) -> None:
        self.values = values
        self._fields: dict[str, NestedArray] | None = None

    def get_field(self, path: str) -> "NestedArray":
        """Return a field such as `VpcConfig.SubnetIds`; null if a struct on its path is null, or if no item has it."""
        found = self
        for step in filter(None, path.split(".")):
            found = found.get_fields().get(step) or NestedArray(pa.nulls(len(self.values)))
        return found

    def get_fields(self) -> "dict[str, NestedArray]":
        """Return the fields by name; no fields if the array is not a struct array."""
        if self._fields is None:
            kind = self.values.type
            parts = self.values.flatten() if pt.is_struct(kind) else []
            self._fields = {kind[n].name: NestedArray(part) for n, part in enumerate(parts)}
        return self._fields


def match_items(items: list[Any], schema: Struct, key: list[str]) -> NestedArray | None:
    """Return the items as an Arrow array if every value matches the contract, else None. Arrow infers the type.

    Inference is stricter than conversion to a given schema: it never turns a float into an integer or a text into a
    list, and it retains fields that the contract does not know.
    """
    try:
        rows = pa.array(items)
    # No common Arrow type: mixed types, integers beyond 64 bits, lone surrogates.
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return None
    return match_array(rows, schema, key)


def match_array(rows: pa.Array, schema: Struct, key: list[str]) -> NestedArray | None:
    """Return the items if all values match the contract and every item has its key, else None."""
    items = NestedArray(rows)
    is_plain = isinstance(rows, pa.StructArray) and rows.null_count == 0 and _is_matching(items, schema)
    return items if is_plain and all(_is_complete_key(items.get_field(path).values) for path in key) else None


def _is_complete_key(values: pa.Array) -> bool:
    return values.null_count == 0 and not pc.any(pc.equal(values, "")).as_py()


def _is_matching(field: NestedArray, schema: SchemaNode) -> bool:
    values = field.values
    if pt.is_null(values.type):  # no item has a value, so Arrow could not infer a type
        return True
    if isinstance(schema, Struct):
        return pt.is_struct(values.type) and all(
            name in schema.fields and _is_matching(below, schema.fields[name])
            for name, below in field.get_fields().items()
        )
    if isinstance(schema, List):
        if not pt.is_list(values.type):
            return False
        elements = pc.list_flatten(values)
        return (
            elements.null_count == 0
            and schema.element is not None
            and _is_matching(NestedArray(elements), schema.element)
        )
    return _LEAF_CHECKS[schema.type](values)


def _is_time(values: pa.Array) -> bool:
    if not (pt.is_integer(values.type) or pt.is_floating(values.type)):
        return False
    extremes = pc.min_max(values).as_py()
    return extremes["min"] is None or bool(extremes["min"] >= _MIN_TIMESTAMP_S and extremes["max"] <= LATEST_S)


def _is_number(values: pa.Array) -> bool:
    if not pt.is_floating(values.type):
        return pt.is_integer(values.type)
    # 0.0 and 1.0 may have been booleans, which Arrow turns into floats without an error.
    odd = pc.or_(pc.is_in(values, pa.array([0.0, 1.0])), pc.invert(pc.is_finite(values)))
    return not pc.any(odd).as_py()


_LEAF_CHECKS: Mapping[str, Callable[[pa.Array], bool]] = {
    "string": lambda v: pt.is_string(v.type),
    "integer": lambda v: pt.is_int64(v.type),
    "boolean": lambda v: pt.is_boolean(v.type),
    "number": _is_number,
    "timestamp": _is_time,
    "json": lambda _: False,  # any JSON value becomes text, one by one
    "ignored": lambda _: True,
}
