"""One run: sweep, commit, catalog, in this order. Called by the command line and by Dagster, knows neither."""

import logging
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from threading import Event
from typing import Any

from ulid import ULID

from pipelines import __version__
from pipelines.contracts import Contract
from pipelines.contracts.contract import all_tables
from pipelines.contracts.model import known_values
from pipelines.errors import BadSettings, ExportError, Interrupted, NothingSeen, did_you_mean
from pipelines.extract import Account, extract, listed, prove_disabled, scopes
from pipelines.lake import catalog, manifest
from pipelines.lake.commit import RunFacts, commit, find_attempt, head_scope_runs
from pipelines.lake.draft import Draft
from pipelines.lake.manifest import Manifest
from pipelines.lake.store import LocalStore, open_store
from pipelines.scope import Ask, Outcome, Scope, Status, Task, Unwatched, Watch
from pipelines.settings import Settings, is_loopback
from pipelines.sweep import sweep

_log = logging.getLogger(__name__)


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
    """Asked tasks only, as they stand in scope_runs after the commit (guarded ones included)."""
    expected: frozenset[Task]
    catalog_problem: str | None = None
    """Publishing failed after the commit; the snapshot stands all the same."""
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
    def failed_ratio(self) -> float:
        """failed / (ok + failed) of the asked tasks; 0 when none counts."""
        counted = len(self.failed) + self.answered
        return len(self.failed) / counted if counted else 0.0

    @property
    def exit_code(self) -> int:
        """0, or 3 when failures are above the accepted ratio, or everything failed."""
        all_failed = bool(self.failed) and not self.answered
        return 3 if all_failed or self.failed_ratio > self.max_failed_ratio else 0


def run(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request = Request(),
    *,
    run_id: str | None = None,
    attempt_id: str | None = None,
    watch: Watch = Unwatched(),
    stop: Event | None = None,
) -> RunResult:
    """Ask AWS, commit a snapshot, publish the catalog.

    `run_id` names the intent: a later attempt under the same one asks only what failed. `attempt_id` names the try:
    it commits at most once. Both default to a new ULID. Raises SetupError before any write, NothingSeen or another
    CommitError when nothing was committed, Interrupted when `stop` was set.
    """
    run_id = run_id or str(ULID())
    attempt_id = attempt_id or run_id
    started_at = datetime.now(UTC)
    accounts = listed(settings)
    planned = [Task(c.name, scope) for c in contracts for scope in scopes(settings, accounts, c.service)]
    limited = _limit(planned, request)
    store = open_store(settings.warehouse, file_mode=int(settings.lake.file_mode, 8), create=True)
    earlier = find_attempt(store, run_id=run_id, attempt_id=attempt_id)
    if earlier is not None and earlier.attempt_id == attempt_id:
        return _result(store, earlier, settings, committed=False)
    asked = _to_ask(store, limited, request, earlier)
    if not asked and (head := manifest.head(store)) is not None:
        return RunResult(manifest=head, committed=False, outcomes={}, expected=frozenset())
    watch.planned(len(asked))
    stop = stop or Event()
    facts = RunFacts(
        run_id=run_id,
        attempt_id=attempt_id,
        started_at=started_at,
        tool_version=__version__,
        botocore_version=version("botocore"),
        endpoint_url=_endpoint(settings),
        discovery="listed",
        forced=request.force,
    )
    committed = _sweep_and_commit(settings, contracts, request, store, planned, asked, accounts, facts, watch, stop)
    problem = _publish(settings, contracts, store, watch) if request.publish else None
    return _result(store, committed, settings, committed=True, catalog_problem=problem)


def _sweep_and_commit(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request,
    store: LocalStore,
    planned: Collection[Task],
    asked: Sequence[Task],
    accounts: Sequence[Account],
    facts: RunFacts,
    watch: Watch,
    stop: Event,
) -> Manifest:
    draft = Draft(store, all_tables(contracts), str(ULID()))
    by_name = {c.name: c for c in contracts}
    try:
        answers = extract(
            asked, by_name, {a.id: a for a in accounts}, settings, request.ask, run_id=facts.run_id, stop=stop
        )
        known = {c.name: known_values(c) for c in contracts}
        outcomes = sweep(answers, contracts, draft.write, known=known, watch=watch)
        if stop.is_set():
            raise Interrupted("interrupted: nothing was committed, the previous snapshot stands")
        outcomes |= prove_disabled(outcomes)
        _refuse_nothing(store, outcomes)
        watch.stage("commit")
        return commit(
            store,
            contracts,
            draft,
            planned=planned,
            outcomes=outcomes,
            accounts=[_account_row(a) for a in accounts],
            facts=facts,
            guard_percent=settings.lake.guard_percent,
        )
    except BaseException:
        draft.discard()
        raise


def _limit(planned: Sequence[Task], request: Request) -> list[Task]:
    for flag, wanted, known in (
        ("--accounts", request.accounts, {t.scope.account_id for t in planned}),
        ("--regions", request.regions, {t.scope.region for t in planned}),
    ):
        for word in wanted:
            if word not in known:
                near = did_you_mean(word, sorted(known))
                raise BadSettings(f"{flag} {word}: the settings do not have it{near or '; add it there first'}")
    chosen = [
        t
        for t in planned
        if (not request.accounts or t.scope.account_id in request.accounts)
        and (not request.regions or t.scope.region in request.regions)
    ]
    if not chosen:
        raise BadSettings("no scope left: none of the chosen accounts is read in the chosen regions")
    if request.ask.starting_token and len(chosen) > 1:
        raise BadSettings("--starting-token goes on in one scope: name it with --accounts and --regions")
    return chosen


def _to_ask(store: LocalStore, limited: Sequence[Task], request: Request, earlier: Manifest | None) -> list[Task]:
    """All of them, or with --retry-failed and in a later attempt of the same run those that failed."""
    if not request.retry_failed and earlier is None:
        return list(limited)
    head = manifest.head(store)
    if head is None:
        raise BadSettings("--retry-failed: there is no snapshot yet; run without it")
    failed = {_task(row) for row in head_scope_runs(store, head) if _is_failure(row)}
    return [t for t in limited if t in failed]


def _is_failure(row: Mapping[str, Any]) -> bool:
    return Status(row["status"]).is_failure and not row["is_expected"]


def _refuse_nothing(store: LocalStore, outcomes: Mapping[Task, Outcome]) -> None:
    """Without an earlier snapshot, a run in which every scope failed has nothing to show."""
    answered = any(not o.status.is_failure or o.status is Status.DISABLED for o in outcomes.values())
    if answered or manifest.head(store) is not None:
        return
    status, count = Counter(o.status for o in outcomes.values()).most_common(1)[0]
    example = next(o for o in outcomes.values() if o.status is status)
    seen = f"{count} of {len(outcomes)} scopes are {status}, such as {example.task.scope}: {example.reason}"
    raise NothingSeen(f"nothing committed: no scope answered and no earlier snapshot exists; {seen}")


def _publish(settings: Settings, contracts: Sequence[Contract], store: LocalStore, watch: Watch) -> str | None:
    watch.stage("catalog")
    try:
        catalog.publish(store, contracts, root=settings.lake.catalog_root)
    except (ExportError, OSError) as error:
        _log.debug("publishing failed", exc_info=True)
        return f"the snapshot is committed, but its catalog could not be published: {error}"
    return None


def _result(
    store: LocalStore, made: Manifest, settings: Settings, *, committed: bool, catalog_problem: str | None = None
) -> RunResult:
    rows = [r for r in head_scope_runs(store, made) if _is_of_this_run(r, made)]
    return RunResult(
        manifest=made,
        committed=committed,
        outcomes={_task(r): _outcome(r) for r in rows},
        expected=frozenset(_task(r) for r in rows if r["is_expected"]),
        catalog_problem=catalog_problem,
        max_failed_ratio=settings.extract.max_failed_ratio,
    )


def _is_of_this_run(row: Mapping[str, Any], made: Manifest) -> bool:
    return row["attempted_at"] is not None and row["attempted_at"] >= made.started_at


def _task(row: Mapping[str, Any]) -> Task:
    return Task(row["resource"], Scope(row["account_id"], row["region"]))


def _outcome(row: Mapping[str, Any]) -> Outcome:
    same = ("reason", "error_code", "request_id", "attempted_at", "finished_at", "pages", "items", "api_calls",
            "throttles", "retries", "resume_token", "rows", "duplicates", "quarantined")  # fmt: skip
    return Outcome(task=_task(row), status=Status(row["status"]), **{name: row[name] for name in same})


def _account_row(account: Account) -> dict[str, Any]:
    return {
        "account_id": account.id,
        "account_name": account.name,
        "ou_path": account.ou_path,
        "state": account.state,
        "source": account.source,
        "labels_json": None,
    }


def _endpoint(settings: Settings) -> str | None:
    """The AWS endpoint that the user set, if any; one that is not on this machine is worth a warning."""
    named = ("AWS_ENDPOINT_URL_APPSTREAM", "AWS_ENDPOINT_URL")
    url = settings.aws.endpoint_url or next((v for n in named if (v := os.environ.get(n))), None)
    if url and not is_loopback(url):
        _log.warning("asking %s instead of AWS: endpoint_url or AWS_ENDPOINT_URL is set", url)
    return url
