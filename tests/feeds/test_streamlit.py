"""The program for Streamlit: written by the command, run by Streamlit's own test client, and looked at in a browser."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from appstream_export.cli.main import main
from benchmarks.served import serve_program
from tests.browser import PATIENCE_MS, watched
from tests.feeds.test_star_tools import run
from tests.lake.lakes import Lake

SOURCE = Path("docs/dashboards/streamlit/app.py")
NEEDS = ("streamlit==1.67.0", "duckdb", "setuptools")
SCRIPT = """
import json, os, shutil, sys
import duckdb
from streamlit.testing.v1 import AppTest
found = {}
filters = {"account": ["1"], "region": ["eu-west-1"], "label_team": ["x"], "state": ["RUNNING"]}
for choices in ({}, {"region": ["eu-west-1"]}, filters):
    app = AppTest.from_file(sys.argv[1], default_timeout=600)
    for column, values in choices.items():
        app.query_params[column] = values
    app.run()
    figures = {metric.label: metric.value for metric in app.metric}
    picked = {box.label: box.value for box in app.multiselect}
    found["|".join(choices)] = [figures, [e.message for e in app.exception], [c.value for c in app.caption], picked]
os.environ["APPSTREAM_EXPORT_FEEDS"] = shutil.copyfile(sys.argv[2], "live.duckdb")
app = AppTest.from_file(sys.argv[1], default_timeout=600).run()
with duckdb.connect(shutil.copyfile(sys.argv[2], "next.duckdb")) as con:
    con.execute("update feed_status set as_of_utc = timestamp '2030-01-02 03:04:05'")
os.replace("next.duckdb", "live.duckdb")
found["newer"] = [app.caption[0].value, app.run().caption[0].value]
os.environ["APPSTREAM_EXPORT_FEEDS"] = "/nowhere/bi.duckdb"
app = AppTest.from_file(sys.argv[1], default_timeout=600).run()
found["nowhere"] = [[e.message for e in app.exception], [e.value for e in app.error]]
print(json.dumps(found))
"""
START_MS = 600_000
PAGES = {"": "Cost", "builders": "Builders", "to-do": "To do", "changes": "Changes", "coverage": "Coverage"}
Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def program(published_star: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The program as the command writes it for a warehouse."""
    file = tmp_path / "app.py"
    assert main(("dashboard", "streamlit", "-o", str(file), "--warehouse", str(published_star.store.root))) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("start it:  uvx --with duckdb streamlit run ")
    return file


def test_the_command_writes_the_source_with_the_path_of_the_feeds(program: Path, published_star: Lake) -> None:
    database = f"{published_star.store.root}/feeds/v2/bi.duckdb"
    text = program.read_text("utf-8")

    assert Path(database).is_file()
    assert text.count(database) == 1
    assert text.replace(database, "warehouse/feeds/v2/bi.duckdb") == SOURCE.read_text("utf-8")
    assert re.search(r'LOCKED = \{"enable_external_access": False, "lock_configuration": True\}', text)


def test_a_warehouse_in_a_bucket_needs_a_copy(capsys: pytest.CaptureFixture[str], published_star: Lake) -> None:
    words = ("--warehouse", str(published_star.store.root), "--root", "s3://bucket/w", "-o", "never.py")

    assert main(("dashboard", "streamlit", *words)) == 2
    assert "Streamlit opens bi.duckdb as a file; copy s3://bucket/w/feeds to its disk" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["streamlit", "superset", "dbt"])
def test_a_dashboard_of_feeds_that_are_left_out_is_refused(
    program: str, published_star: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'warehouse = "{published_star.store.root}"\n[feeds]\nversions = ["v1"]\n')
    words = ("--config", str(config), "-o", str(tmp_path / "never"))

    assert main(("dashboard", program, *words)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith('the dashboard reads feeds/v2, which is left out; add "v2" to [feeds] versions\n')
    assert not (tmp_path / "never").exists()


@pytest.mark.slow
def test_streamlit_runs_it_with_filters_of_the_address_and_shows_what_is_published_meanwhile(
    program: Path, published_star: Lake, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import os; os.chdir({str(tmp_path)!r})\n{SCRIPT}")
    database = f"{published_star.store.root}/feeds/v2/bi.duckdb"
    out = run("python", str(script), str(program), database, needs=NEEDS)
    (figures, errors, captions, _), (chosen, more, *_), (_, others, _, picked), (before, after), nowhere = json.loads(
        out.splitlines()[-1]
    ).values()

    assert (errors, more, others) == ([], [], [])
    assert figures["Image builders"] == "2"
    assert figures["Scopes not seen"] == "1"
    assert re.match(r"As of \*\*\d{4}-\d\d-\d\d \d\d:\d\d UTC\*\*, snapshot \w{26}\.", captions[0])
    assert (chosen["Image builders"], chosen["Scopes not seen"]) == ("2", "0"), "the other region was not seen"
    assert picked == {"account": ["1"], "region": ["eu-west-1"], "label team": ["x"], "state": ["RUNNING"]}
    assert before == captions[0]
    assert after.startswith("As of **2030-01-02 03:04 UTC**")
    problem = "There is no file /nowhere/bi.duckdb. Set APPSTREAM_EXPORT_FEEDS to the path of bi.duckdb of feeds/v2."
    assert nowhere == [[], [problem]]


@pytest.fixture(scope="module")
def served(published_star: Lake) -> Iterator[str]:
    """Streamlit with the program, on 127.0.0.1."""
    run("python", "-c", "pass", needs=NEEDS)  # skips where no index of packages is reachable
    needs = [word for need in NEEDS for word in ("--with", need)]
    words = ["run", "--quiet", "--isolated", "--no-project", *needs, "streamlit", "run", str(SOURCE)]
    words += ["--server.address", "127.0.0.1", "--server.port", "{port}", "--server.headless", "true"]
    words += ["--browser.gatherUsageStats", "false"]
    environ = {"APPSTREAM_EXPORT_FEEDS": f"{published_star.store.root}/feeds/v2/bi.duckdb"}
    with serve_program(words, "/_stcore/health", environ) as url:
        yield url


def open_page(page: Page, address: str) -> None:
    """Open a page of the program, and wait until it has run to its end; the first one waits for imports."""
    page.set_default_timeout(START_MS)
    page.goto(address)
    page.wait_for_selector('[data-testid="stMetric"]')
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    assert page.locator('[data-testid="stException"]').all_inner_texts() == []


@pytest.mark.long
def test_every_page_shows_the_snapshots_time_and_requests_nothing_but_its_server(
    chromium: Browser, served: str, published_star: Lake
) -> None:
    [as_of] = published_star.sql("select strftime(max(committed_at), '%Y-%m-%d %H:%M') from snapshots")
    seen = watched(chromium)
    for path, title in PAGES.items():
        open_page(seen.page, f"{served}/{path}")
        main_part = seen.page.locator('[data-testid="stMain"]')

        expect(main_part.locator("h1")).to_have_text(title, timeout=PATIENCE_MS)
        expect(main_part).to_contain_text(f"As of {as_of} UTC")
    addresses = [urlsplit(url) for url in seen.asked]

    assert {address.netloc for address in addresses if address.scheme not in ("data", "blob")} == {
        urlsplit(served).netloc
    }
    assert {"http", "ws"} <= {address.scheme for address in addresses}


@pytest.mark.long
def test_a_selected_row_shows_its_life_and_the_address_shows_it_again(chromium: Browser, served: str) -> None:
    page = watched(chromium).page
    open_page(page, f"{served}/builders")
    box = page.locator('[data-testid="stDataFrame"] canvas').first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 18, box["y"] + 52)  # the tick box of the first row
    page.wait_for_url("**/builders?builder=*")
    key = "111122223333/eu-west-1/a"

    assert page.url.endswith(f"?builder={quote(key, safe='')}")
    expect(page.get_by_role("heading", name=key)).to_be_visible(timeout=PATIENCE_MS)
    again = watched(chromium).page
    open_page(again, page.url)
    expect(again.get_by_role("heading", name=key)).to_be_visible(timeout=PATIENCE_MS)
    expect(again.get_by_text("None.")).to_have_count(0)
    open_page(again, f"{served}/builders?builder=no/such/builder")
    expect(again.get_by_text("No snapshot has this builder.")).to_be_visible(timeout=PATIENCE_MS)
