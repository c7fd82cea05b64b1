"""The report in a real browser: what it answers, what it requests, and what it never runs."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from appstream_export.feeds.report import publish_report, render_report
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.storage.checksum_trailer import has_valid_checksum
from appstream_export.lake.storage.paths import REPORT_FILE
from appstream_export.settings import Settings
from tests.browser import Watched, watched
from tests.lake.lakes import A, B, C, Lake, at, builder, failed, ok
from tests.pages import read_rows

SCRIPT = "<script>document.title='hacked'</script>"
DRAWN = 'body[data-drawn]:not([data-drawn=""])'
TEXT_BOXES = """[...document.querySelectorAll('.chart svg text')].flatMap(text => {
    const box = text.getBoundingClientRect();
    const probe = getComputedStyle(text).backgroundColor.match(/[\\d.]+/g).map(Number).slice(0, 3);
    return box.width ? [{ text: text.textContent, x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height, probe }] : [];
})"""  # noqa: E501
COUNT_PIXELS = """async ({ picture, boxes }) => {
    const image = new Image();
    image.src = `data:image/png;base64,${picture}`;
    await image.decode();
    const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
    const pen = canvas.getContext('2d');
    pen.drawImage(image, 0, 0);
    return boxes.map(({ x, y, width, height, probe }) => {
        const { data } = pen.getImageData(Math.floor(x), Math.floor(y), Math.ceil(width), Math.ceil(height));
        let same = 0;
        for (let at = 0; at < data.length; at += 4) same += probe.every((part, place) => part === data[at + place]);
        return same / (data.length / 4);
    });
}"""
IS_HIDDEN_BY_BAR = """document.activeElement.getBoundingClientRect().top
    < document.querySelector('#place-bar').getBoundingClientRect().bottom"""
AXE = Path(__file__).parents[2] / "pipelines/appstream_export/feeds/report/javascript/node_modules/axe-core/axe.min.js"


def written(lake: Lake, folder: Path, **more: timedelta) -> Path:
    """The report of a warehouse, as a file."""
    file = folder / "report.html"
    file.write_text(render_report(lake.store, lake.contracts, **more), "utf-8")
    return file


def eventful(folder: Path) -> Lake:
    """Two snapshots of three scopes: something changed, something is exposed, something failed."""
    lake = Lake(folder / "warehouse")
    up = {"state": "RUNNING", "instance_type": "stream.standard.medium", "enable_default_internet_access": True}
    lake.commit_at(
        0, ok(A, builder(SCRIPT, **up, errors=["E1", "</script>"])), ok(B, builder("b", state="STOPPED")), ok(C)
    )
    lake.commit_at(1, ok(A, builder(SCRIPT, **(up | {"state": "STOPPING"})), builder("c", **up)), failed(B), ok(C))
    lake.commit_at(2, ok(A, builder(SCRIPT, **up, errors=["E1", "</script>"]), builder("c", **up)), failed(B), ok(C))
    return lake


def opened(seen: Watched, file: Path, choice: str = "") -> Watched:
    """The page, drawn with that choice in its address."""
    seen.page.goto("about:blank")
    seen.page.goto(f"file://{file}{choice}")
    seen.page.wait_for_selector(DRAWN)
    return seen


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The eventful warehouse's page."""
    folder = tmp_path_factory.mktemp("report")
    return written(eventful(folder), folder)


@pytest.fixture(scope="module")
def report(chromium: Browser, file: Path) -> Iterator[Watched]:
    """That page, drawn."""
    seen = opened(watched(chromium), file)
    yield seen
    seen.page.close()


def text(seen: Watched, selector: str) -> str:
    """What a reader reads there."""
    return " ".join(seen.page.inner_text(selector).split())


@pytest.mark.slow
def test_every_chart_has_marks_and_nothing_is_requested_or_complained_about(report: Watched) -> None:
    charts = report.page.locator(".chart")
    marks = [charts.nth(n).locator("svg rect").count() for n in range(charts.count())]

    assert len(marks) == 2
    assert all(marks), marks
    assert report.said == []
    assert [url for url in report.asked if not url.startswith(("file://", "about:"))] == []


@pytest.mark.slow
def test_tiles_and_banner_say_what_there_is_and_what_was_not_seen(report: Watched) -> None:
    assert text(report, ".tiles") == (
        "3 builders no data of a week ago 2 up now no data of a week ago ? a day now no price list: "
        "see [feeds] prices ? this month no price list: see [feeds] prices 2 exposed in at least one way 1 not seen of "
        "3 scopes; 0 expected"
    )
    assert "1 of 3 scopes (an account in a region) did not answer. 1 builder shown as last seen." in text(
        report, "main"
    )
    assert "team 1 us-east-1 image_builders denied" in text(report, "#unseen")


@pytest.mark.slow
def test_text_from_aws_stays_text(report: Watched) -> None:
    assert report.page.title().startswith("AppStream image builders as of")
    assert SCRIPT in text(report, "#changes")
    assert SCRIPT in text(report, "#find")
    assert "</script>" in text(report, "#todo")


@pytest.mark.slow
def test_a_filter_applies_to_the_whole_page_and_lives_in_its_address(chromium: Browser, file: Path) -> None:
    seen = opened(watched(chromium), file, "#region=us-east-1")
    by_link = text(seen, ".tiles")
    opened(seen, file)
    seen.page.select_option("search label:has-text('Region') select", "us-east-1")
    seen.page.wait_for_selector(DRAWN)

    assert text(seen, ".tiles") == by_link
    assert by_link.startswith("1 builder no data")
    assert "1 not seen of 1 scope" in by_link
    assert seen.page.locator("#find tbody tr").all_inner_texts()[0].startswith("b")
    assert seen.page.url.endswith("#region=us-east-1")
    seen.page.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ("#q=e1", [SCRIPT]),
        ("#q=internet+eu-west-1", ["c", SCRIPT]),
        ("#exposed=internet", ["c", SCRIPT]),
        ("#needs=failing", [SCRIPT]),
        ("#needs=exposed&state=STOPPED", []),
    ],
)
def test_a_link_finds_builders_by_what_is_known_of_them(
    choice: str, found: list[str], chromium: Browser, file: Path
) -> None:
    seen = opened(watched(chromium), file, choice)

    assert sorted(seen.page.locator("#find .name").all_inner_texts(), key=len) == found
    assert text(seen, ".bar p").startswith(f"{len(found)} of 3 builders")
    seen.page.close()


@pytest.mark.slow
def test_changes_are_limited_to_a_kind_and_lists_in_them_are_words(chromium: Browser, file: Path) -> None:
    seen = opened(watched(chromium), file, "#change=image+builder+errors")
    rows = [" ".join(row.split()) for row in seen.page.locator("#changes tbody tr").all_inner_texts()]
    seen.page.close()

    assert len(rows) == 2
    assert all("error code E1; error code </script>…" in row and "none" in row for row in rows), rows


@pytest.mark.slow
def test_a_builders_name_opens_its_life_by_keyboard_and_back_closes_it(report: Watched) -> None:
    report.page.locator("#find .name", has_text="script").focus()
    report.page.keyboard.press("Enter")
    report.page.wait_for_selector("body[data-life]")
    life = text(report, "#life")

    assert life.startswith(f"Close {SCRIPT}")
    assert life.count("RUNNING") >= 3, "in its head, and in two periods"
    assert "STOPPING" in life
    assert "exposed by" in life
    assert "life=111122223333" in report.page.url
    report.page.go_back()
    report.page.locator("#life").wait_for(state="hidden")


@pytest.mark.slow
def test_what_is_off_says_so_and_how_to_switch_it_on(report: Watched) -> None:
    line = '[contracts] resources = ["image_builders", "tags"]'
    assert f"Cost per tag: not exported. Switch on in appstream-export.toml: {line}" in text(report, "#cost")
    assert "Age of images: not exported." in text(report, "#todo")


@pytest.mark.slow
def test_the_sql_is_shown_on_demand_by_keyboard(report: Watched) -> None:
    shown = report.page.locator("#sql details", has_text="errors.sql").locator("pre")
    assert not shown.is_visible()
    report.page.locator("#sql details", has_text="errors.sql").locator("summary").focus()
    report.page.keyboard.press("Enter")

    assert shown.is_visible()
    assert "from fact_image_builder_error" in shown.inner_text()


@pytest.mark.slow
def test_an_old_page_says_so(chromium: Browser, tmp_path: Path) -> None:
    seen = watched(chromium)
    lake = eventful(tmp_path)
    committed_at = lake.sql("select max(committed_at) from snapshots")[0]
    for later, is_old in ((timedelta(hours=2, minutes=20), False), (timedelta(hours=3), True)):  # as `status` judges
        seen.page.clock.set_fixed_time(committed_at + later)
        opened(seen, written(lake, tmp_path, freshness_interval=timedelta(hours=1)))
        assert seen.page.locator("#old").is_visible() is is_old
    assert "3 hours old" in text(seen, "#old")
    seen.page.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off_sideways(width: int, chromium: Browser, file: Path) -> None:
    seen = opened(watched(chromium, width=width, height=844), file)

    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    cut = (
        "[...document.querySelectorAll('td, th')].filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText)"
    )
    assert seen.page.evaluate(cut) == []
    seen.page.close()


@pytest.mark.long
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("choice", ["", "#life=111122223333/eu-west-1/c"])
def test_axe_finds_nothing_and_leaves_nothing_open(
    choice: str, scheme: str, width: int, chromium: Browser, file: Path
) -> None:
    if not AXE.is_file():
        pytest.skip("needs axe-core: npm ci in feeds/report/javascript")
    seen = watched(chromium, width=width)
    seen.page.emulate_media(color_scheme=scheme)  # ty: ignore[invalid-argument-type]
    opened(seen, file, choice)
    seen.page.wait_for_selector(".chart svg text", state="attached")
    seen.page.evaluate(AXE.read_text("utf-8"))
    found = seen.page.evaluate("axe.run()")
    seen.page.close()

    assert [
        (each["id"], [node["html"] for node in each["nodes"]])
        for kind in ("violations", "incomplete")
        for each in found[kind]
    ] == []
    assert "color-contrast" in {each["id"] for each in found["passes"]}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_behind_the_texts_of_charts_lies_the_colour_that_their_style_names(
    scheme: str, chromium: Browser, file: Path
) -> None:
    """axe-core takes the background of a text in SVG from its style, so that has to be true: pixels are counted."""
    seen = watched(chromium)
    seen.page.emulate_media(color_scheme=scheme)  # ty: ignore[invalid-argument-type]
    opened(seen, file)
    seen.page.wait_for_selector(".chart svg text")
    boxes = seen.page.evaluate(TEXT_BOXES)
    picture = base64.b64encode(seen.page.screenshot(full_page=True)).decode()
    seen.page.goto("about:blank")  # which has no policy, so that it may read the picture
    shares = seen.page.evaluate(COUNT_PIXELS, {"picture": picture, "boxes": boxes})
    seen.page.close()

    assert len(boxes) > 8
    assert [(box["text"], share) for box, share in zip(boxes, shares, strict=True) if share < 0.4] == []


@pytest.mark.slow
def test_all_of_the_page_is_reached_by_keyboard(chromium: Browser, file: Path) -> None:
    seen = opened(watched(chromium), file)
    keys, focused = seen.page.keyboard, "document.activeElement.innerText"

    seen.page.locator("nav a", has_text="Not seen").focus()
    keys.press("Enter")
    assert seen.page.evaluate(focused) == "What did we not see?", "the next Tab goes on from there"
    assert not seen.page.evaluate(IS_HIDDEN_BY_BAR)

    seen.page.locator("#find th button", has_text="name").focus()
    keys.press("Space")
    seen.page.wait_for_selector("#find th[aria-sort=ascending]")
    names = seen.page.locator("#find .name").all_inner_texts()
    assert names == sorted(names, key=str.lower)

    seen.page.locator("#find .name").nth(1).focus()
    opener = seen.page.evaluate(focused)
    keys.press("Enter")
    seen.page.wait_for_selector("body[data-life]")
    assert seen.page.evaluate(focused) == "Close"
    keys.press("Escape")
    seen.page.locator("#life").wait_for(state="hidden")
    assert seen.page.evaluate(focused) == opener, "closing returns to where the reader was"

    seen.page.locator("search input").focus()
    keys.type("us-east-1")
    seen.page.wait_for_selector(".bar button")
    seen.page.wait_for_selector(DRAWN)
    assert text(seen, ".bar p") == "1 of 3 builders"
    seen.page.locator(".bar button").focus()
    keys.press("Enter")
    seen.page.wait_for_selector(DRAWN)
    assert text(seen, ".bar p") == "All 3 builders"
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
    assert len(read_rows(file, "builders")) == 5_000


def test_a_warehouse_that_saw_nothing_still_has_a_page(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A))

    assert read_rows(written(lake, tmp_path), "builders") == []


def test_a_byte_that_is_not_as_it_was_written_is_found_however_the_page_was_written(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A))
    publish_report(lake.store, lake.contracts, Settings())
    page = tmp_path / "warehouse" / REPORT_FILE
    whole = page.read_bytes()
    assert verify_warehouse(lake.store).problems == ()
    assert has_valid_checksum(written(lake, tmp_path).read_bytes())
    for place in (0, len(whole) // 2, len(whole) - 70, len(whole) - 1):
        page.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        (problem,) = verify_warehouse(lake.store).problems

        assert "report.html: has changed since it was written" in str(problem)
        assert not problem.is_note


def test_scopes_that_no_run_has_asked_yet_are_not_passed_over(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")), planned=[A, B, C])
    file = written(lake, tmp_path)

    assert "no run has requested 2 of 3 scopes yet" in file.read_text()
    assert sum(row["attempted_at"] is None for row in read_rows(file, "scopes")) == 2


def test_a_disk_without_a_price_makes_the_cost_a_lower_bound(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    listed = {"region": "*", "instance_type": "*", "platform": "*", "usd_per_hour": 0.5,
              "disk_usd_per_gb_month": None, "valid_from": at(-1), "source_sha256": "0"}  # fmt: skip
    disk = {"instance_type": "small", "root_volume_size_gb": 1200}
    two = builder("up", state="RUNNING", **disk), builder("down", state="STOPPED", **disk)
    lake.commit(ok(A, *two), prices=[listed])
    rows = read_rows(written(lake, tmp_path), "builders")

    assert [(row["name"], row["is_running"], row["disk_usd_per_month"]) for row in rows] == [
        ("down", 0, None),
        ("up", 1, None),
    ]


@pytest.mark.slow
def test_on_a4_a_table_stays_a_table_and_nothing_is_cut_off(chromium: Browser, file: Path) -> None:
    seen = opened(watched(chromium, width=700, height=990), file)
    seen.page.emulate_media(media="print")

    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 700
    assert seen.page.evaluate("getComputedStyle(document.querySelector('#find td')).display") == "table-cell"
    seen.page.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first_day", "note"),
    [
        (30, "$0.00 in the 7 days before"),
        (10, "$0.00 in the 7 days before, seen since "),
        (7, "the 7 days before were not seen"),
        (5, "the 7 days before today, seen since "),
    ],
)
def test_a_week_without_costs_is_told_from_one_that_was_not_seen(
    first_day: int, note: str, chromium: Browser, tmp_path: Path
) -> None:
    """The first builder appeared after the first snapshot."""
    lake, listed = Lake(tmp_path / "warehouse"), {
        "region": "*", "instance_type": "*", "platform": "*", "usd_per_hour": 0.5, "disk_usd_per_gb_month": 0.1,
        "valid_from": at(-1), "source_sha256": "0",
    }  # fmt: skip
    up = builder("a", state="RUNNING", instance_type="small")
    lake.commit_at(0, ok(A), prices=[listed])
    lake.commit_at((first_day - 3) * 24, ok(A, up), prices=[listed])
    lake.commit_at(first_day * 24, ok(A, up), prices=[listed])
    seen = opened(watched(chromium), written(lake, tmp_path))
    week = " ".join(seen.page.locator(".figures > div:has(dt:text-is('Last 7 days'))").inner_text().split())
    seen.page.close()

    assert note in week
    assert "up to yesterday" in week or first_day < 7


@pytest.mark.slow
def test_names_are_sorted_as_people_read_them(chromium: Browser, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    names = ["Zug", "ib-999999999999", "École", "ib-1764504000000", "b-20261130120000", "Ärzte", "ib-99999999999",
             "ecole", "b-3000000000001", "b-007", "b-10", "B-9"]  # fmt: skip
    lake.commit(ok(A, *map(builder, names)))
    seen = opened(watched(chromium), written(lake, tmp_path))
    seen.page.click("#find th button:has-text('Name')")
    shown = seen.page.locator("#find .name").all_inner_texts()
    by_browser = seen.page.evaluate(
        "names => names.sort(new Intl.Collator('en', { numeric: true }).compare)", list(names)
    )
    seen.page.close()

    assert shown in (by_browser, by_browser[::-1])
