"""The queue of waiting work, so that no worker sleeps, and the deadlines of started work."""

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count

from appstream_export.extract.aws import ApiCall, Sessions
from appstream_export.extract.scan.retry import RetryState
from appstream_export.extract.scan.scan import Scan
from appstream_export.model import Task


class SessionTask:
    """The task to open an account's session. The account's scans wait for it, and fail if it fails.

    `build_scans` makes the scans of tasks when they are first needed: those of all accounts at once would be 60 MB for
    60,000 tasks.
    """

    def __init__(
        self,
        account_id: str,
        tasks: Sequence[Task],
        build_scans: Callable[[Sequence[Task]], list[Scan]],
        sessions: Sessions,
        max_attempts: int,
    ) -> None:
        self.account_id, self.tasks, self.is_done = account_id, tasks, False
        self.retry_state = RetryState(max_attempts)
        self.due_at: float | None = None
        self._sessions, self._build_scans = sessions, build_scans
        self._scans: list[Scan] | None = None
        # A worker opens the session while the caller's thread may end the tasks.
        self._lock = threading.Lock()

    @property
    def scans(self) -> list[Scan]:
        """The scans of the account, each attached to its parent's followers."""
        with self._lock:
            if self._scans is None:
                self._scans = self._build_scans(self.tasks)
            return self._scans

    def open_session(self) -> None:
        """Request the session from STS once; raises ScopeError."""
        for scan in self.scans:
            scan.attempted_at = scan.attempted_at or datetime.now(UTC)
        call = ApiCall(tries_max=self.retry_state.tries_left)
        try:
            self._sessions.open_session(self.account_id, call)
            self.is_done = True
        finally:
            self.retry_state.tries += call.tries


WorkItem = Scan | SessionTask


def list_scans(work: WorkItem) -> Sequence[Scan]:
    """Return the scans that fail if the work fails."""
    return work.scans if isinstance(work, SessionTask) else (work,)


def list_tasks(work: WorkItem) -> Sequence[Task]:
    """Return the tasks of these scans."""
    return work.tasks if isinstance(work, SessionTask) else (work.task,)


class WorkQueue:
    """Queue of waiting work: delayed work that is due comes first, then ready scans, then sessions to open."""

    def __init__(self, session_tasks: Iterable[SessionTask]) -> None:
        self._session_tasks = deque(session_tasks)
        self._ready: deque[Scan] = deque()
        self._unreached: deque[Scan] = deque()
        self._delayed: list[tuple[float, int, WorkItem]] = []
        self._order = count()  # breaks ties in the heap, because work items cannot be compared
        # Two conditions of one lock: a scan of an unreachable region must not wake a worker that cannot take it.
        lock = threading.RLock()
        self._change, self._unreached_change = threading.Condition(lock), threading.Condition(lock)
        self.is_closed = False

    def add(self, scans: Collection[Scan]) -> None:
        """Add scans whose session is open."""
        with self._change:
            self._ready.extend(scans)
            self._change.notify(len(scans))

    def requeue(self, work: WorkItem, wait_s: float) -> None:
        """Add work again, to be taken after `wait_s` seconds."""
        with self._change:
            heapq.heappush(self._delayed, (time.monotonic() + wait_s, next(self._order), work))
            self._change.notify()

    def add_unreached(self, scan: Scan) -> None:
        """Add a scan for `take_unreached`."""
        with self._change:
            self._unreached.append(scan)
            self._unreached_change.notify()

    def take_unreached(self) -> Scan | None:
        """Wait for a scan of an unreachable region and return it, or None once the queue is closed."""
        with self._change:
            while not self.is_closed:
                if self._unreached:
                    return self._unreached.popleft()
                self._unreached_change.wait()
        return None

    def take(self) -> WorkItem | None:
        """Wait for work and return it, or None once the queue is closed."""
        with self._change:
            while not self.is_closed:
                if (work := self._pop_next()) is not None:
                    return work
                self._change.wait(self._compute_wait_s())
        return None

    def close(self) -> None:
        """Close the queue and wake all waiting workers, which then get None."""
        with self._change:
            self.is_closed = True
            self._change.notify_all()
            self._unreached_change.notify_all()

    def _pop_next(self) -> WorkItem | None:
        if self._delayed and self._delayed[0][0] <= time.monotonic():
            return heapq.heappop(self._delayed)[2]
        if self._ready:
            return self._ready.popleft()
        return self._session_tasks.popleft() if self._session_tasks else None

    def _compute_wait_s(self) -> float:
        return min(1.0, max(0.0, self._delayed[0][0] - time.monotonic())) if self._delayed else 1.0


class Deadlines:
    """Deadlines of work, counted from its own first call, so that no task loses time to another."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        # All have the same time limit, so the order of their starts is the order of their deadlines.
        self._running: deque[tuple[float, WorkItem]] = deque()

    def start_timer(self, work: WorkItem) -> None:
        """Start the time limit of the work; further calls for the same work do nothing."""
        if work.due_at is None:
            self.restart_timer(work)

    def restart_timer(self, work: WorkItem) -> None:
        """Start the time limit again: each follow-up call of a scan has its own."""
        work.due_at = time.monotonic() + self._timeout_s
        self._running.append((work.due_at, work))

    def pop_overdue(self, is_over: Callable[[WorkItem], bool]) -> Iterator[WorkItem]:
        """Yield the work that is past its deadline and not over, each once."""
        while self._running:
            due_at, work = self._running[0]
            over = is_over(work) or due_at != work.due_at  # restarted: a later entry has its deadline
            if not over and due_at > time.monotonic():
                return
            self._running.popleft()
            if not over:
                yield work
