"""Read the keys of a contract that say how its operation is called: inputs, pages, limits, and the calls to make."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from appstream_export.errors import suggest_correction

MONTH = "month"
"""The name of the placeholder for the month of the run, such as 2026-11."""
CALL_KEYS = frozenset({"with", "pages", "action", "once_per", "owned", "per", "only_where", "limits"})
ACCOUNT, ONE_ACCOUNT = "account", "region"
"""Values of `once_per`: in the home region of each account, or in each region of one account."""
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_MEMBER = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_ACTION = re.compile(r"(?P<prefix>[a-z0-9-]+):(?P<name>[A-Z][A-Za-z0-9]*)")
_RESOURCE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LIMITS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "max_calls": ((int,), "a whole number above 0"),
    "max_calls_per_s": ((int, float), "a number above 0"),
}
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
    once_per: str | None = None
    """`account`: one call in each account, in the home region of its partition. `region`: one call in each region, from
    one account, whose id is not part of the scope."""
    owned: bool = True
    """Whether all items are of the scope's account."""
    per: str | None = None
    """The parent resource: one call for each of its rows in the same scope."""
    only_where: str | None = None
    """The parent resource: one call in each scope where it has rows."""
    max_calls: int | None = None
    """The most calls of one task."""
    max_calls_per_s: float | None = None
    """The most calls per second of one task."""

    @property
    def parent(self) -> str | None:
        """The resource whose complete answer must come first."""
        return self.per or self.only_where

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
        once_per=_read_once_per(raw, raise_error),
        owned=_read_owned(raw, raise_error),
        per=_read_parent(raw, "per", raise_error),
        only_where=_read_parent(raw, "only_where", raise_error),
        **_read_pages(raw, raise_error),
        **_read_limits(raw, raise_error),
    )
    _check_combinations(rules, raise_error)
    return rules


def encode_call_rules(rules: CallRules) -> dict[str, Any]:
    """Return the keys of a file that `read_call_rules` reads as these rules."""
    keys: dict[str, Any] = {
        "with": rules.inputs,
        "pages": _drop_unset({"token": rules.token, "size": rules.page_size}),
        "limits": _drop_unset({word: getattr(rules, word) for word in _LIMITS}),
        **{word: getattr(rules, word) for word in ("action", "once_per", "per", "only_where")},
    }
    return {word: value for word, value in keys.items() if value} | ({} if rules.owned else {"owned": False})


def _drop_unset(values: Mapping[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in values.items() if value is not None}


def get_input_name(source: str) -> str | None:
    """Return the parent's column that a column reads (`{name}`), or None if it reads AWS's answer."""
    found = _PLACEHOLDER.fullmatch(source)
    return found[1] if found else None


def _check_combinations(rules: CallRules, raise_error: RaiseError) -> None:
    unknown = sorted(rules.placeholders - {MONTH})
    if unknown and rules.per is None:
        fix = "only {month}, the month of the run, is known without per"
        raise_error("", f"with: {{{unknown[0]}}} has no value", fix=fix)
    if rules.per and not unknown:
        raise_error("", "per: no input differs between its calls", fix='write with = { StackName = "{name}" }')
    if rules.per and rules.only_where:
        raise_error("", "per and only_where exclude each other", fix="remove only_where")
    if rules.once_per == ONE_ACCOUNT and rules.owned:
        raise_error("", 'once_per = "region" reads items of no single account', fix="write owned = false")


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


def _read_pages(raw: Mapping[str, Any], raise_error: RaiseError) -> dict[str, Any]:
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


def _read_once_per(raw: Mapping[str, Any], raise_error: RaiseError) -> str | None:
    once_per = raw.get("once_per")
    if once_per not in (None, ACCOUNT, ONE_ACCOUNT):
        raise_error("", f'once_per = "{once_per}" is neither "{ACCOUNT}" nor "{ONE_ACCOUNT}"')
    return once_per


def _read_owned(raw: Mapping[str, Any], raise_error: RaiseError) -> bool:
    owned = raw.get("owned", True)
    if not isinstance(owned, bool):
        raise_error("", "owned is neither true nor false")
    return owned


def _read_parent(raw: Mapping[str, Any], word: str, raise_error: RaiseError) -> str | None:
    parent = raw.get(word)
    if parent is not None and not (isinstance(parent, str) and _RESOURCE.fullmatch(parent)):
        raise_error("", f'{word} = "{parent}" is not the name of a resource, such as "stacks"')
    return parent


def _read_limits(raw: Mapping[str, Any], raise_error: RaiseError) -> dict[str, Any]:
    limits = raw.get("limits", {})
    if not isinstance(limits, dict):
        raise_error("", "limits must be a table", fix="write [limits], then max_calls = 5000")
    for word, value in limits.items():
        if word not in _LIMITS:
            raise_error("[limits]", f'unknown key "{word}"', fix=suggest_correction(word, list(_LIMITS)))
        kinds, meaning = _LIMITS[word]
        if not isinstance(value, kinds) or isinstance(value, bool) or not 0 < value < float("inf"):
            raise_error("[limits]", f"{word} is not {meaning}")
    return limits


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
