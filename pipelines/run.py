"""One run: sweep, commit, catalog, checks, feeds. Called by the command line and by Dagster, knows neither."""

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Any

from ulid import ULID

from pipelines import __version__, feeds
from pipelines.contracts import Contract
from pipelines.contracts.contract import all_tables
from pipelines.contracts.model import known_values
from pipelines.errors import BadSettings, ExportError, Interrupted, NothingSeen, SetupError, did_you_mean
from pipelines.extract import Account, Known, Plan, extract, plan, prove_closed, resumed_task
from pipelines.lake import catalog, checks, layout, manifest
from pipelines.lake.attempt import utc_now
from pipelines.lake.checks import CheckResult
from pipelines.lake.commit import Price, RunFacts, commit, find_attempt, head_rows, head_scope_runs
from pipelines.lake.draft import Draft
from pipelines.lake.manifest import Manifest
from pipelines.lake.prices import read_prices
from pipelines.lake.store import Store, open_store
from pipelines.scope import Ask, Outcome, Page, Scope, Status, Task, Watch
from pipelines.settings import Settings, is_loopback
from pipelines.sweep import sweep

_log = logging.getLogger(__name__)
_STOPPED = "the snapshot is committed, but the run was stopped before "


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What this run is asked beyond the settings. Accounts and regions limit who is asked; the rest is carried."""

    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    ask: Ask = Ask()
    retry_failed: bool = False
    force: bool = False
    publish: bool = True


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How it ended. `manifest` is the head afterwards; `committed` says whether this call made it."""

    manifest: Manifest
    committed: bool
    outcomes: Mapping[Task, Outcome]
    """Asked tasks as they stand in scope_runs after the commit, and scopes that the guard kept from ending."""
    expected: frozenset[Task]
    catalog_problem: str | None = None
    """Publishing failed after the commit; the snapshot stands all the same."""
    checks: tuple[CheckResult, ...] = ()
    """What sql/checks found in the snapshot that this call committed; none where they could not be run."""
    checks_problem: str | None = None
    """Why they could not be run; the snapshot stands all the same."""
    feeds_problem: str | None = None
    """The same of feeds; also why they show an older snapshot than this one."""
    report_problem: str | None = None
    """The same of report.html."""
    is_reported: bool = False
    """report.html shows the snapshot; False where this run left it alone, or failed to write it."""
    published: feeds.Published | None = None
    """Feeds as they are served now; None where this run left them alone or failed to publish them."""
    discovery_problem: str | None = None
    """The accounts could not be discovered, so that the last known ones were asked: a failure of the run."""
    max_failed_ratio: float = 0.0

    @cached_property
    def failed(self) -> list[Outcome]:
        """Outcomes that count as failures, by task."""
        return [o for t, o in sorted(self.outcomes.items()) if o.status.is_failure and t not in self.expected]

    @property
    def answered(self) -> int:
        """Asked tasks that AWS answered."""
        return sum(o.status.is_answer for o in self.outcomes.values())

    @property
    def violated(self) -> list[CheckResult]:
        """Checks of severity error that found something."""
        return [check for check in self.checks if check.is_error]

    @property
    def failed_ratio(self) -> float:
        """failed / (ok + failed) of the asked tasks; 0 when none counts."""
        counted = len(self.failed) + self.answered
        return len(self.failed) / counted if counted else 0.0

    @property
    def is_covered(self) -> bool:
        """Enough was seen: discovery worked, something answered, and failures are within the accepted ratio."""
        all_failed = bool(self.failed) and not self.answered
        return not (self.discovery_problem or all_failed or self.failed_ratio > self.max_failed_ratio)

    @property
    def exit_code(self) -> int:
        """0, or 3 when too little was seen or a check of severity error found something."""
        return 0 if self.is_covered and not self.violated else 3


def run(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request = Request(),
    *,
    run_id: str | None = None,
    attempt_id: str | None = None,
    watch: Watch = Watch(),
    stop: Event | None = None,
    moment: datetime | None = None,
) -> RunResult:
    """Find out who is asked, ask AWS, commit a snapshot, then publish its catalog, check it, publish feeds and report.

    `run_id` names the intent: a later attempt under the same one asks only what failed. `attempt_id` names the try:
    it commits at most once. Both default to a new ULID. `moment` is for an emulated AWS with a life of its own: the
    run takes place then. Raises SetupError before any write, NothingSeen or another CommitError when nothing was
    committed, Interrupted when `stop` was set. Set during the commit, it leaves out what follows but the catalog.
    """
    run_id = run_id or str(ULID())
    attempt_id = attempt_id or run_id
    started_at = moment or datetime.now(UTC)
    stop = stop or Event()
    prices = read_prices(settings.feeds.prices)
    planned = _planned(settings, contracts, request, run_id, watch, stop)
    limited = limit(planned.tasks, request)
    store = _store(settings, create=True)
    earlier = find_attempt(store, run_id=run_id, attempt_id=attempt_id)
    if earlier is not None and earlier.attempt_id == attempt_id:
        made = _result(store, earlier, settings, planned, _discovery_problem(store, earlier), asked=None)
        return _told(made, settings, contracts, request, store, watch, stop)
    chosen = _to_ask(store, limited, request, earlier)
    if not chosen and (head := manifest.head(store)) is not None:
        made = _result(store, head, settings, planned, planned.discovery_problem, asked=())
        return _told(made, settings, contracts, request, store, watch, stop)
    facts = RunFacts(
        run_id=run_id,
        attempt_id=attempt_id,
        started_at=started_at,
        tool_version=__version__,
        botocore_version=version("botocore"),
        endpoint_url=_endpoint(settings),
        discovery=planned.discovery,
        regions_source=planned.regions_source,
        forced=request.force,
    )
    draft = Draft(store, all_tables(contracts), str(ULID()))
    head = _sweep_and_commit(settings, contracts, request, draft, planned, chosen, prices, facts, watch, stop, moment)
    made = _result(store, head, settings, planned, planned.discovery_problem, asked=chosen)
    made = replace(made, committed=head.snapshot_id == draft.snapshot_id)
    return _told(made, settings, contracts, request, store, watch, stop)


def _told(
    made: RunResult,
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request,
    store: Store,
    watch: Watch,
    stop: Event,
) -> RunResult:
    """Publish what stands, also where this call committed nothing: the one that did may have been killed before."""
    unpublished = _publish(settings, contracts, store, watch) if request.publish else None
    checked, unchecked = ((), _STOPPED + "it was checked") if stop.is_set() else _check(settings, watch)
    known = {} if unchecked else {made.manifest.seq: checked}
    is_fed = request.publish and settings.feeds.publish
    published = unfed = untold = None
    if is_fed and stop.is_set():
        unfed = _STOPPED + "its feeds were published"
    elif is_fed:
        published, unfed = _publish_feeds(settings, contracts, store, known, watch)
    is_reported = request.publish and settings.feeds.report
    if is_reported:
        untold = _STOPPED + "its report was written" if stop.is_set() else _report(settings, store, watch)
    return replace(
        made,
        catalog_problem=unpublished,
        checks=checked,
        checks_problem=unchecked,
        published=published,
        feeds_problem=unfed,
        report_problem=untold,
        is_reported=is_reported and untold is None,
    )


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


def known(settings: Settings) -> Known | None:
    """What the newest snapshot knows, for a plan; None before the first. Makes no warehouse."""
    store = existing_store(settings)
    head = manifest.head(store) if store else None
    if store is None or head is None:
        return None
    tasks = frozenset(_task(row) for row in head_rows(store, head, "scope_runs", ("resource", "account_id", "region")))
    return Known(accounts=head_rows(store, head, "accounts"), tasks=tasks)


def existing_store(settings: Settings) -> Store | None:
    """The warehouse, None where it is not there yet; makes none."""
    place = settings.warehouse
    try:
        is_there = place.startswith("s3://") or Path(place).exists()
    except OSError as error:
        fix = "let this user into the folders above it, or choose another folder"
        raise SetupError(f"warehouse {place}: {error.strerror}; {fix}") from error
    return _store(settings) if is_there else None


def _store(settings: Settings, *, create: bool = False) -> Store:
    return open_store(settings.warehouse, file_mode=int(settings.lake.file_mode, 8), create=create, s3=settings.s3)


def _sweep_and_commit(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request,
    draft: Draft,
    planned: Plan,
    chosen: Collection[Task],
    prices: Sequence[Price],
    facts: RunFacts,
    watch: Watch,
    stop: Event,
    moment: datetime | None,
) -> Manifest:
    by_name, accounts = {c.name: c for c in contracts}, {a.id: a for a in planned.accounts}
    asked = [t for t in chosen if t not in planned.skipped]
    watch.planned(len(asked))
    try:
        ask = _ask(settings, request)
        asking = extract(asked, by_name, accounts, settings, ask, run_id=facts.run_id, stop=stop)
        answers = _given_at(asking, moment) if moment else asking
        enums = {c.name: known_values(c) for c in contracts}
        outcomes = sweep(answers, contracts, draft.write, known=enums, watch=watch)
        if stop.is_set():
            raise Interrupted("interrupted: nothing was committed, the previous snapshot stands")
        outcomes |= prove_closed(outcomes)
        _refuse_nothing(draft.store, outcomes)
        outcomes |= {t: _skipped(t, planned.skipped[t], facts.started_at) for t in chosen if t in planned.skipped}
        watch.stage("commit")
        return commit(
            draft.store,
            contracts,
            draft,
            planned=planned.tasks,
            outcomes=outcomes,
            accounts=[_account_row(a) for a in planned.accounts],
            facts=facts,
            prices=prices,
            guard_percent=settings.lake.guard_percent,
            clock=_clock(moment) if moment else utc_now,
        )
    except BaseException:
        draft.discard()
        raise


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


def limit(planned: Sequence[Task], request: Request) -> list[Task]:
    """The tasks of the accounts and regions that are asked for; raises BadSettings where there is no such."""
    for flag, wanted, known in (
        ("--accounts", request.accounts, {t.scope.account_id for t in planned}),
        ("--regions", request.regions, {t.scope.region for t in planned}),
    ):
        for word in wanted:
            if word not in known:
                near = did_you_mean(word, sorted(known))
                raise BadSettings(f"{flag} {word}: not covered{near or '; add it to the settings first'}")
    chosen = [
        t
        for t in planned
        if (not request.accounts or t.scope.account_id in request.accounts)
        and (not request.regions or t.scope.region in request.regions)
    ]
    if not chosen:
        raise BadSettings("no scope left: none of the chosen accounts is read in the chosen regions")
    if (token := request.ask.starting_token) is None:
        return chosen
    chosen = [t for t in chosen if str(t) == resumed_task(token)] or chosen  # ours names its task, AWS's does not
    if len(chosen) > 1:
        raise BadSettings("--starting-token goes on in one scope: name it with --accounts and --regions")
    return chosen


def _ask(settings: Settings, request: Request) -> Ask:
    """What the request says, and the settings where it says nothing."""
    ask, usual = request.ask, settings.extract
    return replace(
        ask,
        names=ask.names or usual.names,
        page_size=ask.page_size or usual.page_size,
        max_items=ask.max_items or usual.max_items,
    )


def _to_ask(store: Store, limited: Sequence[Task], request: Request, earlier: Manifest | None) -> list[Task]:
    """All of them, or with --retry-failed and in a later attempt of the same run those that failed.

    A later attempt also asks what the earlier one did not know of, for its discovery may have failed.
    """
    if not request.retry_failed and earlier is None:
        return list(limited)
    head = manifest.head(store)
    runs = {_task(row): row for row in head_scope_runs(store, head)} if head else None
    return failed_of(limited, runs, with_new=not request.retry_failed)


def failed_of(
    tasks: Sequence[Task], runs: Mapping[Task, Mapping[str, Any]] | None, *, with_new: bool = False
) -> list[Task]:
    """Those that failed last time, and perhaps those that the newest snapshot (`runs`) does not know."""
    if runs is None:
        raise BadSettings("--retry-failed: there is no snapshot yet; run without it")
    return [t for t in tasks if (_is_failure(runs[t]) if t in runs else with_new)]


def _is_failure(row: Mapping[str, Any]) -> bool:
    return Status(row["status"]).is_failure and not row["is_expected"]


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


def _publish(settings: Settings, contracts: Sequence[Contract], store: Store, watch: Watch) -> str | None:
    watch.stage("catalog")
    return catalog.refresh(store, contracts, root=settings.lake.catalog_root)


def republish(settings: Settings, contracts: Sequence[Contract]) -> list[str]:
    """Make feeds and report anew where there are any, so that they show nothing that was erased; what failed."""
    store, watch = _store(settings), Watch()
    is_fed, is_told = feeds.is_published(store), store.exists(layout.REPORT)
    _, unfed = _publish_feeds(settings, contracts, store, {}, watch) if is_fed else (None, None)
    untold = _report(settings, store, watch) if is_told else None
    return [problem for problem in (unfed, untold) if problem]


def _check(settings: Settings, watch: Watch) -> tuple[tuple[CheckResult, ...], str | None]:
    """What the checks found, and why not all could be run."""
    watch.stage("checks")
    try:
        with catalog.connect(settings.warehouse, s3=settings.s3) as con:
            return tuple(checks.run(con)), None
    except (ExportError, OSError) as error:
        _log.debug("checking failed", exc_info=True)
        return (), f"the snapshot is committed, but could not be checked: {error}"


def _publish_feeds(
    settings: Settings,
    contracts: Sequence[Contract],
    store: Store,
    checked: Mapping[int, Sequence[CheckResult]],
    watch: Watch,
) -> tuple[feeds.Published | None, str | None]:
    watch.stage("feeds")
    try:
        published = feeds.publish(store, contracts, settings.feeds, checked=checked)
    except (ExportError, OSError) as error:
        _log.debug("publishing failed", exc_info=True)
        return None, f"the snapshot is committed, but its feeds could not be published: {error}"
    older = f"the snapshot is committed, but feeds show an older one: {published.problem}"
    return published, older if published.problem else None


def _report(settings: Settings, store: Store, watch: Watch) -> str | None:
    from pipelines.feeds import report  # its charts cost half a second to import, and memory that the sweep needs not

    watch.stage("report")
    try:
        with catalog.connect(settings.warehouse, s3=settings.s3) as con:
            report.publish(store, lambda sql: catalog.query(con, sql), settings)
    except (ExportError, OSError) as error:
        _log.debug("the report could not be written", exc_info=True)
        return f"the snapshot is committed, but its report could not be written: {error}"
    return None


def _discovery_problem(store: Store, made: Manifest) -> str | None:
    """What `snapshots` still tells of the discovery behind a snapshot."""
    row = next(r for r in head_rows(store, made, "snapshots") if r["seq"] == made.seq)
    if row["discovery"] != "last_known":
        return None
    return "the organization's accounts were not known; those of the snapshot before stood in"


def _result(
    store: Store,
    made: Manifest,
    settings: Settings,
    planned: Plan,
    discovery_problem: str | None,
    *,
    asked: Collection[Task] | None,
) -> RunResult:
    """What the snapshot `made` says of the tasks that this run asked; where they are not known, its own times tell."""
    wanted, covered = asked if asked is None else frozenset(asked), frozenset(planned.tasks)
    held = {_task(row): row for row in head_scope_runs(store, made)}
    rows = {
        task: row
        for task, row in held.items()
        if (task not in covered and _is_kept_from_ending(row, made))
        or (task in wanted if wanted is not None else _is_of_this_run(row, made))
    }
    return RunResult(
        manifest=made,
        committed=False,
        outcomes={task: _outcome(row, made) for task, row in rows.items()},
        expected=frozenset(task for task, row in rows.items() if row["is_expected"]),
        discovery_problem=discovery_problem,
        max_failed_ratio=settings.extract.max_failed_ratio,
    )


def _is_of_this_run(row: Mapping[str, Any], made: Manifest) -> bool:
    return row["attempted_at"] is not None and row["attempted_at"] >= made.started_at


def _is_kept_from_ending(row: Mapping[str, Any], made: Manifest) -> bool:
    """The guard holds a scope that is no longer covered: a failure until --force lets it end."""
    was_asked = row["finished_at"] is not None and row["finished_at"] > made.started_at  # by a run beside this one
    return row["status"] == Status.GUARDED and not was_asked


def _task(row: Mapping[str, Any]) -> Task:
    return Task(row["resource"], Scope(row["account_id"], row["region"]))


def _outcome(row: Mapping[str, Any], made: Manifest) -> Outcome:
    """A row of scope_runs as an outcome; a scope that was never asked at all has the run's own time."""
    same = ("reason", "error_code", "request_id", "pages", "items", "api_calls", "throttles", "retries", "resume_token",
            "rows", "duplicates", "quarantined")  # fmt: skip
    return Outcome(
        task=_task(row),
        status=Status(row["status"]),
        attempted_at=row["attempted_at"] or made.started_at,
        finished_at=row["finished_at"] or made.started_at,
        **{name: row[name] for name in same},
    )


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
