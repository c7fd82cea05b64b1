"""Asset checks for coverage, the rules in sql/checks and publication. Each of them can turn a run red."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from appstream_export.contracts import SqlFile, load_sql_files
from appstream_export.defs.failed_scopes import NAMED_MAX, build_failed_scopes_table, count_scope_failures
from appstream_export.defs.specs import AssetSource, build_feed_key
from appstream_export.lake.catalog import SEVERITY_ERROR, CheckResult
from appstream_export.run import RunResult

COVERAGE = "coverage"
PUBLISHING_CHECKS: Mapping[str, tuple[dg.AssetKey, str]] = {
    "catalog_is_published": (dg.AssetKey("snapshots"), "The catalog shows the newest snapshot."),
    "feeds_are_published": (build_feed_key("feed_status"), "Feeds show the newest snapshot."),
    "report_is_written": (dg.AssetKey("report"), "The page shows the newest snapshot."),
}
"""The asset and the description of each publication check."""
_REEXECUTE_HINT = (
    "The snapshot is committed all the same. Re-execute from failure to request only the failed scopes again."
)
_PUBLISHING_DISABLED = (
    "This run did not publish it: [feeds] was changed after Dagster loaded the code; reload the code location."
)


def build_check_specs(assets: Sequence[AssetSource]) -> list[dg.AssetCheckSpec]:
    """Return the specs of all checks; `coverage`, SQL checks of severity error and publication checks are blocking."""
    coverage = dg.AssetCheckSpec(
        name=COVERAGE,
        asset="scope_runs",
        blocking=True,
        description="Every requested scope answered. Failed scopes retain their last good rows, marked stale; "
        "re-execute from failure to request only those again.",
    )
    published = [
        dg.AssetCheckSpec(
            name=name,
            asset=asset,
            blocking=True,
            description=f"{promise} If not, the snapshot is committed all the same; re-execution publishes it.",
        )
        for name, (asset, promise) in _list_publishing_checks(assets)
    ]
    return [coverage, *(_build_sql_check_spec(file, key) for file, key in _assign_sql_checks(assets)), *published]


def build_check_results(result: RunResult, assets: Sequence[AssetSource]) -> Iterator[dg.AssetCheckResult]:
    """Yield a result for every check; a check that could not run has not passed."""
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
    """Return the result of the coverage check: WARN if the failed ratio is accepted, ERROR above it."""
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
            "failed_ratio": round(result.failed_ratio, 4),
            "skipped": statuses["skipped"],
            "discovery_problem": result.discovery_problem or "none",
            "statuses": dict(statuses),
            "failed_scopes": build_failed_scopes_table(result),
        },
    )


def explain_failure(result: RunResult) -> str:
    """Return why the run is red: failed scopes, failed checks and failed publications, in one line."""
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
        return "Nothing to do: every scope of this run has already been exported."
    if not result.failures:
        if expected := len(result.expected_failures):
            return f"{result.answer_count} requested scopes answered; {expected} did not, as expected."
        return f"All {result.answer_count} requested scopes answered."
    first = result.failures[0]
    example = f"such as {first.task} ({first.status})"
    return f"{count_scope_failures(result)}, {example}; they retain their last good rows, marked stale."


def _list_publishing_checks(assets: Sequence[AssetSource]) -> Iterator[tuple[str, tuple[dg.AssetKey, str]]]:
    """Return the publication checks whose asset runs publish, each with its asset and description."""
    keys = {asset.key for asset in assets}
    return ((name, placed) for name, placed in PUBLISHING_CHECKS.items() if placed[0] in keys)


def _assign_sql_checks(assets: Sequence[AssetSource]) -> Iterator[tuple[SqlFile, dg.AssetKey]]:
    """Yield each file of sql/checks with the asset that shows it: the first asset that the file reads."""
    known = {asset.name: asset.key for asset in reversed(assets)}  # reversed: a table wins over the feed of its name
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
        why = problem or f"Not checked: the catalog lacks some of {', '.join(file.reads)}."
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
