"""JSON of AWS is read as Python reads it; only what Python would not read whole, or drop, differs."""

import json

import pytest
from hypothesis import example, given, strategies as st

from appstream_export.json_text import RepeatedKeys, read_json

NUMBERS = [
    "-0",
    "-0.0",
    "1e5",
    "1E400",
    "01",
    "1.",
    ".5",
    "+1",
    "NaN",
    "-Infinity",
    "Inf",
    "9" * 19,
    "9" * 150,
    "0.1e-400",
]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\\ud800", "\x00", "é"])
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """JSON, with numbers as Python would not write them, and perhaps broken in one place."""
    text = json.dumps(
        {"ImageBuilders": draw(st.lists(VALUES, max_size=3)), "Odd": "<odd>"}, ensure_ascii=draw(st.booleans())
    )
    body = text.replace('"<odd>"', draw(st.sampled_from(NUMBERS))).encode("utf-8", "surrogatepass")
    place = draw(st.integers(0, len(body)))
    return (
        body[:place]
        + draw(st.sampled_from([b"", b"\\", b"\x00", b"\xff", b"\n", b",", b'"', b"}", b"0"]))
        + body[place:]
    )


@pytest.mark.slow
@given(bodies())
@example(b'\xef\xbb\xbf{"ImageBuilders": []}')
@example('{"ImageBuilders": []}'.encode("utf-16"))
@example(b'{"ImageBuilders": []} {}')
@example(b'{"ImageBuilders": [%s]}' % (b"9" * 5000))
@example(b"[" * 100_000)
def test_whatever_bytes_come_they_are_read_or_refused(body: bytes) -> None:
    found = read_json(body)

    try:
        expected = json.loads(body, parse_constant=str)
    except (ValueError, RecursionError):
        expected = None
    if "RepeatedKeys" not in repr(found) and b"9999" not in body:
        assert repr(found) == repr(expected)


def test_an_object_with_a_repeated_key_is_no_dict_and_keeps_both_values() -> None:
    found = read_json(b'[{"Name": "a", "Name": "b"}]')

    assert isinstance(found, list)
    (value,) = found
    assert isinstance(value, RepeatedKeys)
    assert (value.key, value.pairs) == ("Name", [("Name", "a"), ("Name", "b")])
