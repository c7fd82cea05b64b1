"""A run in stages: prepare, extract, commit, publish. One process runs them all, or several share the extraction."""

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from ulid import ULID

from appstream_export.contracts import Contract, list_snapshot_tables, load_enum_values, mark_sensitive_fields
from appstream_export.error_rules import suggest_fix
from appstream_export.errors import NothingExtracted
from appstream_export.extract import Account, extract_tasks, map_accounts, resolve_outcomes
from appstream_export.lake.snapshots import (
    CommitRequest,
    Manifest,
    StagedSnapshot,
    commit_snapshot,
    get_utc_now,
    load_head,
    read_manifest,
)
from appstream_export.lake.storage import Store
from appstream_export.model import Outcome, Page, RunListener, Task
from appstream_export.run.context import RunContext
from appstream_export.run.ingest import WriteTables, ingest_pages
from appstream_export.run.input_lists import InputLists, read_input_lists
from appstream_export.run.prepare import PreparedRun, prepare_run
from appstream_export.run.publishing import publish_outputs, try_after_commit
from appstream_export.run.request import Request, resolve_scan_options
from appstream_export.run.result import (
    RunResult,
    TaskResults,
    build_run_result,
    load_discovery_problem,
    load_task_results,
)
from appstream_export.settings import Settings


def execute_run(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request = Request(),
    *,
    run_id: str | None = None,
    attempt_id: str | None = None,
    listener: RunListener = RunListener(),
    stop: Event | None = None,
    moment: datetime | None = None,
) -> RunResult:
    """Plan, request every task, commit a snapshot, then publish its catalog, run the checks, publish feeds and report.

    `run_id` names the run: a later attempt with the same id requests only what failed. `attempt_id` names the attempt,
    which commits at most once. Both default to a new ULID. `moment` is the time of a run on an emulated AWS. Raises
    ConfigurationError before any write, NothingExtracted or another CommitError if nothing was committed, Interrupted
    if `stop` was set. A `stop` during the commit does not undo it, and skips all later stages except the catalog.
    """
    run_id = run_id or str(ULID())
    context = RunContext(settings=settings, contracts=contracts, listener=listener, stop=stop or Event(), moment=moment)
    # Read the lists first: a mistake in one must be an error before any request.
    lists = read_input_lists(settings)
    started_at = moment or datetime.now(UTC)
    store, prepared = prepare_run(
        context, request, run_id=run_id, attempt_id=attempt_id or run_id, started_at=started_at
    )
    if prepared.result_seq is not None:
        return finish_unchanged(context, prepared, store, prepared.result_seq)
    staged = StagedSnapshot(store, list_snapshot_tables(contracts), prepared.snapshot_id)
    try:
        return commit_and_publish(context, prepared, staged, sweep_tasks(context, prepared, staged.write), lists)
    # BaseException: the staged files must also be removed after KeyboardInterrupt.
    except BaseException:
        staged.discard()
        raise


def sweep_tasks(
    context: RunContext, prepared: PreparedRun, write: WriteTables, *, process_count: int = 1
) -> dict[Task, Outcome]:
    """Extract and normalize `prepared.pending`, write the rows, and return one outcome per task.

    `process_count` processes share the run and its limits of requests. Raises Interrupted once `stop` is set.
    """
    contracts, listener = context.contracts, context.listener
    listener.on_plan(len(prepared.pending))
    results = extract_tasks(
        prepared.pending,
        {contract.name: contract for contract in contracts},
        map_accounts(prepared.accounts),
        context.settings,
        resolve_scan_options(context.settings, prepared.request),
        run_id=prepared.facts.run_id,
        stop=context.stop,
        process_count=process_count,
        started_at=prepared.facts.started_at,
    )
    if context.moment:
        results = _override_timestamps(results, context.moment)
    enum_values = {contract.name: load_enum_values(contract) for contract in contracts}
    marked = [mark_sensitive_fields(contract) for contract in contracts]
    outcomes = ingest_pages(results, marked, write, enum_values=enum_values, listener=listener)
    # A stop ends the extraction early, so the outcomes are incomplete and must not be committed.
    context.raise_if_stopped()
    return outcomes


def commit_and_publish(
    context: RunContext,
    prepared: PreparedRun,
    staged: StagedSnapshot,
    outcomes: Mapping[Task, Outcome],
    lists: InputLists,
) -> RunResult:
    """Commit the staged rows, then publish catalog, feeds and report; raises CommitError if nothing was committed."""
    manifest = _commit_outcomes(context, prepared, staged, outcomes, lists)
    del outcomes  # publishing needs the memory; the result has those of the snapshot
    requested = (*prepared.pending, *(outcome.task for outcome in prepared.skipped))
    return _publish_snapshot(
        context,
        prepared,
        staged.store,
        manifest,
        is_committed=manifest.snapshot_id == staged.snapshot_id,
        requested=requested,
        discovery_problem=prepared.discovery_problem,
    )


def finish_unchanged(context: RunContext, prepared: PreparedRun, store: Store, result_seq: int) -> RunResult:
    """Publish the snapshot that is already the result, because nothing is left to request."""
    manifest = read_manifest(store, result_seq)
    is_own = manifest.attempt_id == prepared.facts.attempt_id
    problem = load_discovery_problem(store, manifest) if is_own else prepared.discovery_problem
    # If this attempt committed in an earlier process, that process knew the requested tasks; this one does not.
    requested = None if is_own else ()
    return _publish_snapshot(
        context, prepared, store, manifest, is_committed=False, requested=requested, discovery_problem=problem
    )


def _commit_outcomes(
    context: RunContext,
    prepared: PreparedRun,
    staged: StagedSnapshot,
    outcomes: Mapping[Task, Outcome],
    lists: InputLists,
) -> Manifest:
    resolved = dict(outcomes) | resolve_outcomes(outcomes, prepared.unlisted)
    _reject_empty_first_snapshot(staged.store, resolved)
    context.listener.on_stage("commit")
    request = CommitRequest(
        store=staged.store,
        contracts=context.contracts,
        staged=staged,
        planned=prepared.tasks,
        outcomes=resolved | {outcome.task: outcome for outcome in prepared.skipped},
        accounts=[_build_account_row(account) for account in prepared.accounts],
        facts=prepared.facts,
        prices=lists.prices,
        platform_support=lists.platform_support,
        head_seq=prepared.head_seq,
        max_drop_percent=context.settings.lake.max_drop_percent,
        clock=_build_clock(context.moment) if context.moment else get_utc_now,
    )
    return commit_snapshot(request)


def _publish_snapshot(
    context: RunContext,
    prepared: PreparedRun,
    store: Store,
    manifest: Manifest,
    *,
    is_committed: bool,
    requested: Collection[Task] | None,
    discovery_problem: str | None,
) -> RunResult:
    """Publish the snapshot, read the outcomes of the requested tasks from it, and return the run's result."""
    publication = publish_outputs(context, prepared.request, store, manifest.seq)  # needs the memory of the outcomes
    results, problem = try_after_commit(
        lambda: load_task_results(store, manifest, prepared.tasks, requested=requested),
        "the outcomes of its scopes could not be read",
    )
    return build_run_result(
        manifest,
        results or TaskResults(outcomes_problem=problem),
        publication,
        is_committed=is_committed,
        discovery_problem=discovery_problem,
        max_failed_ratio=context.settings.extract.max_failed_ratio,
    )


def _build_clock(moment: datetime) -> Callable[[], datetime]:
    """Return a clock that starts at `moment` and advances in real time."""
    began = time.monotonic()
    return lambda: moment + timedelta(seconds=time.monotonic() - began)


def _override_timestamps(results: Iterable[Page | Outcome], moment: datetime) -> Iterator[Page | Outcome]:
    """Yield the results with times as of `moment`; durations do not change."""
    for result in results:
        if isinstance(result, Page):
            yield replace(result, observed_at=moment)
        else:
            duration = result.finished_at - result.attempted_at
            yield replace(result, attempted_at=moment, finished_at=moment + duration)


def _reject_empty_first_snapshot(store: Store, outcomes: Mapping[Task, Outcome]) -> None:
    """Raise NothingExtracted if every scope failed and there is no earlier snapshot."""
    if any(o.status.is_answer for o in outcomes.values()) or load_head(store) is not None:
        return
    if not outcomes:
        raise NothingExtracted(
            "nothing committed: every account is suspended or closed, and no earlier snapshot exists"
        )
    status, count = Counter(o.status for o in outcomes.values()).most_common(1)[0]
    example = next(o for o in outcomes.values() if o.status is status)
    place = example.task.format_place(with_resource=len({task.resource for task in outcomes}) > 1)
    seen = f"{count} of {len(outcomes)} scopes are {status}, such as {place}: {example.reason}"
    raise NothingExtracted(
        f"nothing committed: no scope answered and no earlier snapshot exists; {seen}",
        fix=suggest_fix(status, example.error_code, example.reason),
    )


def _build_account_row(account: Account) -> dict[str, Any]:
    return {
        "account_id": account.id,
        "account_name": account.name,
        "ou_path": account.ou_path,
        "state": account.state,
        "source": account.source,
        "labels_json": json.dumps(dict(account.labels), ensure_ascii=False) if account.labels else None,
    }
