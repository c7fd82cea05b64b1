"""Marts that derive from the history are computed once in a run, whichever stages read them."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import duckdb
import pytest

from appstream_export.contracts import list_sql_files, list_view_files, load_contracts
from appstream_export.errors import OutOfMemory
from appstream_export.feeds import build_feeds
from appstream_export.feeds.report.star_views import StarViews
from appstream_export.lake.catalog import SharedConnection, open_feed_connection, shared as shared_connections
from appstream_export.lake.catalog.derived import HISTORY_SUFFIX
from appstream_export.lake.catalog.feed_connection import FeedConnection
from appstream_export.run import publish_stages
from appstream_export.settings import parse_settings
from tests.lake.lakes import A, Lake, builder, ok

STAGES = ("catalog", "checks", "feeds", "report")
DERIVED = "derived from the history: "


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two snapshots, between which a builder stopped."""
    lake = Lake(tmp_path_factory.mktemp("shared") / "warehouse")
    lake.commit(ok(A, builder("a", state="RUNNING")))
    lake.commit(ok(A, builder("a", state="STOPPED")))
    return lake


def publish(lake: Lake, stages: Sequence[str] = STAGES) -> None:
    """Perform stages as a run does."""
    mapping = {"warehouse": str(lake.store.root), "regions": ["eu-west-1"], "accounts": [{"id": A[:12]}]}
    result = publish_stages(parse_settings(mapping, Path("x.toml")), load_contracts(), stages, stop=Event())
    assert (result.checks_problem, result.feeds_problem, result.report_problem) == (None, None, None)


def list_derived(caplog: pytest.LogCaptureFixture) -> Counter[str]:
    """How often each mart was derived."""
    lines = (record.getMessage() for record in caplog.records)
    return Counter(line.removeprefix(DERIVED) for line in lines if line.startswith(DERIVED))


def test_no_mart_is_derived_twice_in_a_run(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "appstream_export.lake.catalog.derived"):
        publish(lake)

    found = list_derived(caplog)
    assert {"image_builder_state_spans", "image_builder_daily", "running_image_builders"} <= found.keys()
    assert [name for name, times in found.items() if times > 1] == []


def test_no_query_of_a_run_derives_a_mart_itself(lake: Lake) -> None:
    """Its plan has no window, unless the query has one."""
    contracts = load_contracts()
    views = {view.name: view for view in list_view_files(contracts)}
    with SharedConnection(lake.store, contracts) as shared, shared.open_newest("checks") as con:
        shared.derive_sources(con, "feeds")
        tables = {name for (name,) in con.execute("select table_name from duckdb_tables() where temporary").fetchall()}
        plans = {
            file.name: con.execute(f"explain {file.sql}").fetchall()[0][1]
            for file in list_sql_files(contracts, "checks")
            if tables.intersection(file.reads) and not any(name.endswith(HISTORY_SUFFIX) for name in file.reads)
        }
        page = list_sql_files(contracts, "report")
        with open_feed_connection(shared) as connection:
            star = StarViews(connection, contracts)
            for file in page:
                star.load_rows(file)
                plans[file.name] = con.execute(f"explain {file.sql}").fetchall()[0][1]
    assert {"negative_spans", "mart_keys", "builders", "days", "events"} <= plans.keys()
    own = {file.name for file in page if " over (" in file.sql}
    assert [name for name, plan in plans.items() if "WINDOW" in plan and name not in own] == []
    assert tables <= views.keys()


def test_rows_of_the_shared_tables_are_those_of_the_views(lake: Lake) -> None:
    contracts = load_contracts()
    with SharedConnection(lake.store, contracts) as shared, shared.open_newest("checks", "feeds") as con:
        names = [name for (name,) in con.execute("select table_name from duckdb_tables() where temporary").fetchall()]
        for name in names:
            shown = con.execute(f"from {name} order by all").fetchall()
            assert shown == lake.con.execute(f"from {name} order by all").fetchall(), name
    assert "image_builder_daily" in names


def test_the_page_has_the_newest_months_alone_until_a_stage_reads_all(tmp_path: Path) -> None:
    contracts, lake = load_contracts(), Lake(tmp_path / "warehouse")
    for month in range(4):
        lake.commit_at(month * 31 * 24, ok(A, builder("a", state="RUNNING")))
    [page] = [file for file in list_sql_files(contracts, "report") if file.name == "days"]
    with SharedConnection(lake.store, contracts) as shared, open_feed_connection(shared) as connection:
        views, con = StarViews(connection, contracts), connection.con
        shown = views.load_rows(page)
        newest = con.execute(
            "select distinct strftime(day, '%Y-%m') from image_builder_life_days order by 1"
        ).fetchall()
        shared.derive_tables(con, ["image_builder_daily"])
        for mart in ("image_builder_life_days", "image_builder_daily"):
            days = f"from {mart} order by all"
            assert con.execute(days).fetchall() == lake.con.execute(days).fetchall()
        assert views.load_rows(page) == shown
    assert newest == [("2026-03",), ("2026-04",)]


def test_a_run_that_commits_between_two_stages_is_shown_by_the_second(lake: Lake) -> None:
    contracts = load_contracts()
    with SharedConnection(lake.store, contracts) as shared:
        with shared.open_newest("checks") as con:
            assert con.execute("select count(*) from image_builder_state_spans").fetchall() == [(2,)]
        lake.commit(ok(A, builder("a", state="RUNNING")))
        with shared.open_newest("checks") as con:
            assert con.execute("select count(*) from image_builder_state_spans").fetchall() == [(3,)]


def test_stages_that_lack_memory_are_performed_again_with_more(
    lake: Lake, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_connections, "MEMORY_LIMITS", (1, 1024))
    with caplog.at_level(logging.INFO, "appstream_export.lake.catalog.shared"):
        publish(lake)

    retries = [record for record in caplog.records if "needs more than 1 MiB" in record.getMessage()]
    assert len(retries) == 1, "later stages have more from the start"


def test_wide_rows_are_staged_and_leave_no_table_behind(lake: Lake) -> None:
    listed = "select table_name from duckdb_tables() where temporary order by all"
    with SharedConnection(lake.store, lake.contracts) as shared, shared.open_newest() as con:
        connection = FeedConnection(con, shared)
        before = connection.fetch_rows(listed)
        with connection.stage_rows("select name from image_builder_overview", ["image_builder_overview"]) as rows:
            found, during = connection.fetch_rows(rows), connection.fetch_rows(listed)
        after = connection.fetch_rows(listed)

    assert found == [("a",)]
    assert [*during] == [*before, ("staged_rows",)], "views are tables only until they are joined"
    assert after == before


@pytest.mark.slow
def test_a_large_warehouse_begins_with_the_memory_that_its_items_need(
    lake: Lake, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_connections, "MEMORY_LIMITS", (1, 1024))
    monkeypatch.setattr(shared_connections, "ITEMS_PER_MIB", 1 / 200)
    with caplog.at_level(logging.INFO, "appstream_export.lake.catalog.shared"):
        publish(lake)

    assert not [record for record in caplog.records if "needs more than" in record.getMessage()]


def test_a_query_of_the_report_that_lacks_memory_is_run_again_with_more(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_connections, "MEMORY_LIMITS", (32, 1024))
    wide = "select len(list(i::varchar || repeat('x', 100))) as n from range(400000) as t(i)"
    with SharedConnection(lake.store, lake.contracts) as shared:

        def publish_wide() -> list[int]:
            with shared.open_newest("report") as con:
                return shared.run_query(con, wide)["n"].to_pylist()

        assert shared.call_with_retry(publish_wide) == [400000]


def test_a_warehouse_that_begins_with_the_most_memory_still_gets_more(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_connections, "ITEMS_PER_MIB", 1 / 2000)  # as with a million builders
    limits = list[str]()
    with SharedConnection(lake.store, lake.contracts) as shared:

        def run_out_of_memory() -> None:
            with shared.open_newest() as con:
                limits.extend(con.execute("select current_setting('memory_limit')").fetchone() or ())
                raise OutOfMemory("failed to allocate")

        for _ in range(2):  # the second stage has what the first one got, and no more
            with pytest.raises(OutOfMemory):
                shared.call_with_retry(run_out_of_memory)

    assert limits == ["1.0 GiB", "2.0 GiB", "2.0 GiB"]


def test_a_lack_of_memory_is_reported_even_if_nothing_can_be_dropped_after_it(lake: Lake) -> None:
    def stage_rows() -> None:
        with (
            SharedConnection(lake.store, lake.contracts) as shared,
            open_feed_connection(shared) as connection,
            connection.stage_rows("select 1 as n", ()),
        ):
            connection.con.close()
            raise OutOfMemory("failed to allocate")

    with pytest.raises(OutOfMemory, match="failed to allocate"):
        stage_rows()


def test_views_that_are_computed_leave_no_table_if_the_next_one_fails(lake: Lake) -> None:
    first, second = [view.name for view in list_view_files(lake.contracts)][:2]
    with SharedConnection(lake.store, lake.contracts) as shared, shared.open_newest() as con:
        con.execute(f"create temp view {second} as select 1 as n")  # its name is taken
        with pytest.raises(duckdb.CatalogException):
            shared.compute_views(con, [first, second])
        left = con.execute("select table_name from duckdb_tables() where temporary").fetchall()

    assert left == []


def test_each_feed_of_a_file_states_what_it_reads() -> None:
    feeds = {feed.name: feed for feed in build_feeds(load_contracts(), ())}

    assert "image_builder_daily" in feeds["image_builder_daily"].reads
