"""A task that follows from a guarded one is guarded with it: its calls came from a list that was not accepted."""

import pytest

from appstream_export.lake.snapshots import task_transitions
from appstream_export.model import Outcome, Task
from appstream_export.status import Status
from tests.factories import SCOPE
from tests.lake.lakes import at

PARENTS = {"entitlements": "stacks", "applications": "entitlements"}


@pytest.mark.parametrize(
    ("stacks", "expected"),
    [
        (0, {"stacks": "guarded", "entitlements": "guarded", "applications": "guarded", "fleets": "ok"}),
        (60, {"stacks": "ok", "entitlements": "ok", "applications": "ok", "fleets": "ok"}),
    ],
)
def test_what_follows_from_a_guarded_list_keeps_its_rows(stacks: int, expected: dict[str, str]) -> None:
    answers = {"stacks": stacks, "entitlements": 0, "applications": 0, "fleets": 3}
    outcomes = {
        (t := Task(name, SCOPE)): Outcome(
            task=t, status=Status.OK, reason=None, attempted_at=at(1), finished_at=at(1), items=n, rows=n
        )
        for name, n in answers.items()
    }
    before = {t: {"status": "ok", "observed_at": at(0), "is_stale": False} for t in outcomes}
    items = {t: 60 if t.resource == "stacks" else 5 for t in outcomes}
    existing = {t: task_transitions.ExistingRows(n) for t, n in items.items()}

    decided = task_transitions.apply_drop_guard(
        task_transitions.decide_tasks([*outcomes], outcomes, before, existing, at(1)), items, 50
    )
    guarded = task_transitions.guard_follow_ups(decided, PARENTS)

    assert {d.task.resource: (d.scope_run or {})["status"] for d in guarded} == expected
    assert {d.task.resource for d in guarded if not d.should_use_fresh} == {
        name for name, status in expected.items() if status == "guarded"
    }
    assert [d.task for d in guarded] == [d.task for d in decided]
