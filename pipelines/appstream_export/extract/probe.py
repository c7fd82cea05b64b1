"""Probe every scope with one page, requested exactly as a run requests it, and return outcomes without rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import Event

from appstream_export.contracts import Contract
from appstream_export.errors import Interrupted
from appstream_export.extract.accounts import Account
from appstream_export.extract.outcomes import resolve_outcomes
from appstream_export.extract.scan import Scheduler
from appstream_export.model import Outcome, Page, RunListener, ScanOptions, Task
from appstream_export.settings import Settings

RUN_ID = "doctor"  # shows in the names of role sessions, and so in CloudTrail


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One outcome per task, and the seconds that our clock is behind AWS's (None if no answer had a date)."""

    outcomes: Mapping[Task, Outcome]
    clock_skew_s: float | None


def probe_tasks(
    tasks: Sequence[Task],
    contracts: Mapping[str, Contract],
    accounts: Mapping[str, Account],
    settings: Settings,
    *,
    listener: RunListener,
    stop: Event,
    unlisted: Collection[Task] = frozenset(),
) -> ProbeResult:
    """Request each task up to its first item; raises ConfigurationError, and Interrupted once `stop` is set.

    `unlisted` are the plan's tasks in regions that no list of the service has.
    """
    if not tasks:
        return ProbeResult({}, None)
    options = ScanOptions(page_size=settings.extract.page_size, max_items=1)
    scheduler = Scheduler(tasks, contracts, accounts, settings, options, RUN_ID, stop)
    outcomes: dict[Task, Outcome] = {}
    for result in scheduler.stream_results():
        if isinstance(result, Page):
            listener.on_page(result)
        else:
            outcomes[result.task] = result
            listener.on_outcome(result)
    if stop.is_set():
        raise Interrupted("interrupted: not every scope was requested")
    return ProbeResult(resolve_outcomes(outcomes, unlisted), scheduler.clock.skew_s)
