"""Every number of the demo's page is the one that another engine finds in the raw files of its four snapshots."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.children import Unreachable, run_uv
from tests import browser
from tests.browser import Watched, watched
from tests.cli.conftest import Finished

DRAWN = 'body[data-drawn]:not([data-drawn=""])'
SCRIPT = "benchmarks/readers/recompute_page_with_polars.py"
# Rows of a table by what stands above their columns.
ROWS = """table => [...table.querySelectorAll('tbody tr')].map(row => Object.fromEntries(
    [...row.cells].map(cell => [cell.dataset.title, cell.innerText.trim()])))"""
LISTS = {
    "up": "Up for 12 hours or more", "disk": "Stopped, but paying for disk", "exposed": "Exposed",
    "agent": "Agent is not the newest, or older than 180 days", "stuck": "Stuck in a state that passes within minutes",
    "failing": "Failing", "price": "Without a price",
}  # fmt: skip
pytestmark = pytest.mark.long


def parse(text: str) -> float | None:
    """The first number of a text; None where a price is unknown."""
    found = re.search(r"-?\$?(\d[\d,]*(?:\.\d+)?)", text)
    return float(found[1].replace(",", "")) if found else None


def about(value: float | None, places: int = 2) -> Any:
    """A number as the page rounds it."""
    return None if value is None else pytest.approx(value, abs=0.51 * 10**-places)


@pytest.fixture(scope="module")
def truth(demo: tuple[Path, Finished]) -> dict[str, Any]:
    """What polars computes from the raw files."""
    try:
        out = run_uv("run", "--quiet", "--isolated", "--no-project", "--with", "polars", "python", SCRIPT,
                     str(demo[0] / "warehouse"))  # fmt: skip
    except Unreachable as why:
        pytest.skip(f"no index of packages: {why}")
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def seen(demo: tuple[Path, Finished]) -> Iterator[Watched]:
    """The demo's page."""
    with browser.chromium() as running:
        found = watched(running)
        found.page.goto(f"file://{demo[0] / 'warehouse' / 'report.html'}")
        found.page.wait_for_selector(DRAWN)
        yield found


def choose(seen: Watched, choice: str) -> None:
    """Set what is chosen in the address, and wait; a number makes each address another one."""
    script = "choice => { document.body.dataset.drawn = ''; location.hash = `${choice}&turn=${performance.now()}`; }"
    seen.page.evaluate(script, choice)
    seen.page.wait_for_selector(DRAWN)


def read_all(seen: Watched, within: str) -> list[dict[str, str]]:
    """All rows of a table: those that are left out are shown."""
    place = seen.page.locator(within)
    while place.locator(".more button").count():
        place.locator(".more button").click()
    return place.locator("table[role]").evaluate(ROWS)


def read_figures(seen: Watched) -> dict[str, str]:
    figures = seen.page.locator(".figures > div")
    texts = [figures.nth(n).locator("dt, dd").all_inner_texts() for n in range(figures.count())]
    return {name: f"{value} | {note}" for name, value, note in texts}


def test_the_key_figures(truth: dict[str, Any], seen: Watched) -> None:
    total, scopes = truth["total"], truth["scopes"]
    tiles = [parse(text) for text in seen.page.locator(".tiles b").all_inner_texts()]
    figures = read_figures(seen)
    found = {name.rpartition(" 20")[2][2:].strip() or name: parse(text) for name, text in figures.items()}

    assert tiles == [
        total["builders"],
        total["up"],
        about(total["rate"]),
        about(total["month"]),
        total["exposed"],
        scopes["failed"],
    ]
    assert found["so far"] == pytest.approx(total["month"], abs=0.1)
    assert figures["Run rate"].startswith(f"${total['rate']:,.2f} a day | the {total['up']} builders up now")
    assert parse(figures["At this rate, the month ends at"]) == pytest.approx(total["forecast"], abs=0.1)
    assert parse(figures["Stopping what is idle saves"]) == about(total["idle_rate"])
    assert f"{total['idle']} builders up for 12 hours" in figures["Stopping what is idle saves"]
    assert parse(figures["Deleting what is stopped saves"]) == about(total["disk_month"])
    assert f"{total['disks']} builders not up" in figures["Deleting what is stopped saves"]
    assert parse(figures["Last 7 days"]) == pytest.approx(total["week"], abs=0.1)
    assert parse(figures["Without a price"]) == len(truth["lists"]["price"])
    assert f"at least: {total['unrated']} have no price" in seen.page.inner_text(".tiles")
    assert f"{total['gone']} builders that are gone" in seen.page.inner_text("#find")


@pytest.mark.parametrize("by", ["account", "region", "type", "label:team", "label:cost_centre"])
def test_who_pays(by: str, truth: dict[str, Any], seen: Watched) -> None:
    choose(seen, f"by={by}")
    title = by.replace(":", " ").replace("type", "instance type")
    rows = {row[title]: row for row in read_all(seen, "#cost")}
    groups, total = truth["groups"][by], truth["total"]

    assert {*rows} == {*groups}
    for name, sums in groups.items():
        row = rows[name]
        assert [parse(row[each]) for each in ("builders", "up now", "hours up this month")] == [
            sums["builders"], sums["up"], about(sums["month_hours"], 1)]  # fmt: skip
        shown = [parse(row[each]) for each in ("this month", "a day now", "last 7 days", "idle, a day")]
        # A day of a builder is rounded to a hundredth of a cent, and a group has hundreds of them.
        assert shown == [pytest.approx(sums[each], abs=0.03) for each in ("month", "rate", "week", "idle_rate")], name
        assert parse(row["share"]) == about(100 * sums["month"] / total["month"], 1)
        assert parse(row.get("last month", "0")) == pytest.approx(sums["last_month"], abs=0.03)
    assert parse(seen.page.inner_text("#cost tfoot .is-month")) == pytest.approx(total["month"], abs=0.1)


def test_the_days_of_the_chart(truth: dict[str, Any], seen: Watched) -> None:
    choose(seen, "")
    seen.page.evaluate("document.querySelectorAll('#cost details').forEach(each => each.open = true)")
    rows = seen.page.locator("#cost .numbers").first.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    )  # fmt: skip
    sums = {day[:10]: sum(parse(cell) or 0 for cell in cells) for day, *cells in rows}

    assert sums == {day: pytest.approx(usd, abs=0.05) for day, usd in truth["days"].items()}
    assert [day for day, *_ in rows if "(part)" in day] == [
        max(truth["days"]) + " (part)",
        min(truth["days"]) + " (part)",
    ]


@pytest.mark.parametrize("need", LISTS)
def test_what_needs_doing(need: str, truth: dict[str, Any], seen: Watched) -> None:
    choose(seen, "")
    heading = seen.page.inner_text(f"#todo-{need} h3")
    rows = read_all(seen, f"#todo-{need}")
    names = {key: key.split("/")[2] for key in truth["lists"][need]}

    assert heading == f"{LISTS[need]}: {len(names)}"
    assert sorted(row["name"] for row in rows) == sorted(names.values())


def test_what_was_not_seen(truth: dict[str, Any], seen: Watched) -> None:
    choose(seen, "")
    scopes, said = truth["scopes"], " ".join(seen.page.inner_text("#unseen").split())
    rows = seen.page.locator("#unseen table[role]", has_text="builders shown as last seen").evaluate(ROWS)
    found = sorted(f"{row['account']} {row['region']} {row['resource']} {row['status']}" for row in rows)

    assert (
        f"{scopes['all']:,} scopes: {scopes['seen']:,} seen, {scopes['failed']} failed, {scopes['expected']} expected"
        in said
    )
    assert found == truth["not_seen"]
    assert sum(parse(row["builders shown as last seen"]) or 0 for row in rows) == truth["stale"]


def test_every_builder_and_the_lives_of_some(truth: dict[str, Any], seen: Watched) -> None:
    choose(seen, "")
    rows = read_all(seen, "#find")
    assert len(rows) == truth["total"]["builders"]
    by_place = {(row["account"], row["region"], row["name"]): row for row in rows}
    for key, figures in truth["builders"].items():
        row = by_place[(figures["account"], *key.split("/")[1:])]
        shown = [parse(row["this month"]), parse(row["a day now"]), parse(row["hours up, unbroken"])]
        assert shown == [about(figures["month"]), about(figures["rate"]), about(figures["up_hours"], 1)], key
    for key, spans in truth["spans"].items():
        figures = truth["builders"][key]
        seen.page.evaluate("delete document.body.dataset.life")
        choose(seen, f"life={key}")
        seen.page.wait_for_selector("body[data-life]")
        texts = seen.page.locator("#life .pairs div").all_inner_texts()
        pairs = dict(text.split("\n", 1) for text in texts)
        assert parse(pairs["this month"]) == about(figures["month"]), key
        assert parse(pairs["hours up this month"]) == about(figures["month_hours"], 1), key
        assert parse(pairs["last 7 days"]) == about(figures["week"]), key
        assert len(seen.page.locator("#life table[role]").first.evaluate(ROWS)) == spans, key
