"""Checks that an AWS answer is a valid page: complete, not an error, no repeated keys, and no further page unread."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from appstream_export.extract.aws import sanitize_text
from appstream_export.json_text import RepeatedKeys

_ERROR_NAMES = frozenset({"__type", "error", "errors", "errorcode", "errormessage", "errortype", "exception", "fault"})
_TOKEN = re.compile(r"token|marker", re.IGNORECASE)
_MORE_PAGES = re.compile(
    r"(is_?)?truncated|has_?more\w*|more(_?(items|pages|results))?|more\w*available", re.IGNORECASE
)


def list_other_members(root: object, items: tuple[str, ...], token: tuple[str, ...]) -> dict[str, Any]:
    """Return the other members of the objects on the path to the item list, by path; empty values are left out."""
    found: dict[str, Any] = {}
    prefix = "$"
    for n, step in enumerate(items):
        if not isinstance(root, dict):
            break
        expected = {step, token[n]} if token[:n] == items[:n] and len(token) > n else {step}
        found |= {f"{prefix}.{k}": v for k, v in root.items() if k not in expected and v not in (None, "", [], {})}
        root, prefix = root.get(step), f"{prefix}.{step}"
    return found


def find_repeated_key(root: object, items: tuple[str, ...]) -> str | None:
    """Return the problem if an object on the path to the item list has a repeated key, else None."""
    for step in items:
        if isinstance(root, RepeatedKeys):
            return f'the answer holds "{root.key}" twice'
        root = root.get(step) if isinstance(root, dict) else None
    return f'the answer holds "{root.key}" twice' if isinstance(root, RepeatedKeys) else None


def find_error_member(root: object, known: Collection[str], result: str | None) -> str | None:
    """Return the error that an answer of status 200 reports, or None. `known` are the members of the model.

    `__type` names an error unless it names `result`, the type of a successful answer, which some services send.
    """
    for name, value in root.items() if isinstance(root, dict) else ():
        is_type = name == "__type" and result is not None and str(value).rpartition("#")[2] == result
        if name.lower() in _ERROR_NAMES and name not in known and value and not is_type:
            return f"the answer is an error: {name} is {value}"
    return None


def find_unread_page(members: Mapping[str, Any], *, is_paged: bool) -> str | None:
    """Return why a page without a token is not the last, or None: it announces more, or has an unknown token."""
    for path, value in members.items():
        name = path.rpartition(".")[2]
        if not is_paged and _TOKEN.search(name) and value:
            return f"the operation should have only one page, but the answer holds {name}"
        if _MORE_PAGES.fullmatch(name) and value is True:
            return f"the answer says {name}, but holds no token for the next page"
    return None


def find_damage(status_code: int, body: bytes, headers: Mapping[str, str]) -> str | None:
    """Return why an answer is not a complete answer of status 200, or None."""
    length = headers.get("Content-Length")
    if status_code != 200:
        return f"HTTP {status_code} instead of 200"
    if error_type := find_error_type(headers):
        return error_type
    if length is not None and str(length) != str(len(body)):
        return f"the answer is incomplete: {len(body)} of {length} bytes"
    return None if body.strip() else "the answer is empty"


def find_error_type(headers: Mapping[str, str]) -> str | None:
    """Return the error in the headers, or None."""
    found = headers.get("x-amzn-ErrorType")
    return sanitize_text(f"the answer is an error: {found}") if found else None


def format_body_start(body: bytes) -> str:
    """Format the first bytes of an answer for a message."""
    return sanitize_text(body[:60].decode("utf-8", "replace"))
