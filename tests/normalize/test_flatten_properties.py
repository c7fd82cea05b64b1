"""Whatever AWS sends, every item is a row, a duplicate or in quarantine; and both paths agree."""

import json
from typing import Any

from hypothesis import given, settings, strategies as st

from appstream_export.contracts import load_contracts
from appstream_export.normalize import TaskBatcher
from appstream_export.normalize.item_schema import build_item_schema
from appstream_export.normalize.validate import validate_item
from tests.factories import page
from tests.slices import EXAMPLES

CONTRACT = next(c for c in load_contracts() if c.name == "image_builders")
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Name", "SubnetIds", "Code", "X"]), inner, max_size=3)
    ),
    max_leaves=6,
)
names = st.sampled_from(["a", "b", "c", "d"])
subnets = st.lists(st.text(max_size=3), max_size=3)
plain = st.fixed_dictionaries(
    {"Name": names},
    optional={
        "State": st.sampled_from(["RUNNING", "STOPPED"]),
        "CreatedTime": st.floats(min_value=1e9, max_value=2e9) | st.integers(min_value=10**9, max_value=2 * 10**9),
        "DisableIMDSV1": st.booleans() | st.none(),
        "VpcConfig": st.none() | st.fixed_dictionaries({}, optional={"SubnetIds": subnets | st.none()}),
        "RootVolumeConfig": st.fixed_dictionaries({"VolumeSizeInGb": st.integers(min_value=0, max_value=500)}),
    },
)
odd = st.dictionaries(
    st.sampled_from(["Name", "State", "CreatedTime", "VpcConfig", "ImageBuilderErrors", "RootVolumeConfig", "New"]),
    anything,
)


def released(items: list[Any], *, spoil: bool = False) -> tuple[dict[str, list[dict[str, Any]]], Any]:
    """Tables of one task's page; `spoil` adds a task with a stray item, so that the careful path reads them all."""
    gatherer = TaskBatcher(CONTRACT, {})
    gatherer.add(0, page(*items))
    gatherer.end_task(0, retain_rows=True)
    if spoil:
        gatherer.add(1, page("stray"))
        gatherer.end_task(1, retain_rows=False)
    gathered = gatherer.flush()
    return {name: table.to_pylist() for name, table in gathered.tables.items()}, gathered.counts[0]


@EXAMPLES
def test_every_item_is_a_row_a_duplicate_or_in_quarantine(examples: int) -> None:

    @given(st.lists(plain | odd | anything, max_size=6))
    @settings(max_examples=examples, deadline=None)
    def check(items: list[Any]) -> None:
        tables, counts = released(items)

        assert len(items) == counts.rows + counts.duplicates + counts.quarantined_items
        assert counts.rows == len(tables["image_builders"])
        parents = {r["name"] for r in tables["image_builders"]}
        assert len(parents) == counts.rows
        for child in CONTRACT.child_tables:
            assert {r["image_builder_name"] for r in tables[child.name]} <= parents
        for row in tables["quarantine"]:
            json.loads(row["raw_json"])

    check()


@EXAMPLES
def test_the_fast_path_and_the_careful_path_agree(examples: int) -> None:

    @given(st.lists(plain, max_size=6))
    @settings(max_examples=examples, deadline=None)
    def check(items: list[Any]) -> None:
        assert released(items) == released(items, spoil=True)

    check()


texts = st.dictionaries(st.sampled_from(["Name", "State", "Platform", "VpcConfig", "New"]), anything)


@EXAMPLES
def test_nothing_of_an_item_is_lost(examples: int) -> None:
    """Each scalar of an item is in its clean value, in its extra, or in a finding, as AWS sent it."""

    @given(texts)
    @settings(max_examples=examples, deadline=None)
    def check(item: dict[str, Any]) -> None:
        looked = validate_item(item, build_item_schema(CONTRACT), ["Name"])
        kept = json.dumps([looked.value, looked.extra, [f.raw for f in looked.issues]])

        assert [leaf for leaf in scalars(item) if leaf not in kept] == []

    check()


def scalars(value: Any) -> list[str]:
    """All scalars below a value, as JSON; null is what absence reads as."""
    if isinstance(value, dict | list):
        return [leaf for child in (value.values() if isinstance(value, dict) else value) for leaf in scalars(child)]
    return [] if value is None else [json.dumps(value)]
