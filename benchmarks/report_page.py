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

from appstream_export.feeds import render_report
from tests.browser import Watched, chromium, watched

DRAWN = 'body[data-drawn]:not([data-drawn=""])'
_WATCH_TASKS = (
    "window.long = []; new PerformanceObserver((list) => window.long.push(...list.getEntries().map((e) => e.duration)))"
    ".observe({ type: 'longtask', buffered: true })"
)
_MARTS = """
create macro utc_day(moment) as (moment at time zone 'UTC')::date;
create table snapshots as select 60 as seq, 's60' as snapshot_id, 'sweep' as kind, 'listed' as discovery,
    timestamptz '2026-11-30 12:00:00Z' as committed_at;
create table prices as select 1 as usd_per_hour;
create table export_runs as select timestamptz '2026-10-02 12:00:00Z' as committed_at;
create table accounts as select lpad(n::varchar, 12, '0') as account_id, 'team-' || n as account_name,
    'root/unit-' || n % 9 as ou_path, '{"team":"' || n % 40 || '"}' as labels_json from range(280) t(n);
create table b as select n, lpad((n % 280)::varchar, 12, '0') as account_id, 'team-' || n % 280 as account_name,
    ['eu-west-1', 'us-east-1', 'ap-south-1', 'us-west-2'][1 + n % 4] as region, 'builder-' || md5(n::varchar)[:12] as name,
    account_id || '/' || region || '/' || name as image_builder_key,
    ['RUNNING', 'STOPPED', 'STOPPED', 'FAILED', 'PENDING'][1 + n % 5] as state, n % 5 in (0, 4) as is_up,
    'stream.standard.' || ['small', 'medium', 'large'][1 + n % 3] as instance_type, 'WINDOWS_SERVER_2022' as platform,
    timestamptz '2026-11-30 12:00:00Z' - to_seconds(n % 280) as observed_at
    from range({builders}) t(n);
create table image_builder_state_spans as select b.* exclude (state), 1 as life,
    case when k = 25 then state when k % 2 = 0 then 'STOPPED' else 'RUNNING' end as state,
    observed_at - to_days(51 - 2 * k::integer) - to_minutes((hash(n + k) % 600)::bigint) as first_observed_at,
    case when k = 25 then observed_at else first_observed_at + interval 30 hour end as last_observed_at,
    round((epoch(last_observed_at) - epoch(first_observed_at)) / 3600, 4) as hours_at_least,
    case when k < 25 then last_observed_at + interval 9 hour end as next_observed_at,
    case when k < 25 then 'changed' end as ended_by, 400 as root_volume_size_gb,
    timestamptz '2026-09-01 00:00:00Z' + to_minutes(n::integer) as created_time,
    case when is_up then last_observed_at end as active_until from b, range(26) t(k);
create table image_builder_overview as select b.*, null as display_name, 'made for ' || md5(name) as description,
    400 as root_volume_size_gb, timestamptz '2026-09-01 00:00:00Z' as created_time, false as is_stale,
    'arn:aws:appstream:' || region || '::image/base-' || n % 60 as image_arn, null as iam_role_arn, null as directory_name,
    'subnet-' || md5((n % 600)::varchar)[:17] as subnet_ids, 'sg-' || md5((n % 300)::varchar)[:17] as security_group_ids,
    null as vpce_ids, n % 2 as ipv6_addresses, '10.' || n % 256 || '.' || n // 256 || '.7' as eni_private_ip_address,
    true as enable_default_internet_access, false as disable_imdsv1, '09-01-2026' as appstream_agent_version,
    0.12 as usd_per_hour, 24.0 as disk_usd_per_month from b;
create table running_image_builders as select b.*, n / 7.0 as running_hours_at_least, n / 60.0 as cost_usd_at_least,
    0.12 as usd_per_hour from b where is_up;
create table exposure as select image_builder_key, 'reaches_internet, allows_imdsv1' as exposed_by from b;
create table agent_currency as select image_builder_key, n % 3 > 0 as is_latest, n % 400 as agent_age_days from b;
create table image_builder_daily as select b.* exclude (state), day::date as day,
    case when hash(n, day) % 3 = 0 then 'RUNNING' else 'STOPPED' end as state,
    case when hash(n, day) % 3 = 0 then 24 - (hash(n, day) % 50) / 5.0 else 0 end as running_hours_at_least,
    (running_hours_at_least * 0.12)::decimal(18, 4) as instance_usd_at_least, 0.7890::decimal(18, 4) as disk_usd_at_least
    from b, generate_series(date '2026-10-02', date '2026-11-30', interval 1 day) t(day);
create table image_builder_changes_history as select b.* exclude (observed_at), 'changed' as change, 'appstream_agent_version' as column_name,
    '0' || 1 + k % 9 || '-01-2026' as old_value, '0' || 1 + (k + 1) % 9 || '-01-2026' as new_value,
    b.observed_at - to_days(k::integer) as observed_at from b, range(30) t(k);
create table image_builder_errors as select b.*, name as image_builder_name, 0 as position, 'E' || n % 12 as error_code,
    'it failed' as error_message, observed_at as error_timestamp from b where n % 5 = 3;
create table coverage as select 'image_builders' as resource, account_id, account_name, region,
    case when hash(account_id, region) % 50 = 0 then 'denied' else 'ok' end as status, null as reason, false as is_expected,
    timestamptz '2026-11-30 12:00:00Z' as attempted_at, timestamptz '2026-11-30 12:00:00Z' as observed_at
    from accounts, (select distinct region from b);
"""


@dataclass(frozen=True, slots=True)
class PageTasks:
    """Tasks of more than 50 ms, in ms: while the page was first drawn, and while it answered."""

    drawing: Sequence[float]
    answering: Sequence[float]


def write_page(place: Path, builders: int = 5000, *changes: str) -> Path:
    """Write the page of so many builders, after statements that change their tables, and return its path."""
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        con.execute(_MARTS.replace("{builders}", str(builders)))
        for change in changes:
            con.execute(change)

        def run_query(sql: str) -> pa.Table:
            return con.sql(sql).to_arrow_table()

        place.write_text(render_report(run_query), "utf-8")
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
