"""Output of `run`: the summary for people, and one object for programs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from appstream_export.cli import console
from appstream_export.cli.output import encode_json
from appstream_export.contracts import Contract
from appstream_export.lake.catalog import CheckResult, SnapshotSummary, connect_warehouse, summarize_snapshot
from appstream_export.model import Outcome, Status, Task
from appstream_export.run import RunResult, try_after_commit
from appstream_export.settings import S3Settings

RESOURCES_MAX = 3
LINES_MAX = 20
"""Maximum number of failures that are listed one by one; more are grouped by reason."""
GROUPS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The result of a run, with counts of its snapshot.

    `target_flags` make the next command use the same configuration and warehouse.
    """

    result: RunResult
    warehouse: str
    target_flags: Sequence[str]
    snapshot: SnapshotSummary
    snapshot_problem: str | None = None
    """The reason if the counts of the snapshot could not be read and are 0; else None."""

    @property
    def exit_code(self) -> int:
        """The exit code of the run, or 3 if the committed snapshot could not be read."""
        return self.result.exit_code or (3 if self.snapshot_problem else 0)

    @property
    def retry_command(self) -> str:
        """The command that requests the failed scopes again."""
        return console.format_command("run", "--retry-failed", *self.target_flags)


def summarize_run(
    result: RunResult,
    contracts: Sequence[Contract],
    warehouse: str,
    target_flags: Sequence[str] = (),
    *,
    s3: S3Settings | None = None,
) -> RunSummary:
    """Return a summary with counts read from the snapshot; a failure to read them is part of it."""

    def read() -> SnapshotSummary:
        with connect_warehouse(warehouse, s3=s3) as con:
            return summarize_snapshot(con, contracts, result.manifest.snapshot_id)

    snapshot, problem = try_after_commit(read, "it could not be read")
    return RunSummary(
        result=result,
        warehouse=warehouse,
        target_flags=target_flags,
        snapshot=snapshot or SnapshotSummary(),
        snapshot_problem=problem,
    )


def build_run_object(summary: RunSummary) -> dict[str, Any]:
    """Build one object for --json; its counts have the names of the columns of `snapshots`."""
    result, manifest, snapshot = summary.result, summary.result.manifest, summary.snapshot
    return {
        "committed": result.committed,
        "snapshot_id": manifest.snapshot_id,
        "seq": manifest.seq,
        "committed_at": manifest.committed_at,
        "warehouse": summary.warehouse,
        **manifest.counts,
        "changes": snapshot.changes,
        "resources": {name: _build_resource_object(summary, name) for name in _list_resources(result)},
        "not_requested": dict(result.unrequested),
        "stale_scopes": snapshot.stale_scopes,
        "stale_items": snapshot.stale_items,
        "failures": [_build_failure_object(summary, outcome) for outcome in result.failures],
        "cut": [
            _build_scope_object(outcome) | {"starting_token": outcome.resume_token}
            for outcome in _list_cut_outcomes(result)
        ],
        "overtaken": [_build_scope_object(result.outcomes[task]) for task in sorted(result.overtaken)],
        "retry": summary.retry_command if result.failures else None,
        "outcomes_problem": result.outcomes_problem,
        "snapshot_problem": summary.snapshot_problem,
        "discovery_problem": result.discovery_problem,
        "catalog_problem": result.catalog_problem,
        "checks": [_build_check_object(check) for check in result.checks],
        "checks_problem": result.checks_problem,
        "feeds_problem": result.feeds_problem,
        "report_problem": result.report_problem,
        "exit_code": summary.exit_code,
    }


def render_run_lines(summary: RunSummary) -> Iterator[str]:
    """Yield lines for people: the snapshot, failures with their reasons, and the next commands."""
    result, manifest = summary.result, summary.result.manifest
    yield f"snapshot {manifest.seq} {'committed' if result.committed else 'unchanged'}: {manifest.snapshot_id}"
    unread = dict.fromkeys(filter(None, (result.outcomes_problem, summary.snapshot_problem)))
    yield from (f"  {console.strip_control_characters(problem)}" for problem in unread)
    if result.outcomes_problem:
        yield f"  see details:     {console.format_command('verify', '--warehouse', summary.warehouse)}"
    elif not result.outcomes:
        yield "  nothing to do: every scope of this run has already been exported, or is not due"
    else:
        yield from (f"  {line}" for line in render_run_facts(summary))
        yield from _render_failure_details(summary) if result.failures else ()
        yield from _render_cut_scopes(summary)
    yield from _render_failed_checks(summary)
    yield from _render_publishing_problems(summary)
    if result.discovery_problem:
        yield from _render_discovery_problem(summary, result.discovery_problem)


def _render_failure_details(summary: RunSummary) -> Iterator[str]:
    failures = summary.result.failures
    kept = sum(outcome.task in summary.result.seen_at for outcome in failures)
    whose = "their earlier rows" if kept == len(failures) else f"earlier rows of {kept:,}"
    yield f"failed ({len(failures)}){f', {whose} retained as stale' if kept else ''}:"
    if len(_list_resources(summary.result)) > 1 and (short := summary.result.insufficient_resources):
        yield f"  too few scopes answered of {', '.join(short)}"
    yield from (console.wrap_text(line, " " * 6) for line in render_failures(summary))
    statuses = {outcome.status for outcome in failures}
    if statuses != {Status.GUARDED}:
        yield f"retry failures:    {summary.retry_command}"
    if Status.GUARDED in statuses:
        yield f"accept the drop:   {console.format_command('run', '--accept-drop', *summary.target_flags)}"
    command = console.format_command(
        "sql",
        "--warehouse",
        summary.warehouse,
        "select account_id, region, status, reason from coverage where status <> 'ok' and not is_expected",
    )
    yield f"see details:       {command}"


def _render_cut_scopes(summary: RunSummary) -> Iterator[str]:
    for outcome in _list_cut_outcomes(summary.result):
        scope, place = outcome.task.scope, _format_task(summary.result, outcome.task)
        go_on = f"--accounts {scope.account_id} --regions {scope.region} --starting-token {outcome.resume_token}"
        yield console.strip_control_characters(f"stopped at the item limit in {place}; continue with: {go_on}")


def _render_failed_checks(summary: RunSummary) -> Iterator[str]:
    for check in summary.result.failed_checks:
        yield f"CHECK FAILED {check.name}, {check.rows:,} rows: {check.doc}"
        yield from (console.strip_control_characters(f"  {encode_json(row).decode()}") for row in check.examples[:3])
    if summary.result.checks_problem:
        yield console.strip_control_characters(summary.result.checks_problem)


def _render_publishing_problems(summary: RunSummary) -> Iterator[str]:
    result = summary.result
    for problem, command in (
        (result.catalog_problem, ("catalog",)),
        (result.feeds_problem, ("feeds", "publish")),
        (result.report_problem, ("report",)),
    ):
        if problem:
            again = console.format_command(*command, "--warehouse", summary.warehouse)
            yield f"{console.strip_control_characters(problem)}; try again with: {again}"


def _render_discovery_problem(summary: RunSummary, problem: str) -> Iterator[str]:
    text = f"discovery failed, so the exit code is {summary.result.exit_code}: {problem}"
    yield console.wrap_text(console.strip_control_characters(text), "  ")
    yield f"find the cause:    {console.format_command('doctor', *summary.target_flags)}"
    command = console.format_command("run", "--accept-drop", *summary.target_flags)
    yield f"accept the list from AWS, even if short or empty:  {command}"


def render_run_facts(summary: RunSummary) -> Iterator[str]:
    """Yield a line each with the counts of scopes, items, changes and checks."""
    result, counts = summary.result, summary.result.manifest.counts
    not_asked = counts["tasks_total"] - len(result.outcomes)
    skipped = sum(outcome.status is Status.SKIPPED for outcome in result.outcomes.values())
    yield _format_counts("scopes", (result.answer_count, "ok"), (len(result.failures), "failed"),
                  (len(result.expected_failures), "expected"), (skipped, "skipped"),
                  (len(result.overtaken), "overtaken by another run"),
                  (not_asked, "not requested, unchanged"))  # fmt: skip
    yield _format_counts("items", (counts["items"], "in all"), (counts["items_fresh"], "fresh"),
                  (counts["items_carried"], "carried"), (summary.snapshot.stale_items, "stale"))  # fmt: skip
    if not summary.snapshot_problem:
        yield _format_counts("changes", *_count_changes(summary))
    yield from _render_resources(summary)
    if result.checks:
        passed = sum(check.is_passed for check in result.checks)
        yield _format_counts("checks", (passed, "passed"), *((c.rows, c.name) for c in result.checks))


def _render_resources(summary: RunSummary) -> Iterator[str]:
    """Yield the counts of each resource if there are several; more than RESOURCES_MAX alike take one line."""
    counts = {name: _format_resource_counts(summary, name) for name in _list_resources(summary.result)}
    counts |= {name: f"{n:,} not requested" for name, n in summary.result.unrequested.items() if name not in counts}
    alike: dict[str, list[str]] = {}
    for name, text in counts.items():
        alike.setdefault(text, []).append(name)
    for text, names in alike.items() if len(counts) > 1 else ():
        if len(names) > RESOURCES_MAX:
            yield f"{len(names)} resources, such as {names[0]}: {text} each"
        else:
            yield from (f"{name}: {text}" for name in names)


def render_failures(summary: RunSummary, *, is_brief: bool = False) -> Iterator[str]:
    """Yield a line per failure; more than LINES_MAX are grouped by status and error code, largest groups first.

    `is_brief` shows AWS's error code instead of the reason.
    """
    failed = summary.result.failures
    if len(failed) <= LINES_MAX:
        for outcome in failed:
            why = outcome.error_code if is_brief and outcome.error_code else outcome.reason
            yield console.strip_control_characters(f"  {outcome.status:<11} {_format_scope(summary, outcome)}: {why}")
        return
    groups: defaultdict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in failed:
        groups[outcome.status, outcome.error_code or ""].append(outcome)
    ordered = sorted(groups.values(), key=len, reverse=True)
    for outcomes in ordered[:GROUPS_MAX]:
        example = outcomes[0]
        such_as = f"such as {_format_scope(summary, example)}: {example.reason}"
        yield console.strip_control_characters(f"  {len(outcomes):>6,} x {example.status}, {such_as}")
    if rest := sum(len(outcomes) for outcomes in ordered[GROUPS_MAX:]):
        yield f"  {rest:>6,} for other reasons"


def _format_counts(name: str, *counts: tuple[int, str]) -> str:
    """Return such as `scopes   52 ok, 2 failed`; a count of 0 is omitted unless it is the first."""
    return f"{name:<9}{_join_counts(counts)}"


def _join_counts(counts: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{n:,} {what}" for place, (n, what) in enumerate(counts) if n or not place) or "none"


def _format_scope(summary: RunSummary, outcome: Outcome) -> str:
    """Return such as `111122223333/eu-west-1 (team)`; with the resource if the run has several."""
    name = summary.snapshot.account_names.get(outcome.task.scope.account_id)
    place = _format_task(summary.result, outcome.task)
    return f"{place} ({name})" if name else place


def _format_task(result: RunResult, task: Task) -> str:
    """Return the task's scope; with its resource if the run has several."""
    return task.format_place(with_resource=len(_list_resources(result)) > 1)


def _list_resources(result: RunResult) -> list[str]:
    return sorted({task.resource for task in result.outcomes})


def _count_changes(summary: RunSummary) -> Iterator[tuple[int, str]]:
    """Yield the number of changes of each kind; with its resource if the run has several."""
    by_resource = summary.snapshot.changes_by_resource
    is_single = len(by_resource) == 1
    for name, counts in by_resource.items():
        yield from ((n, kind if is_single else f"{kind} ({name})") for kind, n in counts.items())


def _format_resource_counts(summary: RunSummary, name: str) -> str:
    about = _build_resource_object(summary, name)
    return _join_counts((about[what], what) for what in ("ok", "failed", "expected"))


def _build_resource_object(summary: RunSummary, name: str) -> dict[str, Any]:
    result = summary.result
    outcomes = [outcome for task, outcome in result.outcomes.items() if task.resource == name]
    return {
        "ok": sum(outcome.status.is_answer for outcome in outcomes),
        "failed": sum(outcome.task.resource == name for outcome in result.failures),
        "expected": sum(task.resource == name for task in result.expected_failures),
        "failed_ratio": result.failed_ratios.get(name, 0.0),
        "is_sufficient": name not in result.insufficient_resources,
        "changes": summary.snapshot.changes_by_resource.get(name, {}),
    }


def _build_scope_object(outcome: Outcome) -> dict[str, Any]:
    scope = outcome.task.scope
    return {"resource": outcome.task.resource, "account_id": scope.account_id, "region": scope.region}


def _build_failure_object(summary: RunSummary, outcome: Outcome) -> dict[str, Any]:
    return _build_scope_object(outcome) | {
        "account_name": summary.snapshot.account_names.get(outcome.task.scope.account_id),
        "status": outcome.status,
        "reason": outcome.reason,
        "error_code": outcome.error_code,
        "request_id": outcome.request_id,
    }


def _build_check_object(check: CheckResult) -> dict[str, Any]:
    return {"name": check.name, "severity": check.severity, "rows": check.rows, "examples": check.examples}


def _list_cut_outcomes(result: RunResult) -> list[Outcome]:
    return [outcome for _, outcome in sorted(result.outcomes.items()) if outcome.resume_token]
