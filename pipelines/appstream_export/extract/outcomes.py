"""Outcomes of closed regions, which only the outcomes of other regions can prove."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from appstream_export.error_rules import REGION_MAY_BE_DISABLED, TOKEN_UNPROVED, UNREACHABLE
from appstream_export.extract.aws import is_opt_in_region
from appstream_export.model import Outcome, Task
from appstream_export.status import Status

_ABSENT = "neither AWS nor botocore lists this region for the service, and nothing answered"


def resolve_outcomes(outcomes: Mapping[Task, Outcome], unlisted: Collection[Task] = frozenset()) -> dict[Task, Outcome]:
    """Return the outcomes with closed regions resolved; a task that its parent ended has the parent's final status."""
    found = resolve_closed_regions(outcomes, unlisted)
    for task, outcome in found.items():
        if outcome.cause is not None and (cause := found.get(outcome.cause)) is not None:
            reason = f"{cause.task.resource}: {cause.reason}"
            found[task] = replace(outcome, status=cause.status, reason=reason, error_code=cause.error_code)
    return found


def resolve_closed_regions(
    outcomes: Mapping[Task, Outcome], unlisted: Collection[Task] = frozenset()
) -> dict[Task, Outcome]:
    """Return the outcomes, with closed regions as `disabled` or `unavailable`, which are no failures.

    A denied region becomes `disabled` if its code may mean "not enabled", another region of the account answered to the
    same session, and this region answered nothing. If the session's token may come from the global STS endpoint, the
    other region must be an opt-in region. A region that is enabled in every account is never `disabled`. Without proof
    the outcome remains `denied`, because bad keys give the same codes.

    An unreachable region becomes `unavailable` if its task is in `unlisted` (no list of the service's regions has it),
    other regions answered, and the call was made to the region, not to STS. Otherwise it becomes `network`.
    """
    answered = {task.scope for task, outcome in outcomes.items() if outcome.status.is_answer}
    regions = {scope.region for scope in answered}
    accounts = {scope.account_id for scope in answered}
    accounts_with_opt_in = {scope.account_id for scope in answered if is_opt_in_region(scope.region)}
    found = dict(outcomes)
    for task, outcome in outcomes.items():
        if outcome.error_code in UNREACHABLE:
            # Without calls of its own, the task failed in STS, which proves nothing about the region.
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
