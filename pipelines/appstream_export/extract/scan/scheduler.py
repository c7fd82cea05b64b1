"""Who is asked when: worker threads, scopes interleaved over regions, and whatever must wait in a heap by due time.

No worker sleeps: a throttled scan goes back and returns at its page token when it is due. Pages go through a bounded
queue to the caller's thread, so AWS is asked no faster than pages are taken.
"""

import logging
import queue
import threading
import time
from collections.abc import Generator, Iterable, Mapping, Sequence

from appstream_export.contracts import Contract
from appstream_export.contracts.iam import member_operations
from appstream_export.errors import ScopeError, SetupError
from appstream_export.extract.accounts import Account
from appstream_export.extract.aws.clients import Clients
from appstream_export.extract.aws.clock import Clock
from appstream_export.extract.aws.compat import clients_for
from appstream_export.extract.aws.credentials import Sessions
from appstream_export.extract.aws.emulated import check_emulator
from appstream_export.extract.aws.errors import one_line
from appstream_export.extract.scan.operation import Listing
from appstream_export.extract.scan.scan import Scan
from appstream_export.extract.scan.work_queue import Board, Clocks, Opening, Work, scans_of
from appstream_export.model import Ask, Outcome, Page, Task
from appstream_export.settings import Settings

POLL_S = 0.2  # how late a stop may be noticed
JOIN_S = 1.0  # workers in a call are left behind after this; they are daemons and hand nothing on
QUEUED_PAGES_MAX = 128  # so that workers ask on while others are flattened; more of them gave nothing
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
    sharers: int = 1,
) -> Generator[Page | Outcome, None, None]:
    """Ask every task: yields its pages in order as they come and exactly one Outcome, after which none follows.

    A scope's fault never raises, it is the task's Outcome. SetupError is raised here, before anything is asked, for
    what the user must change (no credentials, an unknown profile, an emulator that is down). Once `stop` is set, tasks
    without an Outcome end as `cancelled`; past [extract] task_timeout_s and run_timeout_s they end as `timeout`,
    whatever call is under way. Closing the generator ends the workers. `sharers` processes ask at once: each goes at so
    many parts of the pace.
    """
    if len(set(tasks)) != len(tasks):
        raise ValueError("a task is listed twice")
    if ask.starting_token and len(tasks) > 1:
        fix = "choose one account and region"
        raise SetupError(f"a starting token belongs to one scope, and {len(tasks)} would be asked; {fix}")
    if not tasks:
        return _nothing()
    return Round(tasks, contracts, accounts, settings, ask, run_id, stop, sharers).results()


class Round:
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
        sharers: int = 1,
    ) -> None:
        asked = [contracts[name] for name in dict.fromkeys(task.resource for task in tasks)]
        people = [accounts[account_id] for account_id in dict.fromkeys(task.scope.account_id for task in tasks)]
        self._settings = settings.extract
        self._clients = clients_for(settings, member_operations(asked), stop, sharers=sharers)
        listings = _listings(asked, self._clients, ask, any_protocol=settings.extract.compatible)
        regions = {task.scope.region for task in tasks}
        self._sessions = Sessions(settings, self._clients, people, run_id=run_id, regions=regions)
        attempts = settings.extract.max_attempts
        scans = [Scan(t, listings[t.resource], ask, self._clients, self._sessions, attempts) for t in tasks]
        self._sessions.check()
        check_emulator(settings)
        self._open = {scan.task: scan for scan in scans}
        self._stop = stop
        self._out: queue.Queue[Page | Outcome | SetupError] = queue.Queue(QUEUED_PAGES_MAX)
        self._board = Board(Opening(a, s, self._sessions, attempts) for a, s in interleaved(scans).items())
        self._clocks = Clocks(settings.extract.task_timeout_s)
        self._workers = min(settings.extract.workers, len(tasks))

    @property
    def clock(self) -> Clock:
        """What the answers said about the time."""
        return self._clients.clock

    def results(self) -> Generator[Page | Outcome, None, None]:
        """What the workers bring, on the caller's thread."""
        threads = [threading.Thread(target=self._work, name=f"extract-{n}", daemon=True) for n in range(self._workers)]
        ends_at = time.monotonic() + self._settings.run_timeout_s
        try:
            for thread in threads:
                thread.start()
            while self._open:
                yield from self._late()
                if self._stop.is_set():
                    yield from self._end_all(ScopeError("cancelled", "stopped before it was through"))
                elif time.monotonic() >= ends_at:
                    error = _timeout("run", self._settings.run_timeout_s, "after the run began to ask")
                    yield from self._end_all(error)
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
        if brought.task not in self._open:
            return None  # its time was up
        if isinstance(brought, Outcome):
            del self._open[brought.task]
        return brought

    def _late(self) -> Generator[Outcome, None, None]:
        for work in self._clocks.overdue(lambda work: work.is_done or not self._is_open(work)):
            error = _timeout("task", self._settings.task_timeout_s, "after its first call", work.patience.last)
            for scan in scans_of(work):
                if self._open.pop(scan.task, None):
                    yield scan.outcome(error)

    def _end_all(self, error: ScopeError) -> Generator[Outcome, None, None]:
        self._board.close()
        scans, self._open = list(self._open.values()), {}
        for scan in scans:
            yield scan.outcome(error)

    def _is_open(self, work: Work) -> bool:
        return any(scan.task in self._open for scan in scans_of(work))

    def _work(self) -> None:
        while (work := self._board.take()) is not None:
            try:
                self._drive(work)
            except SetupError as error:
                self._hand_over(error)
            except Exception as error:  # noqa: BLE001  a bug of ours is this scope's error, not the end of the others
                _log.debug("%s failed", work, exc_info=True)
                self._end(work, ScopeError("error", one_line(f"{type(error).__name__}: {error}")))

    def _drive(self, work: Work) -> None:
        if not self._is_open(work):
            return
        self._clocks.begin(work)
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
        while not scan.is_done and self._is_open(scan) and not self._board.is_closed:
            page = scan.step()
            if page is not None:
                self._hand_over(page)
        if scan.is_done:
            self._hand_over(scan.outcome())

    def _end(self, work: Work, error: ScopeError) -> None:
        for scan in scans_of(work):
            self._hand_over(scan.outcome(error))

    def _hand_over(self, result: Page | Outcome | SetupError) -> None:
        while not self._board.is_closed:
            try:
                return self._out.put(result, timeout=POLL_S)
            except queue.Full:
                continue


def _listings(contracts: Iterable[Contract], clients: Clients, ask: Ask, *, any_protocol: bool) -> dict[str, Listing]:
    found = {c.name: Listing.of(c, clients.session, any_protocol=any_protocol) for c in contracts}
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


def _timeout(whose: str, timeout_s: float, since: str, last: str | None = None) -> ScopeError:
    why = f"not through {timeout_s:g} s {since} ([extract] {whose}_timeout_s)" + (f"; last: {last}" if last else "")
    return ScopeError("timeout", one_line(why), code=f"{whose.title()}Timeout")


def _join(threads: Iterable[threading.Thread]) -> None:
    until = time.monotonic() + JOIN_S
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, until - time.monotonic()))


def _nothing() -> Generator[Page | Outcome, None, None]:
    yield from ()
