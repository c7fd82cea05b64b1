"""`plan`: who would be asked, who not and why, and what it would cost; asks AWS for discovery and regions alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import Event

from appstream_export.contracts import Contract
from appstream_export.extract import CALLS_PER_S, Plan, plan_extraction
from appstream_export.inputs import read_prices
from appstream_export.model import Status, Task
from appstream_export.preflight.current_state import CurrentState, load_current_state
from appstream_export.run import Request, filter_tasks, select_failed_tasks
from appstream_export.settings import Settings

CALL_S = 0.25
"""What a call is taken to last where nothing was measured: 0.05 s next door, 0.5 s round the world."""
CALLS_PER_S_MAX = 350
"""One process asks no faster, whatever the number of workers: 2.9 ms of CPU per call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEstimate:
    """A run that has not been. `tasks` would be asked; `skipped` are chosen and would not be, with the reason of each.

    `others` are planned and not chosen: they would stay as they are. `ends` are in the newest snapshot and no longer
    planned: they would go, with so many items each.
    """

    plan: Plan
    tasks: Sequence[Task]
    skipped: Mapping[Task, str]
    unselected_count: int
    ending_tasks: Mapping[Task, int]
    cost: "Cost"

    @property
    def exit_code(self) -> int:
        """1: a run would not see the whole organization, and end with 3."""
        return 1 if self.plan.discovery_problem else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Expected calls, and seconds at `workers`. `known_tasks` count as many calls as their last answer took.

    The others are taken for one call. `call_s` is what a call keeps a worker busy, queues and retries included: in the
    newest run (`is_measured`), or else assumed.
    """

    session_calls: int
    task_calls: int
    known_tasks: int
    workers: int
    call_s: float
    is_measured: bool

    @property
    def calls(self) -> int:
        """All of them, discovery left out: that has been asked by now."""
        return self.session_calls + self.task_calls

    @property
    def seconds(self) -> float:
        """Of asking: commit and catalog come on top."""
        sessions_s = self.session_calls / CALLS_PER_S["sts"]
        return max(self.calls * self.call_s / self.workers, self.calls / CALLS_PER_S_MAX, sessions_s)


def estimate_run(
    settings: Settings, contracts: Sequence[Contract], request: Request, stop: Event | None = None
) -> RunEstimate:
    """Plan as `run` does, and write nothing; raises what `run` would raise before it asks."""
    head = load_current_state(settings, contracts)
    read_prices(settings.feeds.prices)  # a run refuses a bad list before it asks
    planned = plan_extraction(settings, contracts, head.previous_snapshot, accept_drop=request.accept_drop, stop=stop)
    chosen = filter_tasks(planned.tasks, request)
    if request.retry_failed:
        chosen = select_failed_tasks(chosen, head.runs if head.manifest else None)
    asked = [t for t in chosen if t not in planned.skipped]
    wanted, served = set(planned.tasks), {c.name for c in contracts}
    return RunEstimate(
        plan=planned,
        tasks=asked,
        skipped={t: planned.skipped[t] for t in chosen if t in planned.skipped},
        unselected_count=len(planned.tasks) - len(chosen),
        ending_tasks={t: head.items.get(t, 0) for t in sorted(head.runs) if t not in wanted and t.resource in served},
        cost=_estimate_cost(settings, planned, asked, head),
    )


def _estimate_cost(settings: Settings, planned: Plan, asked: Sequence[Task], head: CurrentState) -> Cost:
    known = {t: head.runs[t]["api_calls"] for t in asked if t in head.runs and head.runs[t]["status"] == Status.OK}
    measured = _measure_call_s(head, settings.extract.workers)
    return Cost(
        session_calls=_count_session_calls(planned, {t.scope.account_id for t in asked}),
        task_calls=sum(known.values()) + len(asked) - len(known),
        known_tasks=len(known),
        workers=max(1, min(settings.extract.workers, len(asked))),
        call_s=measured or CALL_S,
        is_measured=measured is not None,
    )


def _count_session_calls(planned: Plan, asked: Collection[str]) -> int:
    """One AssumeRole per account with a role; one GetCallerIdentity for all that a profile, or the chain, opens."""
    doors = [(a.role_arn, a.id if a.role_arn else a.profile) for a in planned.accounts if a.id in asked]
    return len(set(doors))


def _measure_call_s(head: CurrentState, workers: int) -> float | None:
    """How long a call kept a worker busy in the newest sweep; None where that asked nothing.

    From the first attempt to the last end, for a task's own duration counts the time that it waited for a worker.
    """
    runs = [r for r in head.runs.values() if head.swept_at and (r["attempted_at"] or head.swept_at) > head.swept_at]
    calls = sum(run["api_calls"] for run in runs)
    if not calls:
        return None
    wall_s = (max(r["finished_at"] for r in runs) - min(r["attempted_at"] for r in runs)).total_seconds()
    return wall_s * min(workers, len(runs)) / calls
