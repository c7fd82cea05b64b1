"""Vega-Lite charts of query results: a function for each panel, with the same colours in all of them.

They are written as Vega-Lite's JSON. A library for it (altair) costs a second at import, and as much to validate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Rows = Sequence[Mapping[str, Any]]
Spec: TypeAlias = dict[str, Any]
"""A chart, or a part of one, as Vega-Lite's JSON."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart and the meaning of its colours. The page draws the legend, because Vega's own legend does not wrap."""

    chart: Spec
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
_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # the major version in vega.js
_CONFIG: Mapping[str, Any] = {
    "axis": {
        "domain": False, "gridColor": _FAINT, "labelColor": _INK, "labelFontSize": 12, "ticks": False,
        "titleColor": _INK,
    },
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
}  # fmt: skip
_SLANTED: Spec = {"labelAngle": -40, "labelOverlap": True}
_INTEGERS: Spec = {"format": "d", "tickMinStep": 1}


def draw_coverage_by_scope(rows: Rows) -> Drawing:
    """Draw a square for each resource, account and region."""
    height = 16 * len({(row["resource"], row["account_id"]) for row in rows})
    encoding = {
        "x": _encode("region", "nominal", title=None, axis={"labelAngle": -40, "orient": "top"}),
        "y": _encode("account", "nominal", title=None),
        "color": _encode_colour("sight", SIGHTS),
        "tooltip": _list_tooltips("account", "account_id", "region", "sight", "status", "observed_at", "resource"),
    }
    mark = {"type": "rect", "stroke": "white", "strokeWidth": 1.5}
    return Drawing(_build_chart(rows, mark, encoding, height=height), SIGHTS)


def draw_coverage_by_region(rows: Rows) -> Drawing:
    """Draw a bar for each region: its scopes by outcome."""
    return _draw_bars(rows, "region", "scopes", "sight", SIGHTS)


def draw_states_over_time(rows: Rows) -> Drawing:
    """Draw builders by state, stacked; as bars if there are too few snapshots for an area."""
    is_short = _count_distinct(rows, "snapshot_at") < 12
    states = _select_colours(STATES, rows, "state")
    encoding = {
        "x": _encode_snapshots(rows) if is_short else _encode_time("snapshot_at"),
        "y": _encode("builders", "quantitative", title="builders", stack=True, axis=_INTEGERS),
        "color": _encode_colour("state", states),
        "order": _encode("place", "quantitative"),
        "tooltip": [*_list_tooltips("snapshot_at", "state"), _encode("builders", "quantitative")],
    }
    mark = {"type": "bar"} if is_short else {"type": "area", "interpolate": "step-after"}
    # Vega stacks values by name. `place` stacks them in the order of the palette.
    place = {"calculate": f"indexof({list(states)}, datum.state)", "as": "place"}
    return Drawing(_build_chart(rows, mark, encoding, height=240, transform=[place]), states)


def draw_cost_by_day(rows: Rows) -> Drawing | None:
    """Draw dollars per day for instances and disks; return None if nothing has a price."""
    kinds = {"instance_usd": "instances", "disk_usd": "disks above 200 GB"}
    long = [{"day": r["day"], "of": of, "usd": r[key]} for r in rows for key, of in kinds.items() if r[key] is not None]
    if not any(row["usd"] for row in long):
        return None
    palette = dict(zip(kinds.values(), ("#1b7f4b", "#5b8db8"), strict=True))
    encoding = {
        "x": _encode("day", "ordinal", title=None, axis=_SLANTED),
        "y": _encode("usd", "quantitative", title="USD, at least"),
        "color": _encode_colour("of", palette),
        "tooltip": [*_list_tooltips("day", "of"), _encode("usd", "quantitative", format=",.2f")],
    }
    return Drawing(_build_chart(long, {"type": "bar"}, encoding, height=240), palette)


def draw_running_longest(rows: Rows) -> Drawing:
    """Draw a bar for each builder: its hours up."""
    encoding = {
        "x": _encode("hours", "quantitative", title="hours up, at least"),
        "y": _encode("who", "nominal", title=None, sort=None, axis={"labelLimit": 230}),
        "tooltip": [
            *_list_tooltips("name", "account", "region", "instance_type"),
            _encode("hours", "quantitative"),
            _encode("usd", "quantitative"),
        ],
    }
    who = {"calculate": "datum.name + '  (' + datum.account + ', ' + datum.region + ')'", "as": "who"}
    mark = {"type": "bar", "color": STATES["RUNNING"]}
    return Drawing(_build_chart(rows, mark, encoding, height=18 * len(rows), transform=[who]))


def draw_errors_by_code(rows: Rows) -> Drawing:
    """Draw a bar for each error code."""
    return _draw_bars(rows, "error_code", "builders")


def draw_changes_over_time(rows: Rows) -> Drawing:
    """Draw a bar for each snapshot with changes."""
    encoding = {
        "x": _encode_snapshots(rows),
        "y": _encode("builders", "quantitative", title="builders", axis=_INTEGERS),
        "color": _encode_colour("change", CHANGES),
        "tooltip": [*_list_tooltips("snapshot_at", "change"), _encode("builders", "quantitative")],
    }
    return Drawing(_build_chart(rows, {"type": "bar"}, encoding, height=240), CHANGES)


def draw_exposure_by_way(rows: Rows) -> Drawing:
    """Draw a bar for each way in or out: builders that are up, and others."""
    return _draw_bars(rows, "way", "builders", "standing", STANDINGS)


def draw_builders_by_account(rows: Rows) -> Drawing:
    """Draw a bar for each account: its builders by state."""
    return _draw_bars(rows, "account", "builders", "state", _select_colours(STATES, rows, "state"))


def _draw_bars(rows: Rows, name: str, amount: str, kind: str = "", palette: Mapping[str, str] | None = None) -> Drawing:
    """Draw a bar for each name, the longest first; stacked by `kind` if it is given."""
    encoding: Spec = {
        "x": _encode(amount, "quantitative", title=amount, axis=_INTEGERS),
        "y": _encode(name, "nominal", title=None, sort="-x", axis={"labelLimit": 230}),
        "tooltip": _list_tooltips(*rows[0]),
    }
    if palette:
        encoding["color"] = _encode_colour(kind, palette)
    mark = {"type": "bar", "color": STATES["FAILED"]}
    height = max(40, 20 * _count_distinct(rows, name))
    return Drawing(_build_chart(rows, mark, encoding, height=height), palette or {})


def _count_distinct(rows: Rows, name: str) -> int:
    return len({row[name] for row in rows})


def _build_chart(rows: Rows, mark: Spec, encoding: Spec, *, height: int, transform: Sequence[Spec] = ()) -> Spec:
    chart = {
        "$schema": _SCHEMA,
        "config": _CONFIG,
        "data": {"values": rows},
        "mark": mark,
        "encoding": encoding,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
    }
    return chart | ({"transform": transform} if transform else {})


def _encode(name: str, kind: str, **options: Any) -> Spec:
    return {"field": name, "type": kind, **options}


def _list_tooltips(*names: str) -> list[Spec]:
    return [_encode(name, "nominal") for name in names]


def _encode_colour(name: str, palette: Mapping[str, str]) -> Spec:
    scale = {"domain": list(palette), "range": list(palette.values())}
    return _encode(name, "nominal", scale=scale, legend=None)


def _select_colours(palette: Mapping[str, str], rows: Rows, name: str) -> Mapping[str, str]:
    """Return the colours of the values in the rows; values without a colour in the palette are violet."""
    found = {row[name] for row in rows}
    return {k: c for k, c in palette.items() if k in found} | {k: "#7d3c98" for k in sorted(found - palette.keys())}


def _encode_time(name: str) -> Spec:
    return _encode(name, "temporal", title=None, scale={"type": "utc"}, axis={"labelOverlap": True})


def _encode_snapshots(rows: Rows) -> Spec:
    """Encode snapshots with their times to the minute; to the second if all are of the same day."""
    days = {row["snapshot_at"][:10] for row in rows}
    first, last = (0, 16) if len(days) > 1 else (11, 19)
    axis = _SLANTED | {"labelExpr": f"substring(datum.value, {first}, {last})"}
    return _encode("snapshot_at", "ordinal", title=None, axis=axis)
