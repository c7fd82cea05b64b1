"""A real Superset imports the bundle of `dashboard superset`, draws every chart, filters, and drills to one builder.

Superset runs with its own pins, in an environment of its own, on 127.0.0.1. Screenshots of its pages stay in the folder
`.benchmarks/dashboards`, to be looked at.
"""

import shutil
import urllib.parse
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Error, Page, Response, sync_playwright

from appstream_export.cli.main import main as run_command
from benchmarks.children import ROOT, run_uv
from benchmarks.dashboard_warehouse import DashboardSize, write_dashboard_warehouse
from benchmarks.findings import Findings
from benchmarks.served import serve_program

PAGE_MS = 600_000
_SETTLE_MS = 2_000  # from a click to the requests that it leads to
PINS = ROOT / "benchmarks" / "dashboards" / "superset.txt"
CONFIG = ROOT / "benchmarks" / "dashboards" / "superset_config.py"
SHOTS = ROOT / ".benchmarks" / "dashboards"
PAGES = ("Cost", "Builders", "To do", "Changes", "Coverage")
USER = "admin"


Size = DashboardSize
FULL = Size(snapshots=6)
QUICK = Size(accounts=2, builders=2, snapshots=2)


def prove(size: Size, folder: Path) -> Findings:
    """Check that Superset imports the bundle, that each chart has data, and that a filter and a click restrict it."""
    found = Findings("Dashboards: Superset imports and draws the bundle")
    warehouse = str(write_dashboard_warehouse(folder / "warehouse", size))
    bundle, config = folder / "superset.zip", folder / "appstream-export.toml"
    config.write_text(f'warehouse = "{warehouse}"\n[feeds]\naccount_labels = ["team"]\nversions = ["v2"]\n')
    run_command(("dashboard", "superset", "-o", str(bundle), "--config", str(config)))
    charts = _list_charts(bundle)
    environ = {"SUPERSET_HOME": str(folder), "SUPERSET_CONFIG_PATH": str(CONFIG), "FLASK_APP": "superset"}
    _prepare_superset(bundle, environ)
    words = _command("run", "-h", "127.0.0.1", "-p", "{port}", "--with-threads")
    with serve_program(words, "/health", environ) as url:
        drawn, filtered, drilled = _look_at_dashboard(url)
    rows = [found.judge(name, [drawn.get(name, "not drawn")], "no error", drawn.get(name) == "ok") for name in charts]
    rows.append(found.judge("filter by an account", [filtered], "1: one account pays", filtered == 1))
    rows.append(found.judge("drill to a builder", [drilled], "1: states of one builder alone", drilled == 1))
    found.table(["chart", "answer", "wanted", ""], rows)
    found.figures["charts"] = len(charts)
    return found


def _list_charts(bundle: Path) -> list[str]:
    with zipfile.ZipFile(bundle) as packed:
        return [yaml.safe_load(packed.read(name))["slice_name"] for name in packed.namelist() if "/charts/" in name]


def _prepare_superset(bundle: Path, environ: Mapping[str, str]) -> None:
    _run_superset(environ, "db", "upgrade")
    names = ("--firstname", "a", "--lastname", "b", "--email", "a@example.com")
    _run_superset(environ, "fab", "create-admin", "--username", USER, "--password", USER, *names)
    _run_superset(environ, "init")
    _run_superset(environ, "import-dashboards", "-u", USER, "-p", str(bundle))


def _run_superset(environ: Mapping[str, str], *words: str) -> None:
    run_uv(*_command(*words), environ=environ)


def _command(*words: str) -> list[str]:
    isolated = ("run", "--quiet", "--isolated", "--no-project", "--python", "3.11", "--with-requirements", str(PINS))
    return [*isolated, "superset", *words]


def _look_at_dashboard(url: str) -> tuple[dict[str, str], int, int]:
    """Open each page; return what each chart answered.

    Also return how many accounts pay after a filter by one of them, and of how many builders a click on one left
    states.
    """
    SHOTS.mkdir(parents=True, exist_ok=True)
    answers: dict[int, str] = {}
    found: dict[int, list[dict[str, Any]]] = {}

    def note(response: Response) -> None:
        if "/api/v1/chart/data" not in response.url or response.request.method != "POST":
            return
        asked: Any = response.request.post_data_json
        chart = asked["form_data"].get("slice_id")
        if chart is None:  # a filter's values
            return
        try:
            results = response.json().get("result", [{}]) if response.ok else []
        except Error:  # the page has sent the request again, and forgotten this answer
            return
        problem = next((result.get("error") for result in results if result.get("error")), None)
        answers[chart] = "ok" if response.ok and not problem else f"{response.status} {problem}"
        found[chart] = [row for result in results for row in result.get("data") or ()]

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1300})
        page.set_default_timeout(PAGE_MS)
        page.on("response", note)
        _log_in(page, url)
        names = _read_names(page, url)
        page.goto(f"{url}/superset/dashboard/appstream-image-builders/")
        for title in PAGES:
            _open_tab(page, title)
            page.mouse.wheel(0, 3000)  # charts below are drawn once they are near
            _wait_until_drawn(page)
            page.screenshot(path=SHOTS / f"superset-{title.lower().replace(' ', '-')}.png")
        _open_tab(page, "Builders")
        page.screenshot(path=SHOTS / "superset-find.png")
        states = next(chart for chart, name in names.items() if name == "Life: states")
        with page.expect_response(lambda response: f'"slice_id":{states}' in _decode_url(response.url)):
            _click_builder(page)
        _wait_until_drawn(page)
        page.screenshot(path=SHOTS / "superset-builder.png")
        drilled = len({row["image_builder_key"] for row in found.get(states, ())})
        page.reload()
        _open_tab(page, "Cost")
        payers = next(chart for chart, name in names.items() if name == "Who pays")
        with page.expect_response(lambda response: f'"slice_id":{payers}' in _decode_url(response.url)):
            _filter_first_account(page)
        _wait_until_drawn(page)
        page.screenshot(path=SHOTS / "superset-filter.png")
        browser.close()
    drawn = {names[chart]: answer for chart, answer in answers.items() if chart in names}
    return drawn, len(found.get(payers, ())), drilled


def _open_tab(page: Page, title: str) -> None:
    page.mouse.wheel(0, -3000)
    page.locator(".ant-tabs-tab", has_text=title).first.click()
    _wait_until_drawn(page)


def _wait_until_drawn(page: Page) -> None:
    """Wait until no chart that can be seen waits for its data; one whose page is left meanwhile may never draw."""
    page.wait_for_timeout(_SETTLE_MS)
    page.wait_for_load_state("networkidle")
    page.wait_for_function("!document.body.innerText.includes('Waiting on')")


def _decode_url(url: str) -> str:
    return urllib.parse.unquote(url).replace(" ", "")


def _log_in(page: Page, url: str) -> None:
    page.goto(f"{url}/login/")
    page.fill("input[name=username], #username", USER)
    page.fill("input[name=password], #password", USER)
    page.click("button[type=submit], input[type=submit]")
    page.wait_for_load_state("networkidle")


def _read_names(page: Page, url: str) -> dict[int, str]:
    found: Any = page.request.get(f"{url}/api/v1/chart/?q=(page_size:100)").json()
    return {chart["id"]: chart["slice_name"] for chart in found["result"]}


def _click_builder(page: Page) -> None:
    """Click the key of the first builder, whose cells are in the last column of the first table."""
    page.locator("table:visible tbody tr").first.locator("td").last.click()


def _filter_first_account(page: Page) -> None:
    """Choose the first account of the first filter, and apply it."""
    page.locator("[data-test=form-item-value] .ant-select").first.click()
    page.locator(".ant-select-item-option").first.click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Apply filters").click()
