"""Output of `plan`: the tasks of a run, skipped tasks with their reasons, and the expected cost."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import methodcaller
from typing import Any

from appstream_export.cli import console
from appstream_export.cli.views.status import format_duration
from appstream_export.model import Task
from appstream_export.preflight import RunEstimate

NAMES_MAX = 8
_MARGIN = 10


def build_plan_object(estimate: RunEstimate) -> dict[str, Any]:
    """Build one object for --json, with tasks as names."""
    plan, cost = estimate.plan, estimate.cost
    return {
        "accounts": _count_words(a.source for a in plan.accounts),
        "discovery": plan.discovery,
        "discovery_problem": plan.discovery_problem,
        "regions": _list_regions(plan.tasks),
        "regions_source": plan.regions_source,
        "regions_problem": plan.regions_problem,
        "endpoints": dict(estimate.endpoints),
        "tasks": [str(task) for task in estimate.tasks],
        "tasks_per_resource": _count_words(task.resource for task in estimate.tasks),
        "skipped": [{"task": str(task), "reason": reason} for task, reason in estimate.skipped.items()],
        "not_asked": estimate.unselected_count,
        "not_due": {
            name: {"tasks": len(times), "next_at": min(times)} for name, times in _group_waiting_tasks(estimate).items()
        },
        "ends": [{"task": str(task), "items": items} for task, items in estimate.ending_tasks.items()],
        "discovery_calls": plan.calls,
        "calls": cost.calls,
        "session_calls": cost.session_calls,
        "task_calls": cost.task_calls,
        "tasks_known": cost.known_tasks,
        "seconds": round(cost.seconds, 1),
        "call_seconds": round(cost.call_s, 3),
        "is_measured": cost.is_measured,
        "workers": cost.workers,
        "exit_code": estimate.exit_code,
    }


def render_plan_lines(estimate: RunEstimate, run: str, doctor: str) -> Iterator[str]:
    """Yield lines for people; `run` is the command of the planned run, `doctor` the one that explains a failure."""
    for name, text in _list_plan_facts(estimate):
        line = console.strip_control_characters(f"{name:<{_MARGIN}}{text}")
        yield console.wrap_text(line, " " * _MARGIN)
    yield f"{'run it':<{_MARGIN}}{run}"
    if problem := estimate.plan.discovery_problem:
        yield console.wrap_text(console.strip_control_characters(f"discovery failed: {problem}"), "  ")
        yield f"a run would use the accounts above and exit with 3; find the cause: {doctor}"


def _list_plan_facts(estimate: RunEstimate) -> Iterator[tuple[str, str]]:
    plan = estimate.plan
    place = methodcaller("format_place", with_resource=len({task.resource for task in plan.tasks}) > 1)
    yield "accounts", f"{len(plan.accounts):,}: {_format_counts(_count_words(a.source for a in plan.accounts))}"
    regions = _list_regions(plan.tasks)
    yield "regions", f"{len(regions)} ({plan.regions_source}): {_format_names(regions)}"
    if plan.regions_problem:
        yield "", plan.regions_problem
    if estimate.endpoints_text:
        yield "endpoints", f"used instead of AWS: {estimate.endpoints_text}"
    tasks = _format_counts(_count_words(task.resource for task in estimate.tasks))
    others = (
        f"; {estimate.unselected_count:,} not requested, their rows stay unchanged" if estimate.unselected_count else ""
    )
    yield "tasks", f"{tasks or 'none'}{others}"
    for name, times in _group_waiting_tasks(estimate).items():
        yield "not due", f"{len(times):,} scopes of {name}, the first at {min(times):%Y-%m-%d %H:%M}Z"
    for reason, count in Counter(estimate.skipped.values()).most_common():
        such_as = next(place(task) for task, why in estimate.skipped.items() if why == reason)
        yield "skipped", f"{count:,}: {reason}, such as {such_as}; their rows are retained as stale"
    if ends := estimate.ending_tasks:
        items = sum(ends.values())
        yield (
            "ends",
            f"{len(ends):,} scopes of the newest snapshot, with {items:,} items: {_format_names(map(place, ends))}",
        )
    yield "calls", _format_call_estimate(estimate)
    yield "time", _format_time_estimate(estimate)


def _group_waiting_tasks(estimate: RunEstimate) -> dict[str, list[datetime]]:
    """Return by resource the times from which its waiting tasks are due."""
    found: dict[str, list[datetime]] = {}
    for task, at in sorted(estimate.waiting.items()):
        found.setdefault(task.resource, []).append(at)
    return found


def _format_call_estimate(estimate: RunEstimate) -> str:
    cost = estimate.cost
    unknown = len(estimate.tasks) - cost.known_tasks
    assumed = f" ({unknown:,} counted as one call each)" if unknown else ""
    done = f"; {estimate.plan.calls:,} more were made for this plan" if estimate.plan.calls else ""
    return f"{cost.calls:,}: {cost.task_calls:,} for tasks{assumed}, {cost.session_calls:,} for sessions{done}"


def _format_time_estimate(estimate: RunEstimate) -> str:
    cost = estimate.cost
    how = "as in the newest run" if cost.is_measured else "assumed: nothing has been measured yet"
    duration = format_duration(timedelta(seconds=cost.seconds))
    return f"about {duration}: {cost.call_s:.2f} s a call ({how}), {cost.workers} at once"


def _list_regions(tasks: Iterable[Task]) -> list[str]:
    return list(dict.fromkeys(task.scope.region for task in tasks))


def _count_words(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words))


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {word}" for word, count in counts.items())


def _format_names(words: Iterable[str]) -> str:
    found: Sequence[str] = list(words)
    rest = f" and {len(found) - NAMES_MAX} more" if len(found) > NAMES_MAX else ""
    return ", ".join(found[:NAMES_MAX]) + rest
