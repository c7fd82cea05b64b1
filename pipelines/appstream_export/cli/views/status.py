"""How a warehouse stands: what `status` prints, from the catalog alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appstream_export.cli import console
from appstream_export.cli.output import convert_to_rows, format_value, print_table
from appstream_export.lake.catalog import connect_warehouse, run_query
from appstream_export.lake.storage import CATALOG_FILE, FEEDS_FOLDER, REPORT_FILE
from appstream_export.settings import S3Settings

_RUNS_SQL = """
    select seq, committed_at, round(epoch(committed_at) - epoch(started_at), 1) as seconds,
        tasks_asked as asked, tasks_ok as ok, tasks_failed as failed, items, changes
    from snapshots where kind = 'sweep' order by seq desc limit 5"""
_COVERAGE_SQL = """
    select status, is_expected, count(*) as scopes, min(observed_at) filter (is_stale) as oldest,
        count(*) filter (is_stale) as stale
    from coverage group by all order by scopes desc, status"""
_HEAD_SQL = """
    select snapshot_id, seq, committed_at, items from snapshots where kind = 'sweep' order by seq desc limit 1"""
_MARGIN = 11
_DURATION_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseStatus:
    """The newest snapshot, scopes by status, the last runs, and where things lie."""

    head: Mapping[str, Any]
    coverage: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    warehouse: str
    age: timedelta


def load_status(warehouse: str, s3: S3Settings | None = None) -> WarehouseStatus:
    """Read a warehouse's standing; raises ConfigurationError where there is none, or no snapshot in it."""
    with connect_warehouse(warehouse, s3=s3) as con:
        head, coverage, runs = (convert_to_rows(run_query(con, sql)) for sql in (_HEAD_SQL, _COVERAGE_SQL, _RUNS_SQL))
    age = datetime.now(UTC) - head[0]["committed_at"]
    return WarehouseStatus(head=head[0], coverage=coverage, runs=runs, warehouse=warehouse, age=age)


def build_status_object(standing: WarehouseStatus) -> dict[str, Any]:
    """For --json."""
    return {
        **standing.head,
        "age_seconds": round(standing.age.total_seconds()),
        "coverage": standing.coverage,
        "runs": standing.runs,
        "warehouse": standing.warehouse,
        "catalog": _get_catalog_path(standing),
        "open": _format_open_command(standing),
        "feeds": _find_feeds_path(standing),
    }


def print_status(standing: WarehouseStatus) -> None:
    """For people."""
    for name, text in _list_status_facts(standing):
        line = f"{name:<{_MARGIN}}{text}"
        line = console.wrap_text(line, " " * _MARGIN) if "/" not in text else line  # paths and commands are copied
        console.print_result(console.style(line[:_MARGIN], "1") + line[_MARGIN:])
    console.print_result()
    cells = [
        [_format_timestamp(v) if isinstance(v, datetime) else format_value(v) for v in run.values()]
        for run in standing.runs
    ]
    print_table(list(standing.runs[0]), cells, [name != "committed_at" for name in standing.runs[0]], count=False)


def format_duration(age: timedelta) -> str:
    """`4 minutes`: the two largest units would be too fine for a glance."""
    seconds = max(0, round(age.total_seconds()))
    size, unit = next((step for step in _DURATION_UNITS if seconds >= step[0]), _DURATION_UNITS[-1])
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _list_status_facts(standing: WarehouseStatus) -> Iterator[tuple[str, str]]:
    head = standing.head
    yield "fresh", f"{format_duration(standing.age)} ago, {_format_timestamp(head['committed_at'])}"
    yield "snapshot", f"{head['seq']}: {head['snapshot_id']}, {head['items']:,} items"
    yield "scopes", ", ".join(_format_scope_count(group) for group in standing.coverage)
    if stale := sum(group["stale"] for group in standing.coverage):
        oldest = min((group["oldest"] for group in standing.coverage if group["oldest"]), default=None)
        since = f", the oldest rows of {_format_timestamp(oldest)}" if oldest else ", none of which ever answered"
        yield "stale", f"{stale} scopes{since}"
    yield "warehouse", standing.warehouse
    yield "open it", _format_open_command(standing)
    yield "see it", f"{standing.warehouse.rstrip('/')}/{REPORT_FILE}"
    if feeds := _find_feeds_path(standing):
        yield "feeds", feeds


def _format_timestamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def _format_scope_count(group: Mapping[str, Any]) -> str:
    return f"{group['scopes']} {group['status']}{' (expected)' if group['is_expected'] else ''}"


def _get_catalog_path(standing: WarehouseStatus) -> str | None:
    """The catalog's file; a bucket has none."""
    return None if "://" in standing.warehouse else f"{standing.warehouse.rstrip('/')}/{CATALOG_FILE}"


def _find_feeds_path(standing: WarehouseStatus) -> str | None:
    """Where dashboards read; None where nothing was published, or it is not known without asking a bucket."""
    place = Path(standing.warehouse, FEEDS_FOLDER)
    return str(place) if (place / "current.json").is_file() else None


def _format_open_command(standing: WarehouseStatus) -> str:
    file = _get_catalog_path(standing)
    if file is None:
        return console.format_command("sql", "--warehouse", standing.warehouse, "from coverage")
    return console.quote_shell_words("duckdb", "-readonly", file)
