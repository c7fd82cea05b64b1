"""Which tasks are due: those of a resource with a cadence wait until it has passed since their last whole answer."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from appstream_export.model import Status, Task
from appstream_export.run.request import Request
from appstream_export.settings import Settings

_SLACK_MAX = timedelta(minutes=30)  # a scope that came late in a long run is due again with the run of a day later


def find_waiting_tasks(
    settings: Settings,
    request: Request,
    tasks: Collection[Task],
    runs: Mapping[Task, Mapping[str, Any]],
    now: datetime,
) -> dict[Task, datetime]:
    """Return the tasks that are not due, with the time from which they are; `runs` are rows of scope_runs.

    Tasks whose newest attempt was not answered in full, or that were never requested, are due. A
    request that names resources or items, or continues a scope, or requests failures again, does not wait.
    """
    options = request.scan_options
    if request.resources or request.retry_failed or options.names or options.starting_token:
        return {}
    cadences = settings.contracts.cadence_timedeltas
    due = {t: find_due_time(runs.get(t), cadences[t.resource]) for t in tasks if t.resource in cadences}
    return {task: at for task, at in due.items() if at is not None and at > now}


def find_due_time(run: Mapping[str, Any] | None, every: timedelta) -> datetime | None:
    """Return when a task is due again by its row of scope_runs; None means now."""
    answered_at = _find_answer_time(run) if run else None
    return answered_at + every - min(every / 10, _SLACK_MAX) if answered_at else None


def _find_answer_time(run: Mapping[str, Any]) -> datetime | None:
    """Return when the newest attempt was answered in full, or failed as expected; None after any other attempt.

    A filtered or partial answer, or a skipped scope, does not replace a full request.
    """
    if run["is_expected"]:
        return run["attempted_at"]
    return run["observed_at"] if run["status"] == Status.OK else None
