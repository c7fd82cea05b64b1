"""The report page at scale, drawn in Chromium: `python -m benchmarks.report_page [BUILDERS]` prints what it costs.

Its 280 accounts have two months of days, and each builder has 56 events, of which the page contains 50.
"""
# ruff: noqa: E501 - tables of SQL, one clause a line

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from playwright.sync_api import Page

from appstream_export.contracts import SqlFile, list_sql_files, load_contracts
from appstream_export.feeds.report.page import render_page
from tests.browser import Watched, chromium, watched

DRAWN = 'body[data-drawn]:not([data-drawn=""])'
_MAIN_THREAD, _TASKS = "CrRendererMain", ("RunTask", "ThreadControllerImpl::RunTask")
_DRIVER = "v8.evaluateModule"  # the page has no module: these are scripts of playwright, which take some 80 ms
_MARK = "step: "
_MARK_IDLE = f"""name => new Promise((resolve) => requestAnimationFrame(() => requestIdleCallback(() => {{
    performance.mark("{_MARK}" + name);
    resolve();
}})))"""
_STAR = """
create table prices as select 1 as usd_per_hour;
create table fact_export_run as select 60 as seq, 's60' as export_run_key, date '2026-11-30' as day,
    timestamp '2026-11-30 12:00:00' as committed_at_utc, 'partial' as outcome
    union all select 1, 's1', date '2026-10-02', timestamp '2026-10-02 12:00:00', 'complete';
create table dim_account as select lpad(n::varchar, 12, '0') as account_id, 'team-' || n as account_name,
    'root/unit-' || n % 9 as ou_path, '{"team":"' || n % 40 || '"}' as labels_json, true as is_covered from range(280) t(n);
create table b as select n, lpad((n % 280)::varchar, 12, '0') as account_id,
    ['eu-west-1', 'us-east-1', 'ap-south-1', 'us-west-2'][1 + n % 4] as region, 'builder-' || md5(n::varchar)[:12] as name,
    account_id || '/' || region || '/' || name as image_builder_key, image_builder_key || '/1' as image_builder_life_key,
    ['RUNNING', 'STOPPED', 'STOPPED', 'FAILED', 'PENDING'][1 + n % 5] as state, n % 5 in (0, 4) as is_running,
    'stream.standard.' || ['small', 'medium', 'large'][1 + n % 3] as instance_type, 'WINDOWS_SERVER_2022' as platform,
    400 as root_volume_size_gb, timestamp '2026-09-01 00:00:00' + to_minutes(n::integer) as created_time_utc,
    timestamp '2026-11-30 12:00:00' - to_seconds(n % 280) as observed_at_utc
    from range({builders}) t(n);
create table dim_image_builder as select b.*, 1 as life, true as is_last_life, null::varchar as ended_by from b;
create table fact_image_builder_state_span as select b.image_builder_key,
    case when k = 25 then state when k % 2 = 0 then 'STOPPED' else 'RUNNING' end as state,
    observed_at_utc - to_days(51 - 2 * k::integer) - to_minutes((hash(n + k) % 600)::bigint) as first_observed_at_utc,
    case when k = 25 then observed_at_utc else first_observed_at_utc + interval 30 hour end as last_observed_at_utc,
    round((epoch(last_observed_at_utc) - epoch(first_observed_at_utc)) / 3600, 4) as hours_at_least,
    case when k < 25 then last_observed_at_utc + interval 9 hour end as next_observed_at_utc,
    case when k < 25 then 'changed' end as ended_by,
    case when is_running then last_observed_at_utc end as active_until_utc from b, range(26) t(k);
create table image_builder_latest as select b.*, null as display_name, 'made for ' || md5(name) as description,
    false as is_stale, 'arn:aws:appstream:' || region || '::image/base-' || n % 60 as image_arn, null as iam_role_arn,
    null as directory_name, 'subnet-' || md5((n % 600)::varchar)[:17] as subnet_ids,
    'sg-' || md5((n % 300)::varchar)[:17] as security_group_ids, null as vpce_ids, n % 2 as ipv6_addresses,
    '10.' || n % 256 || '.' || n // 256 || '.7' as eni_private_ip_address, true as enable_default_internet_access,
    false as disable_imdsv1, '09-01-2026' as appstream_agent_version, n % 3 > 0 as is_latest_agent,
    n % 400 as agent_age_days, 'internet, imdsv1' as exposed_by,
    case when is_running then n / 7.0 end as running_hours_at_least,
    case when is_running then n / 60.0 end as running_usd_at_least, 0.12::double as usd_per_hour,
    24.0::double as disk_usd_per_month from b;
create table fact_image_builder_day as select b.image_builder_key, b.image_builder_life_key, day::date as day,
    case when hash(n, day) % 3 = 0 then 'RUNNING' else 'STOPPED' end as state,
    case when hash(n, day) % 3 = 0 then 24 - (hash(n, day) % 50) / 5.0 else 0 end as running_hours_at_least,
    running_hours_at_least * 0.12 as instance_usd_at_least, 0.789::double as disk_usd_at_least
    from b, generate_series(date '2026-10-02', date '2026-11-30', interval 1 day) t(day);
create table fact_image_builder_change as select b.image_builder_key, 'changed' as change,
    'appstream_agent_version' as column_name,
    '0' || 1 + k % 9 || '-01-2026' as old_value, '0' || 1 + (k + 1) % 9 || '-01-2026' as new_value,
    b.observed_at_utc - to_days(k::integer) as observed_at_utc from b, range(30) t(k);
create table fact_image_builder_error as select b.image_builder_key, 0 as position, 'E' || n % 12 as error_code,
    'it failed' as error_message, observed_at_utc as error_timestamp_utc from b where n % 5 = 3;
create table dim_scope as select 'image_builders' as resource, account_id, region,
    case when hash(account_id, region) % 50 = 0 then 'denied' else 'ok' end as status, null as reason, false as is_expected,
    timestamp '2026-11-30 12:00:00' as attempted_at_utc, timestamp '2026-11-30 12:00:00' as observed_at_utc
    from dim_account, (select distinct region from b);
"""


@dataclass(frozen=True, slots=True)
class PageTasks:
    """CPU of the main thread's tasks, in ms, the longest first: while the page was drawn, and while it answered.

    CPU, because other work on the machine makes a task last longer, but not take more.
    """

    drawing: Sequence[float]
    answering: Mapping[str, Sequence[float]]
    """By what the reader did."""


def write_page(place: Path, builders: int = 5000, *changes: str) -> Path:
    """Write the page of so many builders, after statements that change their tables, and return its path."""
    with duckdb.connect() as con:
        con.execute(_STAR.replace("{builders}", str(builders)))
        for change in changes:
            con.execute(change)

        def load_rows(file: SqlFile, /, only: pa.Table | None = None) -> pa.Table:
            found = con.sql(file.sql).to_arrow_table()
            if only is None:
                return found
            return found.filter(pc.is_in(found["image_builder_key"], value_set=only["image_builder_key"]))

        place.write_text(render_page(load_rows, list_sql_files(load_contracts(), "report")), "utf-8")
    return place


def measure_tasks(seen: Watched, file: Path) -> PageTasks:
    """Draw the page, then search, filter, group, sort, list more and open a builder, as a reader does."""
    page = seen.page
    search, builders = page.locator("search input"), page.locator("#find")
    steps: Mapping[str, Callable[[], object]] = {
        "search": lambda: search.press_sequentially("team-7", delay=120),
        "search for all": lambda: search.fill(""),
        "filter": lambda: page.select_option("search label:has-text('Region') select", "eu-west-1"),
        "no filter": lambda: page.select_option("search label:has-text('Region') select", ""),
        "group": lambda: page.select_option("#cost label:has-text('Group by') select", "type"),
        "sort by name": lambda: builders.locator("th button").first.click(),
        "list more": lambda: builders.locator(".more button").click(),
        "sort by hours": lambda: builders.locator("th button", has_text="hours up").click(),
        "open a builder": lambda: builders.locator(".name").first.click(),
    }
    browser = page.context.browser
    assert browser is not None  # noqa: S101  the page is open
    browser.start_tracing(page=page, categories=["toplevel", "devtools.timeline", "blink.user_timing"])
    page.goto(f"file://{file}")
    _end_step(page, "drawing")
    for name, act in steps.items():
        act()
        _end_step(page, name)
    found = _group_tasks(json.loads(browser.stop_tracing())["traceEvents"])
    return PageTasks(found.pop("drawing"), found)


def _end_step(page: Page, name: str) -> None:
    """Wait until the page is drawn and idle, and mark this moment."""
    page.wait_for_selector(DRAWN)
    page.evaluate(_MARK_IDLE, name)


def _group_tasks(events: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return the CPU of the main thread's tasks by step, the longest first."""
    threads = {(event["pid"], event["tid"]) for event in events if event.get("args", {}).get("name") == _MAIN_THREAD}
    found = [event for event in events if (event["pid"], event["tid"]) in threads]
    driven = [event["ts"] for event in found if event["name"] == _DRIVER]
    marks = {event["ts"]: event["name"].removeprefix(_MARK) for event in found if event["name"].startswith(_MARK)}
    groups: dict[str, list[float]] = {name: [] for name in marks.values()}
    for task in (event for event in found if event["name"] in _TASKS and "tdur" in event):
        ends = [moment for moment in marks if moment >= task["ts"]]
        if ends and not _has_moment(task, driven):
            groups[marks[min(ends)]].append(task["tdur"] / 1000)
    return {name: sorted(tasks, reverse=True) for name, tasks in groups.items()}


def _has_moment(task: Mapping[str, Any], moments: Sequence[int]) -> bool:
    return any(task["ts"] <= moment <= task["ts"] + task["dur"] for moment in moments)


def main(builders: int = 5000) -> None:
    """Print size and tasks of the page of so many builders."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        file = write_page(Path(folder, "report.html"), builders)
        tasks = measure_tasks(watched(browser), file)
        size = f"{file.stat().st_size / 1e6:.2f} MB"
    figures = {
        "builders": f"{builders:,}",
        "size of report.html": size,
        "CPU of the longest task, first drawing": tasks.drawing,
    }
    figures |= {f"CPU of the longest task, {name}": found for name, found in tasks.answering.items()}
    sys.stdout.writelines(f"{name:<46}{_format_figure(figure)}\n" for name, figure in figures.items())


def _format_figure(figure: str | Sequence[float]) -> str:
    return figure if isinstance(figure, str) else f"{figure[0]:.0f} ms" if figure else "no task"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
