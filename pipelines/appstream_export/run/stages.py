"""A run in three steps: prepare, sweep, finish. One process takes them all, or several share the sweep."""

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from threading import Event
from typing import Any

from ulid import ULID

from appstream_export.contracts import Contract, list_snapshot_tables, load_enum_values
from appstream_export.errors import Interrupted, NothingExtracted
from appstream_export.extract import Account, Plan, extract_tasks, plan_extraction, resolve_closed_regions
from appstream_export.inputs import read_prices
from appstream_export.lake.snapshots import (
    PriceRow,
    RunFacts,
    StagedSnapshot,
    commit_snapshot,
    find_attempt,
    get_utc_now,
    load_head,
    read_manifest,
)
from appstream_export.lake.storage import Store, generate_snapshot_id
from appstream_export.model import Outcome, Page, RunListener, Status, Task
from appstream_export.run.ingest import WriteTables, ingest_pages
from appstream_export.run.publishing import publish_outputs
from appstream_export.run.request import Request, filter_tasks, resolve_scan_options, select_unfinished_tasks
from appstream_export.run.result import RunResult, load_discovery_problem, load_run_result
from appstream_export.run.warehouse import load_previous_snapshot, open_warehouse
from appstream_export.settings import Settings, is_loopback
from appstream_export.version import __version__

_log = logging.getLogger(__name__)


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
    """Find out who is asked, ask AWS, commit a snapshot, then publish its catalog, check it, publish feeds and report.

    `run_id` names the intent: a later attempt under the same one asks only what failed. `attempt_id` names the try:
    it commits at most once. Both default to a new ULID. `moment` is for an emulated AWS with a life of its own: the
    run takes place then. Raises ConfigurationError before any write, NothingExtracted or another CommitError when
    nothing was committed, Interrupted when `stop` was set. Set during the commit, it leaves out what follows but the
    catalog.
    """
    run_id = run_id or str(ULID())
    stop = stop or Event()
    prices = read_prices(settings.feeds.prices)
    store, prepared = prepare_run(
        settings,
        contracts,
        request,
        run_id=run_id,
        attempt_id=attempt_id or run_id,
        started_at=moment or datetime.now(UTC),
        listener=listener,
        stop=stop,
    )
    if prepared.result_seq is not None:
        return finish_unchanged(settings, contracts, prepared, store, prepared.result_seq, listener=listener, stop=stop)
    draft = StagedSnapshot(store, list_snapshot_tables(contracts), prepared.snapshot_id)
    try:
        outcomes = sweep_tasks(settings, contracts, prepared, draft.write, listener=listener, stop=stop, moment=moment)
        return commit_and_publish(
            settings, contracts, prepared, draft, outcomes, prices, listener=listener, stop=stop, moment=moment
        )
    except BaseException:
        draft.discard()
        raise


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run that knows whom it asks. Plain values, so that another process can go on with it."""

    request: Request
    facts: RunFacts
    snapshot_id: str
    """Whose files the sweep writes."""
    accounts: tuple[Account, ...]
    tasks: tuple[Task, ...]
    """What a full run asks; the snapshot has them all."""
    pending: tuple[Task, ...]
    skipped: tuple[Outcome, ...] = ()
    discovery_problem: str | None = None
    result_seq: int | None = None
    """Nothing is left to ask: the snapshot of this number is the result."""


def prepare_run(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request,
    *,
    run_id: str,
    attempt_id: str,
    started_at: datetime,
    listener: RunListener,
    stop: Event,
) -> tuple[Store, PreparedRun]:
    """Find out who is asked, and open the warehouse; raises ConfigurationError before it is made."""
    planned = _plan_run(settings, contracts, request, run_id, listener, stop)
    limited = filter_tasks(planned.tasks, request)
    store = open_warehouse(settings, create=True)
    earlier = find_attempt(store, run_id=run_id, attempt_id=attempt_id)
    is_done = earlier is not None and earlier.attempt_id == attempt_id
    chosen = [] if is_done else select_unfinished_tasks(store, limited, request, earlier)
    settled = earlier if is_done else None if chosen else load_head(store)
    facts = RunFacts(
        run_id=run_id,
        attempt_id=attempt_id,
        started_at=started_at,
        tool_version=__version__,
        botocore_version=version("botocore"),
        endpoint_url=None if settled else _resolve_endpoint_url(settings),
        discovery=planned.discovery,
        regions_source=planned.regions_source,
        forced=request.accept_drop,
    )
    return store, PreparedRun(
        request=request,
        facts=facts,
        snapshot_id=generate_snapshot_id(),
        accounts=planned.accounts,
        tasks=planned.tasks,
        pending=tuple(task for task in chosen if task not in planned.skipped),
        skipped=tuple(
            _build_skipped_outcome(t, planned.skipped[t], started_at) for t in chosen if t in planned.skipped
        ),
        discovery_problem=planned.discovery_problem,
        result_seq=settled.seq if settled else None,
    )


def sweep_tasks(
    settings: Settings,
    contracts: Sequence[Contract],
    prepared: PreparedRun,
    write: WriteTables,
    *,
    listener: RunListener,
    stop: Event,
    moment: datetime | None = None,
    process_count: int = 1,
) -> dict[Task, Outcome]:
    """The sweep of `prepared.asked`, by one of `process_count` processes; raises Interrupted once `stop` is set."""
    listener.on_plan(len(prepared.pending))
    asking = extract_tasks(
        prepared.pending,
        {contract.name: contract for contract in contracts},
        {account.id: account for account in prepared.accounts},
        settings,
        resolve_scan_options(settings, prepared.request),
        run_id=prepared.facts.run_id,
        stop=stop,
        process_count=process_count,
    )
    answers = _override_timestamps(asking, moment) if moment else asking
    outcomes = ingest_pages(
        answers, contracts, write, enum_values={c.name: load_enum_values(c) for c in contracts}, listener=listener
    )
    raise_if_stopped(stop)
    return outcomes


def commit_and_publish(
    settings: Settings,
    contracts: Sequence[Contract],
    prepared: PreparedRun,
    draft: StagedSnapshot,
    outcomes: Mapping[Task, Outcome],
    prices: Sequence[PriceRow],
    *,
    listener: RunListener,
    stop: Event,
    moment: datetime | None = None,
) -> RunResult:
    """Commit what was swept, then publish catalog, feeds and report; raises CommitError where nothing was committed."""
    found = dict(outcomes) | resolve_closed_regions(outcomes)
    _reject_empty_first_snapshot(draft.store, found)
    listener.on_stage("commit")
    head = commit_snapshot(
        draft.store,
        contracts,
        draft,
        planned=prepared.tasks,
        outcomes=found | {outcome.task: outcome for outcome in prepared.skipped},
        accounts=[_build_account_row(account) for account in prepared.accounts],
        facts=prepared.facts,
        prices=prices,
        max_drop_percent=settings.lake.max_drop_percent,
        clock=_build_clock(moment) if moment else get_utc_now,
    )
    chosen = (*prepared.pending, *(outcome.task for outcome in prepared.skipped))
    made = load_run_result(draft.store, head, settings, prepared.tasks, prepared.discovery_problem, requested=chosen)
    made = replace(made, committed=head.snapshot_id == draft.snapshot_id)
    return publish_outputs(made, settings, contracts, prepared.request, draft.store, listener, stop)


def finish_unchanged(
    settings: Settings,
    contracts: Sequence[Contract],
    prepared: PreparedRun,
    store: Store,
    result_seq: int,
    *,
    listener: RunListener,
    stop: Event,
) -> RunResult:
    """Where nothing is left to ask: what stands, published."""
    head = read_manifest(store, result_seq)
    if head.attempt_id == prepared.facts.attempt_id:
        made = load_run_result(
            store, head, settings, prepared.tasks, load_discovery_problem(store, head), requested=None
        )
    else:
        made = load_run_result(store, head, settings, prepared.tasks, prepared.discovery_problem, requested=())
    return publish_outputs(made, settings, contracts, prepared.request, store, listener, stop)


def raise_if_stopped(stop: Event) -> None:
    """Raise Interrupted where the run is not to go on."""
    if stop.is_set():
        raise Interrupted("interrupted: nothing was committed, the previous snapshot stands")


def _plan_run(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request,
    run_id: str,
    listener: RunListener,
    stop: Event,
) -> Plan:
    if settings.organization:
        listener.on_stage("discovery")
    planned = plan_extraction(
        settings, contracts, load_previous_snapshot(settings), accept_drop=request.accept_drop, run_id=run_id, stop=stop
    )
    if planned.discovery_problem:
        _log.warning(planned.discovery_problem)
    for reason, count in Counter(planned.skipped.values()).items():
        _log.info("%d scopes are skipped: %s", count, reason)
    return planned


def _build_clock(moment: datetime) -> Callable[[], datetime]:
    """One that stands at `moment` now, and goes on."""
    began = time.monotonic()
    return lambda: moment + timedelta(seconds=time.monotonic() - began)


def _override_timestamps(answers: Iterable[Page | Outcome], moment: datetime) -> Iterator[Page | Outcome]:
    """The same answers, given at `moment`; how long each took stays as it was."""
    for answer in answers:
        if isinstance(answer, Page):
            yield replace(answer, observed_at=moment)
        else:
            took = answer.finished_at - answer.attempted_at
            yield replace(answer, attempted_at=moment, finished_at=moment + took)


def _build_skipped_outcome(task: Task, reason: str, at: datetime) -> Outcome:
    return Outcome(task=task, status=Status.SKIPPED, reason=reason, attempted_at=at, finished_at=at)


def _reject_empty_first_snapshot(store: Store, outcomes: Mapping[Task, Outcome]) -> None:
    """Without an earlier snapshot, a run in which every scope failed has nothing to show."""
    if any(o.status.is_answer for o in outcomes.values()) or load_head(store) is not None:
        return
    if not outcomes:
        raise NothingExtracted(
            "nothing committed: every account is suspended or closed, and no earlier snapshot exists"
        )
    status, count = Counter(o.status for o in outcomes.values()).most_common(1)[0]
    example = next(o for o in outcomes.values() if o.status is status)
    seen = f"{count} of {len(outcomes)} scopes are {status}, such as {example.task.scope}: {example.reason}"
    raise NothingExtracted(f"nothing committed: no scope answered and no earlier snapshot exists; {seen}")


def _build_account_row(account: Account) -> dict[str, Any]:
    return {
        "account_id": account.id,
        "account_name": account.name,
        "ou_path": account.ou_path,
        "state": account.state,
        "source": account.source,
        "labels_json": json.dumps(dict(account.labels), ensure_ascii=False) if account.labels else None,
    }


def _resolve_endpoint_url(settings: Settings) -> str | None:
    """The AWS endpoint that the user set, if any; one that is not on this machine is worth a warning."""
    named = ("AWS_ENDPOINT_URL_APPSTREAM", "AWS_ENDPOINT_URL")
    url = settings.aws.endpoint_url or next((v for n in named if (v := os.environ.get(n))), None)
    if url and not is_loopback(url):
        _log.warning("asking %s instead of AWS: endpoint_url or AWS_ENDPOINT_URL is set", url)
    return url
