"""The page of a named query: what it draws and shows in a browser, and the bundle that it is made from."""

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from playwright.sync_api import Browser

from appstream_export.contracts import ChartColumns, SqlFile
from appstream_export.contracts.sql_files import Param
from appstream_export.feeds import render_query_page
from tests.browser import Watched, watched

REPORT = Path(str(files("appstream_export.feeds.report"))) / "javascript"
AXE = REPORT / "node_modules/axe-core/axe.min.js"
HOSTILE = "</script><img src=x onerror=alert(1)><!-- & \u2028"
QUERY = SqlFile(
    "spent",
    f"Spent {HOSTILE}",
    (),
    "-- spent: Spent\nselect '<b>' as b",
    params=(Param("days", "integer", "3", "Days."),),
    question="What was spent?",
    place="sql/queries/spent.sql",
)
NEWEST = datetime(2026, 1, 5, 13, tzinfo=UTC)
BY_NAME: dict[str, list[Any]] = {
    "name": [HOSTILE, "b-" + "long" * 30, None, "d"], "usd": [Decimal("12.50"), Decimal(-3), Decimal(0), None],
    "at": [NEWEST, None, NEWEST, NEWEST], "is_up": [True, False, None, True], "n": [1.5, float("inf"), None, 2**53],
}  # fmt: skip
BY_DAY: dict[str, list[Any]] = {
    "day": [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 2), date(2026, 1, 5), None],
    "basis": ["seen", "seen", "forecast", "forecast", "seen"],
    "usd": [1.0, 2.0, 3.0, 4.0, 5.0],
}


def render(rows: dict[str, list[Any]], *labels: str) -> str:
    return render_query_page(QUERY, pa.table(rows), ChartColumns("usd", labels), {"days": 3}, NEWEST)


def opened(page: Watched, text: str, folder: Path) -> Watched:
    file = folder / "page.html"
    file.write_text(text, "utf-8")
    page.page.goto(file.as_uri())
    page.page.wait_for_selector("body[data-drawn]")
    return page


def test_text_of_rows_cannot_end_the_script_or_become_markup() -> None:
    page = render(BY_NAME, "name")

    assert page.count("</script>") == 2
    assert "<img" not in page
    [text] = re.findall(r'<script type="application/json" id="answer">(.*?)</script>', page, re.S)
    assert json.loads(text)["rows"][0] == [HOSTILE, 12.5, "2026-01-05T13:00:00Z", True, 1.5]
    assert json.loads(text)["rows"][1][4] is None, "JSON has no infinity"


@pytest.mark.slow
def test_the_page_draws_every_row_and_requests_nothing(chromium: Browser, tmp_path: Path) -> None:
    seen = opened(watched(chromium), render(BY_NAME, "name"), tmp_path)
    cells = seen.page.locator("#rows tbody tr").first.locator("td").all_inner_texts()

    assert (seen.said, seen.asked) == ([], [(tmp_path / "page.html").as_uri()])
    assert cells == [HOSTILE, "$12.50", "2026-01-05 13:00:00Z", "true", "1.5"]
    assert seen.page.locator("#rows tbody tr").count() == 4
    assert seen.page.locator("#chart svg [aria-label=bar] rect").count() == 3, "a row without money is not drawn"
    assert "1 rows without usd are in the table only." in seen.page.locator("#chart").inner_text()
    seen.page.get_by_role("button", name="usd").click()
    assert seen.page.locator("#rows tbody tr").first.locator("td").nth(1).inner_text() == "$12.50"
    assert "2026-01-05 13:00:00Z" in seen.page.locator("header").inner_text()


@pytest.mark.slow
def test_a_day_lies_where_it_is_in_time(chromium: Browser, tmp_path: Path) -> None:
    seen = opened(watched(chromium), render(BY_DAY, "day", "basis"), tmp_path)
    bars = seen.page.locator("#chart svg [aria-label=rect] rect").evaluate_all(
        "all => all.map(e => [+e.getAttribute('x'), +e.getAttribute('width'), e.getAttribute('fill')])"
    )
    places = sorted({round(x) for x, _, _ in bars})
    width = bars[0][1] + 1

    assert len(bars) == 4
    assert places == pytest.approx([places[0], places[0] + width, places[0] + 4 * width], abs=2)
    assert len({fill for _, _, fill in bars}) == 2
    assert seen.page.locator(".legend li").all_inner_texts() == [" seen", " forecast"]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_nothing_is_cut_off_and_axe_finds_nothing(width: int, scheme: str, chromium: Browser, tmp_path: Path) -> None:
    seen = watched(chromium, width=width)
    seen.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    opened(seen, render(BY_NAME, "name"), tmp_path)

    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    if not AXE.is_file():
        pytest.skip("needs axe-core: npm ci in feeds/report/javascript")
    seen.page.evaluate(AXE.read_text("utf-8"))
    assert [problem["id"] for problem in seen.page.evaluate("axe.run()")["violations"]] == []
