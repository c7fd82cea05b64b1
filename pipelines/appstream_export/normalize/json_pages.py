"""Items that stay text until they are flattened: then C++ reads whole batches, and none becomes a Python object.

Two readers must agree before that counts. `head` sees to it, page by page, that the text is JSON, holds the item list
and the next page's token, and says whose items they are. `rows` takes a batch only if every field is one that the
contract maps and every value is of its type. Whatever either of them does not take is read item by item.
"""

import json
from collections.abc import Callable, Sequence
from itertools import repeat
from json import JSONDecodeError
from threading import Thread
from typing import Any, overload

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from appstream_export.contracts import Contract
from appstream_export.normalize.item_schema import Leaf, List, SchemaNode, build_item_schema, walk_leaves
from appstream_export.normalize.schema_match import NestedArray, match_array

_READ_TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "number": pa.float64(),
    "timestamp": pa.float64(),
}


class RawItems(Sequence[Any]):
    """The items of one page. To look at one of them reads them all."""

    __slots__ = ("_arns", "_field", "body", "reader")

    def __init__(self, reader: "RawReader", body: bytes, field: str, arns: list[str | None]) -> None:
        self.reader, self.body, self._field, self._arns = reader, body, field, arns

    def __len__(self) -> int:
        return len(self._arns)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        return self.parse_items()[place]

    def parse_items(self) -> list[Any]:
        """All of them, as JSON gives them."""
        root = read_json(self.body)
        if root is None:  # `head` has read it, so only the stack can be short: nested a thousand deep
            root = _run_in_new_thread(read_json, self.body)
        assert isinstance(root, dict)  # noqa: S101  `head` has seen it
        return root[self._field]

    def has_arn_prefix(self, prefix: str) -> bool:
        """Whether each item's Arn begins like this; False also where one has none."""
        try:
            return all(map(str.startswith, self._arns, repeat(prefix)))  # ty: ignore[invalid-argument-type]
        except TypeError:
            return False


class RawReader:
    """Reads pages of one contract's operation, whose next token has the name `token`."""

    def __init__(self, contract: Contract, token: str | None) -> None:
        self._field, self._item_schema = contract.items, build_item_schema(contract)
        self._key = [contract.item_table.get_column(name).source for name in contract.item_key]
        arns = [column.source for column in contract.item_table.source_columns if column.name == "arn"]
        self._decoder = msgspec.json.Decoder(_build_page_type(contract.items, arns[0] if arns else None, token))
        known = [pa.field(contract.items, pa.list_(_build_read_type(self._item_schema)))]
        self._parsing = pyarrow.json.ParseOptions(
            explicit_schema=pa.schema([*known, *([pa.field(token, pa.string())] if token else [])]),
            unexpected_field_behavior="error",
        )

    @classmethod
    def create_if_supported(cls, contract: Contract, token: str | None) -> "RawReader | None":
        """None where only a look at each item tells: nested answers, and fields that may hold anything."""
        nested = "." in contract.items + (token or "")
        arn_lies_deep = any("." in c.source for c in contract.item_table.source_columns if c.name == "arn")
        is_typed = all(leaf.type in _READ_TYPES for leaf in walk_leaves(build_item_schema(contract)))
        return cls(contract, token) if is_typed and not nested and not arn_lies_deep else None

    def read_page(self, body: bytes) -> tuple[RawItems, str | None] | None:
        """A page's items, unread, and the next page's token; None where the page is not as usual."""
        if b"\n" in body or b"\r" in body or not _is_utf8(body):  # `rows` reads line by line, and believes in UTF-8
            return None
        try:
            found = self._decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
        return RawItems(self, body, self._field, [item.arn for item in found.items]), found.token

    def read_items(self, pages: Sequence[RawItems]) -> NestedArray | None:
        """All items of the pages, if each is exactly as the contract says; else None."""
        text = b"\n".join(page.body for page in pages)
        reading = pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1)
        try:
            answers = pyarrow.json.read_json(pa.BufferReader(text), reading, self._parsing)
        except pa.ArrowException:
            return None
        lists = answers[self._field].combine_chunks()
        items = pc.list_flatten(lists)
        is_whole = answers.num_rows == len(pages) and len(items) == sum(map(len, pages))
        return match_array(items, self._item_schema, self._key) if is_whole else None


def _build_page_type(items: str, arn: str | None, token: str | None) -> Any:
    """What is read of a page before it counts: how many items there are, and whose."""
    found = msgspec.defstruct("Item", [("arn", str | None, None)], rename={"arn": arn or "arn"})
    return msgspec.defstruct(
        "Answer",
        [("items", list[found]), ("token", str | None, None)],  # ty: ignore[invalid-type-form]
        rename={"items": items, "token": token or "token"},
    )


def _build_read_type(schema: SchemaNode) -> pa.DataType:
    if isinstance(schema, Leaf):
        return _READ_TYPES[schema.type]
    if isinstance(schema, List):
        return pa.list_(_build_read_type(schema.element or Leaf()))
    return pa.struct([(name, _build_read_type(child)) for name, child in schema.fields.items()])


def _is_utf8(body: bytes) -> bool:
    try:
        return body.isascii() or bool(body.decode())
    except UnicodeDecodeError:
        return False


def _run_in_new_thread(read: Callable[[bytes], object], body: bytes) -> object:
    found: list[object] = []
    thread = Thread(target=lambda: found.append(read(body)))
    thread.start()
    thread.join()
    return found[0]


def read_json(body: bytes) -> object | None:
    """Parsed JSON, None for what is none. Odd values (NaN, a number of 5,000 digits) come as text and kill nothing."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return read_odd_json(body)


def read_odd_json(body: bytes) -> object | None:
    """The same, half as quick, and its word counts: it also reads what is odd."""
    try:
        return _load_json(body, int)
    except (JSONDecodeError, UnicodeDecodeError, RecursionError):
        return None


def _load_json(body: bytes, parse_integer: Callable[[str], Any]) -> object:
    try:
        return json.loads(body, parse_constant=str, parse_int=parse_integer)
    except (JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:  # Python refuses integers of more than 4,300 digits
        return _load_json(body, _parse_long_integer)


def _parse_long_integer(digits: str) -> int | str:
    return int(digits) if len(digits) < 100 else digits
