"""Read the keys of a contract that say how its operation is called: inputs, pages, limits, and the calls to make."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from appstream_export.errors import suggest_correction

MONTH = "month"
"""The name of the placeholder for the month of the run, such as 2026-11."""
CALL_KEYS = frozenset({"with", "pages", "action"})
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_MEMBER = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_ACTION = re.compile(r"(?P<prefix>[a-z0-9-]+):(?P<name>[A-Z][A-Za-z0-9]*)")
_PAGES_EXAMPLE = 'pages = { token = "NextToken", size = "MaxResults" }'


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRules:
    """How an operation is called. The default is one paged call per scope, without input."""

    inputs: Mapping[str, Any] = field(default_factory=dict)
    """`with`: the values of members of the request. Texts may hold placeholders, such as `{month}`."""
    token: str | None = None
    """`pages.token`: the member of answer and request that is the page token, if botocore has no paginator."""
    page_size: str | None = None
    """`pages.size`: the member of the request that limits a page."""
    action: str | None = None
    """The IAM action, if it is not service:operation."""

    @property
    def placeholders(self) -> frozenset[str]:
        """The names in braces in all inputs."""
        return frozenset(name for text in walk_texts(self.inputs) for name in _PLACEHOLDER.findall(text))


RaiseError = Callable[..., NoReturn]


def read_call_rules(raw: Mapping[str, Any], operation: str, raise_error: RaiseError) -> CallRules:
    """Return the call rules of a parsed file; `raise_error` raises for a place, a problem and a fix."""
    rules = CallRules(
        inputs=_read_inputs(raw, raise_error),
        action=_read_action(raw, operation, raise_error),
        **_read_pages(raw, raise_error),
    )
    if unknown := sorted(rules.placeholders - {MONTH}):
        what = f"with: {{{unknown[0]}}} has no value"
        raise_error("", what, fix="only {month}, the month of the run, is known here")
    return rules


def fill_inputs(value: Any, values: Mapping[str, str]) -> Any:
    """Return a copy of the inputs with every placeholder replaced; raises KeyError for a name without a value."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: values[found[1]], value)
    if isinstance(value, Mapping):
        return {name: fill_inputs(child, values) for name, child in value.items()}
    return [fill_inputs(child, values) for child in value] if isinstance(value, list | tuple) else value


def walk_texts(value: Any) -> Iterator[str]:
    """Yield every text in a value of TOML, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for child in value.values() if isinstance(value, Mapping) else value:
            yield from walk_texts(child)


def _read_inputs(raw: Mapping[str, Any], raise_error: RaiseError) -> dict[str, Any]:
    inputs = raw.get("with", {})
    if not isinstance(inputs, dict) or not all(map(_MEMBER.fullmatch, inputs)):
        raise_error("", "with is not a table of inputs", fix='write with = { Type = "PRIVATE" }')
    return inputs


def _read_pages(raw: Mapping[str, Any], raise_error: RaiseError) -> dict[str, str | None]:
    pages = raw.get("pages", {})
    if not isinstance(pages, dict):
        raise_error("", "pages is not a table", fix=f"write {_PAGES_EXAMPLE}")
    for word, value in pages.items():
        if word not in ("token", "size"):
            raise_error("", f'pages: unknown key "{word}"', fix=suggest_correction(word, ["token", "size"]))
        if not isinstance(value, str) or not _MEMBER.fullmatch(value):
            raise_error("", f"pages: {word} is not the name of a member", fix=f"write {_PAGES_EXAMPLE}")
    if pages and "token" not in pages:
        raise_error("", "pages: token is missing", fix=f"write {_PAGES_EXAMPLE}")
    return {"token": pages.get("token"), "page_size": pages.get("size")}


def _read_action(raw: Mapping[str, Any], operation: str, raise_error: RaiseError) -> str | None:
    action = raw.get("action")
    if action is None:
        return None
    found = _ACTION.fullmatch(action) if isinstance(action, str) else None
    if found is None:
        raise_error("", f'action = "{action}" is not an IAM action such as "tag:GetResources"')
    if found["name"] != operation and not re.match(r"(Describe|List)[A-Z]", found["name"]):
        raise_error("", f'action = "{action}" is no read', fix=f"name {operation}, or a Describe or List action")
    return action
