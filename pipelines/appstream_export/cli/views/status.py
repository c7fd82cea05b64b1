"""The status of a warehouse: what `status` prints, from the catalog alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appstream_export.cli import console
from appstream_export.cli.output import convert_to_rows, format_value, print_table
from appstream_export.cli.pluralize import format_count
from appstream_export.lake.catalog import (
    connect_warehouse,
    count_expected_scopes,
    count_scopes_by_status,
    load_newest_run,
    load_recent_runs,
)
from appstream_export.lake.storage import CATALOG_FILE, FEEDS_FOLDER, REPORT_FILE
from appstream_export.settings import S3Settings

_MARGIN = 11
_DURATION_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseStatus:
    """The newest snapshot, scopes by status, the last runs, and where things lie."""

    head: Mapping[str, Any]
    coverage: list[dict[str, Any]]
    expected: list[dict[str, Any]]
    """Scopes whose failure is expected, by region and status."""
    runs: list[dict[str, Any]]
    warehouse: str
    age: timedelta


def load_status(warehouse: str, s3: S3Settings | None = None) -> WarehouseStatus:
    """Read the status of a warehouse; raises ConfigurationError where there is none, or no snapshot in it."""
    with connect_warehouse(warehouse, s3=s3) as con:
        head, coverage, expected, runs = (
            convert_to_rows(load(con))
            for load in (load_newest_run, count_scopes_by_status, count_expected_scopes, load_recent_runs)
        )
    age = datetime.now(UTC) - head[0]["committed_at"]
    return WarehouseStatus(head=head[0], coverage=coverage, expected=expected, runs=runs, warehouse=warehouse, age=age)


def build_status_object(status: WarehouseStatus) -> dict[str, Any]:
    """Build one object for --json."""
    return {
        **status.head,
        "age_seconds": round(status.age.total_seconds()),
        "coverage": status.coverage,
        "expected_by_region": status.expected,
        "runs": status.runs,
        "warehouse": status.warehouse,
        "catalog": _get_catalog_path(status),
        "open": _format_open_command(status),
        "feeds": _find_feeds_path(status),
    }


def print_status(status: WarehouseStatus) -> None:
    """Print the status for people."""
    for name, text in _list_status_facts(status):
        line = f"{name:<{_MARGIN}}{text}"
        line = console.wrap_text(line, " " * _MARGIN) if "/" not in text else line  # paths and commands are copied
        console.print_result(console.style(line[:_MARGIN], "1") + line[_MARGIN:])
    console.print_result()
    cells = [
        [_format_timestamp(v) if isinstance(v, datetime) else format_value(v) for v in run.values()]
        for run in status.runs
    ]
    print_table(list(status.runs[0]), cells, [name != "committed_at" for name in status.runs[0]], count=False)


def format_duration(age: timedelta) -> str:
    """Return such as `4 minutes`: a second unit would be too fine for a glance."""
    seconds = max(0, round(age.total_seconds()))
    size, unit = next((step for step in _DURATION_UNITS if seconds >= step[0]), _DURATION_UNITS[-1])
    return format_count(seconds // size, unit)


def _list_status_facts(status: WarehouseStatus) -> Iterator[tuple[str, str]]:
    head = status.head
    yield "fresh", f"{format_duration(status.age)} ago, {_format_timestamp(head['committed_at'])}"
    yield "snapshot", f"{head['seq']}: {head['snapshot_id']}, {head['items']:,} items"
    yield "scopes", ", ".join(_format_scope_count(group) for group in status.coverage)
    yield from (("expected", _format_expected_region(group)) for group in status.expected)
    if stale := sum(group["stale"] for group in status.coverage):
        oldest = min((group["oldest"] for group in status.coverage if group["oldest"]), default=None)
        since = f", the oldest rows of {_format_timestamp(oldest)}" if oldest else ", none of which ever answered"
        yield "stale", f"{stale} scopes{since}"
    yield "warehouse", status.warehouse
    yield "open it", _format_open_command(status)
    yield "see it", f"{status.warehouse.rstrip('/')}/{REPORT_FILE}"
    if feeds := _find_feeds_path(status):
        yield "feeds", feeds


def _format_timestamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def _format_scope_count(group: Mapping[str, Any]) -> str:
    return f"{group['scopes']} {group['status']}{' (expected)' if group['is_expected'] else ''}"


def _format_expected_region(group: Mapping[str, Any]) -> str:
    """`eu-south-1: disabled in 412 accounts`."""
    return f"{group['region']}: {group['status']} in {format_count(group['accounts'], 'account')}"


def _get_catalog_path(status: WarehouseStatus) -> str | None:
    """The catalog's file; a bucket has none."""
    return None if "://" in status.warehouse else f"{status.warehouse.rstrip('/')}/{CATALOG_FILE}"


def _find_feeds_path(status: WarehouseStatus) -> str | None:
    """Where dashboards read; None where nothing was published, or it is not known without asking a bucket."""
    place = Path(status.warehouse, FEEDS_FOLDER)
    return str(place) if (place / "current.json").is_file() else None


def _format_open_command(status: WarehouseStatus) -> str:
    file = _get_catalog_path(status)
    if file is None:
        return console.format_command("sql", "--warehouse", status.warehouse, "from coverage")
    return console.quote_shell_words("duckdb", "-readonly", file)
