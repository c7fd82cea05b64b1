"""Heartbeats and metrics of runs in Dagster: the first step reports the start, the last or a failing one the end."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg

from appstream_export.defs.binding import ExportBinding
from appstream_export.defs.steps import StepContext
from appstream_export.errors import ExportError, Interrupted
from appstream_export.run import RunMonitor, RunResult, report_refused_run, report_run_end, report_run_start
from appstream_export.settings import Settings

_STOPPED = "the run was stopped; nothing was committed"


def load_reported_settings(binding: ExportBinding) -> Settings:
    """Return the settings of a run that starts; if they are wrong, report the refused run."""
    try:
        return binding.load_settings()
    except dg.Failure as failure:
        if isinstance(failure.__cause__, ExportError):
            report_refused_run(binding.config, failure.__cause__)
        raise


@contextmanager
def monitor_step(settings: Settings, *, is_export: bool = True, starts_run: bool = False) -> Generator[None]:
    """Report the exception that ends a step of an export, and with it the run; `starts_run` also reports the start."""
    if starts_run:
        report_run_start(settings)
    monitor = RunMonitor(settings=settings)
    try:
        yield
    except BaseException as error:
        if is_export:
            monitor.fail(_find_interrupt(error))
        raise


def report_stop(settings: Settings) -> None:
    """Report the end of a run that was stopped before its commit."""
    RunMonitor(settings=settings).fail(Interrupted(_STOPPED))


def _find_interrupt(error: BaseException) -> BaseException:
    """Return Interrupted for the interrupt that Dagster itself raises, which has no exit code; else the error."""
    is_bare = isinstance(error, dg.DagsterExecutionInterruptedError) and error.__cause__ is None
    return Interrupted(_STOPPED) if is_bare else error


def report_step_result(context: StepContext | dg.OpExecutionContext, settings: Settings, result: RunResult) -> None:
    """Report the end of a run with this result."""
    record = context.instance.get_run_record_by_id(context.run.run_id)
    began = datetime.fromtimestamp(record.start_time, UTC) if record and record.start_time else None
    report_run_end(settings, result, started_at=began)
