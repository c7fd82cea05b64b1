"""The report page: tiles, banners, and panels with their charts, numbers and SQL."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from typing import Any

import jinja2
import pyarrow as pa

from appstream_export.contracts import SqlFile, load_sql_files
from appstream_export.feeds.report import charts
from appstream_export.lake.storage import HTML_TRAILER, add_checksum
from appstream_export.settings import compute_freshness_windows

LINES_DRAWN_MAX = 60  # accounts of all resources: more do not fit a screen, so regions are drawn instead
ROWS_SHOWN_MAX = 50  # a page is read, not searched; the SQL of the panel returns all rows
OLD_AFTER = timedelta(hours=26)  # a daily run, and two hours of slack
QueryRunner = Callable[[str], pa.Table]
"""A function that runs a SELECT on the catalog."""
Draw = Callable[[charts.Rows], charts.Drawing | None]


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel for one question. `sql` names its file in `sql/report/`; without `draw`, it is only a table of rows."""

    heading: str
    sql: str
    draw: Draw | None = None
    none: str = "Nothing."
    """The text of the panel if there are no rows."""


@dataclass(frozen=True, slots=True)
class RenderedPanel:
    """A panel with its rows, ready for the page."""

    panel: Panel
    question: str
    statement: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    more: int
    spec: Mapping[str, Any] | None
    legend: Mapping[str, str]


COVERAGE = Panel(
    "What do we see?", "coverage_by_scope", charts.draw_coverage_by_scope, "There is no account to export."
)
MANY_ACCOUNTS = Panel("What do we see?", "coverage_by_region", charts.draw_coverage_by_region)
PANELS = (
    Panel("What did we not see, and why?", "failed_scopes", None, "Every requested scope has answered."),
    Panel("Where did we expect no answer?", "expected_by_region", None, "Every scope was expected to answer."),
    Panel("States over time", "states_over_time", charts.draw_states_over_time, "No builder has been seen yet."),
    Panel(
        "Who has builders?",
        "builders_by_account",
        charts.draw_builders_by_account,
        "No builder in the newest snapshot.",
    ),
    Panel("Up for longest", "running_longest", charts.draw_running_longest, "No builder is up."),
    Panel("Cost by day", "cost_by_day", charts.draw_cost_by_day, "No builder has been seen yet."),
    Panel("Errors by code", "errors_by_code", charts.draw_errors_by_code, "No builder reports an error."),
    Panel("Changes over time", "changes_over_time", charts.draw_changes_over_time, "Nothing has changed yet."),
    Panel("What changed last?", "latest_changes", None, "Nothing has changed yet."),
    Panel("Exposure", "exposure_by_way", charts.draw_exposure_by_way, "No builder is exposed."),
    Panel("Most exposed", "most_exposed", None, "No builder is exposed."),
)


def render_report(run_query: QueryRunner, *, freshness_interval: timedelta | None = None) -> str:
    """Render the page as HTML from the results of `run_query`; it makes no requests and ends with its checksum.

    The page warns if scopes failed and, in the reader's browser, if it is older than `freshness_interval` allows.
    """
    sql_files = {file.name: file for file in load_sql_files("report")}
    tiles = _convert_rows(run_query(sql_files["tiles"].sql))[0]
    panels = [COVERAGE if tiles["covered_lines"] <= LINES_DRAWN_MAX else MANY_ACCOUNTS, *PANELS]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    assets = files("appstream_export.feeds.report")
    page = environment.from_string(assets.joinpath("page.html").read_text("utf-8")).render(
        tiles=tiles,
        panels=[_render_panel(panel, sql_files[panel.sql], run_query) for panel in panels],
        style=assets.joinpath("page.css").read_text("utf-8"),
        script=assets.joinpath("page.js").read_text("utf-8"),
        vega=assets.joinpath("vega.js").read_text("utf-8"),  # built by javascript/build.mjs
        old_after_s=int(_find_old_age(freshness_interval).total_seconds()),
        made_at=_format_value(datetime.now(UTC)),
    )
    return add_checksum(f"{page}\n".encode(), HTML_TRAILER).decode()


def _find_old_age(freshness_interval: timedelta | None) -> timedelta:
    return compute_freshness_windows(freshness_interval)[1] if freshness_interval else OLD_AFTER


def _render_panel(panel: Panel, file: SqlFile, run_query: QueryRunner) -> RenderedPanel:
    table = run_query(file.sql)
    rows = _convert_rows(table)
    drawing = panel.draw(rows) if panel.draw and rows else None
    return RenderedPanel(
        panel=panel,
        question=file.question or "",
        statement=_strip_sql_header(file.sql),
        columns=[name.replace("_", " ") for name in table.column_names],
        rows=[[_format_value(value) for value in row.values()] for row in rows[:ROWS_SHOWN_MAX]],
        more=max(0, len(rows) - ROWS_SHOWN_MAX),
        spec=drawing.chart if drawing else None,
        legend=drawing.legend if drawing else {},
    )


def _strip_sql_header(sql: str) -> str:
    """Return the statement without its header."""
    lines = sql.splitlines()
    first = next((n for n, line in enumerate(lines) if not line.startswith("--")), 0)
    return "\n".join(lines[first:]).strip()


def _convert_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return rows of JSON values; times are text in UTC."""
    return [{name: _convert_value(value) for name, value in row.items()} for row in table.to_pylist()]


def _convert_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _format_value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.2f}" if isinstance(value, float) else str(_convert_value(value))
