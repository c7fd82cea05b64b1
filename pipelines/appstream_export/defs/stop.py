"""Termination of a Dagster step as an event that the run checks, so that a commit in progress is finished."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

import dagster as dg

from appstream_export.errors import Interrupted


@contextmanager
def handle_stop(log: dg.DagsterLogManager) -> Generator[threading.Event]:
    """Yield an event that Terminate in Dagster, SIGTERM or Ctrl-C sets; a second signal goes to Dagster at once.

    Dagster's own handler raises at any point of the step, even between a commit and its materializations. If the run
    stops before its commit, its Interrupted becomes Dagster's own interrupt.
    """
    stop = threading.Event()
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle_signal(number: int, frame: FrameType | None) -> None:
        handler = earlier[signal.Signals(number)]
        if stop.is_set() and callable(handler):
            handler(number, frame)
        stop.set()

    is_main = threading.current_thread() is threading.main_thread()  # Python handles signals only on that thread
    for number in earlier if is_main else ():
        signal.signal(number, handle_signal)
    try:
        yield stop
    except Interrupted as error:
        log.warning(str(error))
        raise dg.DagsterExecutionInterruptedError(str(error)) from None  # Dagster shows the run as canceled
    finally:
        for number, handler in earlier.items() if is_main else ():
            signal.signal(number, handler or signal.SIG_DFL)
