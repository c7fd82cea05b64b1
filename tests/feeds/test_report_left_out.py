"""A page that does not list every builder has the totals of one that does, and says what it leaves out."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from appstream_export.feeds.report import page as report_page
from benchmarks.report_page import write_page
from tests.browser import Watched, watched
from tests.pages import read_rows

DRAWN = 'body[data-drawn]:not([data-drawn=""])'
BUILDERS, LISTED = 900, 200
CHOICES = ("", "#region=eu-west-1&by=type", "#account=000000000008&over=100", "#needs=agent")


def write_cut_page(place: Path) -> Path:
    """The page of 900 builders, of which some have no price, and those of an account no change of today."""
    return write_page(
        place, BUILDERS, "update image_builder_latest set usd_per_hour = null where n % 50 = 0",
        "update fact_image_builder_day as d set instance_usd_at_least = null from b"
        " where d.image_builder_key = b.image_builder_key and n % 50 = 0 and day > '2026-11-20'",
        "delete from fact_image_builder_change where image_builder_key like '000000000279/%'"
        " and observed_at_utc > '2026-11-30'",
    )  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The page with all builders, and the one that lists 200 of them."""
    folder = tmp_path_factory.mktemp("left_out")
    whole = write_cut_page(folder / "whole.html")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_page, "BUILDERS_MAX", LISTED)
        return whole, write_cut_page(folder / "cut.html")


@pytest.fixture(scope="module")
def seen(chromium: Browser) -> Iterator[Watched]:
    """A page for all choices."""
    found = watched(chromium)
    yield found
    found.page.close()


def read_figures(seen: Watched, file: Path, choice: str) -> dict[str, list[str]]:
    """All numbers of a page that are not of one builder."""
    seen.page.goto("about:blank")
    seen.page.goto(f"file://{file}{choice}")
    seen.page.wait_for_selector(DRAWN)
    seen.page.evaluate("document.querySelectorAll('#cost details').forEach(each => each.open = true)")
    read = seen.page.locator
    return {
        "tiles": read(".tiles li").all_inner_texts(),
        "figures": read(".figures > div").all_inner_texts(),
        "days": read("#cost .numbers tr").all_inner_texts(),
        "groups": read("#cost table[role] :is(tbody, tfoot) tr").all_inner_texts(),
        "lists": read("#todo h3").all_inner_texts(),
        "sums": read("#todo :is(caption, .none)").all_inner_texts(),
        "found": read("#find :is(caption, .none)").all_inner_texts(),
        "bar": read(".bar p").all_inner_texts(),
    }


def read_text(seen: Watched, file: Path, choice: str, place: str) -> str:
    """The text of a part of a page, in one line."""
    read_figures(seen, file, choice)
    return " ".join(seen.page.inner_text(place).split())


def split_numbers(figures: dict[str, list[str]]) -> tuple[str, list[float]]:
    """The texts without their numbers and remarks on what is listed, and the numbers."""
    whole = re.sub(r": none of them is listed on this page", "", str(figures))
    numbers = re.findall(r"\d[\d,]*(?:\.\d+)?", whole)
    return re.sub(r"\d[\d,]*(?:\.\d+)?", "0", whole), [float(number.replace(",", "")) for number in numbers]


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES)
def test_every_total_counts_those_that_are_left_out(choice: str, seen: Watched, pages: tuple[Path, Path]) -> None:
    whole, cut = (read_figures(seen, page, choice) for page in pages)

    words, numbers = split_numbers(whole)
    assert split_numbers(cut) == (words, pytest.approx(numbers, abs=0.011)), "sums in another order differ by a cent"
    assert len(numbers) > 300
    assert seen.said == []


@pytest.mark.slow
def test_the_page_says_how_many_it_leaves_out_and_of_each_list(seen: Watched, pages: tuple[Path, Path]) -> None:
    said = read_text(seen, pages[1], "", "#find")
    more = [" ".join(each.split()) for each in seen.page.locator("#todo .more").all_inner_texts()]

    assert len(read_rows(pages[1], "builders")) == LISTED
    assert f"This page lists {LISTED} builders" in said
    assert f"{BUILDERS - LISTED} others are in every sum, count and chart, but in no list" in said
    assert f"{BUILDERS - 25} left out, {BUILDERS - LISTED} of them not on this page" in said
    assert all(re.search(r"\d+ of them not on this page", each) for each in more if "540" in each), "stopped ones"
    assert any("not on this page" in each for each in more)


@pytest.mark.slow
def test_a_selection_without_one_of_the_listed_changes_does_not_say_that_nothing_changed(
    seen: Watched, pages: tuple[Path, Path]
) -> None:
    said = read_text(seen, pages[0], "#account=000000000279", "#changes")

    assert "None of these builders in the newest 1,000 changes." in said
    assert "Changes of these builders, if any, are among those that are left out." in said
    assert "Nothing" not in said


@pytest.mark.slow
def test_hours_that_count_as_idle_apply_while_they_are_typed(seen: Watched, pages: tuple[Path, Path]) -> None:
    read_figures(seen, pages[0], "")
    hours = seen.page.locator("#todo input[type=number]")
    hours.press("ControlOrMeta+a")
    hours.press("Backspace")
    assert hours.input_value() == "", "an empty field is not filled again while it is edited"
    hours.press_sequentially("99")
    seen.page.wait_for_selector(DRAWN)

    assert seen.page.inner_text("#todo-up h3").startswith("Up for 99 hours or more: ")
    assert seen.page.url.endswith("#over=99")


@pytest.mark.slow
def test_a_builder_is_one_line_of_the_list_at_1280_pixels(seen: Watched, pages: tuple[Path, Path]) -> None:
    read_figures(seen, pages[0], "")
    heights = seen.page.evaluate("[...document.querySelectorAll('#find tbody tr')].map(row => row.offsetHeight)")

    assert len(heights) == 25
    assert max(heights) < 40, "one line, not two"


@pytest.mark.slow
def test_names_on_a4_break_after_hyphens_and_not_within_words(chromium: Browser, pages: tuple[Path, Path]) -> None:
    printed = watched(chromium, width=700, height=990)
    read_figures(printed, pages[0], "")
    printed.page.emulate_media(media="print")
    lines = printed.page.evaluate(
        "[...document.querySelectorAll('#find .name')].map(name => name.getClientRects().length)"
    )
    width = printed.page.evaluate("document.documentElement.scrollWidth")
    printed.page.close()

    assert (len(lines), width) == (13, 700), "nothing is cut off"
    assert max(lines) <= 2, "builder-, and what follows"


@pytest.mark.slow
def test_a_chart_whose_groups_would_all_be_others_is_by_another_group_and_says_so(
    seen: Watched, pages: tuple[Path, Path]
) -> None:
    said = read_text(seen, pages[0], "", "#cost .pair")

    assert "Dollars a day by organizational unit, at least" in said
    assert "By account, the 6 largest of 280 are less than a third: see the table." in said
    assert "run rate: $" in said


@pytest.mark.slow
def test_a_page_that_leaves_out_most_is_smaller(pages: tuple[Path, Path]) -> None:
    whole, cut = (page.stat().st_size for page in pages)

    assert cut < whole
