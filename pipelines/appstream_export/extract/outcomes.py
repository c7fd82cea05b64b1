"""Outcomes that prove something about each other, once all tasks have ended."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from appstream_export.error_rules import REGION_MAY_BE_DISABLED, TOKEN_UNPROVED, UNREACHABLE
from appstream_export.extract.aws import is_opt_in_region
from appstream_export.model import Outcome, Task
from appstream_export.status import Status

_ABSENT = "the service is in neither list of regions, AWS's and botocore's, and nothing answered"


def resolve_closed_regions(
    outcomes: Mapping[Task, Outcome], unlisted: Collection[Task] = frozenset()
) -> dict[Task, Outcome]:
    """Return the outcomes, those of closed regions as `disabled` or `unavailable`: no failure where nothing is lost.

    A denial that a region which is not enabled would give becomes `disabled` where that is proved: another region of
    the account answered to the same session, and nothing in this region did. Where the session's token may be one of
    the global STS endpoint, that other region has to be an opt-in one. A region that every account has enabled is
    never `disabled`. Without proof the denial stands, for bad keys give the same codes.

    A region is `unavailable` where nobody was there to answer, in tasks that are `unlisted`: no list of the service's
    regions has theirs. Elsewhere, or where no other region answered, or where STS was the one that could not be
    reached, the network is to blame.
    """
    answered = {task.scope for task, outcome in outcomes.items() if outcome.status.is_answer}
    regions = {scope.region for scope in answered}
    accounts = {scope.account_id for scope in answered}
    accounts_with_opt_in = {scope.account_id for scope in answered if is_opt_in_region(scope.region)}
    found = dict(outcomes)
    for task, outcome in outcomes.items():
        if outcome.error_code in UNREACHABLE:
            is_absent = task in unlisted and outcome.api_calls and regions and task.scope.region not in regions
            found[task] = _mark_absent(outcome) if is_absent else replace(outcome, status=Status.NETWORK)
        elif outcome.status is Status.DENIED and task.scope not in answered:
            proved = accounts_with_opt_in if outcome.error_code == TOKEN_UNPROVED else accounts
            if task.scope.account_id in proved and is_opt_in_region(task.scope.region):
                found[task] = _mark_disabled(outcome)
    return found


def _mark_absent(outcome: Outcome) -> Outcome:
    return replace(outcome, status=Status.UNAVAILABLE, reason=f"{_ABSENT} ({outcome.reason})")


def _mark_disabled(outcome: Outcome) -> Outcome:
    if outcome.error_code not in {*REGION_MAY_BE_DISABLED, TOKEN_UNPROVED}:
        return outcome
    reason = f"region is not enabled: other regions of the account answered ({outcome.reason})"
    return replace(outcome, status=Status.DISABLED, reason=reason)
