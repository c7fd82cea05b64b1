"""The report page at scale, drawn in Chromium: `python -m benchmarks.report_page [BUILDERS]` prints what it costs.

Its 280 accounts have two months of days, and each builder has 56 events, of which the page contains 50.
"""
# ruff: noqa: E501 - tables of SQL, one clause a line

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from appstream_export.contracts import SqlFile, list_sql_files, load_contracts
from appstream_export.feeds.report.page import render_page
from tests.browser import Watched, chromium, watched

DRAWN = 'body[data-drawn]:not([data-drawn=""])'
_WATCH_TASKS = (
    "window.long = []; new PerformanceObserver((list) => window.long.push(...list.getEntries().map((e) => e.duration)))"
    ".observe({ type: 'longtask', buffered: true })"
)
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
    """Tasks of more than 50 ms, in ms: while the page was first drawn, and while it answered."""

    drawing: Sequence[float]
    answering: Sequence[float]


def write_page(place: Path, builders: int = 5000, *changes: str) -> Path:
    """Write the page of so many builders, after statements that change their tables, and return its path."""
    with duckdb.connect() as con:
        con.execute(_STAR.replace("{builders}", str(builders)))
        for change in changes:
            con.execute(change)

        def load_rows(file: SqlFile) -> pa.Table:
            return con.sql(file.sql).to_arrow_table()

        place.write_text(render_page(load_rows, list_sql_files(load_contracts(), "report")), "utf-8")
    return place


def measure_tasks(seen: Watched, file: Path) -> PageTasks:
    """Draw the page, then search, filter, group and open a builder, as a reader does."""
    page = seen.page
    page.add_init_script(_WATCH_TASKS)
    page.goto(f"file://{file}")
    page.wait_for_selector(DRAWN)
    drawing = page.evaluate("window.long.splice(0)")
    page.locator("search input").press_sequentially("team-7", delay=120)
    page.wait_for_selector(DRAWN)
    for region in ("eu-west-1", ""):
        page.select_option("search label:has-text('Region') select", region)
        page.wait_for_selector(DRAWN)
    page.locator("search input").fill("")
    page.wait_for_selector(DRAWN)
    page.select_option("#cost label:has-text('Group by') select", "type")
    page.wait_for_selector(DRAWN)
    page.locator("#find .name").first.click()
    page.wait_for_selector("body[data-life]")
    return PageTasks(drawing, page.evaluate("window.long.splice(0)"))


def main(builders: int = 5000) -> None:
    """Print size and tasks of the page of so many builders."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        file = write_page(Path(folder, "report.html"), builders)
        tasks = measure_tasks(watched(browser), file)
        figures = {
            "builders": f"{builders:,}",
            "size of report.html": f"{file.stat().st_size / 1e6:.2f} MB",
            "longest task of the first drawing": _format_task(tasks.drawing),
            "longest task of search, filters, groups and a life": _format_task(tasks.answering),
        }
    sys.stdout.writelines(f"{name:<52}{figure}\n" for name, figure in figures.items())


def _format_task(tasks: Sequence[float]) -> str:
    return f"{max(tasks):.0f} ms" if tasks else "50 ms or less"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
