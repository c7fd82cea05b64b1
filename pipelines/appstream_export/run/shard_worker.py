"""One shard in a process of its own: `python -m appstream_export.run.shard_worker LIFELINE`.

The shard comes on stdin, its result goes to stdout. LIFELINE is a descriptor whose other end the parent process holds:
once that process is gone, so is this one.
"""

import os
import signal
import sys
from threading import Event, Thread
from typing import NoReturn

import msgspec

from appstream_export.contracts import load_contracts
from appstream_export.errors import ConfigurationError, ExportError, Interrupted
from appstream_export.model import RunListener
from appstream_export.run.shard_process import WorkerResponse
from appstream_export.run.shards import Shard, decode_message, sweep_shard
from appstream_export.settings import read_settings

ORPHAN_S = 10  # to stop the shard and remove its files; then the process ends whatever it does


def main(parent_pipe: int) -> None:
    """Run the shard and write its result, or the error that we foresee; a bug ends the process with a traceback.

    A signal ends it too, once its files are removed: that is no result.
    """
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    stop, signals = Event(), list[int]()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: signals.append(got) or stop.set())
    Thread(target=_exit_with_parent, args=(parent_pipe, stop), daemon=True).start()
    try:
        answer = _run_shard(decode_message(sys.stdin.buffer.read(), Shard), stop)
    except Interrupted:
        _terminate_by_signal(signals[0] if signals else signal.SIGTERM)
    with os.fdopen(output, "wb") as out:
        out.write(msgspec.json.encode(answer))


def _run_shard(shard: Shard, stop: Event) -> WorkerResponse:
    try:
        return WorkerResponse(
            result=sweep_shard(read_settings(), load_contracts(), shard, listener=RunListener(), stop=stop)
        )
    except Interrupted:
        raise
    except ExportError as error:
        is_configuration_error = isinstance(error, ConfigurationError)
        return WorkerResponse(error=error.message, fix=error.fix, is_configuration_error=is_configuration_error)


def _terminate_by_signal(number: int) -> NoReturn:
    """End as if the signal had not been handled, so that the parent process sees what happened."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(1)


def _exit_with_parent(parent_pipe: int, stop: Event) -> None:
    os.read(parent_pipe, 1)
    stop.set()
    Event().wait(ORPHAN_S)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
