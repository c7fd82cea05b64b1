"""Column by column, the warehouse holds what AWS holds: microseconds and unknown fields included."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appstream_export.contracts.model import Column
from appstream_export.emulator import Estate
from tests.export import Export
from tests.factories import image_builder


def told(item: Any, column: Column) -> Any:
    """What AWS said for a column, read from the wire item without our flattening."""
    for step in () if column.source == "." else column.source.split("."):
        item = item.get(step) if isinstance(item, dict) else None
    if column.type == "timestamp" and item is not None:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(item * 1_000_000))
    return item


@pytest.mark.usefixtures("without_checks")
def test_every_column_of_every_table_equals_what_aws_holds(export: Export) -> None:
    estate = Estate(seed=7)
    estate.populate_emulator(export.aws)
    export.aws.heal()
    export.accounts, export.regions = tuple(estate.accounts), tuple(estate.regions)
    export.extract = {"max_attempts": 3, "page_size": 5}
    export.run()
    held = {(s.account_id, s.region, i["Name"]): i for s in export.aws.list_scopes() for i in export.aws.list_items(s)}
    answered = {scope for scope, status in export.statuses().items() if status == "ok"}
    held = {k: v for k, v in held.items() if f"{k[0]}/{k[1]}" in answered}
    assert len(held) >= 150

    (contract,) = export.contracts
    names = [c.name for c in contract.item_table.source_columns]
    found = export.sql(f"select account_id, region, {', '.join(names)} from image_builders")
    assert {(r[0], r[1], r[2]): r[2:] for r in found} == {
        key: tuple(told(item, c) for c in contract.item_table.source_columns) for key, item in held.items()
    }
    for child in contract.child_tables:
        own = [c.name for c in child.source_columns]
        rows = export.sql(
            f"select account_id, region, image_builder_name, position, {', '.join(own)} from {child.name}"
        )
        assert len(rows) > 0, child.name
        expected = set()
        for (account, region, name), item in held.items():
            elements = told(item, Column("", "list", "", child.rows_from or "")) or []
            for position, element in enumerate(elements):
                expected.add((account, region, name, position, *(told(element, c) for c in child.source_columns)))
        assert set(rows) == expected
        assert len(rows) == len(expected)


@pytest.mark.usefixtures("without_checks")
def test_unknown_fields_come_back_as_they_were(export: Export) -> None:
    extra = {"NewThing": {"Deep": [1, 2.5, None, "ü"]}, "VpcConfig": {"IpamPoolId": "pool"}}
    item = image_builder("a", subnets=["subnet-1"], NewThing=extra["NewThing"])
    item["VpcConfig"]["IpamPoolId"] = "pool"
    export.aws.put("111122223333/eu-west-1", item)
    export.run()

    assert [json.loads(v) for v in export.sql("select extra_json from image_builders")] == [extra]
    assert export.sql("select path, kind, count from drift order by 1") == [
        ("NewThing", "field", 1),
        ("VpcConfig.IpamPoolId", "field", 1),
    ]


@pytest.mark.slow
def test_hostile_names_and_texts_are_only_texts(export: Export) -> None:
    texts = [
        "'; drop table image_builders; --",
        '"',
        "../../etc",
        "a/b",
        "<script>",
        "=cmd()",
        "\x1b[31m",
        "日本",
        "\x00",
        " ",
    ]
    export.aws.put("111122223333/eu-west-1", *(image_builder(t, Description=t, subnets=[t]) for t in texts))
    export.run()
    export.run()

    assert sorted(export.sql("select name from image_builders where description = name")) == sorted(texts)
    assert sorted(export.sql("select subnet_id from image_builder_subnets")) == sorted(texts)
    assert export.changes() == []


@pytest.mark.slow
def test_a_new_contract_with_a_list_inside_a_list_needs_no_python(export: Export) -> None:
    """Any list operation that AWS answers in JSON can be a resource; the emulator answers this one with builders."""
    from appstream_export.contracts import load_contracts

    file = export.folder / "schemas" / "things.toml"
    file.parent.mkdir()
    file.write_text(
        """
        doc = "Builders read in another way."
        service = "appstream"
        operation = "DescribeImageBuilders"
        items = "ImageBuilders"
        item_name = "thing"
        [things]
        doc = "One row per thing."
        key = ["thing_name"]
        thing_name = { from = "Name", type = "string", doc = "Name." }
        whole = { from = "RootVolumeConfig", type = "json", doc = "As it came." }
        [thing_parts]
        doc = "One row per part of a group of a thing."
        rows_from = "Groups[].Parts"
        part_id = { from = "PartId", type = "integer", doc = "Part." }
        """
    )
    export.contracts = load_contracts(file.parent)
    groups = [{"Parts": [{"PartId": 1}, {"PartId": 2}]}, {"Parts": []}, {"Parts": [{"PartId": 3}]}]
    item = image_builder("a", RootVolumeConfig={"VolumeSizeInGb": 5}, Groups=groups)
    export.aws.put("111122223333/eu-west-1", item)
    export.run()
    export.run()

    assert export.sql("select thing_name, whole from things") == [("a", '{"VolumeSizeInGb":5}')]
    assert export.sql("select thing_thing_name, groups_position, position, part_id from thing_parts order by all") == [
        ("a", 0, 0, 1),
        ("a", 0, 1, 2),
        ("a", 2, 0, 3),
    ]
    assert export.sql("select count(*) from thing_changes") == [0]
