"""The report in a real browser: what it draws, what it asks for, and what it never runs."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from appstream_export.feeds.report import publish_report, render_report
from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.storage.checksum_trailer import has_valid_checksum
from appstream_export.lake.storage.paths import REPORT_FILE
from appstream_export.settings import Settings
from tests.browser import Watched, watched
from tests.lake.lakes import A, B, C, Lake, at, builder, failed, ok

SCRIPT = "<script>document.title='hacked'</script>"
CHARTS = ("coverage_by_scope", "states_over_time", "builders_by_account", "running_longest", "errors_by_code",
          "changes_over_time", "exposure_by_way")  # fmt: skip


def written(lake: Lake, folder: Path, **more: timedelta) -> Path:
    """The report of a warehouse, as a file."""
    file = folder / "report.html"
    file.write_text(render_report(lambda sql: run_query(lake.con, sql), **more), "utf-8")
    return file


def eventful(folder: Path) -> Lake:
    """Two snapshots of three scopes: something changed, something is exposed, something failed."""
    lake = Lake(folder / "warehouse")
    up = {"state": "RUNNING", "instance_type": "stream.standard.medium", "enable_default_internet_access": True}
    lake.commit(ok(A, builder(SCRIPT, **up, errors=["E1", "</script>"])), ok(B, builder("b", state="STOPPED")), ok(C))
    lake.commit(ok(A, builder(SCRIPT, **(up | {"state": "STOPPING"})), builder("c", **up)), failed(B), ok(C))
    lake.commit(ok(A, builder(SCRIPT, **up, errors=["E1", "</script>"]), builder("c", **up)), failed(B), ok(C))
    return lake


@pytest.fixture(scope="module")
def report(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The eventful warehouse's page, drawn."""
    folder = tmp_path_factory.mktemp("report")
    seen = watched(chromium)
    seen.page.goto(f"file://{written(eventful(folder), folder)}")
    seen.page.wait_for_function("document.body.dataset.drawn")
    yield seen
    seen.page.close()


def text(seen: Watched, selector: str) -> str:
    """What a reader reads there."""
    return " ".join(seen.page.inner_text(selector).split())


@pytest.mark.long
def test_every_chart_has_marks_and_nothing_is_requested_or_complained_about(report: Watched) -> None:
    marks = {name: report.page.locator(f"#{name} .chart svg path[aria-roledescription]").count() for name in CHARTS}

    assert all(marks.values()), marks
    assert report.said == []
    assert [url for url in report.asked if not url.startswith("file://")] == []


@pytest.mark.slow
def test_tiles_and_banner_say_what_there_is_and_what_was_not_seen(report: Watched) -> None:
    assert text(report, ".tiles") == (
        "3 builders in 1 account, 2 regions 2 up now builders cost money while they are up ? a day no price list: "
        "see [feeds] prices 2 exposed in at least one way 1 not seen of 3 scopes; 0 expected"
    )
    assert "1 of 3 scopes (an account in a region) did not answer. 1 builder shown as last seen." in text(
        report, "main"
    )
    assert "team 1 us-east-1 denied" in text(report, "#failed_scopes")


@pytest.mark.slow
def test_text_from_aws_stays_text(report: Watched) -> None:
    assert report.page.title().startswith("AppStream image builders as of")
    assert SCRIPT in text(report, "#latest_changes")
    assert any(
        label.startswith("<script>") for label in report.page.locator("#running_longest svg text").all_text_contents()
    )


@pytest.mark.slow
def test_the_sql_behind_a_panel_is_shown_on_demand_by_keyboard(report: Watched) -> None:
    shown = report.page.locator("#errors_by_code pre")
    assert not shown.is_visible()
    report.page.focus("#errors_by_code details:last-of-type summary")
    report.page.keyboard.press("Enter")

    assert shown.is_visible()
    assert "from image_builder_errors" in shown.inner_text()


@pytest.mark.slow
def test_an_old_page_says_so(chromium: Browser, tmp_path: Path) -> None:
    seen = watched(chromium)
    seen.page.clock.install(time=at(3) + timedelta(days=3))
    lake = eventful(tmp_path)
    committed_at = lake.sql("select max(committed_at) from snapshots")[0]
    for later, is_old in ((timedelta(hours=2, minutes=20), False), (timedelta(hours=3), True)):  # as `status` judges
        seen.page.clock.set_fixed_time(committed_at + later)
        seen.page.goto(f"file://{written(lake, tmp_path, freshness_interval=timedelta(hours=1))}")
        assert seen.page.locator("#old").is_visible() is is_old
    assert "3 hours old" in text(seen, "#old")
    seen.page.close()


@pytest.mark.slow
def test_a_phone_shows_all_of_it_without_scrolling_sideways(chromium: Browser, tmp_path: Path) -> None:
    seen = watched(chromium, width=390, height=844)
    seen.page.goto(f"file://{written(eventful(tmp_path), tmp_path)}")
    seen.page.wait_for_function("document.body.dataset.drawn")

    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    seen.page.close()


@pytest.mark.slow
def test_five_thousand_builders_fit_into_a_page_of_1500_kilobytes(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    many = {
        f"{n:012}/eu-west-1": [builder(f"b{m}", state="RUNNING", errors=["E"]) for m in range(50)] for n in range(100)
    }
    lake.commit(*(ok(scope, *builders) for scope, builders in many.items()))
    file = written(lake, tmp_path)

    assert file.stat().st_size < 1_500_000
    assert 'id="coverage_by_region"' in file.read_text(), "100 accounts are too many rows for a heat map"


@pytest.mark.slow
def test_a_warehouse_that_saw_nothing_still_has_a_page(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A))

    assert "No builder is up." in written(lake, tmp_path).read_text()


@pytest.mark.slow
def test_a_byte_that_is_not_as_it_was_written_is_found_however_the_page_was_written(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A))
    publish_report(lake.store, lambda sql: run_query(lake.con, sql), Settings())
    page = tmp_path / "warehouse" / REPORT_FILE
    whole = page.read_bytes()
    assert verify_warehouse(lake.store).problems == ()
    assert has_valid_checksum(written(lake, tmp_path).read_bytes())
    for place in (0, len(whole) // 2, len(whole) - 70, len(whole) - 1):
        page.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        (problem,) = verify_warehouse(lake.store).problems

        assert "report.html: has changed since it was written" in str(problem)
        assert not problem.is_note


@pytest.mark.slow
def test_scopes_that_no_run_has_asked_yet_are_not_passed_over(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")), planned=[A, B, C])
    page = written(lake, tmp_path).read_text()

    assert "no run has requested 2 of 3 scopes yet" in page
    assert "Every requested scope" not in page


@pytest.mark.slow
def test_a_disk_without_a_price_makes_the_cost_a_lower_bound(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    listed = {"region": "*", "instance_type": "*", "platform": "*", "usd_per_hour": 0.5,
              "disk_usd_per_gb_month": None, "valid_from": at(-1), "source_sha256": "0"}  # fmt: skip
    disk = {"instance_type": "small", "root_volume_size_gb": 1200}
    two = builder("up", state="RUNNING", **disk), builder("down", state="STOPPED", **disk)
    lake.commit(ok(A, *two), prices=[listed])

    assert "at least: 2 have no price" in written(lake, tmp_path).read_text()
