"""Who is asked when: worker threads, scopes interleaved over regions, and whatever must wait in a heap by due time.

No worker sleeps: a throttled scan goes back and returns at its page token when it is due. Pages go through a bounded
queue to the caller's thread, so AWS is asked no faster than pages are taken.
"""

import heapq
import logging
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from pipelines.contracts import Contract
from pipelines.errors import ScopeError, SetupError
from pipelines.extract.accounts import Account
from pipelines.extract.clients import Call, Clients
from pipelines.extract.faults import one_line
from pipelines.extract.listing import Listing
from pipelines.extract.pages import Scan
from pipelines.extract.patience import Patience
from pipelines.extract.sessions import Sessions
from pipelines.scope import Ask, Outcome, Page, Task
from pipelines.settings import Settings

POLL_S = 0.2  # how late a stop may be noticed
JOIN_S = 1.0  # workers in a call are left behind after this; they are daemons and hand nothing on
QUEUED_PAGES_MAX = 64  # more than the 40 pages that are flattened at a time
_log = logging.getLogger(__name__)


def extract(
    tasks: Sequence[Task],
    contracts: Mapping[str, Contract],
    accounts: Mapping[str, Account],
    settings: Settings,
    ask: Ask,
    *,
    run_id: str,
    stop: threading.Event,
) -> Generator[Page | Outcome, None, None]:
    """Ask every task: yields its pages in order as they come and exactly one Outcome, after which none follows.

    A scope's fault never raises, it is the task's Outcome. SetupError is raised here, before anything is asked, for
    what the user must change (no credentials, an unknown profile, an emulator that is down). Once `stop` is set, tasks
    without an Outcome end as `cancelled`. Closing the generator ends the workers.
    """
    if len(set(tasks)) != len(tasks):
        raise ValueError("a task is listed twice")
    if ask.starting_token and len(tasks) > 1:
        fix = "choose one account and region"
        raise SetupError(f"a starting token belongs to one scope, and {len(tasks)} would be asked; {fix}")
    if not tasks:
        return _nothing()
    return _Round(tasks, contracts, accounts, settings, ask, run_id, stop).results()


class Opening:
    """One account's session being opened: its scans wait for it, and fail with it."""

    def __init__(self, account_id: str, scans: Sequence[Scan], sessions: Sessions, max_attempts: int) -> None:
        self.account_id, self.scans = account_id, scans
        self.patience = Patience(max_attempts)
        self._sessions = sessions

    def step(self) -> None:
        """Ask STS once; raises ScopeError."""
        for scan in self.scans:
            scan.attempted_at = scan.attempted_at or datetime.now(UTC)
        call = Call(tries_max=self.patience.tries_left)
        try:
            self._sessions.open(self.account_id, call)
        finally:
            self.patience.tries += call.tries


class Board:
    """Work that waits: scans that are ready, work that comes due later, and sessions to open when nothing else is."""

    def __init__(self, openings: Iterable[Opening]) -> None:
        self._openings = deque(openings)
        self._ready: deque[Scan] = deque()
        self._later: list[tuple[float, int, Scan | Opening]] = []
        self._order = count()
        self._change = threading.Condition()
        self.is_closed = False

    def add(self, scans: Collection[Scan]) -> None:
        """Scans whose session is open."""
        with self._change:
            self._ready.extend(scans)
            self._change.notify(len(scans))

    def put_back(self, work: Scan | Opening, wait_s: float) -> None:
        """To be taken again, not before `wait_s` seconds from now."""
        with self._change:
            heapq.heappush(self._later, (time.monotonic() + wait_s, next(self._order), work))
            self._change.notify()

    def take(self) -> Scan | Opening | None:
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

    def _next(self) -> Scan | Opening | None:
        if self._later and self._later[0][0] <= time.monotonic():
            return heapq.heappop(self._later)[2]
        if self._ready:
            return self._ready.popleft()
        return self._openings.popleft() if self._openings else None

    def _seconds_to_next(self) -> float:
        return min(1.0, max(0.0, self._later[0][0] - time.monotonic())) if self._later else 1.0


class _Round:
    """All tasks asked once: made, checked, and worked off."""

    def __init__(
        self,
        tasks: Sequence[Task],
        contracts: Mapping[str, Contract],
        accounts: Mapping[str, Account],
        settings: Settings,
        ask: Ask,
        run_id: str,
        stop: threading.Event,
    ) -> None:
        asked = [contracts[name] for name in dict.fromkeys(task.resource for task in tasks)]
        people = [accounts[account_id] for account_id in dict.fromkeys(task.scope.account_id for task in tasks)]
        self._clients = Clients(settings, [f"{c.service}:{c.operation}" for c in asked])
        listings = _listings(asked, self._clients, ask)
        regions = {task.scope.region for task in tasks}
        self._sessions = Sessions(settings, self._clients, people, run_id=run_id, regions=regions)
        attempts = settings.extract.max_attempts
        scans = [Scan(t, listings[t.resource], ask, self._clients, self._sessions, attempts) for t in tasks]
        self._sessions.check()
        _check_emulator(settings)
        self._open = {scan.task: scan for scan in scans}
        self._stop = stop
        self._out: queue.Queue[Page | Outcome | SetupError] = queue.Queue(QUEUED_PAGES_MAX)
        self._board = Board(Opening(a, s, self._sessions, attempts) for a, s in interleaved(scans).items())
        self._workers = min(settings.extract.workers, len(tasks))

    def results(self) -> Generator[Page | Outcome, None, None]:
        """What the workers bring, on the caller's thread."""
        threads = [threading.Thread(target=self._work, name=f"extract-{n}", daemon=True) for n in range(self._workers)]
        try:
            for thread in threads:
                thread.start()
            while self._open:
                if self._stop.is_set():
                    yield from self._cancel()
                elif (brought := self._receive()) is not None:
                    yield brought
        finally:
            self._board.close()
            _join(threads)
            self._clients.close()

    def _receive(self) -> Page | Outcome | None:
        try:
            brought = self._out.get(timeout=POLL_S)
        except queue.Empty:
            return None
        if isinstance(brought, SetupError):
            raise brought
        if isinstance(brought, Outcome):
            del self._open[brought.task]
        return brought

    def _cancel(self) -> Generator[Outcome, None, None]:
        self._board.close()
        scans, self._open = list(self._open.values()), {}
        for scan in scans:
            yield scan.outcome(ScopeError("cancelled", "stopped before it was through"))

    def _work(self) -> None:
        while (work := self._board.take()) is not None:
            try:
                self._drive(work)
            except SetupError as error:
                self._hand_over(error)
            except Exception as error:  # noqa: BLE001  a bug of ours is this scope's error, not the end of the others
                _log.debug("%s failed", work, exc_info=True)
                self._end(work, ScopeError("error", one_line(f"{type(error).__name__}: {error}")))

    def _drive(self, work: Scan | Opening) -> None:
        try:
            if isinstance(work, Opening):
                work.step()
                self._board.add(work.scans)
            else:
                self._pages(work)
        except ScopeError as error:
            wait_s = work.patience.wait_after(error)
            if wait_s is None:
                self._end(work, error)
            else:
                self._board.put_back(work, wait_s)

    def _pages(self, scan: Scan) -> None:
        while not scan.is_done and not self._board.is_closed:
            page = scan.step()
            if page is not None:
                self._hand_over(page)
        if scan.is_done:
            self._hand_over(scan.outcome())

    def _end(self, work: Scan | Opening, error: ScopeError) -> None:
        for scan in work.scans if isinstance(work, Opening) else (work,):
            self._hand_over(scan.outcome(error))

    def _hand_over(self, result: Page | Outcome | SetupError) -> None:
        while not self._board.is_closed:
            try:
                return self._out.put(result, timeout=POLL_S)
            except queue.Full:
                continue


def _listings(contracts: Iterable[Contract], clients: Clients, ask: Ask) -> dict[str, Listing]:
    found = {c.name: Listing.of(c, clients.session) for c in contracts}
    for listing in found.values():
        listing.check(ask)
    return found


def interleaved(scans: Sequence[Scan]) -> dict[str, list[Scan]]:
    """Scans by account, each account beginning at another region, so that no region meets all workers at once."""
    by_account: dict[str, list[Scan]] = {}
    for scan in scans:
        by_account.setdefault(scan.task.scope.account_id, []).append(scan)
    return {
        account_id: own[n % len(own) :] + own[: n % len(own)] for n, (account_id, own) in enumerate(by_account.items())
    }


def _check_emulator(settings: Settings) -> None:
    """With a loopback endpoint, one connection tells at once what all tasks would find out one by one."""
    url = settings.aws.endpoint_url
    if url is None or not settings.is_local_aws:
        return
    at = urlsplit(url)
    try:
        socket.create_connection((at.hostname or "", at.port or {"https": 443}.get(at.scheme, 80)), timeout=5).close()
    except OSError as error:
        start = f"appstream-export emulate --dir {Path(settings.warehouse).parent}"
        raise SetupError(f"nothing answers at {url}: start it with: {start}") from error


def _join(threads: Iterable[threading.Thread]) -> None:
    until = time.monotonic() + JOIN_S
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, until - time.monotonic()))


def _nothing() -> Generator[Page | Outcome, None, None]:
    yield from ()
