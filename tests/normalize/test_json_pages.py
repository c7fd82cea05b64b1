"""Pages read as text in C++ and pages read item by item leave the same: tables, quarantine, drift, counts."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import event, example, given, settings, strategies as st

from appstream_export.contracts import load_contracts
from appstream_export.normalize import TaskBatch, TaskBatcher
from appstream_export.normalize.json_pages import RawItems, RawReader, read_odd_json
from tests.factories import image_builder, page
from tests.normalize.test_flatten_properties import odd, plain

CONTRACT = next(c for c in load_contracts() if c.name == "image_builders")
READER = RawReader.create_if_supported(CONTRACT, "NextToken")
KNOWN = {("image_builders", "state"): ("RUNNING",)}
NUMBERS = ["-0", "-0.0", "1e5", "1E400", "1.0", "01", "+1", "NaN", "-Infinity", "Inf", "9" * 19, "9" * 150, "5e-324"]
NUMBERS += ["1750000000.1234565", "99999999999999", "-1e300", "true", "null", '"\\ud800"', '"\\u0000"', '"2026-01-01"']
MARK = "<odd>"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A page as text: usual, odd in a value, or broken in a place."""
    items = draw(st.lists(plain, max_size=4) | st.lists(plain | odd, max_size=4))
    if items and draw(st.booleans()):
        where = draw(st.sampled_from(["Name", "State", "CreatedTime", "DisableIMDSV1", "New"]))
        items[-1] = {**items[-1], where: MARK}
    answer = {"ImageBuilders": items} | draw(st.sampled_from([{}, {"NextToken": "t"}, {"NextToken": None}, {"X": 1}]))
    spaced = draw(st.sampled_from([None, (",", ":"), (" ,\t", " : ")]))
    text = json.dumps(answer, ensure_ascii=draw(st.booleans()), separators=spaced)
    body = text.replace(json.dumps(MARK), draw(st.sampled_from(NUMBERS))).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 4)):
        return body
    place = draw(st.integers(0, len(body)))
    broken = draw(st.sampled_from([b"\\", b"\x00", b"\xff", b"\n", b"\r", b",", b'"', b"}", b"0", b" ", b"{}"]))
    return body[:place] + broken + body[place + draw(st.integers(0, 1)) :]


def gathered(pages: Sequence[Sequence[Any]]) -> tuple[TaskBatch, dict[str, Any]]:
    gatherer = TaskBatcher(CONTRACT, KNOWN)
    for number, items in enumerate(pages):
        gatherer.add(number, replace(page(), items=items))
        gatherer.end_task(number, retain_rows=True)
    found = gatherer.flush()
    return found, {name: table.to_pylist() for name, table in found.tables.items()}


def assert_alike(texts: Sequence[bytes]) -> int:
    """How many of the pages stayed text."""
    assert READER is not None
    heads, raw, parsed = [READER.read_page(text) for text in texts], [], []
    for head, text in zip(heads, texts, strict=True):
        root = read_odd_json(text)
        items = root.get("ImageBuilders") if isinstance(root, dict) else None
        if head is None:
            if isinstance(items, list):  # whatever is no page never comes this far
                raw.append(items)
                parsed.append(items)
            continue
        assert isinstance(root, dict)
        assert isinstance(items, list)
        assert (len(head[0]), head[1]) == (len(items), root.get("NextToken"))
        arns = [item.get("Arn") for item in items]
        assert head[0].has_arn_prefix("arn:") is all(isinstance(arn, str) and arn.startswith("arn:") for arn in arns)
        raw.append(head[0])
        parsed.append(items)
    ours, our_rows = gathered(raw)
    theirs, their_rows = gathered(parsed)
    assert repr(our_rows) == repr(their_rows)
    assert (ours.counts, ours.drift) == (theirs.counts, theirs.drift)
    return sum(isinstance(items, RawItems) for items in raw)


@given(st.lists(bodies(), min_size=1, max_size=3))
@example([b'{"ImageBuilders": [{"Name": "a", "Name": "b"}]}'])
@example([b'{"ImageBuilders": [{"Name": "a"}], "ImageBuilders": []}'])
@example([b'{"ImageBuilders": [{"Name": "a", "State": "\xed\xa0\x80"}]}'])
@example([b'\xef\xbb\xbf{"ImageBuilders": []}'])
@example([b'{"ImageBuilders": []}{"ImageBuilders": []}'])
@example([b'{"ImageBuilders": [%s]}' % b",".join(b'{"Name": "%d"}' % n for n in range(2100))])
@settings(max_examples=100, deadline=None)
def test_whatever_the_text_both_ways_of_reading_leave_the_same(texts: list[bytes]) -> None:
    event(f"{assert_alike(texts)} of {len(texts)} pages as text")


def test_what_one_thread_has_read_another_reads_too_however_deep_it_stands() -> None:
    assert READER is not None
    text = b'{"ImageBuilders": [{"Name": "a", "New": %s}]}' % (b"[" * 800 + b"]" * 800)
    head = READER.read_page(text)
    assert head is not None

    def names(levels: int) -> list[str]:
        return names(levels - 1) if levels else [item["Name"] for item in head[0]]

    assert names(300) == ["a"]


def test_a_usual_page_becomes_rows_without_becoming_objects() -> None:
    assert READER is not None
    text = json.dumps({"ImageBuilders": [image_builder("a", subnets=["s"], CreatedTime=1.75e9)]}).encode()
    head = READER.read_page(text)

    assert head is not None
    assert READER.read_items([head[0], head[0]]) is not None


def test_a_contract_whose_fields_may_hold_anything_is_read_item_by_item() -> None:
    assert RawReader.create_if_supported(replace(CONTRACT, ignored={"Some.Leaf": "why"}), "NextToken") is None
