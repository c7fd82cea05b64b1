"""Child processes that talk in lines, in an environment without AWS settings; each is ended by its own pid."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any, Self

from benchmarks.world import World

ROOT = Path(__file__).parent.parent
START_S = 60  # boto3, pyarrow and duckdb on a loaded machine take some seconds
END_S = 20
_AMBIENT = ("AWS_", "APPSTREAM_EXPORT_", "DAGSTER_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Hung(Exception):
    """A child gave no answer in time; it was killed."""


class Child:
    """One `python -m module ...`: a line in, a line out. Leaving the `with` block ends it."""

    def __init__(
        self, module: str, *args: str, environ: Mapping[str, str] | None = None, python: str | Path = sys.executable
    ) -> None:
        self._name = module
        self._process = subprocess.Popen(  # noqa: S603  our own modules, with arguments that we made
            [str(python), "-m", module, *args],
            cwd=ROOT,
            env=clean_environment() | dict(environ or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def ask(self, question: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send a line of JSON and read one; raises Hung."""
        assert self._process.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError):  # it died, as its missing answer will tell
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        return json.loads(self.line(timeout_s))

    def line(self, timeout_s: float) -> str:
        """The next line that it prints; raises Hung when there is none in time, or when it died."""
        assert self._process.stdout is not None  # noqa: S101
        timer = Timer(timeout_s, self._process.kill)
        timer.start()
        try:
            found = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not found:
            raise Hung(f"{self._name} printed nothing within {timeout_s:g} s, or died")
        return found.strip()

    def end(self) -> None:
        """Close its input, and kill what does not leave by itself."""
        try:
            self._process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


class Aws(Child):
    """A page server that serves a World."""

    def __init__(self, world: World) -> None:
        super().__init__("benchmarks.page_server")
        self.world = World()
        try:
            self.url = self.line(START_S)
            self.change(**asdict(world))
        except BaseException:
            self.end()
            raise

    def change(self, **fields: Any) -> dict[str, Any]:
        """Serve a changed World; the record of what was served before."""
        self.world = World(**asdict(self.world) | fields)
        return self.ask(fields, START_S)


class Exporter(Child):
    """A process that exports what it is told to, as often as it is told to; see `benchmarks.exporter`."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__("benchmarks.exporter", environ=environ)

    def run(self, mapping: Mapping[str, Any], folder: Path, timeout_s: float, **request: Any) -> dict[str, Any]:
        """Export once for real, with these settings as their file would say them; raises Hung.

        `request` are fields of `Request`: `publish=False` leaves out what follows the commit.
        """
        return self.ask({"mapping": mapping, "folder": str(folder), "request": request}, timeout_s)


def told(module: str, *args: str) -> str:
    """What `python -m module ...` prints, run to its end in a process of its own."""
    done = subprocess.run(  # noqa: S603  our own modules, with arguments that we made
        [sys.executable, "-m", module, *args], cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout


def clean_environment() -> dict[str, str]:
    """The machine's environment without anything that could lead boto3 to real AWS, or through a proxy.

    Python may keep what it compiles, as it does for users: where it must not, each start compiles boto3 anew.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_AMBIENT) and name.lower() not in _PROXIES and name != "PYTHONDONTWRITEBYTECODE"
    }
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return kept | nowhere | {"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}


def peak_mb() -> float:
    """Most memory that this process ever held, in MB.

    Not ru_maxrss where Linux tells better: a child inherits its parent's high-water mark in it.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
