"""Read a page as text: check that it is JSON, and decode only the number of items, their Arns and the page token.

No item becomes a Python object here. A page of an unusual form is not decoded here but parsed completely instead.
"""

import re
from typing import Any

import msgspec

from appstream_export.contracts import Contract
from appstream_export.json_text import RawItems

_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")  # an escaped letter in a name, which a search for the name misses


class PageDecoder:
    """Decoder of pages with their items in field `items`, Arns in field `arn` of an item, next token in `token`.

    A page with any other member has an unusual form.
    """

    def __init__(self, items: str, arn: str | None, token: str | None) -> None:
        self._items, self._token = items, token
        self._names = [f'"{name}"'.encode() for name in (items, token) if name]
        self._decoder = msgspec.json.Decoder(_build_page_type(items, arn, token))

    @classmethod
    def create_if_flat(cls, contract: Contract, token: str | None) -> "PageDecoder | None":
        """Return the decoder of a contract's pages, or None if items are no structures or a path has dots."""
        arn = next((c.source for c in contract.item_table.answer_columns if c.name == "arn"), None)
        is_nested = any("." in field for field in (contract.items, arn or "", token or ""))
        is_nested = is_nested or contract.has_map_items or contract.has_text_items
        return None if is_nested else cls(contract.items, arn, token)

    def decode_page(self, body: bytes) -> tuple[RawItems, str | None] | None:
        """Return a page's items as text, and the next page's token; None if the page has an unusual form."""
        if not _is_utf8(body) or self._has_repeated_name(body):  # msgspec does not validate texts that it skips
            return None
        try:
            page = self._decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
        return RawItems(body, self._items, self._token, [item.arn for item in page.items]), (
            page.token if self._token else None
        )

    def _has_repeated_name(self, body: bytes) -> bool:
        """Return whether the item list or the token may occur twice: msgspec would silently use the last one."""
        return any(body.count(name) > 1 for name in self._names) or (
            b"\\u00" in body and _ESCAPED_LETTER.search(body) is not None
        )


def _build_page_type(items: str, arn: str | None, token: str | None) -> Any:
    item = msgspec.defstruct("Item", [("arn", str | None, None)], rename={"arn": arn or "arn"})
    fields: list[Any] = [("items", list[item])]  # ty: ignore[invalid-type-form]
    if token:
        fields.append(("token", str | None, None))
    return msgspec.defstruct("Page", fields, rename={"items": items, "token": token or ""}, forbid_unknown_fields=True)


def _is_utf8(body: bytes) -> bool:
    try:
        return body.isascii() or bool(body.decode())
    except UnicodeDecodeError:
        return False
