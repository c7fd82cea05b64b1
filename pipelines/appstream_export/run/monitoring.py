"""Report runs to monitoring systems: heartbeats at start and end, and a file of metrics. Neither changes a run."""

import logging
import os
import tomllib
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from appstream_export.errors import ExportError
from appstream_export.run.heartbeat import send_heartbeat
from appstream_export.run.metrics import RunFigures, write_run_metrics
from appstream_export.run.result import RunResult
from appstream_export.settings import DEFAULT_FILE, PATH_SETTINGS, Settings, find_settings_file, parse_settings
from appstream_export.settings_environment import read_overrides
from appstream_export.user_text import read_user_text

EXIT_BUG = 70
"""The exit code of an exception that has none."""
_MONITORED = frozenset({"warehouse", "lake", "aws", "metrics", "heartbeat"})
_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class RunMonitor:
    """A run that is reported when it ends: by `end`, else by the exception that ends it."""

    settings: Settings
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    is_reported: bool = False

    def end(self, result: RunResult, exit_code: int | None = None) -> None:
        """Report a result; `exit_code` if it is not that of the result itself."""
        self.is_reported = True
        code = result.exit_code if exit_code is None else exit_code
        report_run_end(self.settings, result, exit_code=code, started_at=self.started_at)

    def fail(self, error: BaseException) -> None:
        """Report that an exception ended the run, and that nothing was committed."""
        cause = error if hasattr(error, "exit_code") else error.__cause__ or error  # Dagster wraps the error
        code = getattr(cause, "exit_code", EXIT_BUG)
        text = f"exit code {code}: {type(cause).__name__}"
        now = datetime.now(UTC)
        self.is_reported = True
        _report(self.settings, RunFigures(started_at=self.started_at, ended_at=now, exit_code=code), text)


@contextmanager
def monitor_run(settings: Settings) -> Generator[RunMonitor]:
    """Report the start of a run, and its end: pass the result to `end` of the monitor, an exception reports itself."""
    report_run_start(settings)
    monitor = RunMonitor(settings=settings)
    try:
        yield monitor
    except BaseException as error:
        if not monitor.is_reported:
            monitor.fail(error)
        raise


def report_run_start(settings: Settings) -> None:
    """Send the heartbeat of a run that starts."""
    send_heartbeat(settings.heartbeat, "start", ca_bundle=settings.aws.ca_bundle)


def report_run_end(
    settings: Settings, result: RunResult, *, exit_code: int | None = None, started_at: datetime | None = None
) -> None:
    """Write the metrics of a run that committed or found nothing to do, and send its heartbeat.

    `started_at` defaults to the start of the snapshot's run: steps of Dagster share no process.
    """
    code = result.exit_code if exit_code is None else exit_code
    figures = RunFigures(
        started_at=started_at or result.manifest.started_at,
        ended_at=datetime.now(UTC),
        exit_code=code,
        result=result,
    )
    _report(settings, figures, describe_run_counts(result, code))


def report_refused_run(file: Path | None, error: ExportError, *, warehouse: str | None = None) -> None:
    """Report a run that was refused because of its settings, as far as the rest of them says where.

    `warehouse` replaces that of the settings `file`.
    """
    settings = load_monitoring_settings(file)
    RunMonitor(settings=msgspec.structs.replace(settings, warehouse=warehouse or settings.warehouse)).fail(error)


def describe_run_counts(result: RunResult, exit_code: int) -> str:
    """Return the text of a heartbeat: counts alone, because it is stored by another company."""
    statuses = Counter(str(outcome.status) for outcome in result.outcomes.values())
    counts = ", ".join(f"{count} {status}" for status, count in statuses.most_common())
    parts = [f"exit code {exit_code}", f"snapshot {result.manifest.seq}", f"scopes: {counts or 'none requested'}"]
    if result.failed_checks:
        parts.append("failed checks: " + ", ".join(check.name for check in result.failed_checks))
    if result.publishing_failures:
        parts.append(f"{len(result.publishing_failures)} outputs could not be published")
    return "; ".join(parts)


def load_monitoring_settings(file: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the metrics file and the heartbeat of settings of which other parts are wrong.

    So a run that is refused because of a typo is reported at once. Sections of the file that cannot be read are left
    out, and so are variables of the environment.
    """
    found: Path | None = None
    raw: Mapping[str, Any] = {}
    # The errors of the file have been reported already, each with its line.
    with suppress(ExportError, OSError, ValueError):
        found = find_settings_file(file, environ)
        raw = tomllib.loads(read_user_text(found)) if found else {}
    place, good = found or Path(DEFAULT_FILE), dict[str, Any]()
    for section in _MONITORED.intersection(raw):
        good = _choose_valid(good | {section: raw[section]}, good, place)
    for name in sorted(environ):
        with suppress(ExportError):
            override = read_overrides(Settings, {name: environ[name]}, PATH_SETTINGS)
            if all(path[0] in _MONITORED for path in override.values):
                good = _choose_valid(override.apply(good), good, place)
    return parse_settings(good, place, needs_accounts=False)


def _choose_valid(raw: dict[str, Any], otherwise: dict[str, Any], file: Path) -> dict[str, Any]:
    try:
        parse_settings(raw, file, needs_accounts=False)
    except ExportError:
        return otherwise
    return raw


def _report(settings: Settings, figures: RunFigures, text: str) -> None:
    if problem := write_run_metrics(settings, figures):
        _log.warning("%s", problem)
    signal = "fail" if figures.exit_code else ""
    send_heartbeat(settings.heartbeat, signal, text, ca_bundle=settings.aws.ca_bundle)
