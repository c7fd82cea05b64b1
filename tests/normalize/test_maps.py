"""Maps become rows with a key and a value; texts become rows with one column. Nothing is lost or guessed."""

import json
from pathlib import Path
from typing import Any

import pytest

from appstream_export.contracts import Contract, load_contract
from appstream_export.contracts.botocore_model import lint_contract
from appstream_export.contracts.model import Table
from appstream_export.contracts.render import render_parent_join
from appstream_export.normalize import TaskBatch, TaskBatcher
from tests.contracts.contract_files import GOOD
from tests.factories import page

TAGS = """
[thing_tags]
doc = "One row per tag."
rows_from = "Tags{}"
tag_key = { from = "key", type = "string", doc = "Key." }
tag_value = { from = "value", type = "string", doc = "Value." }
[thing_group_tags]
doc = "One row per tag of a group."
rows_from = "Groups[].Tags{}"
group_tag = { from = "key", type = "string", doc = "Key." }
size = { from = "value.Size", type = "integer", doc = "Size." }
"""


def things(folder: Path, text: str = GOOD + TAGS) -> Contract:
    (folder / "things.toml").write_text(text)
    return load_contract(folder / "things.toml")


def flattened(contract: Contract, *items: Any) -> TaskBatch:
    batcher = TaskBatcher(contract, {})
    batcher.add(0, page(*items))
    batcher.end_task(0, retain_rows=True)
    return batcher.flush()


def rows(batch: TaskBatch, table: str, *columns: str) -> list[Any]:
    return [tuple(row[c] for c in columns) for row in batch.tables[table].to_pylist()]


ITEMS = [
    {"Name": "a", "Tags": {"team": "x", "Env": "dev"}, "Groups": [{"Tags": {}}, {"Tags": {"g": {"Size": 3}}}]},
    {"Name": "b", "Tags": {}},
    {"Name": "c", "Tags": None},
    {"Name": "d"},
    {"Name": "e", "Tags": {"team": None}},
]


@pytest.mark.parametrize("company", ["alone", "beside an unknown field"])
def test_a_map_becomes_rows_in_order_of_its_keys(tmp_path: Path, company: str) -> None:
    extra = [] if company == "alone" else [{"Name": "f", "New": 1}]  # makes the batch go item by item
    batch = flattened(things(tmp_path), *ITEMS, *extra)

    assert rows(batch, "thing_tags", "thing_name", "position", "tag_key", "tag_value") == [
        ("a", 0, "Env", "dev"),
        ("a", 1, "team", "x"),
        ("e", 0, "team", None),
    ]
    assert rows(batch, "thing_group_tags", "thing_name", "groups_position", "position", "group_tag", "size") == [
        ("a", 1, 0, "g", 3)
    ]
    assert batch.tables["quarantine"].num_rows == 0


BAD = [
    ({"Tags": "team=x"}, "Tags", "value", "expected an object, got text"),
    ({"Tags": [{"key": "team", "value": "x"}]}, "Tags", "value", "expected an object, got list"),
    ({"Tags": {"team": 3}}, "Tags[0].value", "value", "expected text, got number"),
]


@pytest.mark.parametrize(("fields", "path", "level", "reason"), BAD)
def test_what_is_no_map_of_that_kind_stands_in_quarantine(
    tmp_path: Path, fields: dict[str, Any], path: str, level: str, reason: str
) -> None:
    batch = flattened(things(tmp_path), {"Name": "a"} | fields, {"Name": "b", "Tags": {"k": "v"}})

    assert rows(batch, "quarantine", "item_name", "path", "level", "reason") == [("a", path, level, reason)]
    assert ("b", "k", "v") in rows(batch, "thing_tags", "thing_name", "tag_key", "tag_value")
    assert rows(batch, "things", "name") == [("a",), ("b",)]


def test_a_field_in_a_map_that_no_column_reads_is_kept_and_counted(tmp_path: Path) -> None:
    batch = flattened(things(tmp_path), {"Name": "a", "Groups": [{"Tags": {"g": {"Size": 1, "New": 2}}}]})

    assert json.loads(rows(batch, "things", "extra_json")[0][0]) == {"Groups": [{"Tags": [{"value": {"New": 2}}]}]}
    assert [path for path, _, _ in batch.drift] == ["Groups[].Tags[].value.New"]


def test_a_map_joins_with_its_item(tmp_path: Path) -> None:
    contract = things(tmp_path)
    table: Table = next(t for t in contract.tables if t.name == "thing_tags")

    assert table.key == ("account_id", "region", "thing_name", "position")
    assert "thing_tags.tag_value" in render_parent_join(contract, table)


TAG_LIST = """doc = "Tags of a fleet."
service = "appstream"
operation = "ListTagsForResource"
items = "Tags{}"
item_name = "fleet_tag"
with = { ResourceArn = "arn" }
[fleet_tags]
doc = "One row per tag."
key = ["tag"]
tag = { from = "key", type = "string", doc = "Key." }
text = { from = "value", type = "string", doc = "Value." }
"""
NAMES = """doc = "Fleets of a stack."
service = "appstream"
operation = "ListAssociatedFleets"
items = "Names"
item_name = "stack_fleet"
with = { StackName = "s" }
[stack_fleets]
doc = "One row per fleet."
key = ["fleet"]
fleet = { from = ".", type = "string", doc = "Fleet." }
"""


@pytest.mark.parametrize(("name", "text"), [("fleet_tags", TAG_LIST), ("stack_fleets", NAMES)])
def test_items_of_a_map_and_texts_match_botocore(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / f"{name}.toml").write_text(text)

    assert lint_contract(load_contract(tmp_path / f"{name}.toml")) == []


LINTS = {
    "a map read as a list": (
        GOOD.replace('"Parts"', '"Tags"'),
        '[thing_parts]: rows_from = "Tags": Tags is no list but map; write "Tags{}"',
    ),
    "a list read as a map": (
        GOOD.replace('"Parts"', '"Parts{}"'),
        '[thing_parts]: rows_from = "Parts{}": Parts is no map but list; write "Parts"',
    ),
}


@pytest.mark.parametrize(("text", "finding"), LINTS.values(), ids=LINTS)
def test_lint_names_the_other_form(tmp_path: Path, text: str, finding: str) -> None:
    from appstream_export.contracts.fields import Field
    from appstream_export.contracts.lint import find_field_problems

    word = Field("", "string", "string")
    parts = (Field("key", "string", "string"), Field("value", "string", "string"))
    entry = Field("", "structure", "structure", fields=parts)
    item = Field(
        "",
        "structure",
        "structure",
        fields=(
            Field("Name", "string", "string"),
            Field("Made", "timestamp", "timestamp"),
            Field("Parts", "list", "list", element=word),
            Field("Tags", "json", "map", entry=entry),
        ),
    )

    assert finding in [*find_field_problems(things(tmp_path, text), item, "a model")]
