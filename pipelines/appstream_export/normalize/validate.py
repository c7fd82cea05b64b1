"""The slow path: validate each item, retain valid values, and quarantine the rest with its raw JSON."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from appstream_export.json_text import RepeatedKeys
from appstream_export.normalize.item_schema import Leaf, List, Map, SchemaNode, Struct
from appstream_export.normalize.maps import build_map_rows
from appstream_export.normalize.schema_match import EARLIEST_S, LATEST_S

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ValidationIssue:
    """A difference from the contract. `level` is item, element, value, or field (an unknown one, which is retained)."""

    path: str
    level: str
    reason: str
    raw: Any

    @property
    def raw_json(self) -> str:
        """The raw value as JSON that any reader accepts."""
        return encode_raw_json(self.raw)


@dataclass(slots=True)
class ValidatedItem:
    """A validated item. `value` fits the contract's Arrow type; it is None if the whole item goes to quarantine."""

    value: dict[str, Any] | None
    extra: dict[str, Any]
    issues: list[ValidationIssue] = field(default_factory=list)


def validate_item(item: Any, schema: Struct, key: list[str]) -> ValidatedItem:
    """Validate a raw item: unknown fields go to `extra`, invalid values to `issues`, the rest to `value`."""
    if not isinstance(item, dict):
        return ValidatedItem(
            None, {}, [ValidationIssue("", "item", f"expected an object, got {_get_json_type(item)}", item)]
        )
    reader = _ItemValidator()
    value, extra = reader.read_struct(item, schema, "")
    for path in key:
        if not get_value_at_path(value, path):
            return ValidatedItem(
                None, {}, [ValidationIssue(path, "item", "no key: the item cannot be identified", item)]
            )
    return ValidatedItem(value, extra, reader.issues)


def encode_raw_json(value: Any) -> str:
    """Return compact JSON. Lone surrogates, which UTF-8 cannot encode, stay escaped; infinities become text.

    An object with a repeated key becomes a list of pairs, because readers would show only one of the values.
    """
    try:
        text = json.dumps(
            value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_get_repeated_pairs
        )
    except ValueError:  # JSON has neither infinities nor NaN
        return encode_raw_json(_replace_infinities(value))
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: only ASCII escapes can represent it
        return json.dumps(value, separators=(",", ":"), default=_get_repeated_pairs)
    return text


def _get_repeated_pairs(value: RepeatedKeys) -> list[tuple[str, Any]]:
    return value.pairs


def _replace_infinities(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _replace_infinities(v) for k, v in value.items()}
    if isinstance(value, RepeatedKeys):
        return [[k, _replace_infinities(v)] for k, v in value.pairs]
    if isinstance(value, list):
        return [_replace_infinities(v) for v in value]
    return value if not isinstance(value, float) or isfinite(value) else str(value)


class _ValueMismatch(Exception):
    """A value does not fit its column; the message says what was expected and found."""


class _ItemValidator:
    def __init__(self) -> None:
        self.issues: list[ValidationIssue] = []

    def read_value(self, value: Any, schema: SchemaNode, path: str) -> tuple[Any, Any]:
        """Return the valid part of a value, and its unknown fields in their places, or None without any."""
        if isinstance(schema, Leaf):
            return self.read_leaf(value, schema, path), None
        if isinstance(schema, Struct):
            return self.read_struct(value, schema, path + ".")
        if isinstance(schema, Map):
            return self.read_list(build_map_rows(value), schema, path)
        return self.read_list(value, schema, path)

    def read_leaf(self, value: Any, schema: Leaf, path: str) -> Any:
        try:
            return None if value is None else _LEAF_PARSERS[schema.type](value)
        except _ValueMismatch as wrong:
            self.issues.append(ValidationIssue(path, "value", str(wrong), value))
            return None

    def read_struct(self, value: dict[str, Any], schema: Struct, prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
        known, extra = {}, {}
        for name, child in value.items():
            path = prefix + name
            if name not in schema.fields:
                extra[name] = child
                self.issues.append(ValidationIssue(path, "field", "unknown field", child))
            elif child is not None and not _has_expected_type(child, schema.fields[name]):
                self.issues.append(
                    ValidationIssue(path, "value", _describe_mismatch(child, schema.fields[name]), child)
                )
            elif child is not None:
                known[name], left = self.read_value(child, schema.fields[name], path)
                if left:
                    extra[name] = left
        return known, extra

    def read_list(self, value: list[Any], schema: List, path: str) -> tuple[list[Any], list[Any] | None]:
        kept, left = [], []
        for n, element in enumerate(value):
            # A bad element becomes null instead of being left out, so that later ones retain their positions.
            good, extra = self.read_element(element, schema.element or Leaf(), f"{path}[{n}]")
            kept.append(good)
            left.append(extra or {})
        return kept, left if any(left) else None

    def read_element(self, value: Any, schema: SchemaNode, path: str) -> tuple[Any, Any]:
        if value is None or not _has_expected_type(value, schema):
            self.issues.append(ValidationIssue(path, "element", _describe_mismatch(value, schema), value))
            return None, None
        if not isinstance(schema, Leaf):
            return self.read_value(value, schema, path)
        before = len(self.issues)
        good = self.read_leaf(value, schema, path)
        for n, finding in enumerate(self.issues[before:], before):  # a bad scalar in a list counts as a bad element
            self.issues[n] = ValidationIssue(finding.path, "element", finding.reason, finding.raw)
        return good, None


def _has_expected_type(value: Any, schema: SchemaNode) -> bool:
    return isinstance(schema, Leaf) or isinstance(value, dict if isinstance(schema, Struct | Map) else list)


def _describe_mismatch(value: Any, schema: SchemaNode) -> str:
    expected = {Struct: "an object", Map: "an object", List: "a list"}.get(type(schema), "a value")
    return f"expected {expected}, got {_get_json_type(value)}"


def _get_json_type(value: Any) -> str:
    if isinstance(value, RepeatedKeys):
        return f'object that holds "{value.key}" twice'
    kinds = {dict: "object", list: "list", str: "text", bool: "boolean", int: "number", float: "number"}
    return kinds.get(type(value), "null")


def get_value_at_path(value: Any, path: str) -> Any:
    """Return the value at a dotted path, or None if there is none."""
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _parse_string(value: Any) -> str:
    if not isinstance(value, str):
        raise _ValueMismatch(f"expected text, got {_get_json_type(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _ValueMismatch("text with a lone surrogate, which is not valid Unicode") from None
    return value


def _parse_integer(value: Any) -> int:
    # JSON does not distinguish 200 from 200.0, so neither does the export.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _ValueMismatch(
            f"expected a whole number, got {_get_json_type(value)}"
            + (" with a fraction" if isinstance(value, float) else "")
        )
    if not -(2**63) <= value < 2**63:
        raise _ValueMismatch("whole number larger than 64 bits")
    return value


def _parse_boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _ValueMismatch(f"expected true or false, got {_get_json_type(value)}")
    return value


def _parse_number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):  # in Python, bool is a subclass of int
        raise _ValueMismatch(f"expected a number, got {_get_json_type(value)}")
    if abs(value) > sys.float_info.max:
        raise _ValueMismatch("number beyond double precision")
    return float(value)


def _parse_timestamp(value: Any) -> int:
    """Convert epoch seconds, or ISO 8601 text with a time zone, to microseconds since 1970 in UTC."""
    if isinstance(value, str):
        return _parse_iso_timestamp(value)
    seconds = _parse_number(value)
    if not EARLIEST_S <= seconds <= LATEST_S:
        raise _ValueMismatch("time outside the years 1 to 9999")
    return round(seconds * 1_000_000)


def _parse_iso_timestamp(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _ValueMismatch("expected a time, got text") from None
    if moment.tzinfo is None:
        raise _ValueMismatch("time without a time zone")
    # Integers only: a float of seconds loses microseconds in distant years.
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


_LEAF_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "string": _parse_string,
    "integer": _parse_integer,
    "boolean": _parse_boolean,
    "number": _parse_number,
    "timestamp": _parse_timestamp,
    "json": encode_raw_json,
    "ignored": lambda _: None,
}
