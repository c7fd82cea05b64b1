"""The page reads the star of feeds/v2: files that the run has published, or else what the feeds are computed from."""

import logging
import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from appstream_export.contracts import (
    STAR_FOLDER,
    SqlFile,
    list_sql_files,
    load_contract_set,
    load_sql_files,
    strip_header,
)
from appstream_export.errors import StorageFailed
from appstream_export.feeds import publish_feeds, publish_report, render_report
from appstream_export.feeds.report import page as report_page
from appstream_export.feeds.report.page import render_page
from appstream_export.feeds.report.star_views import StarViews
from appstream_export.lake.catalog import SharedConnection, open_feed_connection, run_query
from appstream_export.lake.storage import REPORT_FILE
from appstream_export.settings import FeedsSettings, Settings
from tests.feeds.stars import PRICES
from tests.lake.lakes import EVERYWHERE_IN_CI, A, B, C, Lake, at, bad, builder, failed, ok
from tests.pages import read_blocks, read_rows

CONTRACTS = load_contract_set(
    resources=["image_builders", "images", "shared_images", "public_images", "fleets", "tags"]
)
STATEMENTS = {file.name: file for file in list_sql_files(CONTRACTS, "report")}
NOT_IN_STAR = {"price_list": {"prices"}, "builder_images": {"image_builder_lineage"}, "builder_tags": {"resource_tags"}}
"""Statements over rows of the newest snapshot that only the warehouse has; the tags are a table of bi.duckdb too."""


def fill(lake: Lake) -> Lake:
    """Four months: builders start and stop, one is deleted and made again on the same day, a scope fails at the end."""
    facts = {"instance_type": "stream.standard.large", "root_volume_size_gb": 300}
    for day in (0, 1, 30, 31, 62, 93):
        a = builder("a", state="RUNNING" if day % 2 else "STOPPED", errors=["E"], **facts)
        again = builder("again", state="RUNNING", created_time=at(day), **facts)
        lake.commit_at(24 * day, ok(A, a), ok(C, again), ok(B), prices=PRICES)
        lake.commit_at(24 * day + 1, ok(A, a | {"state": "RUNNING"}), ok(C), planned=[A, B, C], prices=PRICES)
        lake.commit_at(24 * day + 2, ok(C, again, builder("c", state=None)), planned=[A, B, C], prices=PRICES)
    spoilt = ok(A, builder("a", state="RUNNING", **facts), quarantine=[bad("a", "Platform")])
    lake.commit_at(24 * 94, spoilt, failed(C), planned=[A, B, C], prices=PRICES)
    return lake


def publish(lake: Lake, folder: Path, feeds: FeedsSettings) -> Path:
    """The page of a run that publishes these feeds before."""
    settings = Settings(feeds=feeds)
    with SharedConnection(lake.store, lake.contracts) as shared:
        published = publish_feeds(lake.store, lake.contracts, feeds, shared=shared)
        publish_report(lake.store, lake.contracts, settings, shared=shared, published=published)
    lake.store.fetch(REPORT_FILE, str(folder / "published.html"))
    return folder / "published.html"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Four months of snapshots."""
    return fill(Lake(tmp_path_factory.mktemp("filled") / "warehouse"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "feeds",
    [FeedsSettings(), FeedsSettings(versions=("v2",), account_labels=("team",)), FeedsSettings(versions=("v1",)),
     FeedsSettings(history_days=1)],
    ids=["both versions", "v2", "v1", "a short history"],
)  # fmt: skip
def test_the_page_has_the_same_rows_whatever_is_published(feeds: FeedsSettings, filled: Lake, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_report(filled.store, filled.contracts))

    assert read_blocks(publish(filled, tmp_path, feeds)) == read_blocks(page)
    assert {row["column_name"] for row in read_rows(page, "events-0")} == {"state", "image_builder_errors"}
    assert len(read_rows(page, "builders")) == 3


@pytest.mark.slow
@EVERYWHERE_IN_CI
def test_a_run_that_published_the_star_computes_nothing_of_it_again(
    lake: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(lake)
    with SharedConnection(lake.store, lake.contracts) as shared:
        published = publish_feeds(lake.store, lake.contracts, FeedsSettings(), shared=shared)
        shared.close()  # with all that was derived
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "appstream_export.lake.catalog.derived"):
            publish_report(lake.store, lake.contracts, Settings(), shared=shared, published=published)
    lake.store.fetch(REPORT_FILE, str(tmp_path / "report.html"))

    assert [record.getMessage() for record in caplog.records] == []
    assert [row["name"] for row in read_rows(tmp_path / "report.html", "builders")] == ["a", "again", "c"]


@pytest.mark.slow
@pytest.mark.parametrize("statement", ["days", "changes"])
def test_what_shows_the_newest_months_reads_the_files_of_these_alone(statement: str, filled: Lake) -> None:
    with SharedConnection(filled.store, filled.contracts) as shared:
        published = publish_feeds(filled.store, filled.contracts, FeedsSettings(versions=("v2",)), shared=shared)
        for fact in ("day", "change"):
            name = f"fact_image_builder_{fact}.2026-02.parquet"
            Path(published.place, published.current.generation, name).unlink()
        with open_feed_connection(shared) as connection:
            views = StarViews(connection, filled.contracts, published)
            assert views.load_rows(STATEMENTS[statement]).num_rows
            with pytest.raises(StorageFailed, match=r"fact_image_builder_change\.2026-02\.parquet"):
                views.load_rows(STATEMENTS["events"])


def test_a_page_shows_the_newest_snapshot_if_the_feeds_show_an_older_one(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit_at(0, ok(A, builder("a", state="RUNNING")))
    with SharedConnection(lake.store, lake.contracts) as shared:
        published = publish_feeds(lake.store, lake.contracts, FeedsSettings(), shared=shared)
        lake.commit_at(1, ok(A, builder("b", state="RUNNING")))
        publish_report(lake.store, lake.contracts, Settings(), shared=shared, published=published)

    names = [row["name"] for row in read_rows(Path(lake.store.root, REPORT_FILE), "builders")]
    assert names == ["a", "b"]


@pytest.mark.slow
@pytest.mark.parametrize("is_published", [True, False])
def test_a_page_that_lists_some_builders_loads_the_texts_and_events_of_these_alone(
    is_published: bool, filled: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = list[tuple[str, pa.Table]]()
    whole, cut = tmp_path / "whole.html", tmp_path / "cut.html"
    whole.write_text(render_report(filled.store, filled.contracts))
    with SharedConnection(filled.store, filled.contracts) as shared:
        feeds = FeedsSettings(versions=("v2",))
        published = publish_feeds(filled.store, filled.contracts, feeds, shared=shared) if is_published else None
        with open_feed_connection(shared) as connection:
            views = StarViews(connection, filled.contracts, published)

            def load_rows(file: SqlFile, /, only: pa.Table | None = None) -> pa.Table:
                loaded.append((file.name, views.load_rows(file, only=only)))
                return loaded[-1][1]

            monkeypatch.setattr(report_page, "BUILDERS_MAX", 1)
            cut.write_text(render_page(load_rows, [*list_sql_files(filled.contracts, "report")]))

    assert [table.num_rows for name, table in loaded if "description" in table.column_names] == [1]
    [events] = [table for name, table in loaded if name == "events"]
    assert len(set(events["image_builder_key"].to_pylist())) == 1
    [listed] = read_rows(cut, "builders")
    assert listed in read_rows(whole, "builders")
    assert sum(row["number"] for row in read_rows(cut, "left_out")) == 2


def test_the_pages_statements_read_the_star_and_never_a_history() -> None:
    star = {file.name for file in list_sql_files(CONTRACTS, STAR_FOLDER)}
    named = {name: find_sources(file.sql) for name, file in STATEMENTS.items()}

    assert {name: sources - star for name, sources in named.items() if sources - star} == NOT_IN_STAR
    assert named == {name: {*file.reads} for name, file in STATEMENTS.items()}
    assert {*STATEMENTS} == {file.name for file in load_sql_files("report")}


def find_sources(sql: str) -> set[str]:
    """What a statement reads, without what it defines itself."""
    statement = strip_header(sql)
    return {*re.findall(r"\b(?:from|join) ([\w.]+)", statement)} - {*re.findall(r"(\w+) as \(\n", statement)}


@pytest.mark.slow
def test_the_pages_statements_run_where_it_says(tmp_path: Path) -> None:
    """Those over the star on bi.duckdb, the others on the warehouse."""
    lake = Lake(tmp_path / "warehouse", contracts=[*CONTRACTS])
    lake.commit(ok(A, builder("a", state="RUNNING")))
    publish_feeds(lake.store, lake.contracts, FeedsSettings(versions=("v2",)))
    catalog = ["price_list", "builder_images"]
    with duckdb.connect(str(Path(lake.store.root, "feeds/v2/bi.duckdb")), read_only=True) as con:
        counts = {
            name: len(con.execute(file.sql).fetchall()) for name, file in STATEMENTS.items() if name not in catalog
        }
    assert counts["builders"] == 1
    for name in catalog:
        assert run_query(lake.con, STATEMENTS[name].sql).num_rows == 1
