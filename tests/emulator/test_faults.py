"""Each fault as bytes on the wire, and what unmodified boto3 makes of it."""

import json
import math
import time
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    PaginationError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from appstream_export.emulator import FAULTS, Emulator, Fault
from appstream_export.emulator.faults import ERROR_FAULTS, ITEM_FAULTS, WIRE_FAULTS, YEAR_10000
from appstream_export.errors import ConfigurationError
from appstream_export.model import Scope
from tests.emulator.wire import ONE, OTHER, client, post

ITEMS: list[dict[str, Any]] = [
    {
        "Name": name,
        "Arn": f"arn:aws:appstream:eu-west-1:111122223333:image-builder/{name}",
        "State": "RUNNING",
        "CreatedTime": 1767225600.25,
        "VpcConfig": {"SubnetIds": ["subnet-1"]},
    }
    for name in ("a", "b", "c")
]
WHOLE = json.dumps({"ImageBuilders": ITEMS}, separators=(",", ":")).encode()


@pytest.fixture
def sick(aws: Emulator) -> Emulator:
    """An AWS with three items in the scope that will fail."""
    aws.put(ONE, *ITEMS)
    return aws


def struck(aws: Emulator, kind: str, **params: Any) -> list[Any]:
    """The items of a page with a fault."""
    aws.fail(ONE, kind)
    return post(aws, **params).json["ImageBuilders"]


def test_every_kind_has_one_line_of_docs() -> None:
    assert FAULTS.keys() == ERROR_FAULTS.keys() | WIRE_FAULTS.keys() | ITEM_FAULTS.keys()
    assert all(doc and "\n" not in doc for doc in FAULTS.values())


def test_an_unknown_kind_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(ConfigurationError, match='did you mean "throttle"'):
        Fault("throtle")
    with pytest.raises(ConfigurationError, match="AssumeRole has none"):
        Fault("truncated", operation="AssumeRole")


@pytest.mark.parametrize(
    ("kind", "status", "code", "words"),
    [
        ("throttle", 400, "ThrottlingException", "Rate exceeded"),
        ("request_limit", 400, "RequestLimitExceededException", "limit exceeded"),
        ("deny", 400, "AccessDeniedException", "not authorized to perform: appstream:DescribeImageBuilders"),
        ("deny_scp", 400, "AccessDeniedException", "with an explicit deny in a service control policy"),
        ("expired", 400, "ExpiredTokenException", "is expired"),
        ("error500", 500, "InternalFailure", "failed"),
    ],
)
def test_a_refusal_has_the_status_code_and_words_of_aws(
    sick: Emulator, kind: str, status: int, code: str, words: str
) -> None:
    sick.fail(ONE, kind)
    seen = post(sick)

    assert (seen.status, seen.json["__type"]) == (status, code)
    assert words in seen.json["message"]
    with pytest.raises(ClientError, match=words) as refused:
        client(sick).describe_image_builders()
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_reset_breaks_tcp_in_mid_body(sick: Emulator) -> None:
    sick.fail(ONE, "reset")
    seen = post(sick)

    assert (seen.status, seen.reset, seen.length) == (200, True, len(WHOLE))
    assert WHOLE.startswith(seen.body)
    assert len(seen.body) < len(WHOLE)
    with pytest.raises((ConnectionClosedError, ResponseStreamingError)):
        client(sick).describe_image_builders()


def test_boto3_asks_again_after_a_reset(sick: Emulator) -> None:
    sick.fail(ONE, "reset", times=1)
    twice = client(sick, config=Config(retries={"total_max_attempts": 2}))

    assert len(twice.describe_image_builders()["ImageBuilders"]) == 3


def test_a_truncated_body_fits_its_length_and_boto3_takes_it_for_an_empty_answer(sick: Emulator) -> None:
    sick.fail(ONE, "truncated")
    seen = post(sick)

    assert (seen.status, seen.reset, seen.length) == (200, False, len(seen.body))
    assert WHOLE.startswith(seen.body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(seen.body)
    assert "ImageBuilders" not in client(sick).describe_image_builders()


def test_a_short_body_ends_before_its_length_and_boto3_takes_it_for_an_empty_answer(sick: Emulator) -> None:
    sick.fail(ONE, "short_body")
    seen = post(sick)

    assert (seen.status, seen.reset, seen.length) == (200, False, len(WHOLE))
    assert len(seen.body) < seen.length
    assert "ImageBuilders" not in client(sick).describe_image_builders()


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("html", b"<!DOCTYPE html>"),
        ("empty_body", b""),
        ("missing_key", b"{}"),
        ("null_list", b'{"ImageBuilders":null}'),
    ],
)
def test_boto3_takes_what_is_no_list_for_an_empty_answer(sick: Emulator, kind: str, begins: bytes) -> None:
    sick.fail(ONE, kind)
    seen = post(sick)

    assert (seen.status, seen.length) == (200, len(seen.body))
    assert seen.body == begins or (kind == "html" and seen.body.startswith(begins))
    assert not client(sick).describe_image_builders().get("ImageBuilders")


def test_even_an_empty_scope_is_damaged_beyond_reading(aws: Emulator) -> None:
    aws.fail(ONE, "truncated")

    with pytest.raises(json.JSONDecodeError):
        json.loads(post(aws).body)


def test_a_slow_answer_comes_whole_after_its_delay(sick: Emulator) -> None:
    sick.fail(ONE, "slow", delay_s=0.3, times=1)
    begin = time.monotonic()

    assert post(sick).body == WHOLE
    assert time.monotonic() - begin >= 0.3
    sick.fail(ONE, "slow", delay_s=60)
    with pytest.raises(ReadTimeoutError):
        client(sick, config=Config(read_timeout=0.2, retries={"total_max_attempts": 1})).describe_image_builders()


def tokens(aws: Emulator, asked: int) -> list[str | None]:
    """The tokens of a scan that never gives up."""
    found: list[str | None] = [None]
    for _ in range(asked):
        params: dict[str, Any] = {"NextToken": found[-1]} if found[-1] else {}
        found.append(post(aws, **params).json.get("NextToken"))
    return found[1:]


def test_a_repeated_token_comes_twice_in_a_row_and_boto3_notices(sick: Emulator) -> None:
    sick.fail(ONE, "repeated_token")
    first, second = tokens(sick, 2)

    assert first == second is not None
    with pytest.raises(PaginationError):
        list(client(sick).get_paginator("describe_image_builders").paginate())


def test_a_token_cycle_goes_a_b_a_b_and_boto3_does_not_notice(sick: Emulator) -> None:
    sick.fail(ONE, "token_cycle")
    a, b, again, *_ = tokens(sick, 4)

    assert a == again != b
    pages = client(sick).get_paginator("describe_image_builders").paginate(PaginationConfig={"MaxItems": 10_000})
    assert sum(1 for _, _ in zip(range(30), pages, strict=False)) == 30


def test_endless_empty_pages_have_ever_fresh_tokens(sick: Emulator) -> None:
    sick.fail(ONE, "endless_empty")

    assert len(set(tokens(sick, 20))) == 20
    assert post(sick).json["ImageBuilders"] == []


def test_an_endless_scan_ends_where_it_heals(sick: Emulator) -> None:
    sick.fail(ONE, "endless_empty", times=2)

    assert tokens(sick, 3)[-1] is None


def test_duplicates_come_on_the_same_page_and_on_later_ones(sick: Emulator) -> None:
    sick.fail(ONE, "duplicate_items")
    first = post(sick, MaxResults=2).json
    second = post(sick, MaxResults=2, NextToken=first["NextToken"]).json

    assert [i["Name"] for i in first["ImageBuilders"]] == ["a", "b", "a"]
    assert [i["Name"] for i in second["ImageBuilders"]] == ["c", "a"]
    assert second["ImageBuilders"][-1] == ITEMS[0] | {"Description": "seen again on page 1"}


def test_unknown_fields_stand_at_the_top_in_the_vpc_and_in_an_error_and_boto3_drops_them(sick: Emulator) -> None:
    first, second, _ = struck(sick, "unknown_field")

    assert first["VpcConfig"].keys() == {"SubnetIds", "IpamPoolId"}
    assert first["ImageBuilderErrors"][0]["Severity"] == "LOW"
    assert second == ITEMS[1] | {"HibernationConfig": {"Enabled": True, "TimeoutInMinutes": 60}}
    assert "HibernationConfig" not in client(sick).describe_image_builders()["ImageBuilders"][0]


def test_an_unknown_state_passes_through_boto3(sick: Emulator) -> None:
    assert [i["State"] for i in struck(sick, "unknown_enum")] == ["HIBERNATING", "RUNNING", "RUNNING"]
    assert client(sick).describe_image_builders()["ImageBuilders"][0]["State"] == "HIBERNATING"


def test_wrong_types_are_dealt_out_and_two_items_are_none(sick: Emulator) -> None:
    first, second, third, *none = struck(sick, "wrong_types")

    assert none == ["not an item", None]
    assert isinstance(first["VpcConfig"]["SubnetIds"], str)
    assert (second["DisplayName"], second["VpcConfig"]) == (42, "vpc-0123456789abcdef0")
    assert third["Platform"] == {"Name": "WINDOWS"}
    assert first["RootVolumeConfig"] == {"VolumeSizeInGb": 200.5}
    with pytest.raises((AttributeError, ValueError, TypeError)):
        client(sick).describe_image_builders()


def test_bad_timestamps_are_text_year_10000_and_nan_and_boto3_loses_the_page(sick: Emulator) -> None:
    sick.fail(ONE, "bad_timestamp")
    seen = post(sick)
    text, far, nan = [item["CreatedTime"] for item in seen.json["ImageBuilders"]]

    assert (text, far, math.isnan(nan), b"NaN" in seen.body) == ("yesterday", YEAR_10000, True, True)
    with pytest.raises(ValueError, match="yesterday"):
        client(sick).describe_image_builders()


def test_a_foreign_arn_names_another_account(sick: Emulator) -> None:
    arns = [item["Arn"].split(":")[4] for item in struck(sick, "foreign_arn")]

    assert arns == ["999999999999", "111122223333", "111122223333"]


def test_an_item_without_a_name_is_the_same_otherwise(sick: Emulator) -> None:
    first, *rest = struck(sick, "no_name")

    assert {"Name": "a"} | first == ITEMS[0]
    assert "Name" not in first
    assert rest == ITEMS[1:]


def test_bad_elements_stand_in_lists_of_a_good_item(sick: Emulator) -> None:
    first, *rest = struck(sick, "bad_element")

    assert first["VpcConfig"]["SubnetIds"] == ["subnet-1", None, 7]
    assert first["ImageBuilderErrors"] == ["INTERNAL_SERVICE_ERROR"]
    assert rest == ITEMS[1:]


@pytest.mark.parametrize("kind", FAULTS)
def test_no_fault_touches_what_is_held_or_other_scopes(sick: Emulator, kind: str) -> None:
    sick.put(OTHER, {"Name": "well"})
    sick.fail(ONE, Fault(kind, delay_s=0.01))
    post(sick)

    assert sick.list_items(ONE) == ITEMS
    assert post(sick, OTHER).json == {"ImageBuilders": [{"Name": "well"}]}
    sick.heal()
    assert post(sick).body == WHOLE


def test_a_fault_strikes_as_often_as_it_was_told_and_the_next_follows(sick: Emulator) -> None:
    sick.fail(ONE, "throttle", times=2)
    sick.fail(ONE, "deny", times=1)
    codes = [post(sick).json.get("__type") for _ in range(4)]

    assert codes == ["ThrottlingException", "ThrottlingException", "AccessDeniedException", None]


def test_a_fault_can_wait_for_a_page(sick: Emulator) -> None:
    sick.fail(ONE, "throttle", page=1)
    first = post(sick, MaxResults=2).json

    assert len(first["ImageBuilders"]) == 2
    assert post(sick, MaxResults=2, NextToken=first["NextToken"]).json["__type"] == "ThrottlingException"


def test_patterns_choose_scopes_and_heal_by_name_or_pattern(sick: Emulator) -> None:
    sick.fail("*/eu-west-1", "deny")
    sick.fail(str(OTHER), "deny")

    def statuses() -> list[int]:
        return [post(sick, scope).status for scope in (ONE, Scope("444455556666", "eu-west-1"), OTHER)]

    assert statuses() == [400, 400, 400]
    sick.heal("*/us-east-1")
    assert statuses() == [400, 400, 200]
    sick.heal()
    assert statuses() == [200, 200, 200]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("deny", "AccessDenied"),
        ("throttle", "Throttling"),
        ("expired", "ExpiredToken"),
        ("error500", "InternalFailure"),
    ],
)
@pytest.mark.parametrize("operation", ["AssumeRole", "GetCallerIdentity"])
def test_sts_fails_by_account_in_its_own_protocol(aws: Emulator, operation: str, kind: str, code: str) -> None:
    sts = client(aws, ONE, service="sts")
    aws.fail(f"{ONE.account_id}/*", kind, operation=operation)

    ask, role = {
        "AssumeRole": (
            sts.assume_role,
            {"RoleArn": f"arn:aws:iam::{ONE.account_id}:role/r", "RoleSessionName": "test"},
        ),
        "GetCallerIdentity": (sts.get_caller_identity, {}),
    }[operation]

    with pytest.raises(ClientError) as refused:
        ask(**role)
    assert refused.value.response["Error"]["Code"] == code
    assert (
        client(aws, Scope("444455556666", "eu-west-1"), service="sts").get_caller_identity()["Account"]
        == "444455556666"
    )


def test_organizations_can_be_denied(aws: Emulator) -> None:
    aws.create_organization({ONE.account_id: "a"})
    aws.fail("*", "deny", operation="ListAccounts")

    with pytest.raises(ClientError, match="AccessDeniedException"):
        client(aws, ONE, service="organizations").list_accounts()
