"""Decisions about tasks, at the edges that a whole commit rarely meets."""

from datetime import timedelta

from appstream_export.lake.snapshots.task_transitions import (
    DISCARDED_CODE,
    ROWS_LOST_CODE,
    Decision,
    ExistingRows,
    RowAction,
    fail_discarded_answers,
    restore_scope_runs,
)
from appstream_export.model import Outcome, Scope, Task
from appstream_export.status import Status
from tests.lake.lakes import A, C, at

TASK, OTHER = (Task("image_builders", Scope.parse(scope)) for scope in (A, C))
SECOND = timedelta(seconds=1)


def test_an_answer_is_a_failure_only_if_a_later_one_was_there_when_the_run_started() -> None:
    outcome = Outcome(task=TASK, status=Status.OK, attempted_at=at(1), finished_at=at(2))
    discarded = Decision(
        task=TASK, row_action=RowAction.CARRY, scope_run={}, previous_run={"observed_at": at(3)}, is_discarded=True
    )

    for there, code in ((at(2) - SECOND, None), (at(2), None), (at(2) + SECOND, DISCARDED_CODE), (None, None)):
        [found] = fail_discarded_answers([discarded], {TASK: outcome}, {TASK: there}, at(4))
        assert (found.scope_run or {}).get("error_code") == code, there


def test_where_scope_runs_are_lost_a_loss_of_rows_that_was_known_stays_known() -> None:
    older = [
        {"resource": task.resource, "account_id": task.scope.account_id, "region": task.scope.region,
         "observed_at": at(1), "rows_lost_at": lost}
        for task, lost in ((TASK, at(2)), (OTHER, None))
    ]  # fmt: skip
    runs = restore_scope_runs([], older, {OTHER: ExistingRows(3, at(4))})
    found = {(run["account_id"], run["region"]): run for run in runs}

    assert {run["error_code"] for run in runs} == {ROWS_LOST_CODE}
    assert [(found[task.scope]["observed_at"], found[task.scope]["rows_lost_at"]) for task in (TASK, OTHER)] == [
        (at(1), at(2)),
        (at(4), None),
    ]
