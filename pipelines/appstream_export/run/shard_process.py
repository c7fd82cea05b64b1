"""Run a shard in a child process: if the process crashes, its tasks fail and not the whole run."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appstream_export.errors import CommitError, ConfigurationError
from appstream_export.run.arrow_memory import choose_arrow_memory
from appstream_export.run.shards import Shard, ShardResult, build_lost_shard_result, decode_message, encode_message
from appstream_export.settings import Settings

GRACE_S = 120  # seconds after the run's deadline, to start the process and to write its rows
STOP_S = 5  # seconds between SIGTERM and SIGKILL


@dataclass(frozen=True, kw_only=True)
class WorkerResponse:
    """A worker's result: the extracted shard, or the error."""

    result: ShardResult | None = None
    error: str | None = None
    fix: str | None = None
    is_configuration_error: bool = False
    """True if the user must change the configuration."""


def run_shard_process(
    settings: Settings, shard: Shard, *, config: Path | None = None, grace_s: float = GRACE_S
) -> ShardResult:
    """Run a shard in a child process and return its result; if the process fails, its tasks have failed.

    `config` is the settings file of the child; without it, the environment names one. `grace_s` is its time after the
    run's deadline. Raises the ConfigurationError or CommitError of the child.
    """
    since = datetime.now(UTC)
    timeout_s = settings.extract.run_timeout_s + grace_s
    with _open_worker(config) as worker:
        try:
            output, _ = worker.communicate(encode_message(shard), timeout_s)
        except subprocess.TimeoutExpired:
            return build_lost_shard_result(shard, f"it was not finished {timeout_s:g} s after its start", since)
    if worker.returncode:
        return build_lost_shard_result(shard, _explain_exit(worker.returncode), since)
    answer = decode_message(output, WorkerResponse)
    if answer.result is None:
        kind = ConfigurationError if answer.is_configuration_error else CommitError
        raise kind(answer.error or "the worker gave no reason", fix=answer.fix)
    return answer.result


@contextmanager
def _open_worker(config: Path | None) -> Generator[subprocess.Popen[bytes]]:
    """Start a worker that ends with the block or with this process."""
    # Only this process holds the write end. When it ends, even by SIGKILL, the worker reads end of file and stops.
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "appstream_export.run.shard_worker", str(read_end)]
    command += [str(config)] if config else []
    environ = dict(os.environ)
    choose_arrow_memory(environ)
    try:
        worker = subprocess.Popen(  # noqa: S603  our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(read_end,), env=environ
        )
        try:
            yield worker
        finally:
            _stop_worker(worker)
    finally:
        os.close(read_end)
        os.close(write_end)


def _stop_worker(worker: subprocess.Popen[bytes]) -> None:
    if worker.poll() is None:
        # SIGTERM lets the worker remove its files; SIGKILL below ends a worker that does not stop.
        worker.terminate()
        with suppress(subprocess.TimeoutExpired):
            worker.wait(STOP_S)
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        if pipe:
            with suppress(BrokenPipeError):
                pipe.close()


def _explain_exit(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"its process ended with exit code {code}; see its log"
