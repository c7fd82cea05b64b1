"""How a warehouse stands: what `status` prints, from the catalog alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appstream_export.cli import console
from appstream_export.cli.grid import lay_out
from appstream_export.cli.output import plain, rows
from appstream_export.lake.catalog.connect import connect, query
from appstream_export.lake.storage.paths import CATALOG, FEEDS, REPORT
from appstream_export.settings import S3Settings

_RUNS = """
    select seq, committed_at, round(epoch(committed_at) - epoch(started_at), 1) as seconds,
        tasks_asked as asked, tasks_ok as ok, tasks_failed as failed, items, changes
    from snapshots where kind = 'sweep' order by seq desc limit 5"""
_COVERAGE = """
    select status, is_expected, count(*) as scopes, min(observed_at) filter (is_stale) as oldest,
        count(*) filter (is_stale) as stale
    from coverage group by all order by scopes desc, status"""
_HEAD = """
    select snapshot_id, seq, committed_at, items from snapshots where kind = 'sweep' order by seq desc limit 1"""
_MARGIN = 11
_STEPS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The newest snapshot, scopes by status, the last runs, and where things lie."""

    head: Mapping[str, Any]
    coverage: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    warehouse: str
    age: timedelta


def look(warehouse: str, s3: S3Settings | None = None) -> Standing:
    """Read a warehouse's standing; raises SetupError where there is none, or no snapshot in it."""
    with connect(warehouse, s3=s3) as con:
        head, coverage, runs = (rows(query(con, sql)) for sql in (_HEAD, _COVERAGE, _RUNS))
    age = datetime.now(UTC) - head[0]["committed_at"]
    return Standing(head=head[0], coverage=coverage, runs=runs, warehouse=warehouse, age=age)


def as_object(standing: Standing) -> dict[str, Any]:
    """For --json."""
    return {
        **standing.head,
        "age_seconds": round(standing.age.total_seconds()),
        "coverage": standing.coverage,
        "runs": standing.runs,
        "warehouse": standing.warehouse,
        "catalog": _catalog(standing),
        "open": _open(standing),
        "feeds": _feeds(standing),
    }


def show(standing: Standing) -> None:
    """For people."""
    for name, text in _facts(standing):
        line = f"{name:<{_MARGIN}}{text}"
        line = console.wrapped(line, " " * _MARGIN) if "/" not in text else line  # paths and commands are copied
        console.say(console.styled(line[:_MARGIN], "1") + line[_MARGIN:])
    console.say()
    cells = [[_second(v) if isinstance(v, datetime) else plain(v) for v in run.values()] for run in standing.runs]
    lay_out(list(standing.runs[0]), cells, [name != "committed_at" for name in standing.runs[0]], count=False)


def ago(age: timedelta) -> str:
    """`4 minutes`: the two largest units would be too fine for a glance."""
    seconds = max(0, round(age.total_seconds()))
    size, unit = next((step for step in _STEPS if seconds >= step[0]), _STEPS[-1])
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _facts(standing: Standing) -> Iterator[tuple[str, str]]:
    head = standing.head
    yield "fresh", f"{ago(standing.age)} ago, {_second(head['committed_at'])}"
    yield "snapshot", f"{head['seq']}: {head['snapshot_id']}, {head['items']:,} items"
    yield "scopes", ", ".join(_count(group) for group in standing.coverage)
    if stale := sum(group["stale"] for group in standing.coverage):
        oldest = min((group["oldest"] for group in standing.coverage if group["oldest"]), default=None)
        since = f", the oldest rows of {_second(oldest)}" if oldest else ", none of which ever answered"
        yield "stale", f"{stale} scopes{since}"
    yield "warehouse", standing.warehouse
    yield "open it", _open(standing)
    yield "see it", f"{standing.warehouse.rstrip('/')}/{REPORT}"
    if feeds := _feeds(standing):
        yield "feeds", feeds


def _second(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def _count(group: Mapping[str, Any]) -> str:
    return f"{group['scopes']} {group['status']}{' (expected)' if group['is_expected'] else ''}"


def _catalog(standing: Standing) -> str | None:
    """The catalog's file; a bucket has none."""
    return None if "://" in standing.warehouse else f"{standing.warehouse.rstrip('/')}/{CATALOG}"


def _feeds(standing: Standing) -> str | None:
    """Where dashboards read; None where nothing was published, or it is not known without asking a bucket."""
    place = Path(standing.warehouse, FEEDS)
    return str(place) if (place / "current.json").is_file() else None


def _open(standing: Standing) -> str:
    file = _catalog(standing)
    if file is None:
        return console.command("sql", "--warehouse", standing.warehouse, "from coverage")
    return console.shell("duckdb", "-readonly", file)
