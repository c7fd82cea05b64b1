"""Termination of a Dagster step as an event that the run checks, so that a commit in progress is finished."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

import dagster as dg

from appstream_export.errors import Interrupted

STOPPED_AFTER_COMMIT = (
    "stopped after the commit: the snapshot and its catalog are complete; the next run or the job that republishes"
    " publishes feeds and report"
)
STOPPED_WHILE_PUBLISHING = "stopped while publishing: the next run or the job that republishes publishes the rest"


def raise_if_stopped(stop: threading.Event, log: dg.DagsterLogManager, message: str) -> None:
    """Raise Dagster's interrupt if the step was stopped; the run's log then says what stands, and what comes next."""
    if stop.is_set():
        log.warning(message)
        raise dg.DagsterExecutionInterruptedError(message)  # Dagster shows the run as canceled


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
        raise dg.DagsterExecutionInterruptedError(str(error)) from error  # its exit code is reported
    finally:
        for number, handler in earlier.items() if is_main else ():
            signal.signal(number, handler or signal.SIG_DFL)
