"""Vega-Lite charts of query results: a function for each panel, with the same colours in all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from appstream_export.feeds.report.home import provide_home

with provide_home():
    import altair as alt

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart and the meaning of its colours. The page draws the legend, because Vega's own legend does not wrap."""

    chart: alt.Chart
    legend: Mapping[str, str] = field(default_factory=dict)


STATES = {
    "RUNNING": "#1b7f4b",
    "PENDING": "#63b37f",
    "UPDATING_AGENT": "#8fcfa5",
    "REBOOTING": "#b4dfc2",
    "SNAPSHOTTING": "#5b8db8",
    "SYNCING_APPS": "#7fa9cc",
    "PENDING_SYNCING_APPS": "#a3c3dc",
    "PENDING_IMAGE_IMPORT": "#c5d9e8",
    "STOPPING": "#b0b4ba",
    "STOPPED": "#8a9099",
    "PENDING_QUALIFICATION": "#cbb6dc",
    "UPDATING": "#9d7cbb",
    "DELETING": "#d9a441",
    "FAILED": "#c0392b",
    "unknown": "#4d4d4d",
}
SIGHTS = {"seen": "#1b7f4b", "failed": "#c0392b", "skipped": "#d9a441", "expected": "#b0b4ba"}
CHANGES = {"created": "#1b7f4b", "changed": "#5b8db8", "deleted": "#c0392b", "ended": "#8a9099"}
STANDINGS = {"up": "#1b7f4b", "down": "#8a9099"}
_INK, _FAINT = "#22313f", "#e6e9ec"


def draw_coverage_by_scope(rows: Rows) -> Drawing:
    """Draw a square for each resource, account and region."""
    chart = (
        _create_chart(rows, height=16 * len({(row["resource"], row["account_id"]) for row in rows}))
        .mark_rect(stroke="white", strokeWidth=1.5)
        .encode(
            x=alt.X("region:N", title=None, axis=alt.Axis(labelAngle=-40, orient="top")),
            y=alt.Y("account:N", title=None),
            color=_encode_colour("sight", SIGHTS),
            tooltip=["account:N", "account_id:N", "region:N", "sight:N", "status:N", "observed_at:N", "resource:N"],
        )
    )
    return Drawing(chart, SIGHTS)


def draw_coverage_by_region(rows: Rows) -> Drawing:
    """Draw a bar for each region: its scopes by outcome."""
    return _draw_bars(rows, "region", "scopes", "sight", SIGHTS)


def draw_states_over_time(rows: Rows) -> Drawing:
    """Draw builders by state, stacked; as bars if there are too few snapshots for an area."""
    few = _count_distinct(rows, "snapshot_at") < 12
    chart = _create_chart(rows, height=240)
    x = alt.X("snapshot_at:O", title=None, axis=_build_time_axis(rows)) if few else _encode_time("snapshot_at")
    drawn = chart.mark_bar() if few else chart.mark_area(interpolate="step-after")
    states = _select_colours(STATES, rows, "state")
    drawn = drawn.encode(
        x=x,
        y=alt.Y("builders:Q", title="builders", stack=True, axis=_build_integer_axis()),
        color=_encode_colour("state", states),
        order=alt.Order("place:Q"),
        tooltip=["snapshot_at:N", "state:N", "builders:Q"],
    )
    # Vega stacks values by name. `place` stacks them in the order of the palette.
    return Drawing(drawn.transform_calculate(place=f"indexof({list(states)}, datum.state)"), states)


def draw_cost_by_day(rows: Rows) -> Drawing | None:
    """Draw dollars per day for instances and disks; return None if nothing has a price."""
    kinds = {"instance_usd": "instances", "disk_usd": "disks above 200 GB"}
    long = [{"day": r["day"], "of": of, "usd": r[key]} for r in rows for key, of in kinds.items() if r[key] is not None]
    if not any(row["usd"] for row in long):
        return None
    palette = dict(zip(kinds.values(), ("#1b7f4b", "#5b8db8"), strict=True))
    chart = (
        _create_chart(long, height=240)
        .mark_bar()
        .encode(
            x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=-40, labelOverlap=True)),
            y=alt.Y("usd:Q", title="USD, at least"),
            color=_encode_colour("of", palette),
            tooltip=["day:N", "of:N", alt.Tooltip("usd:Q", format=",.2f")],
        )
    )
    return Drawing(chart, palette)


def draw_running_longest(rows: Rows) -> Drawing:
    """Draw a bar for each builder: its hours up."""
    chart = (
        _create_chart(rows, height=18 * len(rows))
        .transform_calculate(who="datum.name + '  (' + datum.account + ', ' + datum.region + ')'")
        .mark_bar(color=STATES["RUNNING"])
        .encode(
            x=alt.X("hours:Q", title="hours up, at least"),
            y=alt.Y("who:N", title=None, sort=None, axis=alt.Axis(labelLimit=230)),
            tooltip=["name:N", "account:N", "region:N", "instance_type:N", "hours:Q", "usd:Q"],
        )
    )
    return Drawing(chart)


def draw_errors_by_code(rows: Rows) -> Drawing:
    """Draw a bar for each error code."""
    return _draw_bars(rows, "error_code", "builders")


def draw_changes_over_time(rows: Rows) -> Drawing:
    """Draw a bar for each snapshot with changes."""
    chart = (
        _create_chart(rows, height=240)
        .mark_bar()
        .encode(
            x=alt.X("snapshot_at:O", title=None, axis=_build_time_axis(rows)),
            y=alt.Y("builders:Q", title="builders", axis=_build_integer_axis()),
            color=_encode_colour("change", CHANGES),
            tooltip=["snapshot_at:N", "change:N", "builders:Q"],
        )
    )
    return Drawing(chart, CHANGES)


def draw_exposure_by_way(rows: Rows) -> Drawing:
    """Draw a bar for each way in or out: builders that are up, and others."""
    return _draw_bars(rows, "way", "builders", "standing", STANDINGS)


def draw_builders_by_account(rows: Rows) -> Drawing:
    """Draw a bar for each account: its builders by state."""
    return _draw_bars(rows, "account", "builders", "state", _select_colours(STATES, rows, "state"))


def _draw_bars(rows: Rows, name: str, amount: str, kind: str = "", palette: Mapping[str, str] | None = None) -> Drawing:
    """Draw a bar for each name, the longest first; stacked by `kind` if it is given."""
    chart = (
        _create_chart(rows, height=max(40, 20 * _count_distinct(rows, name)))
        .mark_bar(color=STATES["FAILED"])
        .encode(
            x=alt.X(f"{amount}:Q", title=amount, axis=_build_integer_axis()),
            y=alt.Y(f"{name}:N", title=None, sort="-x", axis=alt.Axis(labelLimit=230)),
            tooltip=[alt.Tooltip(column, type="nominal") for column in rows[0]],
        )
    )
    return Drawing(chart.encode(color=_encode_colour(kind, palette)), palette) if palette else Drawing(chart)


def _count_distinct(rows: Rows, name: str) -> int:
    return len({row[name] for row in rows})


def _create_chart(rows: Rows, *, height: int) -> alt.Chart:
    return (
        alt.Chart(alt.InlineData(values=list(rows)), width="container", height=height)
        .properties(autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
        .configure(
            font="system-ui, sans-serif",
            background="transparent",
            axis=alt.AxisConfig(
                labelColor=_INK, titleColor=_INK, gridColor=_FAINT, domain=False, ticks=False, labelFontSize=12
            ),
            view=alt.ViewConfig(stroke=None),
        )
    )


def _encode_colour(name: str, palette: Mapping[str, str]) -> alt.Color:
    scale = alt.Scale(domain=list(palette), range=list(palette.values()))
    return alt.Color(f"{name}:N", scale=scale, legend=None)


def _select_colours(palette: Mapping[str, str], rows: Rows, name: str) -> Mapping[str, str]:
    """Return the colours of the values in the rows; values without a colour in the palette are violet."""
    found = {row[name] for row in rows}
    return {k: c for k, c in palette.items() if k in found} | {k: "#7d3c98" for k in sorted(found - palette.keys())}


def _encode_time(name: str) -> alt.X:
    return alt.X(f"{name}:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(labelOverlap=True))


def _build_time_axis(rows: Rows) -> alt.Axis:
    """Return an axis of times to the minute; to the second if all are of the same day."""
    first, last = (
        (0, 16) if _count_distinct([{"day": row["snapshot_at"][:10]} for row in rows], "day") > 1 else (11, 19)
    )
    return alt.Axis(labelAngle=-40, labelOverlap=True, labelExpr=f"substring(datum.value, {first}, {last})")


def _build_integer_axis() -> alt.Axis:
    return alt.Axis(tickMinStep=1, format="d")
