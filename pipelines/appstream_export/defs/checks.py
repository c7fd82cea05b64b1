"""Did we see everything, is what we saw sound, and was it published? Each of them can turn a run red."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from appstream_export.contracts import SqlFile, load_sql_files
from appstream_export.defs.specs import AssetSource, build_feed_key
from appstream_export.lake.catalog import SEVERITY_ERROR, CheckResult
from appstream_export.run import RunResult

COVERAGE = "coverage"
PUBLISHING_CHECKS: Mapping[str, tuple[dg.AssetKey, str]] = {
    "catalog_is_published": (dg.AssetKey("snapshots"), "The catalog shows the newest snapshot."),
    "feeds_are_published": (build_feed_key("feed_status"), "Feeds show the newest snapshot."),
    "report_is_written": (dg.AssetKey("report"), "The page shows the newest snapshot."),
}
"""The asset that each of these checks is shown at, and its promise."""
_REEXECUTE_HINT = "Everything has landed all the same. Re-execute from failure: only what failed is asked again."
_PUBLISHING_DISABLED = (
    "This run left it as it was: [feeds] says so since Dagster loaded the code; reload the code location."
)
NAMED_MAX = 50  # a list in the event log stays readable


def build_check_specs(assets: Sequence[AssetSource]) -> list[dg.AssetCheckSpec]:
    """All of them; `coverage`, the checks of severity error and those of what is published turn a run red."""
    coverage = dg.AssetCheckSpec(
        name=COVERAGE,
        asset="scope_runs",
        blocking=True,
        description="Every asked scope answered. Failed scopes keep their last good rows, marked stale; "
        "re-execute from failure to ask only those again.",
    )
    published = [
        dg.AssetCheckSpec(
            name=name,
            asset=asset,
            blocking=True,
            description=f"{promise} If not, the snapshot stands all the same; re-execution publishes it.",
        )
        for name, (asset, promise) in _list_publishing_checks(assets)
    ]
    return [coverage, *(_build_sql_check_spec(file, key) for file, key in _assign_sql_checks(assets)), *published]


def build_check_results(result: RunResult, assets: Sequence[AssetSource]) -> Iterator[dg.AssetCheckResult]:
    """One of each, always: what could not be looked at has not passed."""
    yield build_coverage_result(result)
    found = {check.name: check for check in result.checks}
    for file, key in _assign_sql_checks(assets):
        yield _build_sql_check_result(file, key, found.get(file.name), result)
    problems = {
        "catalog_is_published": result.catalog_problem,
        "feeds_are_published": result.feeds_problem or (None if result.published_feeds else _PUBLISHING_DISABLED),
        "report_is_written": result.report_problem or (None if result.is_reported else _PUBLISHING_DISABLED),
    }
    for name, (asset, promise) in _list_publishing_checks(assets):
        problem = problems[name]
        is_failure = problem in result.publishing_failures
        yield dg.AssetCheckResult(
            check_name=name,
            asset_key=asset,
            passed=problem is None,
            severity=dg.AssetCheckSeverity.ERROR if is_failure else dg.AssetCheckSeverity.WARN,
            description=problem or promise,
        )


def build_coverage_result(result: RunResult) -> dg.AssetCheckResult:
    """WARN when some failed within the accepted ratio, ERROR above it."""
    statuses = Counter(str(o.status) for o in result.outcomes.values())
    return dg.AssetCheckResult(
        check_name=COVERAGE,
        asset_key="scope_runs",
        passed=not (result.failures or result.outcomes_problem or result.discovery_problem),
        severity=dg.AssetCheckSeverity.WARN if result.has_sufficient_coverage else dg.AssetCheckSeverity.ERROR,
        description=_describe_coverage(result),
        metadata={
            "asked": len(result.outcomes),
            "answered": result.answer_count,
            "failed": len(result.failures),
            "expected": len(result.expected_failures),
            "failed_ratio": result.failed_ratio,
            "skipped": statuses["skipped"],
            "discovery_problem": result.discovery_problem or "none",
            "statuses": dict(statuses),
            "failed_scopes": [f"{o.task}: {o.status}: {o.reason}" for o in result.failures[:NAMED_MAX]],
        },
    )


def explain_failure(result: RunResult) -> str:
    """Return the last words of a red run: scopes that failed, rows that must not be, what was not published."""
    unseen = (
        [] if result.has_sufficient_coverage else [f"{build_coverage_result(result).description} {_REEXECUTE_HINT}"]
    )
    checks = [f"Check {c.name}: {c.rows} rows found. {c.doc}" for c in result.failed_checks]
    return " ".join([*unseen, *checks, *(f"{problem}." for problem in result.publishing_failures)])


def _describe_coverage(result: RunResult) -> str:
    return ". ".join(filter(None, (result.discovery_problem, _summarize_scopes(result))))


def _summarize_scopes(result: RunResult) -> str:
    if result.outcomes_problem:
        return f"{result.outcomes_problem}."
    if not result.outcomes:
        return "Nothing was left to ask: every scope of this run has answered."
    if not result.failures:
        return f"All {result.answer_count} asked scopes answered."
    failed, asked, first = len(result.failures), len(result.outcomes), result.failures[0]
    such = f"{failed} of {asked} asked scopes failed, such as {first.task} ({first.status})"
    return f"{such}; they keep their last good rows, marked stale."


def _list_publishing_checks(assets: Sequence[AssetSource]) -> Iterator[tuple[str, tuple[dg.AssetKey, str]]]:
    """Those of assets that runs publish."""
    keys = {asset.key for asset in assets}
    return ((name, placed) for name, placed in PUBLISHING_CHECKS.items() if placed[0] in keys)


def _assign_sql_checks(assets: Sequence[AssetSource]) -> Iterator[tuple[SqlFile, dg.AssetKey]]:
    """Each file of sql/checks with the asset that it is shown at: the first that it reads."""
    known = {asset.name: asset.key for asset in reversed(assets)}  # a table goes before the feed of its name
    for file in load_sql_files("checks"):
        if key := next((known[name] for name in file.reads if name in known), None):
            yield file, key


def _build_sql_check_spec(file: SqlFile, key: dg.AssetKey) -> dg.AssetCheckSpec:
    doc = f"{file.doc}\n\nSQL: `{file.place}`, severity {file.severity}."
    return dg.AssetCheckSpec(name=file.name, asset=key, description=doc, blocking=file.severity == SEVERITY_ERROR)


def _build_sql_check_result(
    file: SqlFile, key: dg.AssetKey, found: CheckResult | None, result: RunResult
) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if file.severity == SEVERITY_ERROR else dg.AssetCheckSeverity.WARN
    if found is None:
        problem = result.checks_problem
        why = problem or f"Not looked at: the catalog has not all of {', '.join(file.reads)}."
        severity = severity if problem in result.publishing_failures else dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(
            check_name=file.name, asset_key=key, passed=False, severity=severity, description=why
        )
    examples = [", ".join(f"{name}: {value}" for name, value in row.items()) for row in found.examples[:NAMED_MAX]]
    return dg.AssetCheckResult(
        check_name=file.name,
        asset_key=key,
        passed=found.is_passed,
        severity=severity,
        description=f"{found.rows} rows found." if found.rows else "Nothing found.",
        metadata={"rows": found.rows, "examples": examples},
    )
