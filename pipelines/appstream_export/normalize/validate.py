"""The careful path: look at each item, keep what can be kept, and set the rest aside with its raw JSON."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from appstream_export.normalize.item_schema import Leaf, List, Shape, Struct
from appstream_export.normalize.schema_match import EARLIEST_S, LATEST_S

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as the contract says. `level` is item, element, value, or field (unknown, but kept)."""

    path: str
    level: str
    reason: str
    raw: Any

    @property
    def raw_json(self) -> str:
        """What AWS sent, as JSON that any reader takes."""
        return as_json(self.raw)


@dataclass(slots=True)
class Cleaned:
    """One item after the careful look: `value` fits the contract's Arrow type; None if it went to quarantine whole."""

    value: dict[str, Any] | None
    extra: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)


def clean(item: Any, shape: Struct, key: list[str]) -> Cleaned:
    """Read one raw item. What is unknown goes to `extra`, what is wrong to `findings`, the rest into `value`."""
    if not isinstance(item, dict):
        return Cleaned(None, {}, [Finding("", "item", f"{_kind(item)} where an object is due", item)])
    reader = _Careful()
    value, extra = reader.struct(item, shape, "")
    for path in key:
        if not at(value, path):
            return Cleaned(None, {}, [Finding(path, "item", "no key: the item cannot be told from others", item)])
    return Cleaned(value, extra, reader.findings)


def as_json(value: Any) -> str:
    """Compact JSON; lone surrogates, which no UTF-8 can hold, stay escaped; infinities, which JSON lacks, are text."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return as_json(_without_infinities(value))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def _without_infinities(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_infinities(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_infinities(v) for v in value]
    return value if not isinstance(value, float) or isfinite(value) else str(value)


class _Wrong(Exception):
    """A value is not what its column wants; the text says what it is instead."""


class _Careful:
    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def read(self, value: Any, shape: Shape, path: str) -> tuple[Any, Any]:
        """The value that fits, and what is left over (unknown fields, in their places)."""
        if isinstance(shape, Leaf):
            return self.leaf(value, shape, path), None
        if isinstance(shape, Struct):
            return self.struct(value, shape, path + ".")
        return self.list(value, shape, path)

    def leaf(self, value: Any, shape: Leaf, path: str) -> Any:
        try:
            return None if value is None else _READERS[shape.type](value)
        except _Wrong as wrong:
            self.findings.append(Finding(path, "value", str(wrong), value))
            return None

    def struct(self, value: dict[str, Any], shape: Struct, prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
        known, extra = {}, {}
        for name, child in value.items():
            path = prefix + name
            if name not in shape.fields:
                extra[name] = child
                self.findings.append(Finding(path, "field", "unknown field", child))
            elif child is not None and not _is_of(child, shape.fields[name]):
                self.findings.append(Finding(path, "value", _wanted(child, shape.fields[name]), child))
            elif child is not None:
                known[name], left = self.read(child, shape.fields[name], path)
                if left:
                    extra[name] = left
        return known, extra

    def list(self, value: list[Any], shape: List, path: str) -> tuple[list[Any], list[Any] | None]:
        kept, left = [], []
        for n, element in enumerate(value):
            good, extra = self.element(element, shape.element or Leaf(), f"{path}[{n}]")
            kept.append(good)
            left.append(extra or {})
        return kept, left if any(left) else None

    def element(self, value: Any, shape: Shape, path: str) -> tuple[Any, Any]:
        if value is None or not _is_of(value, shape):
            self.findings.append(Finding(path, "element", _wanted(value, shape), value))
            return None, None
        if not isinstance(shape, Leaf):
            return self.read(value, shape, path)
        before = len(self.findings)
        good = self.leaf(value, shape, path)
        for n, finding in enumerate(self.findings[before:], before):  # a bad scalar in a list is a bad element
            self.findings[n] = Finding(finding.path, "element", finding.reason, finding.raw)
        return good, None


def _is_of(value: Any, shape: Shape) -> bool:
    return isinstance(shape, Leaf) or isinstance(value, dict if isinstance(shape, Struct) else list)


def _wanted(value: Any, shape: Shape) -> str:
    due = {Struct: "an object", List: "a list"}.get(type(shape), "a value")
    return f"{_kind(value)} where {due} is due"


def _kind(value: Any) -> str:
    kinds = {dict: "object", list: "list", str: "text", bool: "boolean", int: "number", float: "number"}
    return kinds.get(type(value), "null")


def at(value: Any, path: str) -> Any:
    """What lies at a dotted path; None where there is nothing."""
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"{_kind(value)} where text is due")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Wrong("text with half a surrogate pair, which is not Unicode") from None
    return value


def _integer(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Wrong(
            f"{_kind(value)} where a whole number is due" + (", with a fraction" if isinstance(value, float) else "")
        )
    if not -(2**63) <= value < 2**63:
        raise _Wrong("whole number beyond 64 bits")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(f"{_kind(value)} where true or false is due")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _Wrong(f"{_kind(value)} where a number is due")
    if abs(value) > sys.float_info.max:
        raise _Wrong("number beyond double precision")
    return float(value)


def _timestamp(value: Any) -> int:
    """Microseconds since 1970 in UTC, from epoch seconds or ISO 8601 text with a zone."""
    if isinstance(value, str):
        return _iso(value)
    seconds = _number(value)
    if not EARLIEST_S <= seconds <= LATEST_S:
        raise _Wrong("time outside the years 1 to 9999")
    return round(seconds * 1_000_000)


def _iso(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _Wrong("text where a time is due") from None
    if moment.tzinfo is None:
        raise _Wrong("time without a zone")
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "string": _string,
    "integer": _integer,
    "boolean": _boolean,
    "number": _number,
    "timestamp": _timestamp,
    "json": as_json,
    "ignored": lambda _: None,
}
