"""A dashboard over feeds/v2 in Streamlit: `streamlit run app.py`. Change it as you like; it is yours.

It opens bi.duckdb read-only and locked, and closes it after each query, so that it shows a new snapshot as soon
as one is published.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import duckdb
import pandas as pd
import streamlit as st

DATABASE = os.environ.get("APPSTREAM_EXPORT_FEEDS", "warehouse/feeds/v2/bi.duckdb")
LOCKED = {"enable_external_access": False, "lock_configuration": True}
UP_HOURS = 12
OLD_DAYS = 180
DAYS = 60

# What pages read: a feed joined to its dimensions, so that one filter fits all of them. {labels} are those of accounts.
TABLES = {
    "builders": """
        select coalesce(b.account_name, b.account_id) as account {labels}, b.*
        from image_builder_latest as b left join dim_account as a using (account_id)""",
    "days": """
        select coalesce(a.account_name, d.account_id) as account {labels}, i.name, i.instance_type, d.*,
            (select max(as_of_utc)::date from feed_status) - d.day as days_ago,
            (select date_trunc('month', max(as_of_utc)) from feed_status) <= d.day as is_this_month
        from fact_image_builder_day as d
        left join dim_image_builder as i using (image_builder_life_key)
        left join dim_account as a on d.account_id = a.account_id""",
    "changes": """
        select coalesce(a.account_name, c.account_id) as account {labels}, i.name, i.state, c.*
        from fact_image_builder_change as c
        left join dim_image_builder as i using (image_builder_life_key)
        left join dim_account as a on c.account_id = a.account_id""",
    "spans": """
        select coalesce(a.account_name, s.account_id) as account {labels}, i.name, i.life, s.*
        from fact_image_builder_state_span as s
        left join dim_image_builder as i using (image_builder_life_key)
        left join dim_account as a on s.account_id = a.account_id""",
    "exposures": """
        select coalesce(a.account_name, x.account_id) as account {labels}, b.name, b.state, x.*
        from fact_image_builder_exposure as x
        left join image_builder_latest as b using (image_builder_key)
        left join dim_account as a on x.account_id = a.account_id""",
    "errors": """
        select coalesce(a.account_name, e.account_id) as account {labels}, b.name, b.state, e.*
        from fact_image_builder_error as e
        left join image_builder_latest as b using (image_builder_key)
        left join dim_account as a on e.account_id = a.account_id""",
    "scopes": """
        select coalesce(a.account_name, o.account_id) as account {labels}, o.*,
            (o.status not in ('ok', 'filtered', 'skipped') and not o.is_expected) or o.attempted_at_utc is null
                as is_missing
        from dim_scope as o left join dim_account as a using (account_id)""",
}
# {chosen} is the filter of the sidebar. What is not filtered is about the export itself.
QUERIES = {
    "status": "select max(as_of_utc) as as_of, any_value(snapshot_id) as snapshot_id from feed_status",
    "choices": "select distinct {by} as found from builders where {by} is not null order by all",
    "now": """
        select count(*) as builders, count(*) filter (is_running) as up,
            coalesce(sum(run_rate_usd_per_day), 0) as usd_per_day, count(*) filter (exposures > 0) as exposed
        from builders where {chosen}""",
    "missing": "select count(*) as scopes from scopes where is_missing and {chosen}",
    "cost_by_day": """
        select day, account, round(sum(cost_usd_at_least), 2) as usd
        from days where days_ago < $days and {chosen} group by all order by all""",
    "who_pays": """
        select {by} as payer, count(distinct image_builder_key) as builders,
            round(sum(running_hours_at_least), 1) as hours,
            round(sum(cost_usd_at_least) filter (is_this_month), 2) as usd_this_month,
            round(sum(cost_usd_at_least), 2) as usd
        from days where days_ago < $days and {chosen} group by all order by usd desc nulls last, payer""",
    "run_rate": """
        select account, round(sum(run_rate_usd_per_day), 2) as usd_per_day
        from builders where {chosen} group by all order by usd_per_day desc nulls last, account""",
    "find": """
        select name, account, region, state, instance_type, round(running_hours_at_least, 1) as up_hours,
            round(run_rate_usd_per_day, 2) as usd_per_day, exposed_by, error_codes, is_stale, image_builder_key
        from builders where {chosen} order by usd_per_day desc nulls last, image_builder_key""",
    "states_by_day": """
        select day, state, count(*) as builders
        from days where days_ago < $days and {chosen} group by all order by all""",
    "life_spans": """
        select life, state, first_observed_at_utc, last_observed_at_utc, round(hours_at_least, 1) as hours, ended_by
        from spans where image_builder_key = $key order by first_observed_at_utc""",
    "life_days": """
        select day, round(sum(running_hours_at_least), 1) as hours, round(sum(cost_usd_at_least), 2) as usd
        from days where image_builder_key = $key group by all order by all""",
    "life_changes": """
        select observed_at_utc, change, column_name,
            case when change = 'changed' then old_value end as before,
            case when change = 'changed' then new_value end as after
        from changes where image_builder_key = $key order by observed_at_utc desc, column_name""",
    "life_errors": """
        select error_timestamp_utc, error_code, error_message
        from errors where image_builder_key = $key order by error_timestamp_utc desc""",
    "up_for_long": """
        select name, account, region, round(running_hours_at_least, 1) as up_hours,
            round(usd_per_hour * 24, 2) as saves_usd_per_day
        from builders where is_running and running_hours_at_least >= $hours and {chosen}
        order by saves_usd_per_day desc nulls last, image_builder_key""",
    "paying_for_disk": """
        select name, account, region, state, root_volume_size_gb as gb, round(disk_usd_per_month, 2) as usd_per_month
        from builders where not is_running and root_volume_size_gb > 200 and {chosen}
        order by usd_per_month desc nulls last, image_builder_key""",
    "exposed": """
        select name, account, region, state, exposures, exposed_by
        from builders where exposures > 0 and {chosen} order by exposures desc, image_builder_key""",
    "ways": """
        select way, count(*) as builders
        from exposures where is_open and is_exposure and {chosen} group by all order by builders desc, way""",
    "failing": """
        select name, account, region, state, errors, error_codes
        from builders where (state = 'FAILED' or errors > 0) and {chosen} order by errors desc, image_builder_key""",
    "old_agents": """
        select name, account, region, appstream_agent_version as agent, agent_age_days as days
        from builders where (is_latest_agent is false or agent_age_days >= $old) and {chosen}
        order by days desc nulls last, image_builder_key""",
    "changes_by_day": """
        select day, change, count(*) as changes
        from changes where change <> 'first_seen' and {chosen} group by all order by all""",
    "newest_changes": """
        select observed_at_utc, name, account, region, change, column_name,
            case when change = 'changed' then old_value end as before,
            case when change = 'changed' then new_value end as after
        from changes where change <> 'first_seen' and {chosen}
        order by observed_at_utc desc, image_builder_key, column_name""",
    "coverage": """
        select account, region, resource, status, is_missing, observed_at_utc, round(age_hours, 1) as age_hours, reason
        from scopes where {chosen} order by is_missing desc, account, region, resource""",
    "runs": """
        select committed_at_utc, outcome, tasks_ok, tasks_failed, changes, round(duration_s, 1) as duration_s
        from fact_export_run order by committed_at_utc desc""",
}


def list_labels() -> list[str]:
    """Return the columns of labels that [feeds] account_labels adds to accounts."""
    sql = "select column_name from duckdb_columns() where table_name = 'dim_account' and column_name like 'label!_%' "
    return run_sql(sql + "escape '!' order by column_index")["column_name"].tolist()


def run_sql(sql: str, parameters: dict[str, Any] | None = None) -> pd.DataFrame:
    """Return the rows of a statement on the newest published snapshot."""
    published = Path(DATABASE).stat()
    return query_database((published.st_ino, published.st_mtime_ns), sql, parameters or {})


@st.cache_data(max_entries=500, show_spinner=False)
def query_database(published: tuple[int, int], sql: str, parameters: dict[str, Any]) -> pd.DataFrame:  # noqa: ARG001
    """Return the rows of a statement; they are remembered until another snapshot is published."""
    with duckdb.connect(DATABASE, read_only=True, config=LOCKED) as con:
        return con.execute(sql, parameters).df()


def build_sql(name: str, labels: Sequence[str], chosen: dict[str, Sequence[str]], by: str = "account") -> str:
    """Return a query's statement, with the tables that it reads and the filter of the sidebar."""
    listed = "".join(f', a."{label}"' for label in labels)
    tables = ", ".join(f"{table} as ({sql.format(labels=listed)})" for table, sql in TABLES.items())
    available = {"account", "region", *labels} | (set() if name in ("missing", "coverage") else {"state"})
    tests = [f'list_contains($chosen_{column}, "{column}")' for column in chosen if column in available]
    query = QUERIES[name].format(chosen=" and ".join(["true", *tests]), by=f'"{by}"')
    return f"with {tables} {query}"


def load_rows(name: str, by: str = "account", **parameters: Any) -> pd.DataFrame:
    """Return a query's rows for what is chosen in the sidebar."""
    labels, chosen = list_labels(), st.session_state.get("chosen", {})
    sql = build_sql(name, labels, chosen, by)
    values = parameters | {f"chosen_{column}": list(found) for column, found in chosen.items()}
    return run_sql(sql, {key: value for key, value in values.items() if f"${key}" in sql})


def show_sidebar() -> None:
    """Show the filters; what is chosen applies to every page and stays in the address."""
    choices = {column: find_choices(column) for column in ("account", "region", *list_labels(), "state")}
    chosen = {}
    with st.sidebar:
        for column, values in choices.items():
            before = [value for value in st.query_params.get_all(column) if value in values]
            picked = st.multiselect(column.replace("_", " "), values, default=before, key=f"filter_{column}")
            if picked:
                chosen[column] = picked
            st.query_params[column] = picked
    st.session_state["chosen"] = chosen


def find_choices(column: str) -> list[str]:
    """Return the values of a column that the filter offers."""
    return run_sql(build_sql("choices", list_labels(), {}, column))["found"].tolist()


def show_head() -> None:
    """Show what every page begins with: the snapshot's time, and the figures of what is chosen."""
    status, now = load_rows("status").iloc[0], load_rows("now").iloc[0]
    missing = int(load_rows("missing").iloc[0, 0])
    st.caption(
        f"As of **{status.as_of:%Y-%m-%d %H:%M} UTC**, snapshot {status.snapshot_id}. Hours and costs are lower bounds."
    )
    for place, (title, value) in zip(
        st.columns(5),
        {"Image builders": f"{int(now.builders):,}", "Up now": f"{int(now.up):,}",
         "Run rate, USD a day": f"{now.usd_per_day:,.2f}", "Exposed": f"{int(now.exposed):,}",
         "Scopes not seen": f"{missing:,}"}.items(),
        strict=True,
    ):  # fmt: skip
        place.metric(title, value)
    if missing:
        st.warning(
            f"{missing} scopes did not answer: their builders are shown as last seen. The page Coverage lists them."
        )


def draw_days(rows: pd.DataFrame, value: str, series: str) -> None:
    """Draw bars by day on an axis of time, stacked."""
    if rows.empty:
        st.info("Nothing is selected.")
        return
    day, height = alt.X("yearmonthdate(day):T", title=None), alt.Y(f"sum({value}):Q", title=value)
    tooltip = ["yearmonthdate(day):T", f"{series}:N", f"{value}:Q"]
    chart = (
        alt.Chart(rows)
        .mark_bar()
        .encode(day, height, alt.Color(f"{series}:N", title=None, scale=alt.Scale(scheme="tableau20")), tooltip=tooltip)
    )
    st.altair_chart(chart, width="stretch")


def show_cost() -> None:
    """Show what builders cost, and who pays."""
    show_head()
    st.subheader(f"Cost by day, last {DAYS} days, USD")
    draw_days(load_rows("cost_by_day", days=DAYS), "usd", "account")
    left, right = st.columns(2)
    with left:
        by = st.selectbox("Who pays, by", ["account", "region", *list_labels(), "instance_type"])
        st.dataframe(load_rows("who_pays", by=by, days=DAYS), hide_index=True)
    with right:
        st.subheader("Run rate by account, USD a day")
        rate = load_rows("run_rate")
        bars = (
            alt.Chart(rate)
            .mark_bar()
            .encode(alt.X("usd_per_day:Q", title=None), alt.Y("account:N", sort="-x", title=None))
        )
        st.altair_chart(bars, width="stretch")


def show_builders() -> None:
    """Show all builders; a row that is selected shows its life below."""
    show_head()
    rows = load_rows("find")
    words = st.text_input("Search", placeholder="a part of a name, account, state, error ...").lower().split()
    if words:
        text = rows.astype(str).agg(" ".join, axis=1).str.lower()
        rows = rows[text.map(lambda line: all(word in line for word in words))]
    st.caption(f"{len(rows):,} builders. Select a row to see its life.")
    picked = st.dataframe(rows, hide_index=True, on_select="rerun", selection_mode="single-row", key="builder")
    if picked.selection.rows:
        show_life(rows.iloc[picked.selection.rows[0]].image_builder_key)
    st.subheader("Builders by state, at the end of each day")
    draw_days(load_rows("states_by_day", days=DAYS), "builders", "state")


def show_life(key: str) -> None:
    """Show the states, cost, changes and errors of a builder."""
    st.subheader(key)
    spans, days = load_rows("life_spans", key=key), load_rows("life_days", key=key)
    start, end = alt.X("first_observed_at_utc:T", title=None), "last_observed_at_utc:T"
    lines = alt.Chart(spans).mark_bar(height=16).encode(start, x2=end, color="state:N", tooltip=["state:N", "hours:Q"])
    st.altair_chart(lines, width="stretch")
    bars = alt.Chart(days).mark_bar().encode(alt.X("yearmonthdate(day):T", title=None), "usd:Q")
    st.altair_chart(bars, width="stretch")
    for title, name in (("States", "life_spans"), ("Changes", "life_changes"), ("Errors", "life_errors")):
        st.markdown(f"**{title}**")
        st.dataframe(load_rows(name, key=key), hide_index=True)


def show_todo() -> None:
    """Show what to stop, delete, close and repair."""
    show_head()
    hours = st.number_input("Up for at least this many hours", 0, 10_000, UP_HOURS)
    idle = load_rows("up_for_long", hours=hours)
    st.subheader(f"{len(idle)} up for long: stopping them saves {idle.saves_usd_per_day.sum():,.2f} USD a day")
    st.dataframe(idle, hide_index=True)
    for title, name, parameters in (
        ("Stopped, but paying for disk", "paying_for_disk", {}),
        ("Exposed, by way", "ways", {}),
        ("Exposed builders", "exposed", {}),
        ("Failing", "failing", {}),
        (f"Agents that are not the newest, or older than {OLD_DAYS} days", "old_agents", {"old": OLD_DAYS}),
    ):
        rows = load_rows(name, **parameters)
        st.subheader(f"{title}: {len(rows)}")
        st.dataframe(rows, hide_index=True)


def show_changes() -> None:
    """Show what changed, without what the first run found."""
    show_head()
    draw_days(load_rows("changes_by_day"), "changes", "change")
    st.dataframe(load_rows("newest_changes"), hide_index=True)


def show_coverage() -> None:
    """Show what was seen, what was not and why, and the runs."""
    show_head()
    scopes = load_rows("coverage")
    builders = scopes[scopes.resource == "image_builders"]
    st.subheader("Image builders, by account and region")
    st.dataframe(builders.pivot_table(index="account", columns="region", values="status", aggfunc="first"))
    st.subheader("Not seen, and why")
    st.dataframe(scopes[scopes.is_missing].drop(columns="is_missing"), hide_index=True)
    st.subheader("Runs")
    st.dataframe(load_rows("runs"), hide_index=True)


st.set_page_config("AppStream image builders", layout="wide")
PAGES = {"Cost": show_cost, "Builders": show_builders, "To do": show_todo, "Changes": show_changes,
         "Coverage": show_coverage}  # fmt: skip
page = st.navigation([
    st.Page(show, title=title, url_path=title.lower().replace(" ", "-"), default=title == "Cost")
    for title, show in PAGES.items()
])  # fmt: skip
show_sidebar()
st.title(page.title)
page.run()
