"""Did we see everything, is what we saw sound, and was it published? Only the first two can turn a run red."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from appstream_export.contracts import sql_files
from appstream_export.contracts.sql_files import SqlFile
from appstream_export.defs.specs import Shown, feed_key
from appstream_export.lake.catalog.checks import ERROR, CheckResult
from appstream_export.run import RunResult

COVERAGE = "coverage"
PUBLISHED: Mapping[str, tuple[dg.AssetKey, str]] = {
    "catalog_is_published": (dg.AssetKey("snapshots"), "The catalog shows the newest snapshot."),
    "feeds_are_published": (feed_key("feed_status"), "Feeds show the newest snapshot."),
    "report_is_written": (dg.AssetKey("report"), "The page shows the newest snapshot."),
}
"""The asset that each of these checks is shown at, and its promise."""
_MENDED = "Everything has landed all the same. Re-execute from failure: only what failed is asked again."
_LEFT = "This run left it as it was: [feeds] says so since Dagster loaded the code; reload the code location."
NAMED_MAX = 50  # a list in the event log stays readable


def check_specs(assets: Sequence[Shown]) -> list[dg.AssetCheckSpec]:
    """All of them; `coverage` and the checks of severity error are those that turn a run red."""
    coverage = dg.AssetCheckSpec(
        name=COVERAGE,
        asset="scope_runs",
        blocking=True,
        description="Every asked scope answered. Failed scopes keep their last good rows, marked stale; "
        "re-execute from failure to ask only those again.",
    )
    published = [
        dg.AssetCheckSpec(name=name, asset=asset, description=f"{promise} If not, the snapshot stands all the same.")
        for name, (asset, promise) in _published(assets)
    ]
    return [coverage, *(_spec(file, key) for file, key in _placed(assets)), *published]


def check_results(result: RunResult, assets: Sequence[Shown]) -> Iterator[dg.AssetCheckResult]:
    """One of each, always: what could not be looked at has not passed."""
    yield coverage_result(result)
    found = {check.name: check for check in result.checks}
    for file, key in _placed(assets):
        yield _result(file, key, found.get(file.name), result.checks_problem)
    problems = {
        "catalog_is_published": result.catalog_problem,
        "feeds_are_published": result.feeds_problem or (None if result.published else _LEFT),
        "report_is_written": result.report_problem or (None if result.is_reported else _LEFT),
    }
    for name, (asset, promise) in _published(assets):
        problem = problems[name]
        yield dg.AssetCheckResult(
            check_name=name,
            asset_key=asset,
            passed=problem is None,
            severity=dg.AssetCheckSeverity.WARN if problem == _LEFT else dg.AssetCheckSeverity.ERROR,
            description=problem or promise,
        )


def coverage_result(result: RunResult) -> dg.AssetCheckResult:
    """WARN when some failed within the accepted ratio, ERROR above it."""
    statuses = Counter(str(o.status) for o in result.outcomes.values())
    return dg.AssetCheckResult(
        check_name=COVERAGE,
        asset_key="scope_runs",
        passed=not result.failed and not result.discovery_problem,
        severity=dg.AssetCheckSeverity.WARN if result.is_covered else dg.AssetCheckSeverity.ERROR,
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


def why_red(result: RunResult) -> str:
    """What is said where a red run ends: which scopes failed, and which rows there are that must not be."""
    unseen = [] if result.is_covered else [f"{coverage_result(result).description} {_MENDED}"]
    return " ".join([*unseen, *(f"Check {c.name}: {c.rows} rows found. {c.doc}" for c in result.violated)])


def _description(result: RunResult) -> str:
    return ". ".join(filter(None, (result.discovery_problem, _coverage(result))))


def _coverage(result: RunResult) -> str:
    if not result.outcomes:
        return "Nothing was left to ask: every scope of this run has answered."
    if not result.failed:
        return f"All {result.answered} asked scopes answered."
    failed, asked, first = len(result.failed), len(result.outcomes), result.failed[0]
    such = f"{failed} of {asked} asked scopes failed, such as {first.task.scope} ({first.status})"
    return f"{such}; they keep their last good rows, marked stale."


def _published(assets: Sequence[Shown]) -> Iterator[tuple[str, tuple[dg.AssetKey, str]]]:
    """Those of assets that runs publish."""
    keys = {asset.key for asset in assets}
    return ((name, placed) for name, placed in PUBLISHED.items() if placed[0] in keys)


def _placed(assets: Sequence[Shown]) -> Iterator[tuple[SqlFile, dg.AssetKey]]:
    """Each file of sql/checks with the asset that it is shown at: the first that it reads."""
    known = {asset.name: asset.key for asset in reversed(assets)}  # a table goes before the feed of its name
    for file in sql_files.read("checks"):
        if key := next((known[name] for name in file.reads if name in known), None):
            yield file, key


def _spec(file: SqlFile, key: dg.AssetKey) -> dg.AssetCheckSpec:
    doc = f"{file.doc}\n\nSQL: `{file.place}`, severity {file.severity}."
    return dg.AssetCheckSpec(name=file.name, asset=key, description=doc, blocking=file.severity == ERROR)


def _result(file: SqlFile, key: dg.AssetKey, found: CheckResult | None, problem: str | None) -> dg.AssetCheckResult:
    if found is None:
        why = problem or f"Not looked at: the catalog has not all of {', '.join(file.reads)}."
        return dg.AssetCheckResult(
            check_name=file.name, asset_key=key, passed=False, severity=dg.AssetCheckSeverity.WARN, description=why
        )
    severity = dg.AssetCheckSeverity.ERROR if file.severity == ERROR else dg.AssetCheckSeverity.WARN
    examples = [", ".join(f"{name}: {value}" for name, value in row.items()) for row in found.examples[:NAMED_MAX]]
    return dg.AssetCheckResult(
        check_name=file.name,
        asset_key=key,
        passed=found.is_passed,
        severity=severity,
        description=f"{found.rows} rows found." if found.rows else "Nothing found.",
        metadata={"rows": found.rows, "examples": examples},
    )
