"""Work that waits, and work that has begun: no worker sleeps, and none of it may go on for ever."""

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


class SessionTask:
    """One account's session being opened: its scans wait for it, and fail with it."""

    def __init__(self, account_id: str, scans: Sequence[Scan], sessions: Sessions, max_attempts: int) -> None:
        self.account_id, self.scans, self.is_done = account_id, scans, False
        self.retry_state = RetryState(max_attempts)
        self.due_at: float | None = None
        self._sessions = sessions

    def open_session(self) -> None:
        """Ask STS once; raises ScopeError."""
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
    """The scans that end with it."""
    return work.scans if isinstance(work, SessionTask) else (work,)


class WorkQueue:
    """Work that waits: scans that are ready, work that comes due later, and sessions to open when nothing else is."""

    def __init__(self, session_tasks: Iterable[SessionTask]) -> None:
        self._session_tasks = deque(session_tasks)
        self._ready: deque[Scan] = deque()
        self._unreached: deque[Scan] = deque()
        self._delayed: list[tuple[float, int, WorkItem]] = []
        self._order = count()
        lock = threading.RLock()
        self._change, self._unreached_change = threading.Condition(lock), threading.Condition(lock)
        self.is_closed = False

    def add(self, scans: Collection[Scan]) -> None:
        """Scans whose session is open."""
        with self._change:
            self._ready.extend(scans)
            self._change.notify(len(scans))

    def requeue(self, work: WorkItem, wait_s: float) -> None:
        """To be taken again, not before `wait_s` seconds from now."""
        with self._change:
            heapq.heappush(self._delayed, (time.monotonic() + wait_s, next(self._order), work))
            self._change.notify()

    def add_unreached(self, scan: Scan) -> None:
        """Leave a scan to `take_unreached`."""
        with self._change:
            self._unreached.append(scan)
            self._unreached_change.notify()

    def take_unreached(self) -> Scan | None:
        """Wait for a scan of a region that nobody reaches; None once the queue is closed."""
        with self._change:
            while not self.is_closed:
                if self._unreached:
                    return self._unreached.popleft()
                self._unreached_change.wait()
        return None

    def take(self) -> WorkItem | None:
        """Wait for work; None once the queue is closed."""
        with self._change:
            while not self.is_closed:
                if (work := self._pop_next()) is not None:
                    return work
                self._change.wait(self._compute_wait_s())
        return None

    def close(self) -> None:
        """Nothing more is taken."""
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
    """When each piece of work must be through, counted from its own first call, so that no task pays for another."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._running: deque[WorkItem] = deque()  # all may take equally long: the first begun is the first due

    def start_timer(self, work: WorkItem) -> None:
        """Called before each step; only the first counts."""
        if work.due_at is None:
            work.due_at = time.monotonic() + self._timeout_s
            self._running.append(work)

    def pop_overdue(self, is_over: Callable[[WorkItem], bool]) -> Iterator[WorkItem]:
        """Work that should be through by now and is not over, each once."""
        while self._running:
            work = self._running[0]
            over = is_over(work)
            if not over and (work.due_at or 0.0) > time.monotonic():
                return
            self._running.popleft()
            if not over:
                yield work
