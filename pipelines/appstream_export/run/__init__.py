"""Run: extract, normalize, commit, publish."""

from appstream_export.run.publishing import republish_outputs
from appstream_export.run.request import Request, filter_tasks, select_failed_tasks
from appstream_export.run.result import RunResult
from appstream_export.run.stages import execute_run
from appstream_export.run.warehouse import load_previous_snapshot, open_existing_warehouse

__all__ = [
    "Request",
    "RunResult",
    "execute_run",
    "filter_tasks",
    "load_previous_snapshot",
    "open_existing_warehouse",
    "republish_outputs",
    "select_failed_tasks",
]
