"""Failed scopes of a run as a table that Dagster shows: which, since when, why, and what helps."""

import dagster as dg

from appstream_export.error_rules import suggest_fix
from appstream_export.model import Outcome
from appstream_export.run import RunResult

NAMED_MAX = 50  # so that lists in the event log are readable
_COLUMNS = {
    "resource": "Resource that was requested.",
    "account": "AWS account.",
    "region": "AWS region.",
    "status": "Why it failed.",
    "since": "When AWS last answered completely, UTC: its rows are from then.",
    "reason": "The failure in words.",
    "fix": "What helps.",
}


def build_failed_scopes_table(result: RunResult) -> dg.TableMetadataValue:
    """Return the first NAMED_MAX failed scopes, with their resource if the run has several."""
    is_single = len(result.failed_ratios) < 2
    names = [name for name in _COLUMNS if not (is_single and name == "resource")]
    rows = [_build_row(outcome, result) for outcome in result.failures[:NAMED_MAX]]
    return dg.MetadataValue.table(
        [dg.TableRecord({name: row[name] for name in names}) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name, "string", _COLUMNS[name]) for name in names]),
    )


def count_scope_failures(result: RunResult) -> str:
    """Return how many scopes failed, and how many others did not answer as expected."""
    count, expected = len(result.failures), len(result.expected_failures)
    failed = f"{count} of {len(result.outcomes)} requested scopes failed"
    return f"{failed} ({expected} more did not answer, as expected)" if expected else failed


def _build_row(outcome: Outcome, result: RunResult) -> dict[str, str]:
    seen_at = result.seen_at.get(outcome.task)
    return {
        "resource": outcome.task.resource,
        "account": outcome.task.scope.account_id,
        "region": outcome.task.scope.region,
        "status": str(outcome.status),
        "since": f"{seen_at:%Y-%m-%d %H:%M}" if seen_at else "never seen",
        "reason": outcome.reason or "",
        "fix": suggest_fix(outcome.status, outcome.error_code, outcome.reason),
    }
