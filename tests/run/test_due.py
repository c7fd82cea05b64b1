"""When a scope with a cadence is due again: only a full answer, or an expected failure, makes it wait."""

from datetime import timedelta
from typing import Any

import pytest

from appstream_export.model import Status
from appstream_export.run.due import find_due_time
from tests.lake.lakes import at

ANSWERED, ATTEMPTED = at(0), at(60)
DAY = timedelta(days=1)


def row(status: Status, *, is_expected: bool = False, observed: bool = True) -> dict[str, Any]:
    """A row of scope_runs: answered in full at one time, and attempted again an hour later."""
    return {
        "status": status.value,
        "is_expected": is_expected,
        "attempted_at": ATTEMPTED,
        "observed_at": ANSWERED if observed else None,
    }


def test_a_full_answer_waits_for_the_cadence_less_half_an_hour() -> None:
    assert find_due_time(row(Status.OK), DAY) == ANSWERED + timedelta(hours=23.5)
    assert find_due_time(row(Status.OK), timedelta(hours=1)) == ANSWERED + timedelta(minutes=54)


def test_an_expected_failure_waits_from_its_attempt() -> None:
    disabled = row(Status.DISABLED, is_expected=True, observed=False)

    assert find_due_time(disabled, DAY) == ATTEMPTED + timedelta(hours=23.5)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_any_other_newest_attempt_is_due_at_once(status: Status) -> None:
    assert find_due_time(row(status), DAY) is None
    assert find_due_time(None, DAY) is None
