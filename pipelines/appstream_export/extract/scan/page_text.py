"""The text of a page, and what is read of it before it counts: that it is JSON, its items' number and Arns, its token.

No item becomes a Python object here. A page that is not as usual is not decoded: it is parsed whole instead.
"""

import re
from typing import Any

import msgspec

from appstream_export.contracts import Contract
from appstream_export.json_text import RawItems

_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")  # a name of ASCII letters may be written so, and would not be found


class PageDecoder:
    """Decodes pages whose items lie in the field `items`; Arns in the items' field `arn`, the next token in `token`.

    A page with any other member is not as usual.
    """

    def __init__(self, items: str, arn: str | None, token: str | None) -> None:
        self._items, self._token = items, token
        self._names = [f'"{name}"'.encode() for name in (items, token) if name]
        self._decoder = msgspec.json.Decoder(_build_page_type(items, arn, token))

    @classmethod
    def create_if_flat(cls, contract: Contract, token: str | None) -> "PageDecoder | None":
        """Return the decoder of a contract's pages, None where items, Arn or token lie deeper than one field."""
        arn = next((c.source for c in contract.item_table.source_columns if c.name == "arn"), None)
        is_nested = any("." in field for field in (contract.items, arn or "", token or ""))
        return None if is_nested else cls(contract.items, arn, token)

    def decode_page(self, body: bytes) -> tuple[RawItems, str | None] | None:
        """Return a page's items, unread, and the next page's token; None where the page is not as usual."""
        if not _is_utf8(body) or self._has_repeated_name(body):  # msgspec does not look into texts that it skips
            return None
        try:
            page = self._decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
        return RawItems(body, self._items, self._token, [item.arn for item in page.items]), (
            page.token if self._token else None
        )

    def _has_repeated_name(self, body: bytes) -> bool:
        """Return whether the list or the token may come twice: msgspec would take the later one without a word."""
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
