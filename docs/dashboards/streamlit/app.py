"""A dashboard over feeds/v2 in Streamlit: `streamlit run app.py`. Change it as you like; it is yours.

It opens bi.duckdb read-only and locked, and closes it after each query, so that it shows a new snapshot as soon
as one is published.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import altair as alt
import duckdb
import pandas as pd
import streamlit as st

DATABASE = os.environ.get("APPSTREAM_EXPORT_FEEDS", "warehouse/feeds/v2/bi.duckdb")
LOCKED = {"enable_external_access": False, "lock_configuration": True}
UP_HOURS = 12
OLD_DAYS = 180
DAYS = 60
SERIES = 9  # accounts with a colour of their own; all others share grey, the tenth of the scheme
BARS = 20
LINES = 1_000  # the newest changes and runs
STYLED_CELLS = 20_000
# A state has one colour on every page; one that is not listed gets none of these.
STATE_COLORS = {
    "RUNNING": "#2f9e60", "PENDING": "#95d5a4", "REBOOTING": "#4fb3a5", "UPDATING_AGENT": "#b7c94f",
    "UPDATING": "#8a9a3b", "SNAPSHOTTING": "#e3b23c", "STOPPING": "#a9b7d9", "STOPPED": "#6384bd",
    "DELETING": "#a1887f", "FAILED": "#d9485f",
}  # fmt: skip
OTHER_STATES = ["#9c7bb8", "#c99bd1", "#d98fb0", "#b0764b", "#8f8f8f"]

# What pages read: a feed joined to its dimensions, so that one filter fits all of them. {labels} are those of accounts.
FACTS = {
    "days": (
        "fact_image_builder_day", "dim_image_builder", "image_builder_life_key",
        """b.instance_type, {last_day} - f.day as days_ago,
            (select date_trunc('month', max(as_of_utc)) from feed_status) <= f.day as is_this_month""",
    ),
    "changes": (
        "fact_image_builder_change", "dim_image_builder", "image_builder_life_key",
        "b.state, {last_day} - f.day as days_ago",
    ),
    "spans": ("fact_image_builder_state_span", "dim_image_builder", "image_builder_life_key", "b.life"),
    "exposures": ("fact_image_builder_exposure", "image_builder_latest", "image_builder_key", "b.state"),
    "errors": ("fact_image_builder_error", "image_builder_latest", "image_builder_key", "b.state"),
}  # fmt: skip
FACT = """
    select coalesce(a.account_name, f.account_id) as account {{labels}}, b.name, {columns}, f.*
    from {fact} as f
    left join {dimension} as b using ({key})
    left join dim_account as a on f.account_id = a.account_id"""
TABLES = {
    "builders": """
        select coalesce(b.account_name, b.account_id) as account {labels}, b.*
        from image_builder_latest as b left join dim_account as a using (account_id)""",
    "scopes": """
        select coalesce(a.account_name, o.account_id) as account {labels}, o.*,
            (o.status not in ('ok', 'filtered', 'skipped') and not o.is_expected) or o.attempted_at_utc is null
                as is_missing
        from dim_scope as o left join dim_account as a using (account_id)""",
    **{
        table: FACT.format(fact=fact, dimension=dimension, key=key, columns=columns)
        for table, (fact, dimension, key, columns) in FACTS.items()
    },
}
LAST_DAY = "(select max(as_of_utc)::date from feed_status)"
# Charts stay readable with any number of payers: those beyond the first $shown are one.
MERGED = "case when place <= $shown or places = $shown + 1 then payer else places - $shown || ' others' end"
# {chosen} is the filter of the sidebar. What is not filtered is about the export itself.
QUERIES = {
    "status": """
        select max(as_of_utc) as as_of, any_value(snapshot_id) as snapshot_id, any_value(why) as why
        from feed_status""",
    "choices": "select distinct {by} as found from builders where {by} is not null order by all",
    "now": """
        select count(*) as builders, count(*) filter (is_running) as up,
            coalesce(sum(run_rate_usd_per_day), 0) as usd_per_day, count(*) filter (exposures > 0) as exposed,
            count(*) filter (run_rate_usd_per_day is null) as unpriced
        from builders where {chosen}""",
    "missing": "select count(*) as scopes from scopes where is_missing and {chosen}",
    "cost_by_day": """
        select day, {merged} as payer, round(sum(usd), 2) as usd, min(place) as place
        from (
            select *, max(place) over () as places from (
                select *, dense_rank() over (order by total desc nulls last, payer) as place from (
                    select day, {payer} as payer, sum(cost_usd_at_least) as usd,
                        sum(sum(cost_usd_at_least)) over (partition by {payer}) as total
                    from days where days_ago < $days and {chosen} group by day, {payer})))
        group by all order by day, place""",
    "who_pays": """
        select {payer} as payer, count(distinct image_builder_key) as builders,
            round(sum(running_hours_at_least), 1) as up_hours,
            round(sum(cost_usd_at_least) filter (is_this_month), 2) as usd_this_month,
            round(sum(cost_usd_at_least), 2) as usd
        from days where days_ago < $days and {chosen} group by all order by usd desc nulls last, payer""",
    "run_rate": """
        select {merged} as payer, round(sum(usd), 2) as usd_per_day, min(place) as place
        from (
            select *, row_number() over (order by usd desc nulls last, payer) as place, count(*) over () as places
            from (
                select {payer} as payer, sum(run_rate_usd_per_day) as usd from builders where {chosen} group by all))
        group by all order by place""",
    "find": """
        select name, account, region, state, round(run_rate_usd_per_day, 2) as usd_per_day,
            round(running_hours_at_least, 1) as up_hours, instance_type, exposed_by, error_codes, is_stale,
            image_builder_key
        from builders where {chosen} order by usd_per_day desc nulls last, image_builder_key""",
    "states_by_day": """
        select day, state, count(*) as builders
        from days where days_ago < $days and {chosen} group by all order by all""",
    "life_now": """
        select account, region, state, platform, instance_type, root_volume_size_gb, created_time_utc, image_arn,
            appstream_agent_version, running_hours_at_least as up_hours, run_rate_usd_per_day, exposed_by, subnet_ids,
            security_group_ids, vpce_ids, eni_private_ip_address, observed_at_utc
        from builders where image_builder_key = $key""",
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
            round(usd_per_hour * 24, 2) as saves_usd_per_day, image_builder_key
        from builders where is_running and running_hours_at_least >= $hours and {chosen}
        order by saves_usd_per_day desc nulls last, image_builder_key""",
    "paying_for_disk": """
        select name, account, region, state, root_volume_size_gb as gb, round(disk_usd_per_month, 2) as usd_per_month,
            image_builder_key
        from builders where not is_running and root_volume_size_gb > 200 and {chosen}
        order by usd_per_month desc nulls last, image_builder_key""",
    "exposed": """
        select name, account, region, state, exposures, exposed_by, image_builder_key
        from builders where exposures > 0 and {chosen} order by exposures desc, image_builder_key""",
    "ways": """
        select way, count(*) as builders
        from exposures where is_open and is_exposure and {chosen} group by all order by builders desc, way""",
    "failing": """
        select name, account, region, state, errors, error_codes, image_builder_key
        from builders where (state = 'FAILED' or errors > 0) and {chosen} order by errors desc, image_builder_key""",
    "old_agents": """
        select name, account, region, appstream_agent_version as agent, agent_age_days as days_old, image_builder_key
        from builders where (is_latest_agent is false or agent_age_days >= $old) and {chosen}
        order by days_old desc nulls last, image_builder_key""",
    "changes_by_day": """
        select day, change, count(*) as changes
        from changes where change <> 'first_seen' and days_ago < $days and {chosen} group by all order by all""",
    "newest_changes": """
        select observed_at_utc, name, change, column_name, case when change = 'changed' then old_value end as before,
            case when change = 'changed' then new_value end as after, account, region, image_builder_key
        from changes where change <> 'first_seen' and days_ago < $days and {chosen}
        order by observed_at_utc desc, image_builder_key, column_name limit $lines""",
    "coverage": """
        select account, region, resource, status, is_missing, observed_at_utc, round(age_hours, 1) as age_hours, reason
        from scopes where {chosen} order by is_missing desc, account, region, resource""",
    "runs": """
        select committed_at_utc, outcome, tasks_ok, tasks_failed, changes, round(duration_s, 1) as duration_s
        from fact_export_run order by committed_at_utc desc limit $lines""",
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
    with connect_database() as con:
        return con.execute(sql, parameters).df()


def connect_database() -> duckdb.DuckDBPyConnection:
    """Open bi.duckdb; a second time if it was being replaced at that moment."""
    try:
        return duckdb.connect(DATABASE, read_only=True, config=LOCKED)
    except duckdb.Error:
        return duckdb.connect(DATABASE, read_only=True, config=LOCKED)


def build_sql(name: str, labels: Sequence[str], chosen: dict[str, Sequence[str]], by: str = "account") -> str:
    """Return a query's statement, with the tables that it reads and the filter of the sidebar."""
    listed = "".join(f', a."{label}"' for label in labels)
    tables = ", ".join(f"{table} as ({sql.format(labels=listed, last_day=LAST_DAY)})" for table, sql in TABLES.items())
    available = {"account", "region", *labels} | (set() if name in ("missing", "coverage") else {"state"})
    tests = [f'list_contains($chosen_{column}, "{column}")' for column in chosen if column in available]
    payer = f"coalesce(\"{by}\", 'none')"
    query = QUERIES[name].format(chosen=" and ".join(["true", *tests]), by=f'"{by}"', payer=payer, merged=MERGED)
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
        st.caption("The state is that of a builder now, and in charts by day, that at the end of the day.")
    st.session_state["chosen"] = chosen


def find_choices(column: str) -> list[str]:
    """Return the values of a column that the filter offers."""
    return run_sql(build_sql("choices", list_labels(), {}, column))["found"].tolist()


def show_head() -> None:
    """Show what every page begins with: the snapshot's time, and the figures of what is chosen."""
    status, now = load_rows("status").iloc[0], load_rows("now").iloc[0]
    missing = int(load_rows("missing").iloc[0, 0])
    priced = f" No price is known for {count(now.unpriced, 'builder')}." if now.unpriced else ""
    st.caption(
        f"As of **{status.as_of:%Y-%m-%d %H:%M} UTC**, snapshot {status.snapshot_id}. Hours and costs are lower bounds."
        + priced
    )
    for place, (title, value) in zip(
        st.columns(5),
        {"Image builders": f"{int(now.builders):,}", "Up now": f"{int(now.up):,}",
         "Run rate, USD a day": f"{now.usd_per_day:,.2f}", "Exposed": f"{int(now.exposed):,}",
         "Scopes not seen": f"{missing:,}"}.items(),
        strict=True,
    ):  # fmt: skip
        place.metric(title, value)
    if status.why:
        st.error(f"A newer snapshot is not shown: {status.why}")
    if missing:
        st.warning(
            f"{count(missing, 'scope')} did not answer: builders there are shown as last seen. See the page Coverage."
        )


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{int(number):,} {noun}{'' if number == 1 else 's'}"


def draw_days(rows: pd.DataFrame, value: str, series: alt.Color | None = None) -> None:
    """Draw bars by day on an axis of time, stacked by the series."""
    if rows.empty:
        st.caption("None.")
        return
    day = alt.X("yearmonthdate(day):T", title=None)
    bars = alt.Chart(rows).mark_bar().encode(day, alt.Y(f"sum({value}):Q", title=None))
    if series is not None:
        bars = bars.encode(series, tooltip=["yearmonthdate(day):T", series.shorthand, f"{value}:Q"])
    if "place" in rows:
        bars = bars.encode(order="place:Q")
    st.altair_chart(bars, width="stretch")


def color_payers(rows: pd.DataFrame) -> alt.Color:
    """Return a colour for each payer, in order of what it pays; the last is grey."""
    payers = rows.sort_values("place")["payer"].unique().tolist()
    return alt.Color("payer:N", title=None, scale=alt.Scale(domain=payers, scheme="tableau10"))


def color_states(rows: pd.DataFrame) -> alt.Color:
    """Return the colour of each state."""
    found = rows["state"].dropna().unique()
    others = dict(zip(sorted(set(found) - set(STATE_COLORS)), OTHER_STATES * 10, strict=False))
    colors = {state: color for state, color in (STATE_COLORS | others).items() if state in found}
    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    return alt.Color("state:N", title=None, scale=scale)


def show_table(rows: pd.DataFrame, name: str) -> str | None:
    """Show rows with units in their titles; of builders, return the key of the one that is selected."""
    if rows.empty:
        st.caption("None.")
        return None
    options: dict[str, Any] = {"hide_index": True, "column_config": {column: title_column(column) for column in rows}}
    if "image_builder_key" not in rows:
        st.dataframe(rows, **options)
        return None
    picked = st.dataframe(rows, on_select="rerun", selection_mode="single-row", key=name, **options).selection.rows
    return rows.iloc[picked[0]].image_builder_key if picked and picked[0] < len(rows) else None


def title_column(name: str) -> Any:
    """Return how a column is titled and formatted, by its name."""
    title = name.removesuffix("_utc").replace("_", " ").replace("usd", "USD").replace("gb", "GB")
    if name.endswith("_utc"):
        return st.column_config.DatetimeColumn(f"{title}, UTC", format="YYYY-MM-DD HH:mm")
    if "usd" in name:
        return st.column_config.NumberColumn(title, format="%,.2f")
    return st.column_config.Column(title)


def show_cost() -> None:
    """Show what builders cost, and who pays."""
    show_head()
    by = st.selectbox("Who pays, by", ["account", "region", *list_labels(), "instance_type"])
    st.subheader(f"Cost by day, last {DAYS} days, USD")
    st.caption("The newest day is not over.")
    rows = load_rows("cost_by_day", by=by, days=DAYS, shown=SERIES)
    draw_days(rows, "usd", color_payers(rows))
    left, right = st.columns(2)
    with left:
        st.subheader(f"Last {DAYS} days")
        show_table(load_rows("who_pays", by=by, days=DAYS), "who_pays")
    with right:
        st.subheader("Run rate, USD a day")
        draw_run_rate(load_rows("run_rate", by=by, shown=BARS))


def draw_run_rate(rate: pd.DataFrame) -> None:
    """Draw a bar for each payer; what all others pay is a line of text: its bar would dwarf the others."""
    payer = alt.Y("payer:N", sort=alt.SortField("place"), title=None, axis=alt.Axis(labelLimit=200))
    bars = alt.Chart(rate[rate.place <= BARS]).mark_bar()
    st.altair_chart(bars.encode(alt.X("usd_per_day:Q", title=None), payer), width="stretch")
    for other in rate[rate.place > BARS].itertuples():
        st.caption(f"{other.payer}: {other.usd_per_day:,.2f} USD a day")


def show_builders() -> None:
    """Show all builders; a row that is selected shows its life below."""
    show_head()
    rows = load_rows("find")
    words = st.text_input("Search", placeholder="a part of a name, account, state, error ...").lower().split()
    if words:
        text = rows.astype(str).agg(" ".join, axis=1).str.lower()
        rows = rows[text.map(lambda line: all(word in line for word in words))]
    st.caption(f"{count(len(rows), 'builder')}. Select a row to see its life.")
    linked, picked = st.query_params.get("builder"), show_table(rows, "builder")
    if picked:
        st.query_params["builder"] = st.session_state["picked"] = linked = picked
    elif linked and st.session_state.pop("picked", None) == linked:  # it is no longer selected
        del st.query_params["builder"]
        linked = None
    if linked:
        show_life(linked)
    st.subheader("Builders by state, at the end of each day")
    days = load_rows("states_by_day", days=DAYS)
    draw_days(days, "builders", color_states(days))


def show_life(key: str) -> None:
    """Show what is known of a builder: now, its states, cost, changes and errors."""
    st.subheader(key)
    st.markdown(f"[Link to this builder](builders?builder={quote(key, safe='')})")
    spans, days, now = load_rows("life_spans", key=key), load_rows("life_days", key=key), load_rows("life_now", key=key)
    if spans.empty:
        st.info("No snapshot has this builder.")
        return
    left, right = st.columns(2)
    with left:
        st.markdown("**States**")
        life, color = alt.Y("life:O", title="life"), color_states(spans).legend(orient="bottom", columns=3)
        start = alt.X("first_observed_at_utc:T", title=None, axis=alt.Axis(format="%d %b %H:%M", labelOverlap="greedy"))
        lines = alt.Chart(spans).encode(start, life, color, tooltip=["state:N", "hours:Q", start.shorthand])
        st.altair_chart(
            (
                lines.mark_bar(height=16).encode(x2="last_observed_at_utc:T") + lines.mark_tick(height=16, thickness=2)
            ).properties(height=110 + 30 * spans.life.nunique()),
            width="stretch",
        )
        value, title = ("usd", "Cost by day, USD") if days.usd.sum() else ("hours", "Hours up by day")
        st.markdown(f"**{title}**")
        draw_days(days[days[value] > 0], value)
    with right:
        st.markdown("**Now**")
        if now.empty:
            st.caption("It is not in the newest snapshot.")
        else:
            st.dataframe(now.iloc[0].dropna().astype(str).rename("value"))
    for title, name in (("States", "life_spans"), ("Changes", "life_changes"), ("Errors", "life_errors")):
        st.markdown(f"**{title}**")
        show_table(load_rows(name, key=key), name)


def show_todo() -> None:
    """Show what to stop, delete, close and repair."""
    show_head()
    hours = st.number_input("Up for at least this many hours", 0, 10_000, UP_HOURS)
    idle = load_rows("up_for_long", hours=hours)
    unpriced = int(idle.saves_usd_per_day.isna().sum())
    st.subheader(f"{len(idle):,} up for long: stopping them saves {idle.saves_usd_per_day.sum():,.2f} USD a day")
    st.caption(
        "AWS does not report whether a builder is in use. Select a row to see its life."
        + (f" No price is known for {unpriced:,} of them." if unpriced else "")
    )
    show_todo_rows(idle, "up_for_long")
    for title, name, parameters in (
        ("Stopped, but paying for disk", "paying_for_disk", {}),
        ("Exposed, by way", "ways", {}),
        ("Exposed builders", "exposed", {}),
        ("Failing", "failing", {}),
        (f"Agents that are not the newest, or older than {OLD_DAYS} days", "old_agents", {"old": OLD_DAYS}),
    ):
        rows = load_rows(name, **parameters)
        st.subheader(f"{title}: {len(rows):,}")
        show_todo_rows(rows, name)


def show_todo_rows(rows: pd.DataFrame, name: str) -> None:
    """Show a list, and the life of the builder that is selected in it."""
    if key := show_table(rows, name):
        show_life(key)


def show_changes() -> None:
    """Show what changed, without what the first run found."""
    show_head()
    st.subheader(f"Changes by day, last {DAYS} days")
    by_day = load_rows("changes_by_day", days=DAYS)
    draw_days(by_day, "changes", alt.Color("change:N", title=None, scale=alt.Scale(scheme="tableau10")))
    newest, count = load_rows("newest_changes", days=DAYS, lines=LINES), int(by_day.changes.sum())
    cut = f"the newest {len(newest):,} of {count:,}" if count > len(newest) else f"{count:,}"
    st.subheader(f"Changes: {cut}")
    show_todo_rows(newest, "newest_changes")


def show_coverage() -> None:
    """Show what was seen, what was not and why, and the runs."""
    show_head()
    scopes = load_rows("coverage")
    builders = scopes[scopes.resource == "image_builders"]
    st.subheader("Image builders, by account and region")
    builders = builders.assign(mark=builders.is_missing.map({True: "background-color: #d9485f55", False: ""}))
    grid, marks = (
        builders.pivot_table(index="account", columns="region", values=value, aggfunc="first")
        for value in ("status", "mark")
    )
    if grid.empty:
        st.caption("None.")
    else:
        worst_first = (marks.fillna("") != "").sum(axis=1).sort_values(ascending=False, kind="stable").index
        grid, marks = grid.loc[worst_first], marks.loc[worst_first]
        st.dataframe(grid.style.apply(lambda _: marks.fillna(""), axis=None) if grid.size < STYLED_CELLS else grid)
    missing = scopes[scopes.is_missing].drop(columns="is_missing")
    st.subheader(f"Not seen, and why: {len(missing):,}")
    show_table(missing, "missing")
    st.subheader("Runs")
    st.caption("The filters do not apply to runs.")
    show_table(load_rows("runs", lines=LINES), "runs")


st.set_page_config("AppStream image builders", layout="wide")
if not Path(DATABASE).is_file():
    st.error(f"There is no file {DATABASE}. Set APPSTREAM_EXPORT_FEEDS to the path of bi.duckdb of feeds/v2.")
    st.stop()
PAGES = {"Cost": show_cost, "Builders": show_builders, "To do": show_todo, "Changes": show_changes,
         "Coverage": show_coverage}  # fmt: skip
page = st.navigation([
    st.Page(show, title=title, url_path=title.lower().replace(" ", "-"), default=title == "Cost")
    for title, show in PAGES.items()
])  # fmt: skip
show_sidebar()
st.title(page.title)
page.run()
