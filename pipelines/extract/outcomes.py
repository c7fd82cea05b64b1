"""What outcomes prove about each other once all tasks have ended."""

from collections.abc import Mapping
from dataclasses import replace

from pipelines.errors import REGION_MAY_BE_DISABLED
from pipelines.scope import Outcome, Status, Task


def prove_disabled(outcomes: Mapping[Task, Outcome]) -> dict[Task, Outcome]:
    """Turn denials that a region which is not enabled would give into `disabled`, where that is proved.

    The proof: another region of the account answered to the same session, and nothing in this region did. Without it
    the denial stands, for bad keys give the same codes.
    """
    answered = {task.scope for task, outcome in outcomes.items() if outcome.status.is_answer}
    accounts = {scope.account_id for scope in answered}
    return {
        task: _disabled(outcome) if task.scope not in answered and task.scope.account_id in accounts else outcome
        for task, outcome in outcomes.items()
    }


def _disabled(outcome: Outcome) -> Outcome:
    if outcome.status is not Status.DENIED or outcome.error_code not in REGION_MAY_BE_DISABLED:
        return outcome
    reason = f"region is not enabled: other regions of the account answered ({outcome.reason})"
    return replace(outcome, status=Status.DISABLED, reason=reason)
