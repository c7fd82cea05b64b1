"""What counts as a page, and how pages follow each other; every answer here is written byte by byte."""

import json
from typing import Any

import pytest

from appstream_export.extract.scan import scan
from appstream_export.extract.scan.page_integrity import find_damage
from tests.extract.asking import EU, A, Asking
from tests.extract.wire import Reply, Seen, Wire, json_reply, page, refusal
from tests.slices import long_but

SCOPE = f"{A}/{EU}"


def damaged(*, body: bytes = b"", **more: Any) -> Reply:
    return Reply(body, **more)


DAMAGED = {
    "cut in its middle": damaged(body=b'{"ImageBuilders": [{"Name": "a"}'),
    "shorter than it said": damaged(body=b'{"ImageBuilders": []}', length=500),
    "longer than it said": damaged(body=b'{"ImageBuilders": []}   ', length=21),
    "a web page": damaged(body=b"<html>sign in to the proxy</html>"),
    "empty": damaged(),
    "blank": damaged(body=b"  \n"),
    "another 2xx": damaged(body=b'{"ImageBuilders": []}', status=202),
    "no content": damaged(status=204),
    "an empty object": damaged(body=b"{}"),
    "a null list": damaged(body=b'{"ImageBuilders": null}'),
    "a list that is text": damaged(body=b'{"ImageBuilders": "abc"}'),
    "a list that is an object": damaged(body=b'{"ImageBuilders": {"Name": "a"}}'),
    "a bare list": damaged(body=b"[]"),
    "a number": damaged(body=b"7"),
    "a literal null": damaged(body=b"null"),
    "not UTF-8": damaged(body=b'{"ImageBuilders": [{"Name": "\xff\xfe"}]}'),
    "nested without end": damaged(body=b'{"ImageBuilders": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a token that is a number": json_reply({"ImageBuilders": [], "NextToken": 7}),
    "a token that is a list": json_reply({"ImageBuilders": [], "NextToken": ["a"]}),
    "an error beside an empty list": json_reply({"__type": "InternalFailure", "ImageBuilders": []}),
    "an error in other words": json_reply({"Error": {"Code": "Throttling"}, "ImageBuilders": [{"Name": "a"}]}),
    "two lists": damaged(body=b'{"ImageBuilders": [{"Name": "a"}], "ImageBuilders": []}'),
    "two lists, one spelled otherwise": damaged(body=rb'{"ImageBuilders": [{"Name": "a"}], "\u0049mageBuilders": []}'),
    "two tokens": damaged(body=b'{"ImageBuilders": [], "NextToken": "2", "NextToken": null}'),
    "more items, but no token": json_reply({"ImageBuilders": [{"Name": "a"}], "IsTruncated": True}),
    "more items, by their name": json_reply({"ImageBuilders": [{"Name": "a"}], "HasMoreImageBuilders": True}),
    "a huge number, then cut": damaged(body=b'{"ImageBuilders": [{"N": ' + b"9" * 5000 + b"}"),
}
# A body longer than Content-Length is complete as far as HTTP can tell.
READABLE = {"longer than it said"}


# Without the raw body nobody can count it; yet no part of an object is an object, so nothing is missing from this one.
READABLE_TO_BOTOCORE = READABLE | {"shorter than it said"}


@pytest.mark.parametrize("length", ["1", "3", "-2", "two"])
def test_a_body_of_another_length_than_its_header_says_is_damaged(length: str) -> None:
    assert find_damage(200, b"{}", {"Content-Length": length}) == f"the answer is incomplete: 2 of {length} bytes"
    assert find_damage(200, b"{}", {"Content-Length": "2"}) is find_damage(200, b"{}", {}) is None


@pytest.mark.parametrize("kind", [k for k in DAMAGED if k not in READABLE_TO_BOTOCORE])
def test_the_compatible_way_takes_no_damaged_answer_for_a_page_either(kind: str, wire: Wire, asking: Asking) -> None:
    asking.extract["use_documented_client_api"] = True
    asking.extract["max_attempts"] = 1
    wire.always(SCOPE, DAMAGED[kind])

    answer = asking.run()

    assert (answer.statuses, len(answer.results), answer.only.api_calls) == ({SCOPE: "malformed"}, 1, 1)


@pytest.mark.parametrize("kind", [k for k in DAMAGED if k not in READABLE])
def test_a_damaged_answer_is_malformed_and_never_an_empty_page(kind: str, wire: Wire, asking: Asking) -> None:
    asking.extract["max_attempts"] = 1  # the next test tries again
    wire.always(SCOPE, DAMAGED[kind])

    answer = asking.run()

    assert answer.statuses == {SCOPE: "malformed"}
    assert len(answer.results) == 1, "a page came of it"
    assert answer.only.request_id == "request-1" or "token" in (answer.only.reason or "")
    assert answer.only.api_calls == 1


@pytest.mark.parametrize("kind", long_but(sorted(DAMAGED), *sorted(DAMAGED)[::4], *READABLE))
def test_one_damaged_answer_is_asked_again(kind: str, wire: Wire, asking: Asking) -> None:
    asking.extract["max_attempts"] = 3
    wire.script(SCOPE, DAMAGED[kind], page("a"))

    answer = asking.run()

    assert answer.statuses == {SCOPE: "ok"}
    assert answer.names() == (["a"] if kind not in READABLE else [])


@pytest.mark.parametrize("is_compatible", [False, True])
def test_an_error_that_only_a_header_names_is_no_page(is_compatible: bool, wire: Wire, asking: Asking) -> None:
    asking.extract["use_documented_client_api"] = is_compatible
    wire.always(SCOPE, json_reply({"ImageBuilders": []}, headers={"x-amzn-ErrorType": "InternalFailure:"}))

    assert asking.run().only.status == "malformed"


def test_the_type_of_a_good_answer_is_no_error(wire: Wire, asking: Asking) -> None:
    kind = "com.amazonaws.photon#DescribeImageBuildersResult"
    wire.script(SCOPE, json_reply({"__type": kind, "ImageBuilders": [{"Name": "a"}]}))

    assert asking.run().names() == ["a"]


def test_members_beside_the_list_come_with_the_page_unless_they_are_empty(wire: Wire, asking: Asking) -> None:
    wire.script(
        SCOPE, json_reply({"ImageBuilders": [], "IsPartial": True, "Warnings": ["late"], "Notes": [], "NextToken": ""})
    )

    (only,) = asking.run().pages

    assert only.other_members == {"$.IsPartial": True, "$.Warnings": ["late"]}


@pytest.mark.parametrize("status", [301, 302])
def test_a_redirect_is_no_page(status: int, wire: Wire, asking: Asking) -> None:
    wire.always(SCOPE, Reply(b'{"ImageBuilders": []}', status, headers={"Location": "http://127.0.0.1:9/"}))

    assert asking.run().only.status == "error"


def test_odd_values_reach_us_as_they_are_and_kill_nothing(wire: Wire, asking: Asking) -> None:
    digits = "9" * 5000
    body = f'{{"ImageBuilders": [{{"Name": "a", "X": NaN, "Y": -Infinity, "Z": {digits}, "N": 12}}, 7, null]}}'
    wire.script(SCOPE, Reply(body.encode()))

    assert asking.run().items() == [{"Name": "a", "X": "NaN", "Y": "-Infinity", "Z": digits, "N": 12}, 7, None]


def test_items_stay_raw_with_fields_that_botocore_does_not_know(wire: Wire, asking: Asking) -> None:
    item = {"Name": "a", "CreatedTime": 1.7e9, "Brand": {"New": [1]}, "VpcConfig": "text"}
    wire.script(SCOPE, page(item))

    assert asking.run().items() == [item]


def test_pages_come_in_order_and_the_outcome_after_them(wire: Wire, asking: Asking) -> None:
    wire.script(SCOPE, page("a", "b", token="1"), page(token="2"), page("c"))

    answer = asking.run()

    assert answer.names() == ["a", "b", "c"]
    assert [getattr(r, "number", "outcome") for r in answer.results] == [0, 1, 2, "outcome"]
    assert [c.params for c in wire.asked("DescribeImageBuilders")] == [{}, {"NextToken": "1"}, {"NextToken": "2"}]
    assert (answer.only.pages, answer.only.items, answer.only.api_calls, answer.only.retries) == (3, 3, 3, 0)
    assert answer.only.attempted_at <= answer.pages[0].observed_at


def test_an_empty_token_is_the_end(wire: Wire, asking: Asking) -> None:
    wire.script(SCOPE, page("a", token=""))

    assert asking.run().statuses == {SCOPE: "ok"}


@pytest.mark.parametrize("tokens", ["aa", "aba", "abca"])
def test_a_token_seen_before_is_a_page_loop(tokens: str, wire: Wire, asking: Asking) -> None:
    wire.script(SCOPE, *(page(f"i{n}", token=t) for n, t in enumerate(tokens)))

    only = asking.run().only

    assert (only.status, only.error_code, only.items) == ("malformed", "PageLoop", 0)
    assert only.api_calls == len(tokens)


def test_empty_pages_with_fresh_tokens_end(wire: Wire, asking: Asking) -> None:
    wire.always(SCOPE, lambda _: page(token=f"{len(wire.calls)}"))

    only = asking.run().only

    assert (only.status, only.api_calls) == ("malformed", scan.EMPTY_PAGES_MAX)
    assert "empty pages in a row" in str(only.reason)


def test_empty_pages_between_items_are_no_fault(wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "EMPTY_PAGES_MAX", 3)
    wire.script(SCOPE, *(page(*names, token=f"{n}") for n, names in enumerate(["", "", "a", "", "", "b"])), page("c"))

    answer = asking.run()

    assert (answer.statuses, answer.names()) == ({SCOPE: "ok"}, ["a", "b", "c"])


def test_pages_without_end_end(wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "PAGES_MAX", 20)
    wire.always(SCOPE, lambda _: page(f"i{len(wire.calls)}", token=f"{len(wire.calls)}"))

    only = asking.run().only

    assert (only.status, only.items, only.pages) == ("malformed", 0, 19)


@pytest.mark.parametrize("code", ["InvalidNextTokenException", "ExpiredTokenPage", "ValidationException"])
def test_a_page_token_that_expired_restarts_the_scan_from_its_first_page(code: str, wire: Wire, asking: Asking) -> None:
    code = "ExpiredPaginationTokenException" if code == "ExpiredTokenPage" else code
    wire.script(
        SCOPE, page("a", token="1"), refusal(code, "the next token is not valid"), page("a", token="2"), page("b")
    )

    answer = asking.run()

    assert answer.statuses == {SCOPE: "ok"}
    assert [(p.number, [i["Name"] for i in p.items]) for p in answer.pages] == [
        (0, ["a"]),
        (0, ["a"]),
        (1, ["b"]),
    ]
    assert answer.names() == ["a", "b"]
    assert [c.params.get("NextToken") for c in wire.asked("DescribeImageBuilders")] == [None, "1", None, "2"]
    assert (answer.only.items, answer.only.pages, answer.only.api_calls) == (2, 2, 4)


def test_a_scan_restarts_three_times_and_no_more(wire: Wire, asking: Asking) -> None:
    def answer(seen: Seen) -> Reply:
        return refusal("InvalidNextTokenException") if seen.params else page("a", token=f"{len(wire.calls)}")

    wire.always(SCOPE, answer)

    only = asking.run().only

    assert (only.status, only.error_code, only.api_calls) == ("error", "InvalidNextTokenException", 8)


def test_an_arn_of_another_account_region_or_partition_refuses_the_scope(wire: Wire, asking: Asking) -> None:
    for arn in (
        f"arn:aws:appstream:{EU}:999999999999:image-builder/a",
        f"arn:aws:appstream:us-east-1:{A}:image-builder/a",
        f"arn:aws-cn:appstream:{EU}:{A}:image-builder/a",
    ):
        wire.calls.clear()
        wire.script(SCOPE, page("mine", token="1"), page({"Name": "a", "Arn": arn}))
        answer = asking.run()

        assert answer.statuses == {SCOPE: "mismatched"}
        assert (answer.only.items, answer.only.api_calls) == (0, 2)
        assert arn in str(answer.only.reason)


def test_an_arn_without_account_or_that_is_none_is_only_a_value(wire: Wire, asking: Asking) -> None:
    items = [{"Name": "a", "Arn": v} for v in ("arn:aws:appstream:::image-builder/a", "nonsense", 7, None, "arn:")]
    wire.script(SCOPE, page(*items))

    assert asking.run().items() == items


def listing(names: list[str], size: int, seen: Seen) -> Reply:
    """AWS's own paging over `names`: tokens are positions."""
    start = int(seen.params.get("NextToken", 0))
    size = seen.params.get("MaxResults", size)
    wanted = seen.params.get("Names")
    if wanted:
        if not set(wanted) <= set(names):
            return refusal("ResourceNotFoundException", "no such builder")
        return page(*[n for n in names if n in wanted])
    token = str(start + size) if start + size < len(names) else None
    return page(*names[start : start + size], token=token)


NAMES = [f"b{n:02}" for n in range(23)]


def test_page_size_goes_to_aws_by_its_own_word(wire: Wire, asking: Asking) -> None:
    wire.always(SCOPE, lambda seen: listing(NAMES, 5, seen))

    answer = asking.run(page_size=10)

    assert answer.names() == NAMES
    assert [c.params["MaxResults"] for c in wire.asked("DescribeImageBuilders")] == [10, 10, 10]
    assert answer.only.status == "ok"


def test_names_are_asked_of_aws_and_only_they_come(wire: Wire, asking: Asking) -> None:
    wire.always(SCOPE, lambda seen: listing(NAMES, 5, seen))

    answer = asking.run(names=("b03", "b20"))

    assert answer.names() == ["b03", "b20"]
    assert (answer.only.status, answer.only.reason) == ("filtered", "only the names b03, b20 were requested")
    assert answer.only.api_calls == 1


def test_one_unknown_name_fails_nothing(wire: Wire, asking: Asking) -> None:
    wire.always(SCOPE, lambda seen: listing(NAMES, 5, seen))

    answer = asking.run(names=("b03", "nobody", "b20"))

    assert answer.names() == ["b03", "b20"]
    assert answer.only.status == "filtered"
    assert answer.only.reason == "only the names b03, nobody, b20 were requested; not found: nobody"


@pytest.mark.parametrize("chunk", [3, 5, 7, 23])
@pytest.mark.parametrize("names", [(), ("b00", "b07", "b08", "b22", "nobody")])
def test_chunks_resumed_to_the_end_equal_one_full_run(
    chunk: int, names: tuple[str, ...], wire: Wire, asking: Asking
) -> None:
    wire.always(SCOPE, lambda seen: listing(NAMES, 5, seen))
    got: list[str] = []
    token = None
    for _ in range(30):
        answer = asking.run(max_items=chunk, names=names, starting_token=token)
        got += answer.names()
        token = answer.only.resume_token
        if token is None:
            break
        assert answer.only.status == "filtered"

    assert got == ([n for n in NAMES if n in names] if names else NAMES)


def test_a_limit_that_the_scope_fits_in_is_a_complete_answer(wire: Wire, asking: Asking) -> None:
    wire.always(SCOPE, lambda seen: listing(NAMES, 5, seen))

    assert asking.run(max_items=100).only.status == "ok"
    assert asking.run(max_items=23).only.status == "ok"

    cut = asking.run(max_items=22).only
    assert (cut.status, cut.items) == ("filtered", 22)
    assert cut.reason == "cut after 22 items; the next run starts at resume_token"


def test_a_cut_resumes_exactly_even_with_another_page_size(wire: Wire, asking: Asking) -> None:
    wire.always(SCOPE, lambda seen: listing(NAMES, 5, seen))
    token = asking.run(max_items=9).only.resume_token

    assert asking.run(starting_token=token, page_size=3).names() == NAMES[9:]


def test_a_token_of_awss_own_starts_there(wire: Wire, asking: Asking) -> None:
    wire.always(SCOPE, lambda seen: listing(NAMES, 5, seen))

    answer = asking.run(starting_token="15")

    assert answer.names() == NAMES[15:]
    assert (answer.only.status, answer.only.reason) == ("filtered", "started at a token, not at the first item")


@pytest.mark.slow
def test_a_large_page_of_thousands_is_read_whole(wire: Wire, asking: Asking) -> None:
    items = [{"Name": f"b{n}", "Description": "x" * 200} for n in range(5000)]
    wire.script(SCOPE, Reply(json.dumps({"ImageBuilders": items}).encode()))

    assert asking.run().only.items == 5000
