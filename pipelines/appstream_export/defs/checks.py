"""Asset checks: coverage, complete tables, sql/checks, publication. All but `complete` can turn a run red."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from appstream_export.contracts import Contract, SqlFile
from appstream_export.defs.failed_scopes import NAMED_MAX, build_failed_scopes_table, count_scope_failures
from appstream_export.defs.specs import AssetSource, build_feed_key
from appstream_export.feeds import FEED_STATUS, VERSIONS, PublishedFeed, format_feed_name
from appstream_export.lake.catalog import SEVERITY_ERROR, CheckResult, TableCompleteness, UnseenScope
from appstream_export.run import RunResult

COVERAGE, COMPLETE = "coverage", "complete"
_FEED_STATUS_KEYS = tuple(build_feed_key(format_feed_name(version, FEED_STATUS)) for version in VERSIONS)
PUBLISHING_CHECKS: Mapping[str, tuple[Sequence[dg.AssetKey], str]] = {
    "catalog_is_published": ([dg.AssetKey("snapshots")], "The catalog shows the newest snapshot."),
    "feeds_are_published": (_FEED_STATUS_KEYS, "Feeds show the newest snapshot."),
    "report_is_written": ([dg.AssetKey("report")], "The page shows the newest snapshot."),
}
"""The assets and the description of each publication check."""
_REEXECUTE_HINT = (
    "The snapshot is committed all the same. Re-execute from failure to request only the failed scopes again."
)
_PUBLISHING_DISABLED = (
    "This run did not publish it: [feeds] was changed after Dagster loaded the code; reload the code location."
)


def build_check_specs(assets: Sequence[AssetSource]) -> list[dg.AssetCheckSpec]:
    """Return the specs of all checks but `complete`. `split_check_specs` makes them blocking."""
    coverage = dg.AssetCheckSpec(
        name=COVERAGE,
        asset="scope_runs",
        description="Every requested scope answered. Failed scopes retain their last good rows, marked stale; "
        "re-execute from failure to request only those again.",
    )
    published = [
        dg.AssetCheckSpec(
            name=name,
            asset=asset.key,
            description=f"{promise} If not, the snapshot is committed all the same; re-execution publishes it.",
        )
        for name, asset, promise in _list_publishing_checks(assets)
    ]
    return [coverage, *(_build_sql_check_spec(file, key) for file, key in _assign_sql_checks(assets)), *published]


def build_completeness_specs(contracts: Sequence[Contract], *, is_blocking: bool) -> list[dg.AssetCheckSpec]:
    """Return the spec of the check `complete` of each table of a resource."""
    return [
        dg.AssetCheckSpec(
            name=COMPLETE,
            asset=table.name,
            blocking=is_blocking,
            description=f"All rows are of the newest snapshot: no scope of {contract.name} failed, but expected ones.",
        )
        for contract in contracts
        for table in (*contract.tables, contract.changes_table)
    ]


def build_completeness_results(
    completeness: Mapping[str, TableCompleteness], result: RunResult, severity: dg.AssetCheckSeverity
) -> Iterator[dg.AssetCheckResult]:
    """Yield the results of `complete`: WARN while the failed scopes are within max_failed_ratio, else `severity`."""
    for name, found in completeness.items():
        is_accepted = found.failed_ratio < 1 and found.failed_ratio <= result.max_failed_ratio
        yield dg.AssetCheckResult(
            check_name=COMPLETE,
            asset_key=name,
            passed=not (found.unseen or result.discovery_problem),
            severity=dg.AssetCheckSeverity.WARN if is_accepted and not result.discovery_problem else severity,
            description=_describe_completeness(found, result.discovery_problem),
            metadata={
                "stale_rows": found.stale_rows,
                "failed": len(found.unseen),
                "scopes": found.scopes,
                "failed_scopes": _build_scope_table(found.unseen[:NAMED_MAX]),
            },
        )


def build_completeness_problems(
    contracts: Sequence[Contract], problem: str, severity: dg.AssetCheckSeverity
) -> Iterator[dg.AssetCheckResult]:
    """Yield the results of `complete` for tables that cannot be read: none has passed."""
    for spec in build_completeness_specs(contracts, is_blocking=False):
        yield dg.AssetCheckResult(
            check_name=COMPLETE, asset_key=spec.asset_key, passed=False, severity=severity, description=problem
        )


def _describe_completeness(found: TableCompleteness, discovery_problem: str | None) -> str:
    if not found.unseen:
        return discovery_problem or _describe_seen(found)
    first = found.unseen[0]
    seen = (
        f"{len(found.unseen)} of {found.scopes} scopes failed, such as {first.account_id}/{first.region} "
        f"({first.status}): {found.stale_rows} rows are stale."
    )
    return ". ".join(filter(None, (discovery_problem, seen)))


def _describe_seen(found: TableCompleteness) -> str:
    if rest := found.scopes - found.answered:
        return f"No scope failed, but {rest} of {found.scopes} are not seen: not requested yet, or not expected."
    return f"All {found.scopes} scopes are seen."


def _build_scope_table(scopes: Sequence[UnseenScope]) -> dg.TableMetadataValue:
    """Return failed scopes as a table; `since` is when AWS last answered completely."""
    records = [
        dg.TableRecord(
            {
                "account": scope.account_id,
                "region": scope.region,
                "status": scope.status,
                "stale_rows": scope.rows,
                "since": f"{scope.observed_at:%Y-%m-%d %H:%M}" if scope.observed_at else "never seen",
                "reason": scope.reason or "",
            }
        )
        for scope in scopes
    ]
    columns = [
        dg.TableColumn(name, "int" if name == "stale_rows" else "string")
        for name in ("account", "region", "status", "stale_rows", "since", "reason")
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def build_check_results(result: RunResult, assets: Sequence[AssetSource]) -> Iterator[dg.AssetCheckResult]:
    """Yield a result for every check; a check that could not run has not passed."""
    yield build_coverage_result(result)
    found = {check.name: check for check in result.checks}
    for file, key in _assign_sql_checks(assets):
        yield _build_sql_check_result(file, key, found.get(file.name), result)
    feeds = list_published_feeds(result)
    problems = {
        "catalog_is_published": result.catalog_problem,
        "feeds_are_published": result.feeds_problem,
        "report_is_written": result.report_problem or (None if result.is_reported else _PUBLISHING_DISABLED),
    }
    for name, asset, promise in _list_publishing_checks(assets):
        is_missing = name == "feeds_are_published" and asset.name not in feeds
        problem = problems[name] or (_PUBLISHING_DISABLED if is_missing else None)
        is_failure = problem in result.publishing_failures
        yield dg.AssetCheckResult(
            check_name=name,
            asset_key=asset.key,
            passed=problem is None,
            severity=dg.AssetCheckSeverity.ERROR if is_failure else dg.AssetCheckSeverity.WARN,
            description=problem or promise,
        )


def list_published_feeds(result: RunResult) -> dict[str, PublishedFeed]:
    """Return the feeds of all versions that readers see, by the names of their assets."""
    return {feed.name: feed for feed in result.published_feeds.list_feeds()} if result.published_feeds else {}


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
            "requested": len(result.outcomes),
            "answered": result.answer_count,
            "failed": len(result.failures),
            "expected": len(result.expected_failures),
            "failed_ratio": round(result.failed_ratio, 4),
            "skipped": statuses["skipped"],
            "discovery_problem": result.discovery_problem or "none",
            "statuses": format_counts(statuses),
            "failed_scopes": build_failed_scopes_table(result),
        },
    )


def split_check_specs(
    assets: Sequence[AssetSource], tables: Collection[dg.AssetKey], *, is_blocking: bool
) -> tuple[list[dg.AssetCheckSpec], list[dg.AssetCheckSpec]]:
    """Return the checks of the step of tables, and those of the last step.

    If a red run stops assets downstream, checks of tables that can fail a run block them, so the step of tables has
    them. Those of publication do not: outputs are made after the tables.
    """
    specs = build_check_specs(assets)
    if not is_blocking:
        return [], specs
    errors = {file.name for asset in assets for file in asset.checks if file.severity == SEVERITY_ERROR}
    early = [spec for spec in specs if spec.asset_key in tables and spec.name not in PUBLISHING_CHECKS]
    late = [spec for spec in specs if spec not in early]
    blocking = {COVERAGE, *errors, *PUBLISHING_CHECKS} - {"catalog_is_published"}
    return _mark_blocking_checks(early, blocking), _mark_blocking_checks(late, blocking)


def _mark_blocking_checks(specs: Iterable[dg.AssetCheckSpec], names: Collection[str]) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            spec.name, asset=spec.asset_key, description=spec.description, metadata=spec.metadata,
            blocking=spec.name in names,
        )
        for spec in specs
    ]  # fmt: skip


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


def _list_publishing_checks(assets: Sequence[AssetSource]) -> Iterator[tuple[str, AssetSource, str]]:
    """Yield the publication checks whose asset runs publish, each with its asset and description."""
    by_key = {asset.key: asset for asset in assets}
    for name, (keys, promise) in PUBLISHING_CHECKS.items():
        yield from ((name, by_key[key], promise) for key in keys if key in by_key)


def _assign_sql_checks(assets: Sequence[AssetSource]) -> Iterator[tuple[SqlFile, dg.AssetKey]]:
    """Yield each file of a check with the asset that shows it, by the file's name."""
    yield from sorted(((file, asset.key) for asset in assets for file in asset.checks), key=lambda one: one[0].name)


def _build_sql_check_spec(file: SqlFile, key: dg.AssetKey) -> dg.AssetCheckSpec:
    doc = f"{file.doc}\n\nSQL: `{file.place}`, severity {file.severity}."
    return dg.AssetCheckSpec(name=file.name, asset=key, description=doc)


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
    examples = {"examples": _build_example_table(found.examples[:NAMED_MAX])} if found.examples else {}
    return dg.AssetCheckResult(
        check_name=file.name,
        asset_key=key,
        passed=found.is_passed,
        severity=severity,
        description=f"{found.rows} rows found." if found.rows else "Nothing found.",
        metadata={"rows": found.rows, **examples},
    )


def _build_example_table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [dg.TableRecord({name: _format_value(value) for name, value in row.items()}) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name, "string") for name in rows[0]]),
    )


def _format_value(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return "" if value is None else str(value)


def format_counts(counts: Mapping[str, int]) -> str:
    """Return counts as text, the largest first: of a mapping, Dagster shows JSON.

    >>> format_counts({"denied": 1, "ok": 3})
    'ok 3, denied 1'
    """
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))
