"""Ctrl-C and SIGTERM: the first signal requests a stop; a second one, or a timeout, ends the process."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from appstream_export.cli.log import log_event
from appstream_export.errors import Interrupted

T = TypeVar("T")
STOP_TIMEOUT_S = 9.5
"""Seconds until a run that does not stop is ended: that is safe at any moment, because a commit is atomic."""
SIGNAL_EXIT_BASE = 128
"""A command that a signal ends has the exit code 128 + signal number."""


class SignalInterrupt(Exception):
    """A signal ended the command; nothing was committed."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.exit_code = SIGNAL_EXIT_BASE + number


@contextmanager
def handle_stop_signals(*, announce: bool = True) -> Generator[threading.Event]:
    """Yield an event that the first signal sets; raises SignalInterrupt for an Interrupted of the block."""
    stop, received = threading.Event(), list[int]()
    timers: list[threading.Timer] = []

    def handle_signal(number: int, _: FrameType | None) -> None:
        if received:
            # Not sys.exit: the main thread may be in a call that no exception can interrupt.
            os._exit(SIGNAL_EXIT_BASE + number)
        received.append(number)
        if announce:
            log_event(logging.INFO, "stopping ... (a second signal stops at once)")
        timers.append(_start_exit_timer(STOP_TIMEOUT_S, SIGNAL_EXIT_BASE + number))
        stop.set()

    before = _install_handlers(handle_signal)
    try:
        yield stop
    except Interrupted as error:
        raise SignalInterrupt(str(error), received[0] if received else signal.SIGINT) from error
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def run_interruptible_query(run_query: Callable[[], T], interrupt: Callable[[], object]) -> T:
    """Run a query on another thread and return its result, so that the main thread can receive Ctrl-C."""
    # DuckDB runs a query in C++, where Python cannot handle a signal on the same thread.
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run_query)
        try:
            return future.result()
        except KeyboardInterrupt:
            interrupt()
            raise


def _install_handlers(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}  # Python handles signals only on its main thread
    return {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}


def _start_exit_timer(seconds: float, code: int) -> threading.Timer:
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()
    return timer
