"""What feeds are: every contract has some without a line of Python, and each is what its header says."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from appstream_export.contracts import Column, load_contracts, sql_files
from appstream_export.contracts.sql_files import SqlFile
from appstream_export.errors import ContractError
from appstream_export.feeds import publish_feeds
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.definitions import build_feeds, check_columns, check_feed
from appstream_export.feeds.verify import verify_feeds
from tests.contracts.contract_files import loaded
from tests.lake.lakes import A, Lake, ok

FILES = sql_files.load_sql_files("feeds")


@pytest.mark.slow
def test_another_contract_has_feeds_as_soon_as_it_has_tables(tmp_path: Path) -> None:
    contracts = [*load_contracts(), loaded(tmp_path)]
    feeds = {feed.name: feed for feed in build_feeds(contracts, ())}
    lake = Lake(tmp_path / "warehouse", contracts=contracts)
    lake.commit(ok(A))
    published = publish_feeds(lake.store, contracts)

    new = contracts[-1]
    names = {table.name for table in (*new.tables, new.changes_table)}
    assert names <= {*published.rows}
    assert feeds[new.name].key == f"{new.item_name}_key"
    assert {feeds[table.name].key for table in new.child_tables} == {"row_key"}
    assert verify_feeds(lake.store) == []


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_what_a_feed_reads_is_what_its_header_says(file: SqlFile) -> None:
    statement = "\n".join(line for line in file.sql.splitlines() if not line.startswith("--"))

    assert {*file.reads} == {*re.findall(r"(?:from|join) (\w+)", statement)}


def test_no_feed_leads_to_one_that_is_not_there() -> None:
    feeds = {feed.name: feed for feed in build_feeds(load_contracts(), ())}

    assert {feed.name: feeds[to].key for feed in feeds.values() for column, to in feed.foreign_keys.items()
            if feeds[to].key != column} == {}  # fmt: skip
    assert feeds["image_builder_network"].foreign_keys == {
        "scope_key": "coverage", "image_builder_key": "image_builders",
    }  # fmt: skip


FEED = Feed("things", "Things.", (Column("thing_key", "VARCHAR", "Key."),), "thing_key", "")


def test_a_feed_that_gives_other_columns_than_it_tells_is_refused() -> None:
    check_columns(FEED, [("thing_key", "VARCHAR")])
    wrong = "feed things: its description has thing_key VARCHAR, its query returns thing_key HUGEINT"
    with pytest.raises(ContractError, match=wrong):
        check_columns(FEED, [("thing_key", "HUGEINT")])
    with pytest.raises(ContractError, match="its description has nothing more, its query returns n BIGINT"):
        check_columns(FEED, [("thing_key", "VARCHAR"), ("n", "BIGINT")])


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (Column("n", "HUGEINT", "N."), "n is HUGEINT; cast it to one of VARCHAR, BOOLEAN, BIGINT"),
        (Column("n", "DECIMAL(38,2)", "N."), "n is DECIMAL(38,2); cast it"),
        (Column("seen_at", "TIMESTAMP", "When."), "times must be TIMESTAMP, and their names must end with _utc"),
        (Column("seen_utc", "VARCHAR", "When."), "times must be TIMESTAMP, and their names must end with _utc"),
    ],
)
def test_types_that_not_every_tool_knows_are_refused(column: Column, why: str) -> None:
    stamps = (Column("as_of_utc", "TIMESTAMP", "As of."), Column("snapshot_id", "VARCHAR", "Id."))
    feed = replace(FEED, columns=(*FEED.columns, *stamps))
    assert check_feed(feed) == feed
    with pytest.raises(ContractError, match=re.escape(why)):
        check_feed(replace(feed, columns=(*feed.columns, column)))
    with pytest.raises(ContractError, match="column snapshot_id is missing"):
        check_feed(replace(feed, columns=feed.columns[:-1]))


def test_the_page_for_dashboards_lists_every_feed_with_its_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "connect.md").read_text("utf-8")
    rows = [line.split("|")[1:4] for line in page.splitlines() if line.startswith("| `")]
    told = {feed: key.strip().strip("`") for feeds, _, key in rows for feed in re.findall(r"`(\w+)`", feeds)}

    assert told.items() >= {feed.name: feed.key for feed in build_feeds(load_contracts(), ())}.items()


def test_a_feed_is_sorted_by_its_key_or_by_columns_that_it_has() -> None:
    columns = tuple(Column(name, "VARCHAR", "Text.") for name in ("k", "way", "snapshot_id"))
    columns = (*columns, Column("as_of_utc", "TIMESTAMP", "As of."))
    feed = Feed("mine", "One row.", columns, "k", "select 1")

    assert (feed.order, check_feed(replace(feed, sorted_by=("way",))).order) == (' order by "k"', "")
    with pytest.raises(ContractError, match="feed mine: order: there is no column ways"):
        check_feed(replace(feed, sorted_by=("k", "ways")))
