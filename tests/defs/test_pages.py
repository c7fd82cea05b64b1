"""Dagster's pages as operators see them, in a real browser: lineage, columns, plots, a red run, and how it turns green.

With SCREENSHOTS=FOLDER the pages are kept as PNG, which is how those of docs/images were made.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from appstream_export.emulator import Emulator
from appstream_export.emulator.items import make_image_builder
from tests import browser
from tests.browser import Watched, watched
from tests.defs.exports import as_toml, execute
from tests.defs.servers import ROOT, ask, dagster_dev, launched, wait_until, write_workspace
from tests.export import ACCOUNTS, REGIONS, Export

SICK = f"{ACCOUNTS[0]}/eu-west-1"
pytestmark = pytest.mark.long
PATIENCE_MS = 300_000  # against a hang: a busy machine takes minutes for what should take seconds
SIZE: ViewportSize = {"width": 1440, "height": 900}
ENDED = ("SUCCESS", "FAILURE")
ALL_STEPS = """mutation { launchRunReexecution(reexecutionParams: { parentRunId: "%s", strategy: ALL_STEPS }) {
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
GREEN = 4 if os.environ.get("SCREENSHOTS") else 1
"""Green runs before the red one; a plot of few points says little."""


@dataclass(frozen=True)
class Shown:
    """A running Dagster whose newest run is red; AWS is well again."""

    url: str
    seen: Watched
    red: str
    export: Export

    @property
    def page(self) -> Page:
        """What the browser shows."""
        return self.seen.page

    def open(self, path: str) -> None:
        """Go to a page of Dagster's."""
        self.page.goto(f"{self.url}{path}")

    def keep(self, name: str) -> None:
        """The page as a picture, where somebody wants it."""
        if folder := os.environ.get("SCREENSHOTS"):
            expect(self.page.get_by_text(re.compile("^Loading"))).to_have_count(0, timeout=PATIENCE_MS)
            self.page.wait_for_timeout(5000)
            self.page.screenshot(path=Path(folder) / f"{name}.png")

    def text(self, text: str | re.Pattern[str]) -> Locator:
        """The first place that says so."""
        return self.page.get_by_text(text).first


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of the module."""
    with browser.chromium() as running:
        yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Export]]:
    """`dagster dev` with the dagster.yaml that is shipped: its URL, its red run, and the export behind it."""
    folder = tmp_path_factory.mktemp("pages")
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    with Emulator() as aws, pytest.MonkeyPatch.context() as patch:
        export = Export(aws, folder)
        file = folder / "appstream-export.toml"
        file.write_text(as_toml(export, '[dagster]\ndashboard_url = "https://bi.example.com/d/1"\n'))
        patch.setenv("APPSTREAM_EXPORT_CONFIG", str(file))
        with dg.DagsterInstance.from_config(str(home)) as instance:
            for n in range(GREEN):
                fill(export, 3 + n)
                with execute(instance) as result:
                    assert result.success
        with dagster_dev(home, {}, str(write_workspace(folder))) as url:
            fill(export, 3 + GREEN)
            aws.fail(SICK, "deny")
            red = launched(url, "everything")  # one that its pages launched they can launch again
            wait_until(lambda: newest(url)["status"] in ENDED, "the red run ends")
            aws.heal()
            aws.reset_calls()
            yield url, red, export


def fill(export: Export, builders: int) -> None:
    """So many builders in every scope."""
    for scope in (f"{account}/{region}" for account in ACCOUNTS for region in export.regions):
        export.aws.put(scope, *(make_image_builder(f"builder-{i}", scope=scope) for i in range(builders)))


def newest(url: str) -> dict[str, str]:
    """The newest run."""
    return ask(url, "{ runsOrError(limit: 1) { ... on Runs { results { id status } } } }")["runsOrError"]["results"][0]


@pytest.fixture(scope="module")
def shown(running: tuple[str, str, Export], chromium: Browser) -> Iterator[Shown]:
    """A browser on it that reaches nobody else. It comes last: Dagster's runs want no other event loop beside them."""
    url, red, export = running
    seen = watched(chromium, width=SIZE["width"], height=SIZE["height"])
    seen.page.set_default_timeout(PATIENCE_MS)
    seen.page.route(lambda address: not address.startswith(url), lambda route: route.abort())
    yield Shown(url, seen, red, export)
    seen.page.close()


def test_the_lineage_goes_from_tables_to_the_dashboard(shown: Shown) -> None:
    shown.open("/asset-groups")
    for group in ("tables", "export", "marts", "feeds", "report", "dashboards"):
        expect(shown.text(re.compile(f"^{group}$"))).to_be_visible(timeout=PATIENCE_MS)
    shown.keep("lineage")


def test_the_catalog_lists_assets_with_their_groups_and_states(shown: Shown) -> None:
    shown.open("/assets")
    expect(shown.text("One row per account that the run covers.")).to_be_visible(timeout=PATIENCE_MS)
    expect(shown.text("Image builders, counted per account.")).to_be_visible(timeout=PATIENCE_MS)
    expect(shown.text("Materialized")).to_be_visible(timeout=PATIENCE_MS)
    shown.keep("catalog")


def test_a_columns_sources_are_shown_with_the_asset(shown: Shown) -> None:
    shown.open("/assets/agent_currency")
    sources = shown.text("image_builders: appstream_agent_version, observed_at")
    expect(sources).to_be_visible(timeout=PATIENCE_MS)
    shown.page.set_viewport_size({"width": 1720, "height": 900})
    shown.text("column_sources").scroll_into_view_if_needed()
    shown.keep("columns")
    shown.page.set_viewport_size(SIZE)


def test_an_asset_shows_what_its_columns_mean_and_its_numbers_as_plots(shown: Shown) -> None:
    shown.open("/assets/image_builders")
    expect(shown.text("One row per image builder in a scope.")).to_be_visible(timeout=PATIENCE_MS)
    expect(shown.text("Name, unique per account and region.")).to_be_visible(timeout=PATIENCE_MS)
    shown.keep("asset")
    shown.page.get_by_text("Plots", exact=True).click()
    expect(shown.page.get_by_text("running", exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    shown.page.locator("canvas").first.scroll_into_view_if_needed()
    shown.keep("plots")


def test_the_check_that_turned_a_run_red_says_what_was_not_seen(shown: Shown) -> None:
    shown.open("/assets/scope_runs?view=checks")
    first = f"image_builders@{SICK} (denied)"
    told = f"1 of 4 requested scopes failed, such as {first}; they retain their last good rows, marked stale."
    expect(shown.text(told)).to_be_visible(timeout=PATIENCE_MS)
    shown.keep("check")


def test_a_red_run_has_a_table_of_its_failed_scopes_and_made_what_is_downstream(shown: Shown) -> None:
    shown.open(f"/runs/{shown.red}")
    expect(shown.text("Errored (1)")).to_be_visible(timeout=PATIENCE_MS)
    shown.page.get_by_placeholder("Filter…").fill("step:by_team")
    expect(shown.text("ASSET_MATERIALIZATION")).to_be_visible(timeout=PATIENCE_MS)
    shown.page.get_by_placeholder("Filter…").fill("check 'coverage' on")
    shown.text("View full message").click()
    dialog = shown.page.get_by_role("dialog")
    expect(dialog.get_by_text(re.compile("AccessDeniedException"))).to_be_visible(timeout=PATIENCE_MS)
    expect(dialog.get_by_text("allow the operation in the role's policy")).to_be_visible(timeout=PATIENCE_MS)
    assert "[Show JSON]" not in dialog.inner_text()
    shown.keep("failed-scopes")
    dialog.get_by_role("button", name="Done").click()
    shown.page.get_by_role("img", name="gantt_waterfall").click()  # steps as boxes with names, however short they are
    shown.page.get_by_placeholder("Filter…").fill("scopes failed, such as")
    shown.keep("red-run")


def test_a_mart_is_made_again_alone_without_a_request(shown: Shown) -> None:
    before = shown.export.calls()
    shown.open("/assets/image_builder_overview")
    expect(shown.text("Column name")).to_be_visible(timeout=PATIENCE_MS)
    shown.page.get_by_role("button", name="Materialize").first.click()
    expect(shown.text(re.compile("Launched run"))).to_be_visible(timeout=PATIENCE_MS)
    wait_until(lambda: newest(shown.url)["status"] in ENDED, "the run ends")
    again = newest(shown.url)
    shown.open(f"/runs/{again['id']}")
    expect(shown.text("RUN_SUCCESS")).to_be_visible(timeout=PATIENCE_MS)
    shown.page.get_by_placeholder("Filter…").fill("marts are selected")
    expect(shown.text(re.compile(r"1 of \d+ marts are selected"))).to_be_visible(timeout=PATIENCE_MS)
    shown.keep("mart")

    assert again["status"] == "SUCCESS"
    assert shown.export.calls() == before


def test_a_red_run_is_reexecuted_from_failure_asks_what_failed_and_is_green(shown: Shown) -> None:
    before = newest(shown.url)["id"]
    shown.open(f"/runs/{shown.red}")
    expect(shown.text(re.compile("coverage"))).to_be_visible(timeout=PATIENCE_MS)
    shown.page.get_by_placeholder("Filter…").fill("failed scopes again")
    expect(shown.text(re.compile("request only the failed scopes again"))).to_be_visible(timeout=PATIENCE_MS)
    shown.page.get_by_role("button", name="Re-execute").locator("xpath=following::button[1]").click()
    shown.keep("reexecution")
    shown.page.get_by_role("menuitem", name="From failure").click()
    wait_until(lambda: newest(shown.url)["id"] != before, "the run is launched")
    wait_until(lambda: newest(shown.url)["status"] in ENDED, "the run ends")
    green = newest(shown.url)
    shown.open(f"/runs/{green['id']}")
    expect(shown.text("RUN_SUCCESS")).to_be_visible(timeout=PATIENCE_MS)
    shown.keep("green_run")

    assert green["status"] == "SUCCESS"
    assert shown.export.calls() == [SICK]
    assert shown.export.statuses()[SICK] == "ok"


def test_a_reexecution_of_all_steps_asks_everybody_again(shown: Shown) -> None:
    shown.export.aws.reset_calls()
    again = ask(shown.url, ALL_STEPS % newest(shown.url)["id"])["launchRunReexecution"]["run"]["runId"]
    wait_until(lambda: newest(shown.url)["id"] == again and newest(shown.url)["status"] in ENDED, "the run ends")

    assert shown.export.calls() == sorted(f"{account}/{region}" for account in ACCOUNTS for region in REGIONS)


@pytest.mark.parametrize("job", ["republish", "maintenance", "prune_runs"])
def test_the_jobs_beside_snapshot_end_green_as_the_launchpad_launches_them(job: str, shown: Shown) -> None:
    shown.export.aws.reset_calls()
    run = launched(shown.url, job)
    wait_until(lambda: newest(shown.url)["id"] == run and newest(shown.url)["status"] in ENDED, "the run ends")

    assert newest(shown.url)["status"] == "SUCCESS"
    assert shown.export.calls() == []


def test_no_page_asks_anybody_else_for_anything(shown: Shown) -> None:
    assert [url for url in shown.seen.asked if not url.startswith((shown.url, "data:", "blob:"))] == []
