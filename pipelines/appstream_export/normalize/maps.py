"""Read maps as lists of rows with the fields `key` and `value`."""

from collections.abc import Mapping, Sequence
from typing import Any

from appstream_export.contracts import MAP_KEY, MAP_VALUE
from appstream_export.normalize.item_schema import List, Map, SchemaNode, Struct


class _NotAMap(Exception):
    """Where the contract has a map, AWS sent another value."""


def build_map_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a map, ordered by key: AWS defines no order, and another order is no change."""
    return [{MAP_KEY: key, MAP_VALUE: found[key]} for key in sorted(found)]


def open_maps(items: Sequence[Any], schema: Struct) -> list[Any] | None:
    """Return the items with each map of the schema as a list of rows; None if another value is in a map's place."""
    try:
        return [_open_value(item, schema) for item in items]
    except _NotAMap:
        return None


def _open_value(value: Any, schema: SchemaNode) -> Any:
    if isinstance(schema, Map) and value is not None:
        if not isinstance(value, dict):
            raise _NotAMap
        return [_open_value(row, schema.element) for row in build_map_rows(value)] if schema.element else []
    if isinstance(schema, List) and isinstance(value, list) and schema.element:
        return [_open_value(element, schema.element) for element in value]
    if isinstance(schema, Struct) and isinstance(value, dict):
        return {k: _open_value(v, schema.fields[k]) if k in schema.fields else v for k, v in value.items()}
    return value
