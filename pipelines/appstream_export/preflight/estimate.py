"""`plan`: the scopes that a run would request, the scopes that it would skip, and its cost; only discovery runs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event

from appstream_export.contracts import Contract
from appstream_export.extract import CALLS_PER_S, Plan, add_parent_tasks, map_accounts, plan_extraction
from appstream_export.inputs import read_platform_support, read_prices
from appstream_export.model import Task
from appstream_export.preflight.current_state import CurrentState, load_current_state
from appstream_export.run import (
    Request,
    filter_tasks,
    find_waiting_tasks,
    format_endpoints,
    list_foreign_endpoints,
    select_failed_tasks,
)
from appstream_export.settings import Settings
from appstream_export.status import Status

CALL_S = 0.25
"""Assumed seconds per call if nothing was measured: 0.05 s within a region, 0.5 s around the world."""
CALLS_PER_S_MAX = 1_200
"""Calls per second that one process has been measured at, with half a core: a small page takes 0.5 ms of CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEstimate:
    """The estimate of a run. `tasks` would be requested; `skipped` are chosen tasks that would not be, with reasons.

    `unselected_count` tasks are planned but not chosen: they would not change. `ending_tasks` are in the newest
    snapshot but no longer planned: they would end, with these numbers of items. `endpoints` are the URLs of services
    that are not AWS's own; `endpoints_text` is a line of them.
    """

    plan: Plan
    tasks: Sequence[Task]
    skipped: Mapping[Task, str]
    unselected_count: int
    ending_tasks: Mapping[Task, int]
    cost: "Cost"
    endpoints: Mapping[str, str]
    waiting: Mapping[Task, datetime] = field(default_factory=dict)
    """Chosen tasks that are not due by the cadence of their resource, with the time from which they are."""

    @property
    def endpoints_text(self) -> str | None:
        """The endpoints as one line, or None."""
        return format_endpoints(self.endpoints)

    @property
    def exit_code(self) -> int:
        """The exit code: 1 if discovery failed, so that a run would exit with 3; else 0."""
        return 1 if self.plan.discovery_problem else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Expected calls, and expected seconds with `workers`.

    `known_tasks` is the number of tasks that count as many calls as their last answer took, or as their parent has
    rows; other tasks count as one call. `call_s` is the time that a call occupies a worker, with queues and
    retries: measured in the newest run that made calls (`is_measured`), else assumed.
    """

    session_calls: int
    task_calls: int
    known_tasks: int
    workers: int
    call_s: float
    is_measured: bool

    @property
    def calls(self) -> int:
        """The number of calls; those of discovery are already done and do not count."""
        return self.session_calls + self.task_calls

    @property
    def seconds(self) -> float:
        """The seconds of all requests; commit and publishing take extra time."""
        sessions_s = self.session_calls / CALLS_PER_S["sts"]
        # The strictest of three limits: the workers, the CPU of one process, the rate of AssumeRole.
        return max(self.calls * self.call_s / self.workers, self.calls / CALLS_PER_S_MAX, sessions_s)


def estimate_run(
    settings: Settings, contracts: Sequence[Contract], request: Request, stop: Event | None = None
) -> RunEstimate:
    """Plan as `run` does, and write nothing; raises what `run` would raise before its first request."""
    head = load_current_state(settings, contracts)
    read_prices(settings.feeds.prices)  # a run refuses a bad list before any request
    read_platform_support(settings.feeds.platform_support)
    plan = plan_extraction(settings, contracts, head.previous_snapshot, accept_drop=request.accept_drop, stop=stop)
    chosen = filter_tasks(plan.tasks, request)
    if request.retry_failed:
        chosen = select_failed_tasks(chosen, head.runs if head.manifest else None)
    waiting = find_waiting_tasks(settings, request, chosen, head.runs, datetime.now(UTC))
    chosen = [task for task in chosen if task not in waiting]
    chosen = add_parent_tasks(chosen, plan.tasks, contracts)
    waiting = {task: at for task, at in waiting.items() if task not in chosen}  # a due task needs its parents
    requested = [t for t in chosen if t not in plan.skipped]
    wanted, served = set(plan.tasks), {c.name for c in contracts}
    return RunEstimate(
        plan=plan,
        tasks=requested,
        skipped={t: plan.skipped[t] for t in chosen if t in plan.skipped},
        unselected_count=len(plan.tasks) - len(chosen),
        ending_tasks={t: head.items.get(t, 0) for t in sorted(head.runs) if t not in wanted and t.resource in served},
        cost=_estimate_cost(settings, {c.name: c for c in contracts}, plan, requested, head),
        endpoints=list_foreign_endpoints(settings, plan),
        waiting=waiting,
    )


def _estimate_cost(
    settings: Settings, contracts: Mapping[str, Contract], plan: Plan, requested: Sequence[Task], head: CurrentState
) -> Cost:
    known = {t: head.runs[t]["api_calls"] for t in requested if t in head.runs and head.runs[t]["status"] == Status.OK}
    known |= {t: n for t in requested if t not in known and (n := _count_follow_ups(t, contracts, head)) is not None}
    measured, readers = _measure_call_s(head, settings.extract.workers), map_accounts(plan.accounts)
    return Cost(
        session_calls=_count_session_calls(plan, {readers[t.scope.account_id].id for t in requested}),
        task_calls=sum(known.values()) + len(requested) - len(known),
        known_tasks=len(known),
        workers=max(1, min(settings.extract.workers, len(requested))),
        call_s=measured or CALL_S,
        is_measured=measured is not None,
    )


def _count_follow_ups(task: Task, contracts: Mapping[str, Contract], head: CurrentState) -> int | None:
    """Count the calls that follow from the parent's rows in the newest snapshot; None if its rows are unknown."""
    rules = contracts[task.resource].calls
    parent = Task(rules.parent, task.scope) if rules.parent else None
    if parent is None or parent not in head.runs or head.runs[parent]["observed_at"] is None:
        return None
    rows = head.items.get(parent, 0)
    return rows if rules.per else min(rows, 1)


def _count_session_calls(plan: Plan, requested: Collection[str]) -> int:
    """Count one AssumeRole per account with a role, and one GetCallerIdentity per profile or default chain."""
    sessions = [(a.role_arn, a.id if a.role_arn else a.profile) for a in plan.accounts if a.id in requested]
    return len(set(sessions))


def _measure_call_s(head: CurrentState, workers: int) -> float | None:
    """Return the seconds that a call occupied a worker in the newest sweep with calls; None if there is none."""
    # Measured from the first attempt to the last end: a task's duration includes the time that it waited for a worker.
    runs = head.measured_runs
    if not runs:
        return None
    wall_s = (max(r["finished_at"] for r in runs) - min(r["attempted_at"] for r in runs)).total_seconds()
    return wall_s * min(workers, len(runs)) / sum(run["api_calls"] for run in runs)
