"""A shard is swept by a child process, so that its death is a failure of its tasks and not of the whole run."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from appstream_export.errors import CommitError, SetupError
from appstream_export.run.shards import Shard, Swept, decoded, encoded, lost
from appstream_export.settings import Settings

BEYOND_S = 120  # after the sweep's own deadline: to start, and to write what it has
STOP_S = 5


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a worker says at its end: what it swept, or why it refused to."""

    swept: Swept | None = None
    refusal: str | None = None
    is_setup: bool = False
    """The user must change something."""


def supervised(settings: Settings, shard: Shard, *, beyond_s: float = BEYOND_S) -> Swept:
    """Sweep a shard in a child process. Whatever ends that, its tasks have outcomes.

    `beyond_s` is its time after the sweep's own deadline. Raises SetupError and CommitError as the child did.
    """
    since = datetime.now(UTC)
    timeout_s = settings.extract.run_timeout_s + beyond_s
    with _worker() as worker:
        try:
            told, _ = worker.communicate(encoded(shard), timeout_s)
        except subprocess.TimeoutExpired:
            return lost(shard, f"it was not through {timeout_s:g} s after it began", since)
    if worker.returncode:
        return lost(shard, _why(worker.returncode), since)
    answer = decoded(told, Answer)
    if answer.swept is None:
        raise (SetupError if answer.is_setup else CommitError)(answer.refusal)
    return answer.swept


@contextmanager
def _worker() -> Generator[subprocess.Popen[bytes]]:
    """A child that ends with the block, and with this process."""
    theirs, ours = os.pipe()
    command = [sys.executable, "-m", "appstream_export.run.shard_worker", str(theirs)]
    try:
        worker = subprocess.Popen(  # noqa: S603  ourselves
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(theirs,)
        )
        try:
            yield worker
        finally:
            _end(worker)
    finally:
        os.close(theirs)
        os.close(ours)


def _end(worker: subprocess.Popen[bytes]) -> None:
    if worker.poll() is None:
        worker.terminate()
        with suppress(subprocess.TimeoutExpired):
            worker.wait(STOP_S)
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        if pipe:
            with suppress(BrokenPipeError):
                pipe.close()


def _why(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was ended by {name}" + (" (was memory short?)" if name == "SIGKILL" else "")
    return f"its process ended with exit code {code}; its log says why"
