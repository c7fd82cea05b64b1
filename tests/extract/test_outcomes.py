"""What outcomes prove about each other."""

from datetime import UTC, datetime

import pytest

from appstream_export.extract import resolve_outcomes
from appstream_export.model import Outcome, Scope, Task
from appstream_export.status import Status
from tests.extract.asking import EU, US, A, B

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MILAN, SPAIN = "eu-south-1", "eu-south-2"  # accounts must opt in
GONE, REFUSED, UNPROVED = "EndpointConnectionError", "UnrecognizedClientException", "TokenOriginUnknown"


def outcome(account_id: str, region: str, code: str | None = None, calls: int = 1) -> Outcome:
    status = Status.OK if code is None else Status.UNAVAILABLE if code == GONE else Status.DENIED
    task = Task("image_builders", Scope(account_id, region))
    return Outcome(
        task=task, status=status, reason=code, error_code=code, attempted_at=NOON, finished_at=NOON, api_calls=calls
    )


def proved(*outcomes: Outcome, unlisted: str = "") -> dict[str, str]:
    tasks = {o.task for o in outcomes if o.task.scope.region == unlisted}
    found = resolve_outcomes({o.task: o for o in outcomes}, tasks)
    return {str(task.scope): str(o.status) for task, o in found.items()}


def test_a_region_that_no_list_has_and_that_answers_nobody_is_unavailable_where_another_answers() -> None:
    gone = [outcome(account, EU, GONE, 4) for account in (A, B)]

    assert proved(*gone, outcome(A, US), unlisted=EU) == {
        f"{A}/{EU}": "unavailable",
        f"{B}/{EU}": "unavailable",
        f"{A}/{US}": "ok",
    }
    assert proved(*gone, unlisted=EU) == {f"{A}/{EU}": "network", f"{B}/{EU}": "network"}


def test_a_region_that_a_list_has_is_out_of_our_networks_reach() -> None:
    assert proved(outcome(A, EU, GONE, 4), outcome(A, US))[f"{A}/{EU}"] == "network"


def test_a_region_that_answers_another_account_is_there() -> None:
    assert proved(outcome(A, EU, GONE, 4), outcome(B, EU), outcome(A, US), unlisted=EU)[f"{A}/{EU}"] == "network"


def test_an_sts_that_cannot_be_reached_says_nothing_about_a_region() -> None:
    assert proved(outcome(A, EU, GONE, 0), outcome(B, US), unlisted=EU)[f"{A}/{EU}"] == "network"


@pytest.mark.parametrize(
    ("region", "code", "other", "status"),
    [
        (MILAN, REFUSED, US, "disabled"),
        (EU, REFUSED, US, "denied"),  # enabled in every account
        (MILAN, UNPROVED, US, "denied"),  # a token of the global endpoint answers there too
        (MILAN, UNPROVED, SPAIN, "disabled"),
    ],
)
def test_a_region_is_disabled_only_where_another_proves_it(region: str, code: str, other: str, status: str) -> None:
    assert proved(outcome(A, region, code), outcome(A, other))[f"{A}/{region}"] == status
