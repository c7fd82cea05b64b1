"""The first stage of a run: the accounts and regions to read, the tasks that are due, and the warehouse."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from appstream_export.contracts import check_contracts
from appstream_export.errors import ContractError
from appstream_export.extract import Account, Plan, add_parent_tasks, plan_extraction
from appstream_export.feeds import check_feed_formats
from appstream_export.lake.catalog import find_user_sql_problems
from appstream_export.lake.maintenance import find_announced_seq
from appstream_export.lake.snapshots import (
    RunFacts,
    find_attempt,
    get_task,
    load_head,
    load_last_known_rows,
    refuse_missing_rewrite,
)
from appstream_export.lake.storage import Store, generate_ulid, probe_location
from appstream_export.model import Outcome, Task
from appstream_export.run.context import RunContext
from appstream_export.run.due import find_waiting_tasks
from appstream_export.run.enabled import load_known_contracts
from appstream_export.run.request import Request, filter_tasks, select_unfinished_tasks
from appstream_export.run.warehouse import (
    format_endpoints,
    list_run_endpoints,
    load_previous_snapshot,
    open_existing_warehouse,
    open_warehouse,
)
from appstream_export.settings import Settings, is_loopback
from appstream_export.status import Status
from appstream_export.version import __version__

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run and its tasks, as plain values that can be sent to another process."""

    request: Request
    facts: RunFacts
    snapshot_id: str
    """The id of the new snapshot, under which the run writes its files."""
    accounts: tuple[Account, ...]
    tasks: tuple[Task, ...]
    """The tasks of a full run; the snapshot covers all of them."""
    pending: tuple[Task, ...]
    """The tasks that this run requests."""
    skipped: tuple[Outcome, ...] = ()
    discovery_problem: str | None = None
    unlisted: frozenset[Task] = frozenset()
    """Tasks of regions that the settings name but that no list of the service's regions contains."""
    result_seq: int | None = None
    """The number of the snapshot that is already the result, if nothing is left to request; else None."""
    head_seq: int | None = None
    """The number of the newest snapshot when the run started; None if there was none."""


@dataclass(frozen=True, slots=True)
class _DueTasks:
    chosen: Sequence[Task]
    result_seq: int | None


def prepare_run(
    context: RunContext, request: Request, *, run_id: str, attempt_id: str, started_at: datetime
) -> tuple[Store, PreparedRun]:
    """Plan the run and open its warehouse; raises ConfigurationError before a warehouse is created."""
    _check_user_sql(context)
    check_feed_formats(context.settings.feeds)
    # Plan before the warehouse is opened: an error in the configuration must not leave an empty warehouse.
    _probe_warehouse(context.settings)
    plan = _plan_run(context, request, run_id)
    limited = filter_tasks(plan.tasks, request)
    store = open_warehouse(context.settings, create=True)
    head = load_head(store)
    waiting = _find_waiting_tasks(context, store, limited, request, started_at)
    due = _select_due_tasks(store, limited, request, run_id, attempt_id, waiting)
    chosen = add_parent_tasks(due.chosen, plan.tasks, context.contracts)
    facts = RunFacts(
        run_id=run_id,
        attempt_id=attempt_id,
        started_at=started_at,
        tool_version=__version__,
        botocore_version=version("botocore"),
        endpoint_url=_describe_endpoints(context.settings, plan) if due.result_seq is None else None,
        discovery=plan.discovery,
        regions_source=plan.regions_source,
        forced=request.accept_drop,
    )
    skipped = [(task, plan.skipped[task]) for task in chosen if task in plan.skipped]
    return store, PreparedRun(
        request=request,
        facts=facts,
        snapshot_id=generate_ulid(),
        accounts=plan.accounts,
        tasks=plan.tasks,
        pending=tuple(task for task in chosen if task not in plan.skipped),
        skipped=tuple(_build_skipped_outcome(task, reason, started_at) for task, reason in skipped),
        discovery_problem=plan.discovery_problem,
        unlisted=plan.unlisted,
        result_seq=due.result_seq,
        head_seq=head.seq if head else None,
    )


def _check_user_sql(context: RunContext) -> None:
    """Raise ContractError for mistakes in the user's SQL: they would stop catalog and feeds after the commit."""
    if problems := find_user_sql_problems(context.contracts, load_known_contracts(context.settings)):
        raise ContractError("; ".join(problems), fix="correct the files, or move them out of the folder of [sql]")


def _probe_warehouse(settings: Settings) -> None:
    """Try what a commit needs of the warehouse, before any request to AWS.

    Raises ConfigurationError for a folder in which no commit can be exclusive, StorageFailed where a missing manifest
    may be that of an erase or expire commit.
    """
    for missing in probe_location(settings.warehouse, file_mode=int(settings.lake.file_mode, 8)):
        _log.warning(missing)
    if store := open_existing_warehouse(settings):
        refuse_missing_rewrite(store, find_announced_seq(store))


def _plan_run(context: RunContext, request: Request, run_id: str) -> Plan:
    settings = context.settings
    for note in check_contracts(context.contracts, any_protocol=settings.extract.use_documented_client_api):
        _log.warning("contract %s", note)
    if settings.organization:
        context.listener.on_stage("discovery")
    plan = plan_extraction(
        settings,
        context.contracts,
        load_previous_snapshot(settings),
        accept_drop=request.accept_drop,
        run_id=run_id,
        stop=context.stop,
    )
    if plan.discovery_problem:
        _log.warning(plan.discovery_problem)
    for reason, count in Counter(plan.skipped.values()).items():
        _log.info("%d scopes are skipped: %s", count, reason)
    return plan


def _find_waiting_tasks(
    context: RunContext, store: Store, limited: Sequence[Task], request: Request, now: datetime
) -> Collection[Task]:
    """Return the tasks that are not due by the cadence of their resource, and log their number."""
    head = load_head(store) if context.settings.contracts.cadence else None
    if head is None:
        return ()
    runs = {get_task(row): row for row in load_last_known_rows(store, head, "scope_runs")}
    waiting = find_waiting_tasks(context.settings, request, limited, runs, now)
    for resource, count in sorted(Counter(task.resource for task in waiting).items()):
        every, next_at = (
            context.settings.contracts.cadence[resource],
            min(at for task, at in waiting.items() if task.resource == resource),
        )
        _log.info("%s: %d scopes are not due (every %s), the first at %s", resource, count, every, f"{next_at:%F %TZ}")
    return waiting.keys()


def _select_due_tasks(
    store: Store,
    limited: Sequence[Task],
    request: Request,
    run_id: str,
    attempt_id: str,
    waiting: Collection[Task],
) -> _DueTasks:
    """Return the tasks to request; if there are none, also the snapshot that is the result: this attempt's or the head.

    An attempt that has already committed requests nothing.
    """
    earlier = find_attempt(store, run_id=run_id, attempt_id=attempt_id)
    if earlier is not None and earlier.attempt_id == attempt_id:
        return _DueTasks((), earlier.seq)
    chosen = [t for t in select_unfinished_tasks(store, limited, request, earlier) if t not in waiting]
    head = None if chosen else load_head(store)
    return _DueTasks(chosen, head.seq if head else None)


def _build_skipped_outcome(task: Task, reason: str, at: datetime) -> Outcome:
    return Outcome(task=task, status=Status.SKIPPED, reason=reason, attempted_at=at, finished_at=at)


def _describe_endpoints(settings: Settings, plan: Plan) -> str | None:
    """Return the endpoints that are not AWS's own, as text; log a warning if one is not on this machine."""
    endpoints = list_run_endpoints(settings, plan)
    text = format_endpoints(endpoints)
    if not all(map(is_loopback, endpoints.values())):
        _log.warning("sending requests to %s, not AWS: endpoint_url, AWS_ENDPOINT_URL or the AWS config is set", text)
    return text
