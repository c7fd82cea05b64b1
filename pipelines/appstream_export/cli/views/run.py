"""What a run came to: the text that `run` ends with, and the same as one object for programs."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appstream_export.cli import console
from appstream_export.cli.output import rows, to_json
from appstream_export.contracts import Contract
from appstream_export.lake.catalog.checks import CheckResult
from appstream_export.lake.catalog.connect import connect, query
from appstream_export.model import Outcome, Status
from appstream_export.run import RunResult
from appstream_export.settings import S3Settings

LINES_MAX = 20
"""More failures than that are grouped: what matters then is how many reasons there are, not how many scopes."""
GROUPS_MAX = 10
_LOOK = "select account_id, region, status, reason from coverage where status <> 'ok' and not is_expected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A run's result, and what its snapshot holds. `changes` counts rows by kind.

    `elsewhere` are the words that lead a next command to the same configuration and warehouse.
    """

    result: RunResult
    warehouse: str
    elsewhere: Sequence[str]
    names: Mapping[str, str]
    changes: Mapping[str, int]
    stale_scopes: int
    stale_items: int

    @property
    def retry(self) -> str:
        """The command that asks again what failed."""
        return console.command("run", "--retry-failed", *self.elsewhere)


def summarize(
    result: RunResult,
    contracts: Sequence[Contract],
    warehouse: str,
    elsewhere: Sequence[str] = (),
    *,
    s3: S3Settings | None = None,
) -> Summary:
    """Look into the snapshot for what the result itself does not say."""
    changes: Counter[str] = Counter()
    with connect(warehouse, s3=s3) as con:

        def of(select: str, table: str, rest: str = "") -> list[dict[str, Any]]:
            sql = f"{select} from {table}_history where snapshot_id = ? {rest}"
            return rows(query(con, sql, [result.manifest.snapshot_id]))

        for contract in contracts:
            found = of("select change, count(*) as n", contract.changes.name, "group by all order by all")
            changes.update({row["change"]: row["n"] for row in found})
        named = of("select account_id, account_name", "accounts", "and account_name is not null")
        items = [of("select count(*) as n", c.item_table.name, "and is_stale")[0]["n"] for c in contracts]
        stale_scopes = of("select count(*) as n", "scope_runs", "and is_stale")[0]["n"]
    return Summary(
        result=result,
        warehouse=warehouse,
        elsewhere=elsewhere,
        names={row["account_id"]: row["account_name"] for row in named},
        changes=changes,
        stale_scopes=stale_scopes,
        stale_items=sum(items),
    )


def as_object(summary: Summary) -> dict[str, Any]:
    """For --json: one object, in the words of the table `snapshots`."""
    result, made = summary.result, summary.result.manifest
    return {
        "committed": result.committed,
        "snapshot_id": made.snapshot_id,
        "seq": made.seq,
        "committed_at": made.committed_at,
        "warehouse": summary.warehouse,
        **made.counts,
        "changes": summary.changes,
        "stale_scopes": summary.stale_scopes,
        "stale_items": summary.stale_items,
        "failures": [_failure(summary, outcome) for outcome in result.failed],
        "cut": [_scope_of(outcome) | {"starting_token": outcome.resume_token} for outcome in _cut(result)],
        "retry": summary.retry if result.failed else None,
        "discovery_problem": result.discovery_problem,
        "catalog_problem": result.catalog_problem,
        "checks": [_check(check) for check in result.checks],
        "checks_problem": result.checks_problem,
        "feeds_problem": result.feeds_problem,
        "report_problem": result.report_problem,
        "exit_code": result.exit_code,
    }


def lines(summary: Summary) -> Iterator[str]:
    """For people: what is there now, what failed and why, and the next commands."""
    result, made = summary.result, summary.result.manifest
    yield f"snapshot {made.seq} {'committed' if result.committed else 'stands'}: {made.snapshot_id}"
    if not result.outcomes:
        yield "  nothing was left to ask: every scope that was to be asked has answered"
    else:
        yield from _told(summary)
    if result.discovery_problem:
        problem = f"discovery failed, so this ends with {result.exit_code}: {result.discovery_problem}"
        yield console.wrapped(console.clean(problem), "  ")
        yield f"find out why:      {console.command('doctor', *summary.elsewhere)}"
        yield f"accept what AWS lists, though short or empty:  {console.command('run', '--force', *summary.elsewhere)}"


def _told(summary: Summary) -> Iterator[str]:
    result, made = summary.result, summary.result.manifest
    yield from (f"  {line}" for line in facts(summary))
    if result.failed:
        kept = ", their earlier rows kept as stale" if made.parent_seq else ""
        yield f"failed ({len(result.failed)}){kept}:"
        yield from (console.wrapped(line, " " * 6) for line in failures(summary))
        statuses = {outcome.status for outcome in result.failed}
        if statuses != {Status.GUARDED}:
            yield f"retry just these:  {summary.retry}"
        if Status.GUARDED in statuses:
            yield f"believe the fall:  {console.command('run', '--force', *summary.elsewhere)}"
        yield f"look closer:       {console.command('sql', '--warehouse', summary.warehouse, _LOOK)}"
    for outcome in _cut(result):
        scope = outcome.task.scope
        go_on = f"--accounts {scope.account_id} --regions {scope.region} --starting-token {outcome.resume_token}"
        yield console.clean(f"cut at the item limit in {scope}; go on with: {go_on}")
    for check in result.violated:
        yield f"CHECK FAILED {check.name}, {check.rows:,} rows: {check.doc}"
        yield from (console.clean(f"  {to_json(row).decode()}") for row in check.examples[:3])
    if result.checks_problem:
        yield console.clean(result.checks_problem)
    if result.catalog_problem:
        again = console.command("catalog", "--warehouse", summary.warehouse)
        yield f"{console.clean(result.catalog_problem)}; try again with: {again}"
    if result.feeds_problem:
        again = console.command("feeds", "publish", "--warehouse", summary.warehouse)
        yield f"{console.clean(result.feeds_problem)}; try again with: {again}"
    if result.report_problem:
        again = console.command("report", "--warehouse", summary.warehouse)
        yield f"{console.clean(result.report_problem)}; try again with: {again}"


def facts(summary: Summary) -> Iterator[str]:
    """Scopes, items, changes and checks in numbers, a line each."""
    result, counts = summary.result, summary.result.manifest.counts
    not_asked = counts["tasks_total"] - len(result.outcomes)
    skipped = sum(outcome.status is Status.SKIPPED for outcome in result.outcomes.values())
    yield _joined("scopes", (result.answered, "ok"), (len(result.failed), "failed"),
                  (len(result.expected), "closed by design"), (skipped, "skipped"),
                  (not_asked, "not asked, as they were"))  # fmt: skip
    yield _joined("items", (counts["items"], "in all"), (counts["items_fresh"], "fresh"),
                  (counts["items_carried"], "carried"), (summary.stale_items, "stale"))  # fmt: skip
    yield _joined("changes", *((n, kind) for kind, n in summary.changes.items()))
    if result.checks:
        passed = sum(check.is_passed for check in result.checks)
        yield _joined("checks", (passed, "passed"), *((c.rows, c.name) for c in result.checks))


def failures(summary: Summary, *, is_brief: bool = False) -> Iterator[str]:
    """Each failure by name; where they are many, grouped by status and code, the largest groups first.

    `is_brief` tells AWS's code instead of the whole reason.
    """
    failed = summary.result.failed
    if len(failed) <= LINES_MAX:
        for outcome in failed:
            why = outcome.error_code if is_brief and outcome.error_code else outcome.reason
            yield console.clean(f"  {outcome.status:<11} {_place(summary, outcome)}: {why}")
        return
    groups: defaultdict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in failed:
        groups[outcome.status, outcome.error_code or ""].append(outcome)
    ordered = sorted(groups.values(), key=len, reverse=True)
    for outcomes in ordered[:GROUPS_MAX]:
        example = outcomes[0]
        such_as = f"such as {_place(summary, example)}: {example.reason}"
        yield console.clean(f"  {len(outcomes):>6,} x {example.status}, {such_as}")
    if rest := sum(len(outcomes) for outcomes in ordered[GROUPS_MAX:]):
        yield f"  {rest:>6,} for other reasons"


def _joined(name: str, *counts: tuple[int, str]) -> str:
    """`scopes   52 ok, 2 failed`: the first always, others unless 0."""
    parts = [f"{n:,} {what}" for place, (n, what) in enumerate(counts) if n or not place]
    return f"{name:<9}{', '.join(parts) or 'none'}"


def _place(summary: Summary, outcome: Outcome) -> str:
    name = summary.names.get(outcome.task.scope.account_id)
    return f"{outcome.task.scope} ({name})" if name else str(outcome.task.scope)


def _scope_of(outcome: Outcome) -> dict[str, Any]:
    scope = outcome.task.scope
    return {"resource": outcome.task.resource, "account_id": scope.account_id, "region": scope.region}


def _failure(summary: Summary, outcome: Outcome) -> dict[str, Any]:
    return _scope_of(outcome) | {
        "account_name": summary.names.get(outcome.task.scope.account_id),
        "status": outcome.status,
        "reason": outcome.reason,
        "error_code": outcome.error_code,
        "request_id": outcome.request_id,
    }


def _check(check: CheckResult) -> dict[str, Any]:
    return {"name": check.name, "severity": check.severity, "rows": check.rows, "examples": check.examples}


def _cut(result: RunResult) -> list[Outcome]:
    return [outcome for _, outcome in sorted(result.outcomes.items()) if outcome.resume_token]
