"""Output of `status`: the state of a warehouse and of its published outputs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from appstream_export.cli import console
from appstream_export.cli.output import format_value, print_table
from appstream_export.cli.pluralize import format_count
from appstream_export.contracts import DEFAULT_RESOURCES
from appstream_export.feeds import ServedOutput, load_served_outputs
from appstream_export.lake.catalog import (
    connect_warehouse,
    count_expected_scopes,
    count_scopes_by_status,
    load_last_requests,
    load_sweeps,
)
from appstream_export.lake.storage import Store
from appstream_export.settings import Settings, compute_freshness_windows

_HEAD = ("snapshot_id", "seq", "committed_at", "items")
_RUN = ("seq", "committed_at", "seconds", "asked", "ok", "failed", "items", "changes")
_RUNS_SHOWN = 5
_DURATION_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
FRESH, WARN, LATE, UNJUDGED = "fresh", "warn", "late", "unjudged"
# From best to worst: the freshness of a status is the worst of its parts.
_SEVERITIES = (UNJUDGED, FRESH, WARN, LATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputStatus:
    """A published output, and the snapshot that it shows."""

    served: ServedOutput
    sweep: Mapping[str, Any] | None
    """The run whose snapshot it shows; None if it shows none, or an expired one."""
    behind: int | None
    """The number of newer snapshots; None if it shows none."""
    is_due: bool
    """True if the settings make runs publish it."""

    @property
    def shown_at(self) -> datetime | None:
        """The commit time of the snapshot that it shows; for an expired snapshot, the time in its id."""
        if self.sweep is not None:
            return self.sweep["committed_at"]
        from ulid import ULID  # slow to import, and seldom needed

        return ULID.from_str(self.served.snapshot_id).datetime if self.served.snapshot_id else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CadenceStatus:
    """A resource with a cadence, and when it was last requested in full; None if never."""

    resource: str
    every: timedelta
    due_every: timedelta
    """The cadence, or the interval of snapshots if that is longer: no run comes more often."""
    requested_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseStatus:
    """The newest snapshot, scopes by status, the last runs, and the published outputs."""

    head: Mapping[str, Any]
    coverage: list[dict[str, Any]]
    expected: list[dict[str, Any]]
    """Scopes whose failure is expected, by region and status."""
    runs: list[dict[str, Any]]
    warehouse: str
    now: datetime
    freshness_interval: timedelta | None
    outputs: Sequence[OutputStatus]
    cadences: Sequence[CadenceStatus]
    first_committed_at: datetime
    """The commit time of the oldest known snapshot of a run."""

    @property
    def age(self) -> timedelta:
        """The time since the newest commit of a run."""
        return self.now - self.head["committed_at"]

    @property
    def freshness(self) -> str:
        """The worst freshness of warehouse, outputs and cadences: `fresh`, `warn`, `late`, or `unjudged`."""
        return max(
            [
                self._compute_freshness(self.age),
                *map(self.compute_output_freshness, self.outputs),
                *map(self.compute_cadence_freshness, self.cadences),
            ],
            key=_SEVERITIES.index,
        )

    @property
    def late_outputs(self) -> list[str]:
        """Outputs and resources with a cadence that are late while the warehouse is not."""
        if self._compute_freshness(self.age) == LATE:
            return []
        resources = [c.resource for c in self.cadences if self.compute_cadence_freshness(c) == LATE]
        return [o.served.name for o in self.outputs if self.compute_output_freshness(o) == LATE] + resources

    def compute_output_freshness(self, output: OutputStatus) -> str:
        """Return the freshness of an output; one that is due but missing counts from the first run."""
        if output.served.problem:
            return UNJUDGED if self.freshness_interval is None else LATE
        shown_at = output.shown_at if output.served.is_published else self.first_committed_at if output.is_due else None
        return UNJUDGED if shown_at is None else self._compute_freshness(self.now - shown_at)

    def compute_cadence_freshness(self, cadence: CadenceStatus) -> str:
        """Return the freshness of a resource by its own cadence; UNJUDGED before its first request."""
        return (
            UNJUDGED
            if cadence.requested_at is None
            else _compute_age_freshness(self.now - cadence.requested_at, cadence.due_every)
        )

    def _compute_freshness(self, age: timedelta) -> str:
        return UNJUDGED if self.freshness_interval is None else _compute_age_freshness(age, self.freshness_interval)

    @property
    def has_several_resources(self) -> bool:
        """True if the snapshot covers several resources, so that each line must name one."""
        return len({group["resource"] for group in self.coverage}) > 1

    @property
    def exit_code(self) -> int:
        """The exit code: 1 if the warehouse or an output is late, else 0."""
        return 1 if self.freshness == LATE else 0


def _compute_age_freshness(age: timedelta, every: timedelta) -> str:
    warn, late = compute_freshness_windows(every)
    return LATE if age > late else WARN if age > warn else FRESH


def load_status(store: Store, settings: Settings) -> WarehouseStatus:
    """Return the status of a warehouse; raises ConfigurationError if it has no snapshot."""
    s3 = settings.s3 if settings.warehouse.startswith("s3://") else None
    with connect_warehouse(settings.warehouse, s3=s3) as con:
        sweeps, requests = load_sweeps(con), load_last_requests(con)
        coverage, expected = count_scopes_by_status(con), count_expected_scopes(con)
    has_report = settings.feeds.report and {*DEFAULT_RESOURCES} <= {row["resource"] for row in requests}
    served = load_served_outputs(store, settings.feeds.versions)
    due = {output.name: settings.feeds.publish and output.version in settings.feeds.versions for output in served}
    due |= {"catalog": True, "report": has_report}
    return WarehouseStatus(
        head={name: sweeps[0][name] for name in _HEAD},
        coverage=coverage,
        expected=expected,
        runs=[{name: sweep[name] for name in _RUN} for sweep in sweeps[:_RUNS_SHOWN]],
        warehouse=settings.warehouse,
        now=datetime.now(UTC),
        freshness_interval=settings.lake.freshness_timedelta,
        cadences=_build_cadences(settings, requests),
        first_committed_at=sweeps[-1]["committed_at"],
        outputs=[_match_output(output, sweeps, is_due=due[output.name]) for output in served],
    )


def _build_cadences(settings: Settings, requests: Sequence[Mapping[str, Any]]) -> list[CadenceStatus]:
    requested = {row["resource"]: row["requested_at"] for row in requests}
    return [
        CadenceStatus(
            resource=name,
            every=every,
            due_every=settings.find_interval(name) or every,
            requested_at=requested.get(name),
        )
        for name, every in settings.contracts.cadence_timedeltas.items()
    ]


def _match_output(served: ServedOutput, sweeps: Sequence[Mapping[str, Any]], *, is_due: bool) -> OutputStatus:
    """Return an output with the snapshot that it shows; `sweeps` are all runs, newest first."""
    for behind, sweep in enumerate(sweeps):
        # Maintenance commits snapshots too. An output that shows one of them shows the rows of the run before it.
        if sweep["snapshot_id"] == served.snapshot_id or (served.seq is not None and sweep["seq"] <= served.seq):
            return OutputStatus(served=served, sweep=sweep, behind=behind, is_due=is_due)
    behind = len(sweeps) if served.snapshot_id else None
    return OutputStatus(served=served, sweep=None, behind=behind, is_due=is_due)


def build_status_object(status: WarehouseStatus) -> dict[str, Any]:
    """Build one object for --json."""
    published = [output.served for output in status.outputs if output.served.is_published]
    interval = status.freshness_interval
    return {
        **status.head,
        "age_seconds": round(status.age.total_seconds()),
        "coverage": status.coverage,
        "expected_by_region": status.expected,
        "runs": status.runs,
        "warehouse": status.warehouse,
        "catalog": next((output.place for output in published if output.name == "catalog"), None),
        "open": _format_open_command(status),
        "feeds": next((output.place.rpartition("/")[0] for output in published if output.version), None),
        "freshness": status.freshness,
        "freshness_interval_seconds": None if interval is None else round(interval.total_seconds()),
        "cadences": [
            {
                "resource": cadence.resource,
                "every_seconds": round(cadence.every.total_seconds()),
                "requested_at": cadence.requested_at,
                "freshness": status.compute_cadence_freshness(cadence),
            }
            for cadence in status.cadences
        ],
        "outputs": [_build_output_object(status, output) for output in status.outputs],
        "exit_code": status.exit_code,
    }


def _build_output_object(status: WarehouseStatus, output: OutputStatus) -> dict[str, Any]:
    sweep = output.sweep or {}
    at = sweep.get("committed_at")
    return {
        "output": output.served.name,
        "place": output.served.place,
        "snapshot_id": sweep.get("snapshot_id", output.served.snapshot_id),
        "seq": sweep.get("seq"),
        "committed_at": at,
        "age_seconds": round((status.now - at).total_seconds()) if at else None,
        "snapshots_behind": output.behind,
        "freshness": status.compute_output_freshness(output),
        "problem": output.served.problem,
    }


def print_status(status: WarehouseStatus) -> None:
    """Print the status for people."""
    facts = [*_list_status_facts(status)]
    margin = max(len(name) for name, _ in facts) + 2
    for name, text in facts:
        label = f"{name:<{margin}}"
        line = label + text
        line = console.wrap_text(line, " " * margin) if "/" not in text else line  # users copy paths and commands
        console.print_result(console.style(line[: len(label)], "1") + line[len(label) :])
    console.print_result()
    cells = [
        [_format_timestamp(v) if isinstance(v, datetime) else format_value(v) for v in run.values()]
        for run in status.runs
    ]
    print_table(list(status.runs[0]), cells, [name != "committed_at" for name in status.runs[0]], count=False)


def format_duration(age: timedelta) -> str:
    """Return a duration in its largest unit, such as `4 minutes`."""
    seconds = max(0, round(age.total_seconds()))
    size, unit = next((step for step in _DURATION_UNITS if seconds >= step[0]), _DURATION_UNITS[-1])
    return format_count(seconds // size, unit)


def _list_status_facts(status: WarehouseStatus) -> Iterator[tuple[str, str]]:
    head, freshness = status.head, status.freshness
    due = f", due every {format_duration(status.freshness_interval)}" if status.freshness_interval else ""
    late_outputs = f" in {', '.join(status.late_outputs)}" if status.late_outputs else ""
    words = {LATE: f"LATE{late_outputs}: ", WARN: "soon late: "}.get(freshness, "")
    yield "fresh", f"{words}{format_duration(status.age)} ago, {_format_timestamp(head['committed_at'])}{due}"
    yield "snapshot", f"{head['seq']}: {head['snapshot_id']}, {head['items']:,} items"
    yield from (("scopes", text) for text in _list_scope_counts(status))
    yield from (("cadence", _describe_cadence(status, cadence)) for cadence in status.cadences)
    of = " of {resource}" if status.has_several_resources else ""
    yield from (("expected", _format_expected_region(group) + of.format(**group)) for group in status.expected)
    yield from (("stale", text) for text in _list_stale_counts(status))
    yield "warehouse", status.warehouse
    yield "open it", _format_open_command(status)
    for output in status.outputs:
        if output.is_due or output.served.is_published:
            yield output.served.name, _describe_output(status, output)


def _describe_cadence(status: WarehouseStatus, cadence: CadenceStatus) -> str:
    """Return such as `users: every 1 day, last requested 3 hours ago`."""
    words = {LATE: "LATE: ", WARN: "soon late: "}.get(status.compute_cadence_freshness(cadence), "")
    age = cadence.requested_at and f"last requested {format_duration(status.now - cadence.requested_at)} ago"
    return f"{words}{cadence.resource}: every {format_duration(cadence.every)}, {age or 'not requested yet'}"


def _group_by_resource(status: WarehouseStatus) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the scope counts of each resource; its name is empty if there is only one."""
    grouped = [(name, [*groups]) for name, groups in groupby(status.coverage, key=itemgetter("resource"))]
    return grouped if status.has_several_resources else [("", groups) for _, groups in grouped]


def _list_scope_counts(status: WarehouseStatus) -> Iterator[str]:
    for name, groups in _group_by_resource(status):
        counts = ", ".join(_format_scope_count(group) for group in groups)
        yield f"{name}: {counts}" if name else counts


def _list_stale_counts(status: WarehouseStatus) -> Iterator[str]:
    for name, groups in _group_by_resource(status):
        if stale := sum(group["stale"] for group in groups):
            oldest = min((group["oldest"] for group in groups if group["oldest"]), default=None)
            since = f", oldest rows from {_format_timestamp(oldest)}" if oldest else ", which have never answered"
            yield f"{stale} scopes{f' of {name}' if name else ''}{since}"


def _describe_output(status: WarehouseStatus, output: OutputStatus) -> str:
    """Return the path of an output; if it is not current, its state and the command that publishes it."""
    publish = ("feeds", "publish") if output.served.version else (output.served.name,)
    again = console.format_command(*publish, "--warehouse", status.warehouse)
    if output.served.problem:
        return f"{output.served.problem}; publish it with: {again}"
    if output.behind is None:
        return f"is missing; publish it with: {again}"
    if not output.behind:
        return output.served.place
    shown = f"snapshot {output.sweep['seq']}" if output.sweep else "an expired snapshot"
    age = f" of {_format_timestamp(output.sweep['committed_at'])}" if output.sweep else ""
    lag = f"shows {shown}{age}, {format_count(output.behind, 'snapshot')} behind"
    return f"{lag}; publish it with: {again}"


def _format_timestamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def _format_expected_region(group: Mapping[str, Any]) -> str:
    """Return such as `eu-south-1: disabled in 412 accounts`."""
    return f"{group['region']}: {group['status']} in {format_count(group['accounts'], 'account')}"


def _format_scope_count(group: Mapping[str, Any]) -> str:
    return f"{group['scopes']} {group['status']}{' (expected)' if group['is_expected'] else ''}"


def _format_open_command(status: WarehouseStatus) -> str:
    """Return the command that opens the newest snapshot: `duckdb` if the catalog shows it, else `sql`."""
    for output in status.outputs:
        if output.served.name == "catalog" and output.behind == 0:
            return console.format_duckdb_command("-readonly", output.served.place)
    return console.format_command("sql", "--warehouse", status.warehouse, "from coverage")
