"""Outcomes that prove something about each other, once all tasks have ended."""

from collections.abc import Mapping
from dataclasses import replace

from appstream_export.errors import REGION_MAY_BE_DISABLED
from appstream_export.model import Outcome, Task
from appstream_export.status import Status


def resolve_closed_regions(outcomes: Mapping[Task, Outcome]) -> dict[Task, Outcome]:
    """Return the outcomes, those of closed regions as `disabled` or `unavailable`: no failure where nothing is lost.

    A denial that a region which is not enabled would give becomes `disabled` where that is proved: another region of
    the account answered to the same session, and nothing in this region did. Without it the denial stands, for bad
    keys give the same codes. A region is `unavailable` where it answered no account, and another region did. Without
    that, or where STS was the one that could not be reached, our own network is to blame.
    """
    answered = {task.scope for task, outcome in outcomes.items() if outcome.status.is_answer}
    accounts, regions = {s.account_id for s in answered}, {s.region for s in answered}
    found = dict(outcomes)
    for task, outcome in outcomes.items():
        if outcome.status is Status.UNAVAILABLE:
            is_closed = outcome.api_calls and regions and task.scope.region not in regions
            found[task] = outcome if is_closed else replace(outcome, status=Status.NETWORK)
        elif task.scope not in answered and task.scope.account_id in accounts:
            found[task] = _mark_disabled(outcome)
    return found


def _mark_disabled(outcome: Outcome) -> Outcome:
    if outcome.status is not Status.DENIED or outcome.error_code not in REGION_MAY_BE_DISABLED:
        return outcome
    reason = f"region is not enabled: other regions of the account answered ({outcome.reason})"
    return replace(outcome, status=Status.DISABLED, reason=reason)
