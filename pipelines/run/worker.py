"""One shard in a process of its own: `python -m pipelines.run.worker LIFELINE`.

A shard comes on stdin, what it swept goes to stdout. LIFELINE is a descriptor whose other end the supervisor holds:
once that one is gone, whoever killed it, so is this.
"""

import os
import signal
import sys
from threading import Event, Thread

import msgspec

from pipelines import settings
from pipelines.contracts import load_all
from pipelines.errors import ExportError, SetupError
from pipelines.run.shards import Shard, decoded, sweep_shard
from pipelines.run.supervision import Answer
from pipelines.scope import Watch

ORPHAN_S = 10  # to stop the sweep and remove its files; then the process ends whatever it does


def main(lifeline: int) -> None:
    """Sweep, and tell; our own errors are told too, a bug ends the process with a traceback."""
    told = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Thread(target=_end_with, args=(lifeline, stop), daemon=True).start()
    answer = _answer(decoded(sys.stdin.buffer.read(), Shard), stop)
    with os.fdopen(told, "wb") as out:
        out.write(msgspec.json.encode(answer))


def _answer(shard: Shard, stop: Event) -> Answer:
    try:
        return Answer(swept=sweep_shard(settings.load(), load_all(), shard, watch=Watch(), stop=stop))
    except ExportError as error:
        return Answer(refusal=str(error), is_setup=isinstance(error, SetupError))


def _end_with(lifeline: int, stop: Event) -> None:
    os.read(lifeline, 1)
    stop.set()
    Event().wait(ORPHAN_S)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
