"""The fastest path: Arrow reads the items from the JSON text of whole pages, without Python objects.

It accepts a batch only if the contract maps every field and every value has its column's type. Other batches are read
item by item, with the same result.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from appstream_export.json_text import RawItems
from appstream_export.normalize.item_schema import Leaf, List, Map, SchemaNode, Struct, walk_nodes
from appstream_export.normalize.schema_match import NestedArray, match_array

_READ_TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "number": pa.float64(),
    "timestamp": pa.float64(),
}


class PageReader:
    """Reader of page batches of one contract; `key` are the paths that every item must have."""

    def __init__(self, schema: Struct, key: Sequence[str]) -> None:
        self._schema, self._key = schema, list(key)
        self._items_type = pa.list_(_build_read_type(schema))

    @classmethod
    def create_if_typed(cls, schema: Struct, key: Sequence[str]) -> "PageReader | None":
        """Return the reader, or None if a field is a map or accepts any value: then Python has to read each item."""
        nodes = list(walk_nodes(schema))
        is_typed = not any(isinstance(n, Map) or (isinstance(n, Leaf) and n.type not in _READ_TYPES) for n in nodes)
        return cls(schema, key) if is_typed else None

    def read_items(self, pages: Sequence[RawItems]) -> NestedArray | None:
        """Return all items of the pages if every item matches the contract exactly, else None."""
        text = b"\n".join(page.body for page in pages)
        if text.count(b"\n") != len(pages) - 1 or b"\r" in text:  # Arrow's reader expects one page on each line
            return None
        reading = pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1)
        try:
            answers = pyarrow.json.read_json(pa.BufferReader(text), reading, self._build_parse_options(pages[0]))
        except pa.ArrowException:
            return None
        items = pc.list_flatten(answers[pages[0].field].combine_chunks())
        # Arrow must find the same pages and items as the decoder that counted them.
        is_whole = answers.num_rows == len(pages) and len(items) == sum(map(len, pages))
        return match_array(items, self._schema, self._key) if is_whole else None

    def _build_parse_options(self, page: RawItems) -> pyarrow.json.ParseOptions:
        fields = [pa.field(page.field, self._items_type)]
        if page.token_field:
            fields.append(pa.field(page.token_field, pa.string()))
        return pyarrow.json.ParseOptions(explicit_schema=pa.schema(fields), unexpected_field_behavior="error")


def _build_read_type(schema: SchemaNode) -> pa.DataType:
    if isinstance(schema, Leaf):
        return _READ_TYPES[schema.type]
    if isinstance(schema, List):
        return pa.list_(_build_read_type(schema.element or Leaf()))
    return pa.struct([(name, _build_read_type(child)) for name, child in schema.fields.items()])
