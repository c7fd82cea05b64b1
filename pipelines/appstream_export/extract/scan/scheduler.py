"""Scan all tasks on worker threads: scopes are interleaved over regions, and delayed work waits in a heap.

No worker sleeps: a throttled scan returns to the queue and continues at its page token when it is due. Unreachable
regions have their own workers, so that their timeouts delay no other region. Pages go through a bounded queue to the
caller's thread, so that AWS is called no faster than the caller takes pages.
"""

import logging
import queue
import threading
import time
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from appstream_export.contracts import Contract, check_session_policy, list_member_actions, list_member_operations
from appstream_export.errors import ConfigurationError, ScopeError
from appstream_export.extract.accounts import Account
from appstream_export.extract.aws import Clock, Sessions, check_emulator, create_clients, sanitize_text
from appstream_export.extract.scan.follow_ups import build_parent_error
from appstream_export.extract.scan.operation import ListOperation
from appstream_export.extract.scan.reachability import Reachability
from appstream_export.extract.scan.scan import Scan
from appstream_export.extract.scan.work_queue import (
    Deadlines,
    SessionTask,
    WorkItem,
    WorkQueue,
    list_scans,
    list_tasks,
)
from appstream_export.model import Outcome, Page, ScanOptions, Task
from appstream_export.settings import Settings
from appstream_export.status import Status

POLL_S = 0.2  # the longest delay until a stop is noticed
JOIN_S = 1.0  # workers in a longer call are left running: they are daemons, and their results are dropped
# Answers, so that workers continue while pages are flattened; more were not faster. Most are one page; that of a
# follow-up call has all pages of its item.
QUEUED_ANSWERS_MAX = 128
AWAITED_S = 0.1  # wait before the next look at a region that has not answered its first calls
_log = logging.getLogger(__name__)


def extract_tasks(
    tasks: Sequence[Task],
    contracts: Mapping[str, Contract],
    accounts: Mapping[str, Account],
    settings: Settings,
    options: ScanOptions,
    *,
    run_id: str,
    stop: threading.Event,
    process_count: int = 1,
    started_at: datetime | None = None,
) -> Generator[Page | Outcome, None, None]:
    """Yield the pages of every task, in order within a task, and exactly one Outcome per task, after its pages.

    A failed scope never raises; its error is the task's Outcome. Raises ConfigurationError at once, before any request,
    if the user must change something (no credentials, an unknown profile, an emulator that is down). Once `stop` is
    set, tasks without an Outcome end as `cancelled`; after [extract] task_timeout_s or run_timeout_s they end as
    `timeout`, even during a call. Closing the generator ends the workers. `process_count` processes share the rate
    limits equally. `started_at` is the run's start, by default now; its month is the value of `{month}`.
    """
    if len(set(tasks)) != len(tasks):
        raise ValueError("a task is listed twice")
    if options.starting_token and len(tasks) > 1:
        fix = "choose one account and region"
        raise ConfigurationError(f"a starting token belongs to one scope, but {len(tasks)} are selected", fix=fix)
    if not tasks:
        return _yield_no_results()
    scheduler = Scheduler(
        tasks, contracts, accounts, settings, options, run_id, stop, process_count, started_at=started_at
    )
    return scheduler.stream_results()


class Scheduler:
    """Scheduler of all tasks of a run. The constructor checks them, `stream_results` scans them."""

    def __init__(
        self,
        tasks: Sequence[Task],
        contracts: Mapping[str, Contract],
        accounts: Mapping[str, Account],
        settings: Settings,
        options: ScanOptions,
        run_id: str,
        stop: threading.Event,
        process_count: int = 1,
        *,
        started_at: datetime | None = None,
    ) -> None:
        self._settings = settings.extract
        chosen = [contracts[name] for name in dict.fromkeys(task.resource for task in tasks)]
        if settings.aws.session_policy:
            check_session_policy(chosen)
        self._clients = create_clients(settings, list_member_operations(chosen), stop, process_count=process_count)
        operations = self._build_operations(contracts.values(), options, started_at or datetime.now(UTC))
        self._sessions = Sessions(
            settings,
            self._clients,
            list({(own := accounts[task.scope.account_id]).id: own for task in tasks}.values()),
            run_id=run_id,
            regions={task.scope.region for task in tasks},
            actions=list_member_actions(chosen),
        )
        session_tasks = self._build_session_tasks(tasks, operations, options, accounts)
        self._sessions.check_sources()
        check_emulator(settings)
        # Only the caller's thread changes it.
        self._open_tasks = {task: own for own in session_tasks for task in own.tasks}
        self._stop = stop
        # In groups, so that a scan of one page wakes the caller's thread once.
        self._results: queue.Queue[Sequence[Page | Outcome | ConfigurationError]] = queue.Queue(QUEUED_ANSWERS_MAX)
        self._queue = WorkQueue(session_tasks)
        self._deadlines = Deadlines(settings.extract.task_timeout_s)
        self._reachability = Reachability()
        self._workers = min(settings.extract.workers, len(tasks))
        self._threads: list[threading.Thread] = []
        self._start_lock, self._has_unreached_workers = threading.Lock(), False

    def _build_operations(
        self, contracts: Iterable[Contract], options: ScanOptions, started_at: datetime
    ) -> dict[str, ListOperation]:
        session, any_protocol = self._clients.session, self._settings.use_documented_client_api
        found = {
            c.name: ListOperation.from_contract(c, session, any_protocol=any_protocol, month=f"{started_at:%Y-%m}")
            for c in contracts
        }
        _check_options(found.values(), options)
        return found

    def _build_session_tasks(
        self,
        tasks: Sequence[Task],
        operations: Mapping[str, ListOperation],
        options: ScanOptions,
        accounts: Mapping[str, Account],
    ) -> list[SessionTask]:
        _check_parents(tasks, operations)
        limited = {name: _limit_options(options, own, operations.values()) for name, own in operations.items()}
        build_scans = partial(self._build_scans, operations, limited, accounts)
        attempts = self._settings.max_attempts
        found = [
            SessionTask(account_id, own, build_scans, self._sessions, attempts)
            for account_id, own in interleave_tasks(tasks, accounts).items()
        ]
        if options.starting_token:  # it may be damaged, or of another scope
            found[0].scans  # noqa: B018
        return found

    def _build_scans(
        self,
        operations: Mapping[str, ListOperation],
        options: Mapping[str, ScanOptions],
        accounts: Mapping[str, Account],
        tasks: Sequence[Task],
    ) -> list[Scan]:
        clients, sessions, attempts = self._clients, self._sessions, self._settings.max_attempts
        scans = [
            Scan(
                task,
                operations[task.resource],
                options[task.resource],
                clients,
                sessions,
                attempts,
                accounts[task.scope.account_id].id,
            )
            for task in tasks
        ]
        _attach_followers(scans)
        return scans

    @property
    def clock(self) -> Clock:
        """The clock that compares AWS's time with the local time."""
        return self._clients.clock

    def stream_results(self) -> Generator[Page | Outcome, None, None]:
        """Yield the workers' pages and outcomes on the caller's thread."""
        ends_at = time.monotonic() + self._settings.run_timeout_s
        try:
            self._start_workers()
            while self._open_tasks:
                yield from self._end_overdue_tasks()
                if self._stop.is_set():
                    yield from self._end_all_tasks(ScopeError(Status.CANCELLED, "stopped before it finished"))
                elif time.monotonic() >= ends_at:
                    error = _build_timeout_error("run", self._settings.run_timeout_s, "after the run's first request")
                    yield from self._end_all_tasks(error)
                else:
                    yield from self._receive_results()
        finally:
            self._queue.close()
            with self._start_lock:  # the queue is closed, so no further thread starts
                threads = list(self._threads)
            _join_threads(threads)
            self._clients.close()

    def _receive_results(self) -> Generator[Page | Outcome, None, None]:
        try:
            results = self._results.get(timeout=POLL_S)
        except queue.Empty:
            return
        for result in results:
            if isinstance(result, ConfigurationError):
                raise result
            if result.task not in self._open_tasks:
                continue  # the task has already ended by a timeout or stop
            if isinstance(result, Outcome):
                del self._open_tasks[result.task]
            yield result

    def _end_overdue_tasks(self) -> Generator[Outcome, None, None]:
        for work in self._deadlines.pop_overdue(lambda work: work.is_done or not self._is_open(work)):
            error = _build_timeout_error(
                "task", self._settings.task_timeout_s, "after its first call", work.retry_state.last_reason
            )
            for scan in list_scans(work):
                yield from self._end_open_scan(scan, error)

    def _end_open_scan(
        self, scan: Scan, error: ScopeError, cause: Outcome | None = None
    ) -> Generator[Outcome, None, None]:
        """End a scan and its followers, unless it has ended: without its answer, theirs are incomplete."""
        if self._open_tasks.pop(scan.task, None) is None:
            return
        outcome = scan.build_outcome(error, cause=cause)
        yield outcome
        for follower in scan.followers:
            yield from self._end_open_scan(follower, build_parent_error(scan.task, error), outcome)

    def _end_all_tasks(self, error: ScopeError) -> Generator[Outcome, None, None]:
        self._queue.close()
        # An account at a time: most scans may not have been built yet.
        for work in dict.fromkeys(self._open_tasks.values()):
            for scan in work.scans:
                if self._open_tasks.pop(scan.task, None) is not None:
                    yield scan.build_outcome(error)

    def _is_open(self, work: WorkItem) -> bool:
        return any(task in self._open_tasks for task in list_tasks(work))

    def _start_workers(self, *, for_unreached: bool = False) -> None:
        with self._start_lock:
            for _ in range(0 if self._queue.is_closed else self._workers):
                thread = threading.Thread(target=self._run_worker, args=(for_unreached,), name="extract", daemon=True)
                thread.start()
                self._threads.append(thread)

    def _run_worker(self, for_unreached: bool) -> None:
        take = self._queue.take_unreached if for_unreached else self._queue.take
        while (work := take()) is not None:
            try:
                self._process_work(work, for_unreached)
            except ConfigurationError as error:
                # The caller's thread raises it: an exception here would end this worker alone.
                self._put_results(error)
            except Exception as error:  # noqa: BLE001  a bug fails this scope, not the others
                _log.debug("%s failed", work, exc_info=True)
                self._fail_work(work, ScopeError(Status.ERROR, sanitize_text(f"{type(error).__name__}: {error}")))

    def _process_work(self, work: WorkItem, for_unreached: bool) -> None:
        if not self._is_open(work) or self._requeue_elsewhere(work, for_unreached):
            return
        # Only now, so that time in the queue does not count.
        self._deadlines.start_timer(work)
        began_at = time.monotonic()
        try:
            if isinstance(work, SessionTask):
                work.open_session()
                self._reachability.record_answer()
                self._queue.add([scan for scan in work.scans if scan.parent_task is None])
            else:
                self._fetch_pages(work)
        except ScopeError as error:
            # Both are evaluated first, because each of them records the failure.
            wait_s, gives_up = work.retry_state.record_failure(error), self._should_give_up(work, error, began_at)
            if wait_s is None or gives_up:
                self._fail_work(work, error)
            else:
                self._queue.requeue(work, wait_s)

    def _requeue_elsewhere(self, work: WorkItem, for_unreached: bool) -> bool:
        """Return whether the work was put into a queue: for the other kind of worker, or for later."""
        if isinstance(work, SessionTask):
            return False
        is_unreachable = self._reachability.is_unreachable(work.place)
        if is_unreachable and not for_unreached:
            self._add_unreached(work)
        elif for_unreached and not is_unreachable:
            self._queue.add([work])
        elif not is_unreachable and self._reachability.is_awaited(work.place):
            self._queue.requeue(work, AWAITED_S)
        else:
            return False
        return True

    def _add_unreached(self, scan: Scan) -> None:
        self._queue.add_unreached(scan)
        with self._start_lock:
            is_first, self._has_unreached_workers = not self._has_unreached_workers, True
        if is_first:  # as many again, only once they are needed: most of their time is spent in timeouts
            self._start_workers(for_unreached=True)

    def _should_give_up(self, work: WorkItem, error: ScopeError, began_at: float) -> bool:
        if isinstance(work, SessionTask):
            return False
        self._reachability.record_error(work.place, work.account_id, error, began_at)
        return self._reachability.should_give_up(work.place, error)

    def _fetch_pages(self, scan: Scan) -> None:
        while not scan.is_done and self._is_open(scan) and not self._queue.is_closed:
            if (wait_s := scan.compute_wait_s()) > 0:
                return self._queue.requeue(scan, wait_s)
            # Before each call, since the region may have answered to another account meanwhile.
            scan.is_brief = self._reachability.is_unreachable(scan.place)
            with self._reachability.count_calls(scan.place):
                pages = scan.fetch_pages()
            self._reachability.record_answer(scan.place)
            if scan.is_done:
                return self._finish_scan(scan, pages)
            self._put_results(*pages)
            if scan.is_follow_up:
                self._deadlines.restart_timer(scan)
        return None

    def _finish_scan(self, scan: Scan, pages: Iterable[Page] = ()) -> None:
        """Report the last pages and the outcome of a finished scan, then start its followers."""
        self._put_results(*pages, scan.build_outcome())
        for follower in scan.followers:
            try:
                follower.start_follow_up(scan.build_answer())
            except ScopeError as error:
                self._fail_scan(follower, error)
            else:
                if follower.is_done:
                    self._finish_scan(follower)
                else:
                    self._queue.add([follower])

    def _fail_work(self, work: WorkItem, error: ScopeError) -> None:
        if isinstance(work, Scan):
            self._fail_scan(work, error)
            return
        for scan in work.scans:
            self._put_results(scan.build_outcome(error))

    def _fail_scan(self, scan: Scan, error: ScopeError, cause: Outcome | None = None) -> None:
        """Report a failed scan, and its followers, which fail with it."""
        outcome = scan.build_outcome(error, cause=cause)
        self._put_results(outcome)
        for follower in scan.followers:
            self._fail_scan(follower, build_parent_error(scan.task, error), outcome)

    def _put_results(self, *results: Page | Outcome | ConfigurationError) -> None:
        # In short steps: an endless wait for the caller would not notice that the queue was closed.
        while results and not self._queue.is_closed:
            try:
                return self._results.put(results, timeout=POLL_S)
            except queue.Full:
                continue


def _check_options(operations: Collection[ListOperation], options: ScanOptions) -> None:
    """Raise ConfigurationError for options that no operation supports. It is enough if one operation supports them."""
    refusals = []
    for operation in operations:
        try:
            operation.check_options(options)
        except ConfigurationError as error:
            refusals.append(error)
    if refusals and len(refusals) == len(operations):
        raise refusals[0]


def _limit_options(options: ScanOptions, operation: ListOperation, others: Iterable[ListOperation]) -> ScanOptions:
    """Return the options for an operation; names only apply to operations that take them, if there is one."""
    if operation.rules.parent:  # its calls follow from the parent's rows, which the options limit
        return replace(options, names=(), max_items=None, starting_token=None)
    if operation.takes_names or not any(other.takes_names for other in others):
        return options
    return replace(options, names=())


def interleave_tasks(tasks: Sequence[Task], accounts: Mapping[str, Account]) -> dict[str, list[Task]]:
    """Return the tasks by account. Each account starts at another region, so that workers spread over regions."""
    by_account: dict[str, list[Task]] = {}
    for task in tasks:
        by_account.setdefault(accounts[task.scope.account_id].id, []).append(task)
    return {
        account_id: own[n % len(own) :] + own[: n % len(own)] for n, (account_id, own) in enumerate(by_account.items())
    }


def _check_parents(tasks: Sequence[Task], operations: Mapping[str, ListOperation]) -> None:
    """Raise ValueError if the parent of a task is missing."""
    known = set(tasks)
    for task in tasks:
        parent = operations[task.resource].rules.parent
        if parent and Task(parent, task.scope) not in known:
            raise ValueError(f"{task} is listed without {Task(parent, task.scope)}")


def _attach_followers(scans: Sequence[Scan]) -> None:
    """Add each scan that waits for a parent to its parent's followers."""
    by_task = {scan.task: scan for scan in scans}
    for scan in scans:
        if (parent := scan.parent_task) is not None:
            by_task[parent].followers.append(scan)


def _build_timeout_error(limit: str, timeout_s: float, since: str, last: str | None = None) -> ScopeError:
    why = f"not finished {timeout_s:g} s {since} ([extract] {limit}_timeout_s)" + (f"; last: {last}" if last else "")
    return ScopeError(Status.TIMEOUT, sanitize_text(why), code=f"{limit.title()}Timeout")


def _join_threads(threads: Iterable[threading.Thread]) -> None:
    until = time.monotonic() + JOIN_S
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, until - time.monotonic()))


def _yield_no_results() -> Generator[Page | Outcome, None, None]:
    yield from ()
