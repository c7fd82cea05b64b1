"""Ctrl-C and SIGTERM: the first one asks, the second one, or a run that does not stop, ends the process."""

import os
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from appstream_export.cli import console
from appstream_export.errors import Interrupted

T = TypeVar("T")
STOP_TIMEOUT_S = 9.5
"""A commit is atomic, so a run that still works by then can be ended: nothing half done remains."""
SIGNAL_EXIT_BASE = 128
"""A command that a signal ended has the code 128 + signal."""


class SignalInterrupt(Exception):
    """A signal cut the command short; nothing was committed."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.exit_code = SIGNAL_EXIT_BASE + number


@contextmanager
def handle_stop_signals(*, announce: bool = True) -> Generator[threading.Event]:
    """Yield an event that the first signal sets. Turns the Interrupted that follows into SignalInterrupt."""
    stop, received = threading.Event(), list[int]()
    timers: list[threading.Timer] = []

    def handle_signal(number: int, _: FrameType | None) -> None:
        if received:
            os._exit(SIGNAL_EXIT_BASE + number)
        received.append(number)
        if announce:
            console.log_line("stopping ... (again: at once)")
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
    """Run a query on another thread and return its result, so that the main thread can receive Ctrl-C meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run_query)
        try:
            return future.result()
        except KeyboardInterrupt:
            interrupt()
            raise


def _install_handlers(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}  # Python handles signals on its main thread alone
    return {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}


def _start_exit_timer(seconds: float, code: int) -> threading.Timer:
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()
    return timer
