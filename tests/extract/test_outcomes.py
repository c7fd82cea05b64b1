"""What outcomes prove about each other."""

from datetime import UTC, datetime

from appstream_export.extract import resolve_closed_regions
from appstream_export.model import Outcome, Scope, Task
from appstream_export.status import Status
from tests.extract.asking import EU, US, A, B

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def outcome(account_id: str, region: str, status: Status = Status.OK, calls: int = 1) -> Outcome:
    why = None if status is Status.OK else "Could not connect"
    task = Task("image_builders", Scope(account_id, region))
    return Outcome(task=task, status=status, reason=why, attempted_at=NOON, finished_at=NOON, api_calls=calls)


def proved(*outcomes: Outcome) -> dict[str, str]:
    found = resolve_closed_regions({o.task: o for o in outcomes})
    return {str(task.scope): str(o.status) for task, o in found.items()}


def test_a_region_that_answers_nobody_is_unavailable_where_another_answers() -> None:
    gone = [outcome(account, EU, Status.UNAVAILABLE, 4) for account in (A, B)]

    assert proved(*gone, outcome(A, US)) == {f"{A}/{EU}": "unavailable", f"{B}/{EU}": "unavailable", f"{A}/{US}": "ok"}
    assert proved(*gone) == {f"{A}/{EU}": "network", f"{B}/{EU}": "network"}


def test_a_region_that_answers_another_account_is_there() -> None:
    found = proved(outcome(A, EU, Status.UNAVAILABLE, 4), outcome(B, EU), outcome(A, US))

    assert found[f"{A}/{EU}"] == "network"


def test_an_sts_that_cannot_be_reached_says_nothing_about_a_region() -> None:
    found = proved(outcome(A, EU, Status.UNAVAILABLE, 0), outcome(B, US))

    assert found[f"{A}/{EU}"] == "network"
