"""Did we see everything? The blocking check that turns a run red after its tables have landed."""

from collections import Counter

import dagster as dg

from pipelines.run import RunResult

COVERAGE = "coverage"
NAMED_MAX = 50  # a list in the event log stays readable


def coverage_spec() -> dg.AssetCheckSpec:
    """On `scope_runs`: failed scopes within max_failed_ratio warn, above it they fail the run."""
    return dg.AssetCheckSpec(
        name=COVERAGE,
        asset="scope_runs",
        blocking=True,
        description="Every asked scope answered. Failed scopes keep their last good rows, marked stale; "
        "re-execute from failure to ask only those again.",
    )


def coverage_result(result: RunResult) -> dg.AssetCheckResult:
    """Always emitted. WARN when some failed within the accepted ratio, ERROR above it."""
    within = result.exit_code == 0
    statuses = Counter(str(o.status) for o in result.outcomes.values())
    return dg.AssetCheckResult(
        check_name=COVERAGE,
        asset_key="scope_runs",
        passed=not result.failed and not result.discovery_problem,
        severity=dg.AssetCheckSeverity.WARN if within else dg.AssetCheckSeverity.ERROR,
        description=_description(result),
        metadata={
            "asked": len(result.outcomes),
            "answered": result.answered,
            "failed": len(result.failed),
            "expected": len(result.expected),
            "failed_ratio": result.failed_ratio,
            "skipped": statuses["skipped"],
            "discovery_problem": result.discovery_problem or "none",
            "statuses": dict(statuses),
            "failed_scopes": [f"{o.task}: {o.status}: {o.reason}" for o in result.failed[:NAMED_MAX]],
        },
    )


def _description(result: RunResult) -> str:
    return ". ".join(filter(None, (result.discovery_problem, _coverage(result))))


def _coverage(result: RunResult) -> str:
    if not result.outcomes:
        return "Nothing was left to ask: every scope of this run has answered."
    if not result.failed:
        return f"All {result.answered} asked scopes answered."
    failed, asked = len(result.failed), len(result.outcomes)
    return f"{failed} of {asked} asked scopes failed; they keep their last good rows, marked stale."
