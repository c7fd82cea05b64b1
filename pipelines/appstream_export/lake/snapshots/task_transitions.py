"""What each outcome does to a task's rows and to its row of `scope_runs`: the table of docs/architecture.md as code.

Pure: values in, values out. The order of questions for a task is: was it asked, does the head know better by now,
did AWS answer, and how much of the scope does the answer cover.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from appstream_export.model import Outcome, Scope, Status, Task

Run = Mapping[str, Any]
"""A row of scope_runs, without snapshot_id."""

GUARD_FALL = 20  # fewer lost items than this never trip the guard, whatever the percentage
_EXPLICIT_DENY = "explicit deny in a service control policy"
_NEVER_ASKED = "not asked yet: this run was limited to other scopes"
_COUNTS = ("pages", "items", "rows", "duplicates", "quarantined", "api_calls", "throttles", "retries", "duration_ms")
_counts = attrgetter(*_COUNTS)


class Rows(StrEnum):
    """What becomes of a task's rows."""

    REPLACE = "replace"
    """Fresh rows are the truth."""
    MERGE = "merge"
    """Fresh rows, and the head's rows of items that the answer does not show."""
    CARRY = "carry"
    """The head's rows as they are."""
    END = "end"
    """No rows: the scope is no longer ours to ask."""


class Concludes(StrEnum):
    """What the answer proves about changes."""

    NOTHING = "nothing"
    FIRST = "first"
    """The scope's first complete answer: every item is first seen."""
    SEEN = "seen"
    """Items that it shows were created or changed; it says nothing about the others."""
    ALL = "all"
    """Also that items it does not show were deleted."""
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One task in the new snapshot. `run` is its row of scope_runs, None where the task ends."""

    task: Task
    rows: Rows
    concludes: Concludes = Concludes.NOTHING
    run: Run | None
    before: Run | None = None
    outcome: Outcome | None = None
    answered_at: datetime | None = None
    set_aside: bool = False
    """AWS answered, yet the draft's rows of this task must not be used."""

    @property
    def previous_at(self) -> datetime | None:
        """When AWS last answered completely, before this answer."""
        return _answered_before(self.before)

    @property
    def uses_fresh(self) -> bool:
        """Whether the draft's rows of this task count."""
        return self.rows in (Rows.REPLACE, Rows.MERGE)


class Held(NamedTuple):
    """The rows that there are of a task's items, and when AWS gave the newest of them."""

    rows: int
    newest_at: datetime | None = None


def task_of(run: Run) -> Task:
    """The task that a row of scope_runs is about."""
    return Task(run["resource"], Scope(run["account_id"], run["region"]))


def decide(
    planned: Collection[Task],
    outcomes: Mapping[Task, Outcome],
    before: Mapping[Task, Run],
    held: Mapping[Task, Held],
    started_at: datetime,
) -> list[Decision]:
    """One decision per task that is planned or in the head, in order of tasks. `held` is what the head has of each."""
    wanted = set(planned)
    here = [_planned(task, outcomes.get(task), before.get(task), held.get(task, Held(0))) for task in wanted]
    gone = [_unplanned(task, run, started_at) for task, run in before.items() if task not in wanted]
    return sorted((*here, *gone), key=lambda decision: decision.task)


def guard(decisions: Iterable[Decision], head_items: Mapping[Task, int], percent: int) -> list[Decision]:
    """Per resource: where items of complete answers and ended scopes fall too far, keep what shrank as `guarded`."""
    guarded: list[Decision] = []
    for resource, group in groupby(decisions, key=lambda decision: decision.task.resource):
        members = list(group)
        counted = [d for d in members if d.concludes is Concludes.END or _is_complete_again(d)]
        old = sum(head_items.get(d.task, 0) for d in counted)
        new = sum(_seen(d) for d in counted)
        if old - new <= GUARD_FALL or (old - new) * 100 <= percent * old:
            guarded += members
            continue
        what = f"{resource} fell from {old} to {new} in complete answers and ended scopes, more than {percent} percent"
        shrunk = {d.task for d in counted if _seen(d) < head_items.get(d.task, 0)}
        guarded += [_guarded(d, what, head_items[d.task]) if d.task in shrunk else d for d in members]
    return guarded


def is_failed(run: Run) -> bool:
    """Whether a row of scope_runs counts as a failure: --retry-failed asks exactly these tasks again."""
    return Status(run["status"]).is_failure and not run["is_expected"]


def is_by_design(outcome: Outcome) -> bool:
    """Whether somebody wants it so: a failure that is expected as long as the scope has no rows."""
    if outcome.status is Status.DENIED:
        return _EXPLICIT_DENY in (outcome.reason or "")
    return outcome.status in (Status.DISABLED, Status.UNAVAILABLE)


def _planned(task: Task, outcome: Outcome | None, before: Run | None, held: Held) -> Decision:
    if outcome is None:
        return Decision(task=task, rows=Rows.CARRY, run=before or _never_asked(task), before=before)
    if (told_at := _told_at(before, held)) and told_at > outcome.finished_at:
        # Another run knows better by now.
        return Decision(task=task, rows=Rows.CARRY, run=before, before=before, set_aside=True)
    run = _run(outcome, before, held.rows)
    if not outcome.status.is_answer:
        return Decision(task=task, rows=Rows.CARRY, run=run, before=before, outcome=outcome)
    whole = outcome.status is Status.OK and not outcome.quarantined_items
    known = _answered_before(before) is not None
    return Decision(
        task=task,
        rows=Rows.REPLACE if whole else Rows.MERGE,
        concludes=_concludes(outcome, known=known, whole=whole),
        run=run,
        before=before,
        outcome=outcome,
        answered_at=outcome.finished_at,
    )


def _answered_before(before: Run | None) -> datetime | None:
    """When AWS last answered completely."""
    return before["observed_at"] if before else None


def _told_at(before: Run | None, held: Held) -> datetime | None:
    """When AWS last told of the task: completely, or in part since. Rows tell of parts that a failure came after."""
    if not before:
        return None
    in_part = before["finished_at"] if before["status"] == Status.FILTERED else None
    return max((at for at in (before["observed_at"], in_part, held.newest_at) if at), default=None)


def _concludes(outcome: Outcome, *, known: bool, whole: bool) -> Concludes:
    if known:
        return Concludes.ALL if whole else Concludes.SEEN
    return Concludes.FIRST if outcome.status is Status.OK else Concludes.NOTHING


def _unplanned(task: Task, run: Run, started_at: datetime) -> Decision:
    """A task of the head that is not ours: it ends, unless a run that began later than we did has just asked it."""
    if run["finished_at"] and run["finished_at"] > started_at:
        return Decision(task=task, rows=Rows.CARRY, run=run, before=run)
    return Decision(task=task, rows=Rows.END, concludes=Concludes.END, run=None, before=run, answered_at=started_at)


def _run(outcome: Outcome, before: Run | None, head_items: int) -> Run:
    status, task = outcome.status, outcome.task
    return {
        "resource": task.resource,
        "account_id": task.scope.account_id,
        "region": task.scope.region,
        "status": status.value,
        "reason": outcome.reason,
        "error_code": outcome.error_code,
        "request_id": outcome.request_id,
        "attempted_at": outcome.attempted_at,
        "finished_at": outcome.finished_at,
        **dict(zip(_COUNTS, _counts(outcome), strict=True)),
        "resume_token": outcome.resume_token,
        "observed_at": outcome.finished_at if status is Status.OK else _answered_before(before),
        "is_stale": _is_stale(status, before),
        "is_expected": is_by_design(outcome) and not head_items,
    }


def _is_stale(status: Status, before: Run | None) -> bool:
    if status is Status.FILTERED:
        return bool(before and before["is_stale"])
    return status is not Status.OK


def _never_asked(task: Task) -> Run:
    return {
        "resource": task.resource,
        "account_id": task.scope.account_id,
        "region": task.scope.region,
        "status": Status.SKIPPED.value,
        "reason": _NEVER_ASKED,
        **dict.fromkeys(_COUNTS, 0),
        "observed_at": None,
        "is_stale": True,
        "is_expected": False,
    }


def _is_complete_again(decision: Decision) -> bool:
    """A complete answer after an earlier one: only then do fewer items mean that items went."""
    outcome = decision.outcome
    return outcome is not None and outcome.status is Status.OK and decision.previous_at is not None


def _seen(decision: Decision) -> int:
    outcome = decision.outcome
    return outcome.rows + outcome.quarantined_items if outcome else 0


def _guarded(decision: Decision, what: str, head_items: int) -> Decision:
    reason = f"{what}; the {head_items} of this scope are kept ({_seen(decision)} now): accept with --force"
    if decision.outcome is None:
        run = {**(decision.before or {}), "status": Status.GUARDED.value, "reason": reason}
        run |= {"error_code": None, "request_id": None, "is_stale": True, "is_expected": False}
    else:
        outcome = replace(
            decision.outcome, status=Status.GUARDED, reason=reason,
            items=0, rows=0, duplicates=0, quarantined=0, quarantined_items=0,
        )  # fmt: skip
        run = _run(outcome, decision.before, head_items)
    return Decision(task=decision.task, rows=Rows.CARRY, run=run, before=decision.before, set_aside=True)
