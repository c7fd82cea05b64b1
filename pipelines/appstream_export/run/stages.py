"""A run in three steps: prepare, sweep, finish. One process takes them all, or several share the sweep."""

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.metadata import version
from threading import Event
from typing import Any

from appstream_export import __version__
from appstream_export.contracts import Contract
from appstream_export.contracts.botocore_model import known_values
from appstream_export.errors import Interrupted, NothingSeen
from appstream_export.extract import Account, Plan, extract, plan, prove_closed
from appstream_export.lake.snapshots import manifest
from appstream_export.lake.snapshots.commit import Price, RunFacts, commit, find_attempt
from appstream_export.lake.snapshots.producer import utc_now
from appstream_export.lake.snapshots.staged_snapshot import Draft
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.base import Store
from appstream_export.model import Outcome, Page, Status, Task, Watch
from appstream_export.run.ingest import Write, sweep
from appstream_export.run.publishing import publish
from appstream_export.run.request import Request, ask_of, limit, to_ask
from appstream_export.run.result import RunResult, result, told_of_discovery
from appstream_export.run.warehouse import known, opened
from appstream_export.settings import Settings, is_loopback

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that knows whom it asks. Plain values, so that another process can go on with it."""

    request: Request
    facts: RunFacts
    snapshot_id: str
    """Whose files the sweep writes."""
    accounts: tuple[Account, ...]
    tasks: tuple[Task, ...]
    """What a full run asks; the snapshot has them all."""
    asked: tuple[Task, ...]
    skipped: tuple[Outcome, ...] = ()
    discovery_problem: str | None = None
    settled_by: int | None = None
    """Nothing is left to ask: the snapshot of this number is the result."""


def prepare(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request,
    *,
    run_id: str,
    attempt_id: str,
    started_at: datetime,
    watch: Watch,
    stop: Event,
) -> tuple[Store, Prepared]:
    """Find out who is asked, and open the warehouse; raises SetupError before it is made."""
    planned = _planned(settings, contracts, request, run_id, watch, stop)
    limited = limit(planned.tasks, request)
    store = opened(settings, create=True)
    earlier = find_attempt(store, run_id=run_id, attempt_id=attempt_id)
    is_done = earlier is not None and earlier.attempt_id == attempt_id
    chosen = [] if is_done else to_ask(store, limited, request, earlier)
    settled = earlier if is_done else None if chosen else manifest.head(store)
    facts = RunFacts(
        run_id=run_id,
        attempt_id=attempt_id,
        started_at=started_at,
        tool_version=__version__,
        botocore_version=version("botocore"),
        endpoint_url=None if settled else _endpoint(settings),
        discovery=planned.discovery,
        regions_source=planned.regions_source,
        forced=request.force,
    )
    return store, Prepared(
        request=request,
        facts=facts,
        snapshot_id=paths.new_snapshot_id(),
        accounts=planned.accounts,
        tasks=planned.tasks,
        asked=tuple(task for task in chosen if task not in planned.skipped),
        skipped=tuple(_skipped(t, planned.skipped[t], started_at) for t in chosen if t in planned.skipped),
        discovery_problem=planned.discovery_problem,
        settled_by=settled.seq if settled else None,
    )


def asked_and_written(
    settings: Settings,
    contracts: Sequence[Contract],
    prepared: Prepared,
    write: Write,
    *,
    watch: Watch,
    stop: Event,
    moment: datetime | None = None,
    sharers: int = 1,
) -> dict[Task, Outcome]:
    """The sweep of `prepared.asked`, by one of so many `sharers`; raises Interrupted once `stop` is set."""
    watch.planned(len(prepared.asked))
    asking = extract(
        prepared.asked,
        {contract.name: contract for contract in contracts},
        {account.id: account for account in prepared.accounts},
        settings,
        ask_of(settings, prepared.request),
        run_id=prepared.facts.run_id,
        stop=stop,
        sharers=sharers,
    )
    answers = _given_at(asking, moment) if moment else asking
    outcomes = sweep(answers, contracts, write, known={c.name: known_values(c) for c in contracts}, watch=watch)
    refuse_stopped(stop)
    return outcomes


def finish(
    settings: Settings,
    contracts: Sequence[Contract],
    prepared: Prepared,
    draft: Draft,
    outcomes: Mapping[Task, Outcome],
    prices: Sequence[Price],
    *,
    watch: Watch,
    stop: Event,
    moment: datetime | None = None,
) -> RunResult:
    """Commit what was swept, then publish catalog, feeds and report; raises CommitError where nothing was committed."""
    found = dict(outcomes) | prove_closed(outcomes)
    _refuse_nothing(draft.store, found)
    watch.stage("commit")
    head = commit(
        draft.store,
        contracts,
        draft,
        planned=prepared.tasks,
        outcomes=found | {outcome.task: outcome for outcome in prepared.skipped},
        accounts=[_account_row(account) for account in prepared.accounts],
        facts=prepared.facts,
        prices=prices,
        guard_percent=settings.lake.guard_percent,
        clock=_clock(moment) if moment else utc_now,
    )
    chosen = (*prepared.asked, *(outcome.task for outcome in prepared.skipped))
    made = result(draft.store, head, settings, prepared.tasks, prepared.discovery_problem, asked=chosen)
    made = replace(made, committed=head.snapshot_id == draft.snapshot_id)
    return publish(made, settings, contracts, prepared.request, draft.store, watch, stop)


def settle(
    settings: Settings,
    contracts: Sequence[Contract],
    prepared: Prepared,
    store: Store,
    settled_by: int,
    *,
    watch: Watch,
    stop: Event,
) -> RunResult:
    """Where nothing is left to ask: what stands, published."""
    head = manifest.read(store, settled_by)
    if head.attempt_id == prepared.facts.attempt_id:
        made = result(store, head, settings, prepared.tasks, told_of_discovery(store, head), asked=None)
    else:
        made = result(store, head, settings, prepared.tasks, prepared.discovery_problem, asked=())
    return publish(made, settings, contracts, prepared.request, store, watch, stop)


def refuse_stopped(stop: Event) -> None:
    """Raise Interrupted where the run is not to go on."""
    if stop.is_set():
        raise Interrupted("interrupted: nothing was committed, the previous snapshot stands")


def _planned(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request,
    run_id: str,
    watch: Watch,
    stop: Event,
) -> Plan:
    if settings.organization:
        watch.stage("discovery")
    planned = plan(settings, contracts, known(settings), force=request.force, run_id=run_id, stop=stop)
    if planned.discovery_problem:
        _log.warning(planned.discovery_problem)
    for reason, count in Counter(planned.skipped.values()).items():
        _log.info("%d scopes are skipped: %s", count, reason)
    return planned


def _clock(moment: datetime) -> Callable[[], datetime]:
    """One that stands at `moment` now, and goes on."""
    began = time.monotonic()
    return lambda: moment + timedelta(seconds=time.monotonic() - began)


def _given_at(answers: Iterable[Page | Outcome], moment: datetime) -> Iterator[Page | Outcome]:
    """The same answers, given at `moment`; how long each took stays as it was."""
    for answer in answers:
        if isinstance(answer, Page):
            yield replace(answer, observed_at=moment)
        else:
            took = answer.finished_at - answer.attempted_at
            yield replace(answer, attempted_at=moment, finished_at=moment + took)


def _skipped(task: Task, reason: str, at: datetime) -> Outcome:
    return Outcome(task=task, status=Status.SKIPPED, reason=reason, attempted_at=at, finished_at=at)


def _refuse_nothing(store: Store, outcomes: Mapping[Task, Outcome]) -> None:
    """Without an earlier snapshot, a run in which every scope failed has nothing to show."""
    if any(o.status.is_answer for o in outcomes.values()) or manifest.head(store) is not None:
        return
    if not outcomes:
        raise NothingSeen("nothing committed: every account is suspended or closed, and no earlier snapshot exists")
    status, count = Counter(o.status for o in outcomes.values()).most_common(1)[0]
    example = next(o for o in outcomes.values() if o.status is status)
    seen = f"{count} of {len(outcomes)} scopes are {status}, such as {example.task.scope}: {example.reason}"
    raise NothingSeen(f"nothing committed: no scope answered and no earlier snapshot exists; {seen}")


def _account_row(account: Account) -> dict[str, Any]:
    return {
        "account_id": account.id,
        "account_name": account.name,
        "ou_path": account.ou_path,
        "state": account.state,
        "source": account.source,
        "labels_json": json.dumps(dict(account.labels), ensure_ascii=False) if account.labels else None,
    }


def _endpoint(settings: Settings) -> str | None:
    """The AWS endpoint that the user set, if any; one that is not on this machine is worth a warning."""
    named = ("AWS_ENDPOINT_URL_APPSTREAM", "AWS_ENDPOINT_URL")
    url = settings.aws.endpoint_url or next((v for n in named if (v := os.environ.get(n))), None)
    if url and not is_loopback(url):
        _log.warning("asking %s instead of AWS: endpoint_url or AWS_ENDPOINT_URL is set", url)
    return url
