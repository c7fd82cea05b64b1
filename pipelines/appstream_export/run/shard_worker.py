"""One shard in a process of its own: `python -m appstream_export.run.shard_worker LIFELINE`.

A shard comes on stdin, what it swept goes to stdout. LIFELINE is a descriptor whose other end the supervisor holds:
once that one is gone, whoever killed it, so is this.
"""

import os
import signal
import sys
from threading import Event, Thread
from typing import NoReturn

import msgspec

from appstream_export import settings
from appstream_export.contracts import load_all
from appstream_export.errors import ExportError, Interrupted, SetupError
from appstream_export.model import Watch
from appstream_export.run.shard_process import Answer
from appstream_export.run.shards import Shard, decoded, sweep_shard

ORPHAN_S = 10  # to stop the sweep and remove its files; then the process ends whatever it does


def main(lifeline: int) -> None:
    """Sweep, and tell; our own errors are told too, a bug ends the process with a traceback.

    A signal ends it too, once the sweep has tidied up: whoever sent it, that is no answer.
    """
    told = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    stop, heard = Event(), list[int]()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: heard.append(got) or stop.set())
    Thread(target=_end_with, args=(lifeline, stop), daemon=True).start()
    try:
        answer = _answer(decoded(sys.stdin.buffer.read(), Shard), stop)
    except Interrupted:
        _die_of(heard[0] if heard else signal.SIGTERM)
    with os.fdopen(told, "wb") as out:
        out.write(msgspec.json.encode(answer))


def _answer(shard: Shard, stop: Event) -> Answer:
    try:
        return Answer(swept=sweep_shard(settings.load(), load_all(), shard, watch=Watch(), stop=stop))
    except Interrupted:
        raise
    except ExportError as error:
        return Answer(refusal=str(error), is_setup=isinstance(error, SetupError))


def _die_of(number: int) -> NoReturn:
    """As if nobody had listened to the signal, so that the supervisor sees what happened."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(1)


def _end_with(lifeline: int, stop: Event) -> None:
    os.read(lifeline, 1)
    stop.set()
    Event().wait(ORPHAN_S)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
