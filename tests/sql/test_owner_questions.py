"""Questions that need resources that are off by default, on the test's own rows; and parameters that name nothing."""

import re
from collections.abc import Callable
from datetime import date
from typing import Any

import duckdb
import pytest

from appstream_export.contracts import load_contract_set, load_packaged_contracts
from appstream_export.errors import QueryError
from appstream_export.lake.catalog import get_named_query, run_named_query
from tests.lake.lakes import Lake, at, ok
from tests.sql.tables import insert_row, open_empty_tables

EVERY = load_packaged_contracts()
PLACE = {"account_id": "111122223333", "region": "eu-west-1"}
Insert = Callable[..., None]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = Lake(tmp_path_factory.mktemp("owners") / "warehouse", contracts=EVERY)
    made.commit(ok("111122223333/eu-west-1"))
    return made


def open_tables(lake: Lake, name: str) -> tuple[duckdb.DuckDBPyConnection, Insert]:
    query = get_named_query(name, EVERY)
    con = open_empty_tables(lake, query.reads)
    insert_row(con, "snapshots", {"kind": "sweep", "committed_at": at(0)})
    return con, lambda table, **row: insert_row(con, table, PLACE | row if table != "accounts" else row)


def answer(con: duckdb.DuckDBPyConnection, name: str, **given: str) -> list[dict[str, Any]]:
    return run_named_query(con, get_named_query(name, EVERY), given).to_pylist()


def add_tag(insert: Insert, builder: str, key: str, value: str) -> None:
    insert("resource_tags", tagged_resource_arn=f"arn:{builder}", tag_key=key, tag_value=value)


@pytest.mark.slow
def test_owners_are_named_by_a_tag_or_by_a_label_of_the_account(lake: Lake) -> None:
    con, insert = open_tables(lake, "image_builders_without_owner")
    insert("scope_runs", resource="tags", status="ok")
    insert("accounts", account_id="111122223333", labels_json='{"team": "a", "cost_centre": ""}')
    for name in ("owned", "blank", "other", "untagged"):
        key = {"image_builder_key": name, "account_name": "one", "labels_json": '{"team": "a", "cost_centre": ""}'}
        insert("image_builder_overview", name=name, arn=f"arn:{name}", state="RUNNING", created_time=at(0), **key)
    insert("image_builder_overview", region="us-east-1", name="unknown", arn="arn:unknown", image_builder_key="unknown")
    add_tag(insert, "owned", "owner", "me")
    add_tag(insert, "blank", "owner", " ")
    add_tag(insert, "other", "team", "x")
    for day, usd in ((date(2026, 1, 2), 2), (date(2025, 12, 1), 40)):
        insert("image_builder_daily", image_builder_key="other", name="other", day=day, cost_usd_at_least=usd)
    rows = answer(con, "image_builders_without_owner")

    assert [(row["name"], row["usd"]) for row in rows] == [("other", 2), ("blank", None), ("untagged", None)]
    assert rows[0]["account"] == "one"
    assert rows[0]["created"] == date(2026, 1, 2)
    by_team = answer(con, "image_builders_without_owner", tag="team")
    assert [row["name"] for row in by_team] == ["blank", "owned", "untagged"]
    assert answer(con, "image_builders_without_owner", label="team") == []
    assert len(answer(con, "image_builders_without_owner", label="cost_centre")) == 3, "the label is empty"
    with pytest.raises(QueryError, match=r'there is no tag "Owner"; did you mean "owner"\? there are: owner, team$'):
        answer(con, "image_builders_without_owner", tag="Owner")
    with pytest.raises(QueryError, match=r'no label "x"; there are: cost_centre, team$'):
        answer(con, "image_builders_without_owner", label="x")


@pytest.mark.slow
def test_the_first_image_of_each_life_counts_gone_ones_too(lake: Lake) -> None:
    con, insert = open_tables(lake, "time_to_first_image")
    lives = {"made": [-600], "none": [-300], "again": [-900, -60], "old": [-60 * 24 * 400]}
    for name, created in lives.items():
        for life, minute in enumerate(created, 1):
            current = life == len(created)
            insert("image_builder_lives", name=name, life=life, created_time=at(minute), is_current=current)
    for name, minute, maker in (("i1", -480, "made"), ("i2", -540, "made"), ("i0", -700, "made"), ("j1", -840, "again"),
                                ("k1", -30, "again"), ("o", -600, "old")):  # fmt: skip
        for _ in range(2):  # in two snapshots
            insert("images_history", name=name, image_builder_name=maker, created_time=at(minute))
    rows = answer(con, "time_to_first_image")

    assert [(row["name"], row["image"], row["hours"], row["note"]) for row in rows] == [
        ("again", "j1", 1.0, "gone"),
        ("made", "i2", 1.0, None),
        ("again", "k1", 0.5, None),
        ("none", None, None, None),
    ]
    assert len(answer(con, "time_to_first_image", days="500")) == 5


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("image_builders_without_owner", "the resource tags, which is off; add tags to"),
        ("time_to_first_image", "the resource images, which is off; add images to"),
        (
            "image_gone",
            "the resources fleets and images and public_images and shared_images, which are off; add fleets",
        ),
    ],
)
def test_a_question_whose_resource_is_off_says_so(name: str, needs: str) -> None:
    with pytest.raises(QueryError, match=f"^{name} needs {re.escape(needs)}"):
        get_named_query(name, load_contract_set())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cost_per_tag", "untagged", "running_per_tag", "tag_values"])
def test_where_nothing_has_a_tag_an_unknown_one_says_so(name: str, lake: Lake) -> None:
    with pytest.raises(QueryError, match=f'^{name}: there is no tag "x"; there are none$'):
        run_named_query(lake.con, get_named_query(name, EVERY), {"tag": "x"})
