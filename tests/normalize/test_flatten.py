"""Nested items become normalized rows; nothing is lost, nothing is guessed."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from appstream_export.contracts import load_contract, load_contracts
from appstream_export.contracts.model import Contract
from appstream_export.json_text import RawItems
from appstream_export.normalize import TaskBatch, TaskBatcher
from tests.factories import NOON, image_builder, page


def builders() -> Contract:
    return next(c for c in load_contracts() if c.name == "image_builders")


def gathered(*items: Any, contract: Contract | None = None, known: dict | None = None) -> TaskBatch:
    gatherer = TaskBatcher(contract or builders(), known or {})
    gatherer.add(0, page(*items))
    gatherer.end_task(0, retain_rows=True)
    return gatherer.flush()


def rows(result: TaskBatch, table: str, *columns: str) -> list[Any]:
    found = result.tables[table].to_pylist()
    return [tuple(r[c] for c in columns) if len(columns) > 1 else r[columns[0]] for r in found]


def only_row(result: TaskBatch) -> dict[str, Any]:
    (row,) = result.tables["image_builders"].to_pylist()
    return row


def test_subnets_keep_the_order_that_aws_gave() -> None:
    result = gathered(image_builder("a", subnets=["subnet-2", "subnet-1"]))

    assert rows(result, "image_builder_subnets", "position", "subnet_id") == [(0, "subnet-2"), (1, "subnet-1")]


def test_children_point_at_their_own_parent_whatever_their_neighbours_lack() -> None:
    result = gathered(
        image_builder("none"),
        image_builder("empty", subnets=[]),
        image_builder("two", subnets=["subnet-1", "subnet-2"]),
        image_builder("null", VpcConfig=None),
        image_builder("one", subnets=["subnet-3"]),
    )

    assert rows(result, "image_builder_subnets", "image_builder_name", "position", "subnet_id") == [
        ("two", 0, "subnet-1"),
        ("two", 1, "subnet-2"),
        ("one", 0, "subnet-3"),
    ]


def test_every_row_carries_its_scope_and_when_aws_gave_it() -> None:
    result = gathered(image_builder("a", subnets=["subnet-1"], errors=[{"ErrorCode": "X"}]))

    for table in ("image_builders", "image_builder_subnets", "image_builder_errors"):
        assert rows(result, table, "account_id", "region", "observed_at") == [("111122223333", "eu-west-1", NOON)]


def test_an_absent_field_is_null_never_false_or_empty() -> None:
    row = only_row(gathered(image_builder("a")))

    assert {k for k, v in row.items() if v is not None} == {"account_id", "region", "name", "observed_at"}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1_700_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1_700_000_000.123456, datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)),
        (1_700_000_000.999999, datetime(2023, 11, 14, 22, 13, 20, 999999, tzinfo=UTC)),
        ("2023-11-14T23:13:20.123456+01:00", datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)),
        ("2023-11-14T22:13:20Z", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (-1.5, datetime(1969, 12, 31, 23, 59, 58, 500000, tzinfo=UTC)),
    ],
)
def test_times_keep_their_microseconds_in_utc(seconds: float | str, expected: datetime) -> None:
    assert only_row(gathered(image_builder("a", CreatedTime=seconds)))["created_time"] == expected


BAD_VALUES = [
    ("CreatedTime", "yesterday", "expected a time, got text"),
    ("CreatedTime", "2023-11-14T22:13:20", "time without a time zone"),
    ("CreatedTime", "NaN", "expected a time, got text"),
    ("CreatedTime", 253_402_300_800, "time outside the years 1 to 9999"),
    ("CreatedTime", True, "expected a number, got boolean"),
    ("CreatedTime", {"seconds": 1}, "expected a number, got object"),
    ("DisplayName", 7, "expected text, got number"),
    ("DisplayName", "\ud800", "text with a lone surrogate, which is not valid Unicode"),
    ("Platform", ["WINDOWS"], "expected text, got list"),
    ("DisableIMDSV1", "true", "expected true or false, got text"),
    ("DisableIMDSV1", 1, "expected true or false, got number"),
    ("RootVolumeConfig", {"VolumeSizeInGb": 200.5}, "expected a whole number, got number with a fraction"),
    ("RootVolumeConfig", {"VolumeSizeInGb": 2**63}, "whole number larger than 64 bits"),
    ("RootVolumeConfig", {"VolumeSizeInGb": False}, "expected a whole number, got boolean"),
    ("VpcConfig", "vpc-1", "expected an object, got text"),
    ("VpcConfig", {"SubnetIds": "subnet-1"}, "expected a list, got text"),
    ("ImageBuilderErrors", {"ErrorCode": "X"}, "expected a list, got object"),
]


@pytest.mark.parametrize(("field", "value", "reason"), BAD_VALUES)
@pytest.mark.parametrize("company", ["alone", "among good items"])
def test_a_bad_value_is_null_in_a_row_that_lands_and_stands_in_quarantine(
    field: str, value: Any, reason: str, company: str
) -> None:
    others = [] if company == "alone" else [image_builder("b", CreatedTime=1.5e9, DisplayName="B", DisableIMDSV1=True)]
    result = gathered(image_builder("a", State="RUNNING", **{field: value}), *others)

    first = result.tables["image_builders"].to_pylist()[0]
    assert {k for k, v in first.items() if v is not None} == {"account_id", "region", "name", "state", "observed_at"}
    assert rows(result, "quarantine", "item_name", "level", "reason") == [("a", "value", reason)]
    assert result.counts[0].rows == 1 + len(others)


def test_a_whole_number_written_as_a_float_is_that_number() -> None:
    assert (
        only_row(gathered(image_builder("a", RootVolumeConfig={"VolumeSizeInGb": 200.0})))["root_volume_size_gb"] == 200
    )


def test_a_bad_element_is_set_aside_alone_and_leaves_its_place_free() -> None:
    result = gathered(
        image_builder("a", subnets=["subnet-0", None, 7, "subnet-3"], errors=["oops", {"ErrorCode": "X"}])
    )

    assert rows(result, "image_builder_subnets", "position", "subnet_id") == [(0, "subnet-0"), (3, "subnet-3")]
    assert rows(result, "image_builder_errors", "position", "error_code") == [(1, "X")]
    assert rows(result, "quarantine", "path", "level", "raw_json") == [
        ("VpcConfig.SubnetIds[1]", "element", "null"),
        ("VpcConfig.SubnetIds[2]", "element", "7"),
        ("ImageBuilderErrors[0]", "element", '"oops"'),
    ]


@pytest.mark.parametrize("item", ["text", None, 7, [], {}, {"State": "RUNNING"}, {"Name": ""}, {"Name": 7}])
def test_an_item_that_cannot_be_told_from_others_is_set_aside_whole(item: Any) -> None:
    result = gathered(image_builder("good"), item)

    assert rows(result, "image_builders", "name") == ["good"]
    assert rows(result, "quarantine", "level") == ["item"]
    counts = result.counts[0]
    assert (counts.rows, counts.duplicates, counts.quarantined_items) == (1, 0, 1)


def test_unknown_fields_are_kept_in_their_places_and_counted_as_drift() -> None:
    result = gathered(
        image_builder("a", Cores=8, VpcConfig={"SubnetIds": ["subnet-1"], "IpamPoolId": "p"}),
        image_builder("b", Cores=4, errors=[{"ErrorCode": "X"}, {"ErrorCode": "Y", "Hint": "wait"}]),
    )

    assert rows(result, "image_builders", "extra_json") == [
        '{"Cores":8,"VpcConfig":{"IpamPoolId":"p"}}',
        '{"ImageBuilderErrors":[{},{"Hint":"wait"}],"Cores":4}',
    ]
    assert rows(result, "image_builder_errors", "error_code") == ["X", "Y"]
    assert result.drift == {
        ("Cores", "field", "8"): 2,
        ("VpcConfig.IpamPoolId", "field", '"p"'): 1,
        ("ImageBuilderErrors[].Hint", "field", '"wait"'): 1,
    }


def test_a_value_that_botocore_does_not_list_lands_as_it_is_and_counts_as_drift() -> None:
    known = {("image_builders", "state"): ("RUNNING",), ("image_builder_errors", "error_code"): ("X",)}
    result = gathered(image_builder("a", State="HIBERNATING", errors=[{"ErrorCode": "Z"}]), known=known)

    assert only_row(result)["state"] == "HIBERNATING"
    assert result.drift == {("State", "enum", "HIBERNATING"): 1, ("ImageBuilderErrors[].ErrorCode", "enum", "Z"): 1}


def test_of_repeated_items_the_later_wins_with_its_children() -> None:
    gatherer = TaskBatcher(builders(), {})
    gatherer.add(0, page(image_builder("a", State="PENDING", subnets=["old"]), image_builder("b")))
    gatherer.add(0, page(image_builder("a", State="RUNNING", subnets=["new"]), number=1))
    gatherer.end_task(0, retain_rows=True)
    result = gatherer.flush()

    assert sorted(rows(result, "image_builders", "name", "state"), key=str) == [("a", "RUNNING"), ("b", None)]
    assert rows(result, "image_builder_subnets", "subnet_id") == ["new"]
    assert (result.counts[0].rows, result.counts[0].duplicates) == (2, 1)


def test_items_of_one_page_under_one_key_with_other_content_go_to_quarantine_both() -> None:
    gatherer = TaskBatcher(builders(), {})
    gatherer.add(0, page(image_builder("z"), image_builder("z", State="RUNNING")))
    gatherer.add(1, page(image_builder("b"), image_builder("a", subnets=["s"]), image_builder("a", subnets=["t"])))
    for task in (0, 1):
        gatherer.end_task(task, retain_rows=task == 1)
    result = gatherer.flush()

    assert rows(result, "image_builders", "name") == ["b"]
    assert rows(result, "image_builder_subnets", "subnet_id") == []
    quarantined = rows(result, "quarantine", "item_name", "level", "raw_json")
    assert [(name, level, json.loads(raw)) for name, level, raw in quarantined] == [
        ("a", "item", image_builder("a", subnets=[subnet])) for subnet in ("s", "t")
    ]
    assert set(rows(result, "quarantine", "reason")) == {'ambiguous key: 2 items of one page have name "a" but differ'}
    counts = result.counts[1]
    assert (counts.rows, counts.duplicates, counts.quarantined_items) == (1, 0, 2)


def test_equal_items_of_one_page_are_duplicates() -> None:
    result = gathered(image_builder("a", subnets=["s"]), image_builder("a", subnets=["s"]))

    assert rows(result, "image_builder_subnets", "subnet_id") == ["s"]
    assert (result.counts[0].rows, result.counts[0].duplicates) == (1, 1)


def test_items_of_one_page_that_differ_only_between_the_first_and_the_last_are_ambiguous() -> None:
    first, other = image_builder("a", subnets=["s"]), image_builder("a", subnets=["t"])
    result = gathered(first, other, first)

    assert set(rows(result, "quarantine", "reason")) == {'ambiguous key: 3 items of one page have name "a" but differ'}
    assert (result.counts[0].rows, result.counts[0].quarantined_items) == (0, 3)


def test_the_same_name_in_two_tasks_is_two_items() -> None:
    gatherer = TaskBatcher(builders(), {})
    for number in (0, 1):
        gatherer.add(number, page(image_builder("a")))
        gatherer.end_task(number, retain_rows=True)

    assert gatherer.flush().tables["image_builders"].num_rows == 2


def test_rows_count_only_once_their_task_has_ended_well() -> None:
    gatherer = TaskBatcher(builders(), {})
    for number, name in enumerate(["ended", "failed", "open"]):
        gatherer.add(number, page(image_builder(name, Cores=1)))
    gatherer.end_task(0, retain_rows=True)
    gatherer.end_task(1, retain_rows=False)
    first = gatherer.flush()
    gatherer.end_task(2, retain_rows=True)
    second = gatherer.flush()

    assert rows(first, "image_builders", "name") == ["ended"]
    assert rows(second, "image_builders", "name") == ["open"]
    assert (first.drift, second.drift) == ({("Cores", "field", "1"): 1}, {("Cores", "field", "1"): 1})


def test_a_list_inside_a_list_gets_a_position_for_each_list(tmp_path: Path) -> None:
    file = tmp_path / "fleets.toml"
    file.write_text(
        """
        doc = "Fleets."
        service = "appstream"
        operation = "DescribeFleets"
        items = "Fleets"
        item_name = "fleet"
        [fleets]
        doc = "One row per fleet."
        key = ["name"]
        name = { from = "Name", type = "string", doc = "Name." }
        labels = { from = "Labels", type = "json", doc = "Labels." }
        weight = { from = "Weight", type = "number", doc = "Weight." }
        [fleet_members]
        doc = "One row per member of a group of a fleet."
        rows_from = "UserGroups[].Inner.Members"
        member_id = { from = "Id", type = "string", doc = "Member." }
        [ignored]
        "Secret.Word" = "not ours"
        """
    )
    item = {
        "Name": "f",
        "Labels": {"a": [1]},
        "Weight": 2,
        "Secret": {"Word": "x"},
        "UserGroups": [
            {"Inner": {"Members": [{"Id": "m1"}, {"Id": "m2"}]}},
            {},
            {"Inner": {"Members": []}},
            {"Inner": {"Members": [{"Id": "m3"}]}},
        ],
    }
    result = gathered(item, {"Name": "g"}, contract=load_contract(file))

    assert rows(result, "fleet_members", "fleet_name", "user_groups_position", "position", "member_id") == [
        ("f", 0, 0, "m1"),
        ("f", 0, 1, "m2"),
        ("f", 3, 0, "m3"),
    ]
    assert rows(result, "fleets", "name", "labels", "weight", "extra_json") == [
        ("f", '{"a":[1]}', 2.0, None),
        ("g", None, None, None),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b'{"Name": "a", "Name": "b"}', ("item", None, [["Name", "a"], ["Name", "b"]])),
        (
            b'{"Name": "a", "VpcConfig": {"SubnetIds": ["s"], "SubnetIds": []}}',
            ("value", "VpcConfig", [["SubnetIds", ["s"]], ["SubnetIds", []]]),
        ),
        (
            b'{"Name": "a", "ImageBuilderErrors": [{"ErrorCode": "X", "ErrorCode": "Y"}]}',
            ("element", "ImageBuilderErrors[0]", [["ErrorCode", "X"], ["ErrorCode", "Y"]]),
        ),
    ],
)
def test_an_object_that_holds_a_key_twice_goes_to_quarantine_with_both_values(text: bytes, found: tuple) -> None:
    body = b'{"ImageBuilders": [%s]}' % text
    gatherer = TaskBatcher(builders(), {})
    gatherer.add(0, replace(page(), items=RawItems(body, "ImageBuilders", "NextToken", [None])))
    gatherer.end_task(0, retain_rows=True)

    result = gatherer.flush()

    ((level, path, raw, reason),) = rows(result, "quarantine", "level", "path", "raw_json", "reason")
    assert (level, path, json.loads(raw)) == found
    assert "twice" in reason
    assert result.counts[0].quarantined_items == (level == "item")


def test_members_of_an_answer_beside_its_items_are_drift() -> None:
    gatherer = TaskBatcher(builders(), {})
    for number in range(2):
        gatherer.add(0, replace(page(image_builder("a"), number=number), other_members={"$.IsPartial": True}))
    gatherer.end_task(0, retain_rows=True)

    assert gatherer.flush().drift == {("$.IsPartial", "field", "true"): 2}
