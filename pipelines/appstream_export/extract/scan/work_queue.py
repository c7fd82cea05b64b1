"""Work that waits, and work that has begun: no worker sleeps, and none of it may go on for ever."""

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count

from appstream_export.extract.aws.clients import Call
from appstream_export.extract.aws.credentials import Sessions
from appstream_export.extract.scan.retry import Patience
from appstream_export.extract.scan.scan import Scan


class Opening:
    """One account's session being opened: its scans wait for it, and fail with it."""

    def __init__(self, account_id: str, scans: Sequence[Scan], sessions: Sessions, max_attempts: int) -> None:
        self.account_id, self.scans, self.is_done = account_id, scans, False
        self.patience = Patience(max_attempts)
        self.due_at: float | None = None
        self._sessions = sessions

    def step(self) -> None:
        """Ask STS once; raises ScopeError."""
        for scan in self.scans:
            scan.attempted_at = scan.attempted_at or datetime.now(UTC)
        call = Call(tries_max=self.patience.tries_left)
        try:
            self._sessions.open(self.account_id, call)
            self.is_done = True
        finally:
            self.patience.tries += call.tries


Work = Scan | Opening


def scans_of(work: Work) -> Sequence[Scan]:
    """The scans that end with it."""
    return work.scans if isinstance(work, Opening) else (work,)


class Board:
    """Work that waits: scans that are ready, work that comes due later, and sessions to open when nothing else is."""

    def __init__(self, openings: Iterable[Opening]) -> None:
        self._openings = deque(openings)
        self._ready: deque[Scan] = deque()
        self._later: list[tuple[float, int, Work]] = []
        self._order = count()
        self._change = threading.Condition()
        self.is_closed = False

    def add(self, scans: Collection[Scan]) -> None:
        """Scans whose session is open."""
        with self._change:
            self._ready.extend(scans)
            self._change.notify(len(scans))

    def put_back(self, work: Work, wait_s: float) -> None:
        """To be taken again, not before `wait_s` seconds from now."""
        with self._change:
            heapq.heappush(self._later, (time.monotonic() + wait_s, next(self._order), work))
            self._change.notify()

    def take(self) -> Work | None:
        """Wait for work; None once the board is closed."""
        with self._change:
            while not self.is_closed:
                if (work := self._next()) is not None:
                    return work
                self._change.wait(self._seconds_to_next())
        return None

    def close(self) -> None:
        """Nothing more is taken."""
        with self._change:
            self.is_closed = True
            self._change.notify_all()

    def _next(self) -> Work | None:
        if self._later and self._later[0][0] <= time.monotonic():
            return heapq.heappop(self._later)[2]
        if self._ready:
            return self._ready.popleft()
        return self._openings.popleft() if self._openings else None

    def _seconds_to_next(self) -> float:
        return min(1.0, max(0.0, self._later[0][0] - time.monotonic())) if self._later else 1.0


class Clocks:
    """When each piece of work must be through, counted from its own first call, so that no task pays for another."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._running: deque[Work] = deque()  # all may take equally long: the first begun is the first due

    def begin(self, work: Work) -> None:
        """Called before each step; only the first counts."""
        if work.due_at is None:
            work.due_at = time.monotonic() + self._timeout_s
            self._running.append(work)

    def overdue(self, is_over: Callable[[Work], bool]) -> Iterator[Work]:
        """Work that should be through by now and is not over, each once."""
        while self._running:
            work = self._running[0]
            over = is_over(work)
            if not over and (work.due_at or 0.0) > time.monotonic():
                return
            self._running.popleft()
            if not over:
                yield work
