"""Pages read as text in C++ and pages read item by item leave the same: tables, quarantine, drift, counts."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import event, example, given, settings, strategies as st

from appstream_export.contracts import Contract, load_contracts
from appstream_export.extract.scan.page_text import PageDecoder
from appstream_export.json_text import RawItems, read_json
from appstream_export.normalize import TaskBatch, TaskBatcher
from appstream_export.normalize.flatten import Flattener
from appstream_export.normalize.item_schema import build_item_schema
from appstream_export.normalize.json_pages import PageReader
from tests.factories import image_builder, page
from tests.normalize.test_flatten_properties import odd, plain
from tests.slices import EXAMPLES

CONTRACT = next(c for c in load_contracts() if c.name == "image_builders")
DECODER = PageDecoder.create_if_flat(CONTRACT, "NextToken")
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
    assert DECODER is not None
    heads, raw, parsed = [DECODER.decode_page(text) for text in texts], [], []
    for head, text in zip(heads, texts, strict=True):
        root = read_json(text)
        items = root.get("ImageBuilders") if isinstance(root, dict) else None
        if head is None:
            if isinstance(items, list):  # whatever is no page never comes this far
                raw.append(items)
                parsed.append(items)
            continue
        assert isinstance(root, dict)
        assert isinstance(items, list)
        assert (len(head[0]), head[1]) == (len(items), root.get("NextToken"))
        arns = [item.get("Arn") if isinstance(item, dict) else "b" for item in items]
        assert head[0].has_arn_prefix("arn:") is all(isinstance(arn, str) and arn.startswith("arn:") for arn in arns)
        raw.append(head[0])
        parsed.append(items)
    ours, our_rows = gathered(raw)
    theirs, their_rows = gathered(parsed)
    assert repr(our_rows) == repr(their_rows)
    assert (ours.counts, ours.drift) == (theirs.counts, theirs.drift)
    return sum(isinstance(items, RawItems) for items in raw)


@pytest.mark.slow
@EXAMPLES
def test_whatever_the_text_both_ways_of_reading_leave_the_same(examples: int) -> None:
    @given(st.lists(bodies(), min_size=1, max_size=3))
    @example([b'{"ImageBuilders": [{"Name": "a", "Name": "b"}]}'])
    @example([b'{"ImageBuilders": [{"Name": "a"}], "ImageBuilders": []}'])
    @example([b'{"ImageBuilders": [{"Name": "a", "State": "\xed\xa0\x80"}]}'])
    @example([b'\xef\xbb\xbf{"ImageBuilders": []}'])
    @example([b'{"ImageBuilders": []}{"ImageBuilders": []}'])
    @example([b'{"ImageBuilders": [%s]}' % b",".join(b'{"Name": "%d"}' % n for n in range(2100))])
    @settings(max_examples=examples, deadline=None)
    def check(texts: list[bytes]) -> None:
        event(f"{assert_alike(texts)} of {len(texts)} pages as text")

    check()


def test_what_one_thread_has_read_another_reads_too_however_deep_it_stands() -> None:
    assert DECODER is not None
    text = b'{"ImageBuilders": [{"Name": "a", "New": %s}]}' % (b"[" * 800 + b"]" * 800)
    head = DECODER.decode_page(text)
    assert head is not None

    def names(levels: int) -> list[str]:
        return names(levels - 1) if levels else [item["Name"] for item in head[0]]

    assert names(300) == ["a"]


def test_a_usual_page_becomes_rows_without_becoming_objects() -> None:
    assert DECODER is not None
    text = json.dumps({"ImageBuilders": [image_builder("a", subnets=["s"], CreatedTime=1.75e9)]}).encode()
    head = DECODER.decode_page(text)

    assert head is not None
    assert stays_text(CONTRACT, head[0])


def test_a_contract_whose_fields_may_hold_anything_is_read_item_by_item() -> None:
    assert DECODER is not None
    head = DECODER.decode_page(json.dumps({"ImageBuilders": [image_builder("a")]}).encode())
    anything = replace(CONTRACT, ignored={"Some.Leaf": "why"})

    assert head is not None
    assert not stays_text(anything, head[0])
    assert Flattener(anything).flatten_pages([(0, replace(page(), items=head[0]))], 0).tables["image_builders"].num_rows


def test_a_page_of_several_lines_is_read_item_by_item() -> None:
    assert DECODER is not None
    heads = [DECODER.decode_page(b'{"ImageBuilders": [{"Name": "a"%s}]}' % space) for space in (b"", b"\n", b"\r")]

    assert [head and stays_text(CONTRACT, head[0]) for head in heads] == [True, False, False]


def stays_text(contract: Contract, items: RawItems) -> bool:
    """Whether a batch of such pages is flattened without one of them being parsed in Python."""
    reader = PageReader.create_if_typed(build_item_schema(contract), ["Name"])
    return reader is not None and reader.read_items([items, items]) is not None
