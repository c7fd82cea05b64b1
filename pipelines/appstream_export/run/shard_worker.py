"""Worker process of a shard: `python -m appstream_export.run.shard_worker LIFELINE [CONFIG]`.

It reads the shard from stdin and writes the result to stdout. LIFELINE is the read end of a pipe whose write end the
parent process holds: when the parent ends, the worker ends too. CONFIG is the settings file; by default, the
environment names it.
"""

import os
import signal
import sys
from pathlib import Path
from threading import Event, Thread
from typing import NoReturn

import msgspec

from appstream_export.errors import ConfigurationError, ExportError, Interrupted
from appstream_export.model import RunListener
from appstream_export.run.enabled import load_enabled_contracts
from appstream_export.run.shard_process import WorkerResponse
from appstream_export.run.shards import Shard, decode_message, sweep_shard
from appstream_export.settings import read_settings

ORPHAN_S = 10  # seconds to stop the shard and remove its files; then the process exits


def main(parent_pipe: int, config: Path | None = None) -> None:
    """Run the shard and write its result, or an expected error; a bug ends the process with a traceback.

    A signal removes its files and ends the process without a result.
    """
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library that prints must not corrupt the result
    stop, signals = Event(), list[int]()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: signals.append(got) or stop.set())
    Thread(target=_exit_with_parent, args=(parent_pipe, stop), daemon=True).start()
    try:
        answer = _run_shard(decode_message(sys.stdin.buffer.read(), Shard), config, stop)
    except Interrupted:
        _terminate_by_signal(signals[0] if signals else signal.SIGTERM)
    with os.fdopen(output, "wb") as out:
        out.write(msgspec.json.encode(answer))


def _run_shard(shard: Shard, config: Path | None, stop: Event) -> WorkerResponse:
    try:
        settings = read_settings(config)
        contracts = load_enabled_contracts(settings)
        return WorkerResponse(result=sweep_shard(settings, contracts, shard, listener=RunListener(), stop=stop))
    except Interrupted:
        raise
    except ExportError as error:
        is_configuration_error = isinstance(error, ConfigurationError)
        return WorkerResponse(error=error.message, fix=error.fix, is_configuration_error=is_configuration_error)


def _terminate_by_signal(number: int) -> NoReturn:
    """End the process by the signal's default action, so that the parent sees the signal."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(1)


def _exit_with_parent(parent_pipe: int, stop: Event) -> None:
    # This blocks until the last write end is closed, which is when the parent process ends.
    os.read(parent_pipe, 1)
    stop.set()
    Event().wait(ORPHAN_S)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(Path, sys.argv[2:]))
