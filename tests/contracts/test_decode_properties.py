"""Whatever JSON a warehouse holds as a contract, a reader gets a contract or one line, and never another error."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from appstream_export.contracts import (
    add_contracts,
    decode_contract,
    encode_contract,
    load_all_contracts,
    load_contract_set,
)
from appstream_export.contracts.call_rules import CALL_KEYS
from appstream_export.contracts.loader import HEADER_KEYS, TABLE_KEYS, add_parent_keys
from appstream_export.errors import ContractError

OWN = load_contract_set()
VALID = {contract.name: json.loads(encode_contract(contract)) for contract in load_all_contracts(None)}
WORDS = sorted(
    {*HEADER_KEYS, *CALL_KEYS, *TABLE_KEYS, "from", "type", "token", "size", "max_calls", "name", "a.b", "a\nb", "{x}"}
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(WORDS)
KEYS = st.sampled_from(WORDS) | st.text(max_size=4)
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=6)


def walk_places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each list or object in a value, with each key or index that it has."""
    for key in [*value] if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from walk_places(value[key])


@st.composite
def changed_contracts(draw: st.DrawFn) -> tuple[str, Any]:
    """A packaged contract in which some values are replaced, added or removed."""
    name = draw(st.sampled_from(sorted(VALID)))
    raw = json.loads(json.dumps(VALID[name]))
    for _ in range(draw(st.integers(1, 3))):
        places = [*walk_places(raw)]
        inside, key = places[draw(st.integers(0, len(places) - 1))] if places else (raw, "doc")
        action = draw(st.sampled_from(["replace", "replace", "add", "remove"]))
        if action == "remove":
            del inside[key]
        elif action == "add" and isinstance(inside, dict):
            inside[draw(KEYS)] = draw(VALUES)
        else:
            inside[key] = draw(VALUES)
    return name, raw


def read(name: str, content: bytes) -> None:
    """Read a contract as a reader of a warehouse does; what cannot be used is one line."""
    problem = "none"
    try:
        add_contracts(OWN, [decode_contract(name, content)])
    except ContractError as error:
        problem = str(error)
    assert problem.splitlines() == [problem]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(changed_contracts())
def test_a_changed_contract_is_read_or_refused_in_one_line(changed: tuple[str, Any]) -> None:
    name, raw = changed
    read(name, json.dumps(raw).encode())


@settings(max_examples=30, deadline=None)
@given(VALUES | st.dictionaries(KEYS, VALUES, max_size=8))
def test_any_json_is_read_or_refused_in_one_line(raw: Any) -> None:
    read("fleets", json.dumps(raw).encode())


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_one_line(content: bytes) -> None:
    read("fleets", content)


def test_contracts_that_are_each_others_parent_do_not_stop_a_reader() -> None:
    bodies = []
    for own, other in (("aaa", "bbb"), ("bbb", "aaa")):
        name, parent = ({"from": source, "type": "string", "doc": "D."} for source in ("Name", "{name}"))
        raw = {word: VALID["fleets"][word] for word in ("doc", "service", "operation", "items")}
        raw |= {"item_name": f"{own}_item", "per": other, "with": {"Name": "{name}"}}
        raw[own] = {"doc": "D.", "key": ["name", "parent_name"], "name": name, "parent_name": parent}
        bodies.append(decode_contract(own, json.dumps(raw).encode()))

    assert [contract.name for contract in add_contracts((), bodies)] == ["aaa", "bbb"]
    assert len(add_parent_keys(bodies[:1] * 2)) == 2
