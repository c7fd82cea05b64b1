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
STOP_S = 9.5
"""A commit is atomic, so a run that still works by then can be ended: nothing half done remains."""
EXIT = 128
"""A command that a signal ended has the code 128 + signal."""


class Signalled(Exception):
    """A signal cut the command short; nothing was committed."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.exit_code = EXIT + number


@contextmanager
def stoppable(*, announce: bool = True) -> Generator[threading.Event]:
    """An event that the first signal sets. Turns the Interrupted that comes of it into Signalled."""
    stop, received = threading.Event(), list[int]()
    timers: list[threading.Timer] = []

    def take(number: int, _: FrameType | None) -> None:
        if received:
            os._exit(EXIT + number)
        received.append(number)
        if announce:
            console.note("stopping ... (again: at once)")
        timers.append(_end_after(STOP_S, EXIT + number))
        stop.set()

    before = _install(take)
    try:
        yield stop
    except Interrupted as error:
        raise Signalled(str(error), received[0] if received else signal.SIGINT) from error
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def interruptible(work: Callable[[], T], interrupt: Callable[[], object]) -> T:
    """What `work` gives, done on another thread: inside a library's C++ the main thread would hear no Ctrl-C."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            interrupt()
            raise


def _install(take: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}  # Python hears signals on its main thread alone
    return {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}


def _end_after(seconds: float, code: int) -> threading.Timer:
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()
    return timer
