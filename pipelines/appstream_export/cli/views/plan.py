"""What `plan` says: who would be asked, who not and why, at what cost."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from appstream_export.cli import console
from appstream_export.cli.views.status import ago
from appstream_export.model import Task
from appstream_export.preflight import Forecast

NAMED_MAX = 8
_MARGIN = 10


def as_object(forecast: Forecast) -> dict[str, Any]:
    """For --json: one object, tasks by name."""
    plan, cost = forecast.plan, forecast.cost
    return {
        "accounts": _counted(a.source for a in plan.accounts),
        "discovery": plan.discovery,
        "discovery_problem": plan.discovery_problem,
        "regions": _regions(plan.tasks),
        "regions_source": plan.regions_source,
        "regions_problem": plan.regions_problem,
        "tasks": [str(task) for task in forecast.tasks],
        "tasks_per_resource": _counted(task.resource for task in forecast.tasks),
        "skipped": [{"task": str(task), "reason": reason} for task, reason in forecast.skipped.items()],
        "not_asked": forecast.others,
        "ends": [{"task": str(task), "items": items} for task, items in forecast.ends.items()],
        "discovery_calls": plan.calls,
        "calls": cost.calls,
        "session_calls": cost.session_calls,
        "task_calls": cost.task_calls,
        "tasks_known": cost.known_tasks,
        "seconds": round(cost.seconds, 1),
        "call_seconds": round(cost.call_s, 3),
        "is_measured": cost.is_measured,
        "workers": cost.workers,
        "exit_code": forecast.exit_code,
    }


def lines(forecast: Forecast, run: str, doctor: str) -> Iterator[str]:
    """For people; `run` is the command that would do it, `doctor` the one that finds out why not."""
    for name, text in _facts(forecast):
        line = console.clean(f"{name:<{_MARGIN}}{text}")
        yield console.wrapped(line, " " * _MARGIN)
    yield f"{'do it':<{_MARGIN}}{run}"
    if problem := forecast.plan.discovery_problem:
        yield console.wrapped(console.clean(f"discovery failed: {problem}"), "  ")
        yield f"a run would ask those, and end with 3; find out why: {doctor}"


def _facts(forecast: Forecast) -> Iterator[tuple[str, str]]:
    plan = forecast.plan
    yield "accounts", f"{len(plan.accounts):,}: {_joined(_counted(a.source for a in plan.accounts))}"
    regions = _regions(plan.tasks)
    yield "regions", f"{len(regions)} ({plan.regions_source}): {_named(regions)}"
    if plan.regions_problem:
        yield "", plan.regions_problem
    asked = _joined(_counted(task.resource for task in forecast.tasks))
    others = f"; {forecast.others:,} not asked, they stay as they are" if forecast.others else ""
    yield "tasks", f"{asked or 'none'}{others}"
    for reason, count in Counter(forecast.skipped.values()).most_common():
        such_as = next(task.scope for task, why in forecast.skipped.items() if why == reason)
        yield "skipped", f"{count:,}: {reason}, such as {such_as}; their rows stay, stale"
    if ends := forecast.ends:
        items = sum(ends.values())
        yield "ends", f"{len(ends):,} scopes of the newest snapshot, with {items:,} items: {_named(map(_scope, ends))}"
    yield "calls", _calls(forecast)
    yield "time", _time(forecast)


def _calls(forecast: Forecast) -> str:
    cost = forecast.cost
    unknown = len(forecast.tasks) - cost.known_tasks
    assumed = f" ({unknown:,} taken for one each)" if unknown else ""
    asked = f"; {forecast.plan.calls:,} more, for this plan, are done" if forecast.plan.calls else ""
    return f"{cost.calls:,}: {cost.task_calls:,} for tasks{assumed}, {cost.session_calls:,} for sessions{asked}"


def _time(forecast: Forecast) -> str:
    cost = forecast.cost
    how = "as in the newest run" if cost.is_measured else "assumed, for nothing was measured yet"
    return f"about {ago(timedelta(seconds=cost.seconds))}: {cost.call_s:.2f} s a call ({how}), {cost.workers} at once"


def _regions(tasks: Iterable[Task]) -> list[str]:
    return list(dict.fromkeys(task.scope.region for task in tasks))


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words))


def _joined(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {word}" for word, count in counts.items())


def _scope(task: Task) -> str:
    return str(task.scope)


def _named(words: Iterable[str]) -> str:
    found: Sequence[str] = list(words)
    rest = f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
    return ", ".join(found[:NAMED_MAX]) + rest
