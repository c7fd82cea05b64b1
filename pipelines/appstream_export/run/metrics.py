"""The figures of a run and of its warehouse as an OpenMetrics text file, which a monitoring system collects.

All metrics are gauges, so that parsers of Prometheus's older text format, such as the node exporter's, read them too.
"""

import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from appstream_export.errors import ExportError, describe_error
from appstream_export.feeds import load_served_outputs
from appstream_export.lake.snapshots import (
    KIND_SWEEP,
    Manifest,
    load_head,
    load_last_known_rows,
)
from appstream_export.lake.storage import Store
from appstream_export.run.result import RunResult
from appstream_export.run.warehouse import open_existing_warehouse
from appstream_export.settings import Settings, compute_freshness_windows
from appstream_export.version import __version__

if TYPE_CHECKING:
    from prometheus_client import Metric

PREFIX = "appstream_export_"
FILE_MODE = 0o644
_log = logging.getLogger(__name__)
_LAST_SUCCESS = "last_success_timestamp_seconds"

METRICS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "build_info": ("The version of appstream-export that made the run; always 1.", ("version",)),
    "run_exit_code": ("Exit code of the newest run: 0 ok, 3 something is missing, 4 and 2 nothing committed.", ()),
    "run_started_timestamp_seconds": ("When the newest run started.", ()),
    "run_ended_timestamp_seconds": ("When the newest run ended.", ()),
    _LAST_SUCCESS: ("When a run last ended with exit code 0.", ()),
    "run_seconds": ("Seconds of the newest run by stage: prepare, extract, commit, publish.", ("stage",)),
    "run_committed": ("1 if the newest run committed a snapshot, else 0.", ()),
    "run_scopes": ("Scopes that the newest run requested, by result.", ("resource", "status")),
    "run_failed_scopes": ("Scopes of the newest run that count as failures.", ("resource",)),
    "run_calls": ("Calls to AWS of the newest run, by resource.", ("resource",)),
    "run_throttles": ("Calls of the newest run that AWS throttled.", ("resource",)),
    "run_retries": ("Calls that the newest run repeated after a failure.", ("resource",)),
    "check_rows": ("Rows that a check of the newest run found.", ("check", "severity")),
    "scopes": (
        "All scopes by the result of their newest request; is_expected is whether a policy explains a failure.",
        ("resource", "status", "is_expected"),
    ),
    "stale_scopes": ("Scopes whose newest request failed unexpectedly.", ("resource",)),
    "oldest_answer_timestamp_seconds": ("When the scope that has waited longest last answered.", ("resource",)),
    "table_rows": ("Rows of a table in the newest snapshot.", ("table",)),
    "snapshot_seq": ("Position of the newest snapshot in the history.", ()),
    "snapshot_timestamp_seconds": ("When a run last committed a snapshot.", ()),
    "snapshot_age_seconds": ("Age of that snapshot when this file was written.", ()),
    "freshness_limit_seconds": ("Age from which a snapshot is late, by [lake] freshness_interval.", ()),
    "warehouse_readable": ("1 if the warehouse could be read after the run, else 0.", ()),
    "output_timestamp_seconds": ("Commit time of the snapshot that an output shows.", ("output",)),
    "output_age_seconds": ("Age of that snapshot when this file was written.", ("output",)),
    "output_snapshots_behind": ("Newer snapshots than the one that an output shows.", ("output",)),
    "output_readable": ("1 if an output could be read after the run, else 0.", ("output",)),
}
"""Each metric with its meaning and the names of its labels."""


class Sample(NamedTuple):
    """One value of a metric of METRICS."""

    metric: str
    value: float
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """The times of a run, its exit code, and its result; without a result, nothing was committed."""

    started_at: datetime
    ended_at: datetime
    exit_code: int
    result: RunResult | None = None


def write_run_metrics(settings: Settings, figures: RunFigures) -> str | None:
    """Replace the file of `[metrics]`, and return the problem if that failed: a run must not fail because of it."""
    if settings.metrics.file is None:
        return None
    file = Path(settings.metrics.file)
    try:
        _replace_file(file, encode_metrics(_list_samples(settings, figures, _load_last_success(file))))
    # Exception: the warehouse may be damaged in any way, and the run's own result must be reported.
    except Exception as error:  # noqa: BLE001
        _log.debug("writing the metrics failed", exc_info=True)
        return f"[metrics] file: {file} could not be written: {describe_error(error)}"
    return None


def encode_metrics(samples: Iterable[Sample]) -> bytes:
    """Return samples in the OpenMetrics text format."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.openmetrics.exposition import generate_latest
    from prometheus_client.registry import Collector

    found = list(samples)

    class Samples(Collector):
        """Collector of these samples alone: the library's own registry also counts Python's objects."""

        def collect(self) -> Iterator["Metric"]:
            """Yield each metric that has a value."""
            yield from _build_families(found)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Samples())
    return generate_latest(registry)


def _build_families(samples: list[Sample]) -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily

    for name, (meaning, labels) in METRICS.items():
        family = GaugeMetricFamily(PREFIX + name, meaning, labels=labels)
        for sample in samples:
            if sample.metric == name:
                family.add_metric(sample.labels, sample.value)
        if family.samples:
            yield family


def _list_samples(settings: Settings, figures: RunFigures, last_success: float | None) -> Iterator[Sample]:
    yield Sample("build_info", 1, (__version__,))
    yield Sample("run_exit_code", figures.exit_code)
    yield Sample("run_started_timestamp_seconds", figures.started_at.timestamp())
    yield Sample("run_ended_timestamp_seconds", figures.ended_at.timestamp())
    if figures.exit_code == 0:
        yield Sample(_LAST_SUCCESS, figures.ended_at.timestamp())
    elif last_success is not None:
        yield Sample(_LAST_SUCCESS, last_success)
    yield Sample("run_committed", figures.result is not None and figures.result.committed)
    if figures.result is not None:
        yield from _list_run_samples(figures, figures.result)
    if every := settings.lake.freshness_timedelta:
        yield Sample("freshness_limit_seconds", compute_freshness_windows(every)[1].total_seconds())
    yield from _list_warehouse_samples(settings, figures.ended_at)


def _list_run_samples(figures: RunFigures, result: RunResult) -> Iterator[Sample]:
    outcomes = list(result.outcomes.values())
    for (resource, status), count in sorted(Counter((o.task.resource, str(o.status)) for o in outcomes).items()):
        yield Sample("run_scopes", count, (resource, status))
    failed = Counter(outcome.task.resource for outcome in result.failures)
    for resource in sorted({outcome.task.resource for outcome in outcomes}):
        own = [outcome for outcome in outcomes if outcome.task.resource == resource]
        yield Sample("run_failed_scopes", failed[resource], (resource,))
        yield Sample("run_calls", sum(outcome.api_calls for outcome in own), (resource,))
        yield Sample("run_throttles", sum(outcome.throttles for outcome in own), (resource,))
        yield Sample("run_retries", sum(outcome.retries for outcome in own), (resource,))
    for check in result.checks:
        yield Sample("check_rows", check.rows, (check.name, check.severity))
    yield from _list_stage_samples(figures, result)


def _list_stage_samples(figures: RunFigures, result: RunResult) -> Iterator[Sample]:
    """Yield the seconds of each stage, from the times that the run stored: steps of Dagster share no process."""
    times = [o for o in result.outcomes.values() if o.api_calls and o.attempted_at >= figures.started_at]
    if not times or not result.committed:
        return
    began, ended = min(o.attempted_at for o in times), max(o.finished_at for o in times)
    committed = max(result.manifest.committed_at, ended)
    moments = [figures.started_at, began, ended, committed, max(figures.ended_at, committed)]
    for stage, since, until in zip(("prepare", "extract", "commit", "publish"), moments, moments[1:], strict=False):
        yield Sample("run_seconds", (until - since).total_seconds(), (stage,))


def _list_warehouse_samples(settings: Settings, now: datetime) -> Iterator[Sample]:
    """Yield what readers see now: after a failed run, these are the figures of an earlier one."""
    try:
        store = open_existing_warehouse(settings)
        head = load_head(store) if store else None
        found = [*_list_snapshot_samples(store, head, now)] if store and head else []
    except (ExportError, OSError) as error:
        _log.warning("the metrics leave out the warehouse: %s", describe_error(error))
        yield Sample("warehouse_readable", 0)
        return
    yield Sample("warehouse_readable", 1)
    yield from found


def _list_snapshot_samples(store: Store, head: Manifest, now: datetime) -> Iterator[Sample]:
    for name, table in sorted(head.tables.items()):
        yield Sample("table_rows", table.rows, (name,))
    yield from _list_scope_samples(load_last_known_rows(store, head, "scope_runs"))
    sweeps = [row for row in load_last_known_rows(store, head, "snapshots") if row["kind"] == KIND_SWEEP]
    yield Sample("snapshot_seq", head.seq)
    if sweeps:
        committed_at = max(row["committed_at"] for row in sweeps)
        yield Sample("snapshot_timestamp_seconds", committed_at.timestamp())
        yield Sample("snapshot_age_seconds", (now - committed_at).total_seconds())
    yield from _list_output_samples(store, sweeps, now)


def _list_scope_samples(runs: list[dict[str, Any]]) -> Iterator[Sample]:
    counts = Counter((row["resource"], row["status"], row["is_expected"]) for row in runs)
    for (resource, status, is_expected), count in sorted(counts.items()):
        yield Sample("scopes", count, (resource, status, str(is_expected).lower()))
    for resource in sorted({row["resource"] for row in runs}):
        own = [row for row in runs if row["resource"] == resource and not row["is_expected"]]
        yield Sample("stale_scopes", sum(row["is_stale"] for row in own), (resource,))
        answered = [row["observed_at"] for row in own if row["observed_at"] is not None]
        if answered:
            yield Sample("oldest_answer_timestamp_seconds", min(answered).timestamp(), (resource,))


def _list_output_samples(store: Store, sweeps: list[dict[str, Any]], now: datetime) -> Iterator[Sample]:
    for output in load_served_outputs(store):
        if not output.is_published:
            continue
        yield Sample("output_readable", output.problem is None, (output.name,))
        # The catalog names the newest commit of any kind; what it shows is the newest run's snapshot up to it.
        shown = [
            row
            for row in sweeps
            if row["snapshot_id"] == output.snapshot_id or (output.seq is not None and row["seq"] <= output.seq)
        ]
        if newest := max(shown, key=lambda row: row["seq"], default=None):
            at = newest["committed_at"]
            yield Sample("output_timestamp_seconds", at.timestamp(), (output.name,))
            yield Sample("output_age_seconds", (now - at).total_seconds(), (output.name,))
            behind = sum(row["seq"] > newest["seq"] for row in sweeps)
            yield Sample("output_snapshots_behind", behind, (output.name,))


def _load_last_success(file: Path) -> float | None:
    """Return when a run last succeeded, from the file of the run before; None if it names no such time."""
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    # ValueError: any text may be in the file.
    with suppress(OSError, ValueError):
        for family in text_string_to_metric_families(file.read_text("utf-8")):
            if family.name == PREFIX + _LAST_SUCCESS and family.samples:
                return float(family.samples[0].value)
    return None


def _replace_file(file: Path, content: bytes) -> None:
    """Write the file under another name, then rename it, so that a reader sees either whole file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # The name begins with a dot and ends differently, so that a collector of *.prom files leaves it out.
    number, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".new", dir=file.parent)
    try:
        with os.fdopen(number, "wb") as new:
            new.write(content)
            os.fchmod(new.fileno(), FILE_MODE)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
