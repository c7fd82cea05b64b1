"""A web server of another program, in an environment of its own, on a free port of 127.0.0.1."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress

from benchmarks.children import ROOT, Unreachable, clean_environment

START_S = 600  # imports of a large program on a loaded machine


@contextmanager
def serve_program(
    words: Sequence[str], health: str, environ: Mapping[str, str] | None = None, start_s: float = START_S
) -> Generator[str]:
    """Serve `uv WORDS`, in which {port} is the port, until the block ends; yield its URL.

    It is ready once the path `health` answers OK. Raises Unreachable without uv, and RuntimeError if it does not start.
    """
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise Unreachable("uv is not on the PATH")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = subprocess.Popen(  # noqa: S603  our own command
        [uv, *(word.format(port=port) for word in words)],
        cwd=ROOT,
        env={**clean_environment(), **(environ or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(f"{url}{health}", child, start_s)
        yield url
    finally:
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(child.pid, 15)
        child.wait(60)


def _wait_until_healthy(url: str, child: subprocess.Popen[bytes], start_s: float) -> None:
    end = time.monotonic() + start_s
    while time.monotonic() < end and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  127.0.0.1
                # Another program may have taken the port meanwhile; then the child ends.
                if answer.read().strip().upper() == b"OK" and child.poll() is None:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError(f"{url} did not answer")
