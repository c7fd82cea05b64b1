"""Task transitions: the effect of each outcome on a task's rows and its row of `scope_runs` (docs/architecture.md).

All functions are pure. The order of checks for a task is: was it requested, does the head have a newer answer by now,
did AWS answer, and how much of the scope does the answer cover.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from appstream_export.model import Outcome, Scope, Task
from appstream_export.status import Status

ScopeRunRow = Mapping[str, Any]
"""A row of scope_runs, without snapshot_id."""

GUARD_MIN_DROP = 20  # the guard ignores a drop of this many items or fewer, whatever the percentage
CLOCK_TOLERANCE_S = 2  # AWS's Date header has whole seconds, and an answer takes time to arrive
DISCARDED_CODE = "AnswerDiscarded"
ROWS_LOST_CODE = "RowsLost"
ENDED_CODE = "ScopeEnded"
"""The error code of a scope that is no longer covered and whose rows the guard retains."""
# AWS's message of a denial ends with the kind of policy: "with an explicit deny in a service control policy",
# "because no service control policy allows the ... action".
_POLICY_DENIALS = ("explicit deny in a service control policy", "no service control policy allows")
_NEVER_REQUESTED = "not requested yet: this run was limited to other scopes"
_COUNTS = ("pages", "items", "rows", "duplicates", "quarantined", "api_calls", "throttles", "retries", "duration_ms")
_get_counts = attrgetter(*_COUNTS)


class RowAction(StrEnum):
    """Rows of a task in the new snapshot."""

    REPLACE = "replace"
    """The fresh rows only."""
    MERGE = "merge"
    """The fresh rows, and the head's rows of items that the answer does not contain."""
    CARRY = "carry"
    """The head's rows, unchanged."""
    END = "end"
    """No rows: the scope is no longer planned."""
    LOST = "lost"
    """No rows: AWS did not answer, and the head's rows cannot be read."""


class ChangeScope(StrEnum):
    """Changes that an answer can prove."""

    NOTHING = "nothing"
    FIRST = "first"
    """The scope's first complete answer: every item is first seen."""
    SEEN = "seen"
    """Creations and changes of items in the answer; nothing is known about other items."""
    ALL = "all"
    """Also deletions of items that are not in the answer."""
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision about one task of the new snapshot. `scope_run` is its row of scope_runs, None if the task ends."""

    task: Task
    row_action: RowAction
    change_scope: ChangeScope = ChangeScope.NOTHING
    scope_run: ScopeRunRow | None
    previous_run: ScopeRunRow | None = None
    outcome: Outcome | None = None
    answered_at: datetime | None = None
    is_discarded: bool = False
    """True if AWS answered, but the staged rows of this task must not be used."""

    @property
    def previous_at(self) -> datetime | None:
        """Time of AWS's last complete answer before this one; None if there was none."""
        return _get_previous_answer_time(self.previous_run)

    @property
    def should_use_fresh(self) -> bool:
        """True if the staged rows of this task are used."""
        return self.row_action in (RowAction.REPLACE, RowAction.MERGE)


class ExistingRows(NamedTuple):
    """Number of a task's items in a snapshot, and the time when AWS returned the newest."""

    rows: int
    newest_at: datetime | None = None


def get_task(run: ScopeRunRow) -> Task:
    """Return the task of a row of scope_runs."""
    return Task(run["resource"], Scope(run["account_id"], run["region"]))


def decide_tasks(
    planned: Collection[Task],
    outcomes: Mapping[Task, Outcome],
    previous_runs: Mapping[Task, ScopeRunRow],
    existing: Mapping[Task, ExistingRows],
    started_at: datetime,
) -> list[Decision]:
    """Return the decision about each task that is planned or in the head, by task. `existing` has the head's items."""
    wanted = set(planned)
    here = [
        _decide_planned_task(task, outcomes.get(task), previous_runs.get(task), existing.get(task, ExistingRows(0)))
        for task in wanted
    ]
    gone = [_decide_unplanned_task(task, run, started_at) for task, run in previous_runs.items() if task not in wanted]
    return sorted((*here, *gone), key=lambda decision: decision.task)


def apply_losses(
    decisions: Iterable[Decision], losses: Mapping[Task, str], doubtful: Collection[Task], now: datetime
) -> list[Decision]:
    """Return the decisions; tasks with lost rows in the head carry no rows forward and prove no change.

    `losses` has the reason per task. Tasks in `doubtful` lost only quarantine rows: their rows are complete, but a
    column that was in quarantine before would look changed.
    """
    found = []
    for decision in decisions:
        if decision.task in losses:
            found.append(_apply_loss(decision, losses[decision.task], now))
        elif decision.task in doubtful and decision.should_use_fresh:
            found.append(replace(decision, change_scope=ChangeScope.NOTHING))
        else:
            found.append(decision)
    return found


def _apply_loss(decision: Decision, why: str, now: datetime) -> Decision:
    """Return the decision about a task that lost some or all of its rows in the head."""
    previous_run = {**(decision.previous_run or {}), "observed_at": None, "rows_lost_at": now}
    unproven = replace(decision, change_scope=ChangeScope.NOTHING, previous_run=previous_run)
    if decision.row_action is RowAction.END:
        return unproven
    run = {**(decision.scope_run or {})}
    if decision.should_use_fresh:
        # The answer replaces only some of the rows: all others are lost, and the next answer must conclude nothing.
        if run["status"] == Status.FILTERED or decision.row_action is RowAction.MERGE:
            run |= {"observed_at": None, "rows_lost_at": now, "is_stale": True}
        return replace(unproven, row_action=RowAction.REPLACE, scope_run=run)
    reason = f"{run['reason']}; {why}" if run.get("reason") else why
    run |= {"observed_at": None, "rows_lost_at": now, "is_stale": True, "is_expected": False, "reason": reason}
    if not Status(run["status"]).is_failure:
        run |= {"status": Status.ERROR.value, "error_code": ROWS_LOST_CODE, "request_id": None}
    return replace(unproven, row_action=RowAction.LOST, scope_run=run)


def fail_discarded_answers(
    decisions: Iterable[Decision],
    outcomes: Mapping[Task, Outcome],
    reports_at_start: Mapping[Task, datetime | None],
    now: datetime,
) -> list[Decision]:
    """Return the decisions; a discarded answer is a failure if it proves that a clock is wrong.

    A clock is wrong if the head had a later answer when the run started (`reports_at_start`), or if the head's answer
    lies in the future of AWS's clock. Otherwise another run was only faster, which is no failure.
    """
    found = []
    for decision in decisions:
        outcome = outcomes.get(decision.task)
        why = _explain_discard(decision, outcome, reports_at_start, now) if outcome else None
        found.append(_fail_discarded(decision, outcome, why) if outcome and why else decision)
    return found


def _explain_discard(
    decision: Decision, outcome: Outcome, reports_at_start: Mapping[Task, datetime | None], now: datetime
) -> str | None:
    """Return why a clock must be wrong; None if nothing was discarded, or if another run was only faster."""
    if not decision.is_discarded or outcome.status is Status.SKIPPED:
        return None
    at_start, skew_s = reports_at_start.get(decision.task), outcome.clock_skew_s
    newest = (decision.previous_run or {}).get("observed_at")
    if at_start and at_start > outcome.finished_at:
        return f"an earlier run has an answer of {at_start:%Y-%m-%d %H:%M:%S} UTC, later than this one"
    if skew_s is not None and newest and newest > now + timedelta(seconds=skew_s + CLOCK_TOLERANCE_S):
        return f"another run has an answer of {newest:%Y-%m-%d %H:%M:%S} UTC, which lies in the future by AWS's clock"
    return None


def _fail_discarded(decision: Decision, outcome: Outcome, why: str) -> Decision:
    skew_s = outcome.clock_skew_s
    own = f"; our clock and AWS's differ by {abs(skew_s):.0f} s" if skew_s is not None else ""
    run = {
        **(decision.scope_run or {}),
        "status": Status.ERROR.value,
        "reason": f"this attempt ({outcome.status}) was discarded: {why}, so a clock is wrong{own}; later rows remain",
        "error_code": DISCARDED_CODE,
        "request_id": None,
        "attempted_at": outcome.attempted_at,
        "finished_at": outcome.finished_at,
        "is_stale": True,
        "is_expected": False,
    }
    return replace(decision, scope_run=run)


def apply_drop_guard(decisions: Iterable[Decision], head_items: Mapping[Task, int], percent: int) -> list[Decision]:
    """Return the decisions; if a resource lost too many items, scopes that shrank are `guarded` and carry their rows.

    Only complete answers and ended scopes count.
    """
    guarded: list[Decision] = []
    for resource, group in groupby(decisions, key=lambda decision: decision.task.resource):
        members = list(group)
        counted = [d for d in members if d.change_scope is ChangeScope.END or _is_complete_again(d)]
        # Over all scopes of a resource: a single scope may well lose everything, but a broken answer hits many at once.
        old = sum(head_items.get(d.task, 0) for d in counted)
        new = sum(_count_items(d) for d in counted)
        if old - new <= GUARD_MIN_DROP or (old - new) * 100 <= percent * old:
            guarded += members
            continue
        what = (
            f"{resource} dropped from {old} to {new} in complete answers and ended scopes, more than {percent} percent"
        )
        shrunk = {d.task for d in counted if _count_items(d) < head_items.get(d.task, 0)}
        guarded += [_guard_task(d, what, head_items[d.task]) if d.task in shrunk else d for d in members]
    return guarded


def guard_follow_ups(decisions: Iterable[Decision], parents: Mapping[str, str]) -> list[Decision]:
    """Return the decisions; a task whose parent task is guarded carries its rows, because its calls followed from it.

    `parents` has the parent resource of each resource that has one.
    """
    found = {decision.task: decision for decision in decisions}

    def find_guarded_parent(task: Task) -> Decision | None:
        parent = found.get(Task(parents[task.resource], task.scope)) if task.resource in parents else None
        is_guarded = parent and parent.scope_run and parent.scope_run["status"] == Status.GUARDED
        return parent if is_guarded else find_guarded_parent(parent.task) if parent else None

    guarded = []
    for decision in found.values():
        parent = find_guarded_parent(decision.task) if decision.should_use_fresh else None
        why = f"{parent.task.resource} is guarded in this scope" if parent else ""
        guarded.append(_guard_task(decision, why, None) if parent else decision)
    return guarded


def is_failed(run: ScopeRunRow) -> bool:
    """Return whether a row of scope_runs counts as a failure: --retry-failed requests exactly these tasks again."""
    return Status(run["status"]).is_failure and not run["is_expected"]


def is_expected_outcome(outcome: Outcome) -> bool:
    """Return whether a failure is expected, provided that its scope has no rows."""
    if outcome.status is Status.DENIED:  # only of the call itself: a denied session proves nothing
        reason = outcome.reason or ""
        return (
            (outcome.api_calls or outcome.parent_calls) > 0
            and "sts:AssumeRole" not in reason
            and any(text in reason for text in _POLICY_DENIALS)
        )
    return outcome.status in (Status.DISABLED, Status.UNAVAILABLE)


def _decide_planned_task(
    task: Task, outcome: Outcome | None, previous_run: ScopeRunRow | None, existing: ExistingRows
) -> Decision:
    if outcome is None:
        return Decision(
            task=task,
            row_action=RowAction.CARRY,
            scope_run=previous_run or _build_unrequested_run(task),
            previous_run=previous_run,
        )
    if (reported_at := find_last_report_time(previous_run, existing)) and reported_at > outcome.finished_at:
        # Another run has committed a later answer.
        return Decision(
            task=task,
            row_action=RowAction.CARRY,
            scope_run={**(previous_run or {}), "discarded_at": outcome.finished_at},
            previous_run=previous_run,
            is_discarded=True,
        )
    run = _build_scope_run(outcome, previous_run, existing.rows)
    if not outcome.status.is_answer:
        return Decision(
            task=task, row_action=RowAction.CARRY, scope_run=run, previous_run=previous_run, outcome=outcome
        )
    whole = outcome.status is Status.OK and not outcome.quarantined_items
    return Decision(
        task=task,
        row_action=RowAction.REPLACE if whole else RowAction.MERGE,
        change_scope=_resolve_change_scope(outcome, previous_run, is_whole=whole),
        scope_run=run,
        previous_run=previous_run,
        outcome=outcome,
        answered_at=outcome.finished_at,
    )


def _get_previous_answer_time(before: ScopeRunRow | None) -> datetime | None:
    """Return when AWS last answered completely; None if never."""
    return before["observed_at"] if before else None


def restore_scope_runs(
    records: Iterable[ScopeRunRow], older: Iterable[ScopeRunRow], existing: Mapping[Task, ExistingRows]
) -> list[ScopeRunRow]:
    """Return rows of scope_runs if the head's are lost: the remaining ones, and a failure for each other known task.

    A task is known from an older snapshot or from its items. The result of its newest attempt is unknown, so it counts
    as a failure until the next attempt.
    """
    found = {get_task(run): run for run in records}
    before = {get_task(run): run for run in older}
    for task in before.keys() | existing.keys():
        if task not in found:
            newest = existing.get(task, ExistingRows(0)).newest_at
            earlier = before.get(task, {}).get("observed_at")
            found[task] = {
                **_build_unrequested_run(task),
                "status": Status.ERROR.value,
                "reason": "the result of its newest attempt is lost",
                "error_code": ROWS_LOST_CODE,
                "observed_at": max((at for at in (newest, earlier) if at), default=None),
                "rows_lost_at": before.get(task, {}).get("rows_lost_at"),
                "finished_at": None,
            }
    return [*found.values()]


def _get_loss_time(before: ScopeRunRow | None) -> datetime | None:
    """Return when the task's rows were lost; None if AWS has answered completely since. Older rows lack the column."""
    return before.get("rows_lost_at") if before else None


def find_last_report_time(before: ScopeRunRow | None, existing: ExistingRows) -> datetime | None:
    """Return when AWS last answered for the task, completely or in part; None if never.

    The newest row proves a partial answer that a later failure has replaced in scope_runs.
    """
    if not before:
        return None
    in_part = before["finished_at"] if before["status"] == Status.FILTERED else None
    return max((at for at in (before["observed_at"], in_part, existing.newest_at) if at), default=None)


def _resolve_change_scope(outcome: Outcome, previous_run: ScopeRunRow | None, *, is_whole: bool) -> ChangeScope:
    if _get_loss_time(previous_run) is not None:
        return ChangeScope.NOTHING  # the previous rows are unknown, so nothing proves a change
    if _get_previous_answer_time(previous_run) is not None:
        return ChangeScope.ALL if is_whole else ChangeScope.SEEN
    return ChangeScope.FIRST if outcome.status is Status.OK else ChangeScope.NOTHING


def _decide_unplanned_task(task: Task, run: ScopeRunRow, started_at: datetime) -> Decision:
    """Decide a task of the head that is not planned: it ends, unless a run that began later has requested it."""
    if run["finished_at"] and run["finished_at"] > started_at:
        return Decision(task=task, row_action=RowAction.CARRY, scope_run=run, previous_run=run)
    return Decision(
        task=task,
        row_action=RowAction.END,
        change_scope=ChangeScope.END,
        scope_run=None,
        previous_run=run,
        answered_at=started_at,
    )


def _build_scope_run(outcome: Outcome, before: ScopeRunRow | None, head_items: int) -> ScopeRunRow:
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
        **dict(zip(_COUNTS, _get_counts(outcome), strict=True)),
        "resume_token": outcome.resume_token,
        "observed_at": outcome.finished_at if status is Status.OK else _get_previous_answer_time(before),
        "rows_lost_at": None if status is Status.OK else _get_loss_time(before),
        "is_stale": _is_stale(status, before),
        "is_expected": is_expected_outcome(outcome) and not head_items,
    }


def _is_stale(status: Status, before: ScopeRunRow | None) -> bool:
    if status is Status.FILTERED:
        return bool(before and before["is_stale"])
    return status is not Status.OK


def _build_unrequested_run(task: Task) -> ScopeRunRow:
    return {
        "resource": task.resource,
        "account_id": task.scope.account_id,
        "region": task.scope.region,
        "status": Status.SKIPPED.value,
        "reason": _NEVER_REQUESTED,
        **dict.fromkeys(_COUNTS, 0),
        "observed_at": None,
        "is_stale": True,
        "is_expected": False,
    }


def _is_complete_again(decision: Decision) -> bool:
    """Return whether a complete answer follows an earlier one: only then do fewer items mean that some are gone."""
    outcome = decision.outcome
    return outcome is not None and outcome.status is Status.OK and decision.previous_at is not None


def _count_items(decision: Decision) -> int:
    outcome = decision.outcome
    return outcome.rows + outcome.quarantined_items if outcome else 0


def _guard_task(decision: Decision, what: str, head_items: int | None) -> Decision:
    retained = "rows" if head_items is None else head_items
    reason = f"{what}; this scope retains its {retained} ({_count_items(decision)} now): accept with --accept-drop"
    if decision.outcome is None:
        run = {**(decision.previous_run or {}), "status": Status.GUARDED.value, "reason": reason}
        run |= {"error_code": ENDED_CODE, "request_id": None, "is_stale": True, "is_expected": False}
    else:
        outcome = replace(
            decision.outcome, status=Status.GUARDED, reason=reason,
            items=0, rows=0, duplicates=0, quarantined=0, quarantined_items=0,
        )  # fmt: skip
        run = _build_scope_run(outcome, decision.previous_run, head_items or 0)
    return Decision(
        task=decision.task,
        row_action=RowAction.CARRY,
        scope_run=run,
        previous_run=decision.previous_run,
        is_discarded=True,
    )
