"""Child processes that exchange lines, in an environment without AWS settings; each is ended by its own pid."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Timer
from typing import Any, Self

from benchmarks.world import World

ROOT = Path(__file__).parent.parent
START_S = 60  # boto3, pyarrow and duckdb on a loaded machine take some seconds
END_S = 20
UV_S = 600  # for downloads
AS_RUN: Mapping[str, str] = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Variables that the command `run` sets before it loads Arrow."""
_AMBIENT = ("AWS_", "APPSTREAM_EXPORT_", "DAGSTER_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Hung(Exception):
    """A child gave no answer in time; it was killed."""


class Unreachable(Exception):
    """An environment could not be made: uv is missing, or no package index answered."""


class Child:
    """One `python -m module ...`: a line in, a line out. Leaving the `with` block ends it."""

    def __init__(
        self,
        module: str,
        *args: str,
        environ: Mapping[str, str] | None = None,
        python: str | Path = sys.executable,
        root: str | Path = ROOT,
    ) -> None:
        self._name = module
        self._process = subprocess.Popen(  # noqa: S603  our own modules, with arguments that we made
            [str(python), "-m", module, *args],
            cwd=root,
            env=clean_environment() | dict(environ or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def ask(self, question: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send a line of JSON and read one; raises Hung."""
        assert self._process.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError):  # it has ended: its answer will be missing
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        return json.loads(self.line(timeout_s))

    def line(self, timeout_s: float) -> str:
        """Return its next line; raises Hung when there is none in time, or when it ended."""
        assert self._process.stdout is not None  # noqa: S101
        timer = Timer(timeout_s, self._process.kill)
        timer.start()
        try:
            found = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not found:
            raise Hung(f"{self._name} printed nothing within {timeout_s:g} s, or ended")
        return found.strip()

    def end(self) -> None:
        """Close its input, and kill it unless it ends by itself."""
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
        """Serve a changed World, and return the record of the calls served before."""
        self.world = World(**asdict(self.world) | fields)
        return self.ask(fields, START_S)


class Exporter(Child):
    """A process that exports once per request; see `benchmarks.exporter`."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__("benchmarks.exporter", environ={**AS_RUN, **(environ or {})})

    def run(
        self, mapping: Mapping[str, Any], folder: Path, timeout_s: float, shards: int = 1, **request: Any
    ) -> dict[str, Any]:
        """Export with a configuration file's settings and fields of `Request`; raises Hung."""
        return self.ask({"mapping": mapping, "folder": str(folder), "request": request, "shards": shards}, timeout_s)


def run_uv(*args: str, environ: Mapping[str, str] | None = None, root: Path = ROOT) -> str:
    """Run uv in a project and return its output; raises Unreachable, and RuntimeError where Python raised."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise Unreachable("uv is not on the PATH")
    try:
        done = subprocess.run(  # noqa: S603  ourselves, in other environments
            [uv, *args], cwd=root, env={**os.environ, **(environ or {})}, capture_output=True, text=True, check=False,
            timeout=UV_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as why:
        raise Unreachable(str(why)) from why
    if done.returncode:
        raise RuntimeError(done.stderr) if "Traceback" in done.stderr else Unreachable(done.stderr.strip()[-600:])
    return done.stdout


def clean_environment() -> dict[str, str]:
    """Return the machine's environment without anything that could lead boto3 to real AWS, or through a proxy.

    Python may cache bytecode, as it does for users: otherwise each start would compile boto3 again.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_AMBIENT) and name.lower() not in _PROXIES and name != "PYTHONDONTWRITEBYTECODE"
    }
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return kept | nowhere | {"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}


def peak_mb() -> float:
    """Return the most memory that this process ever held, in MB.

    On Linux not ru_maxrss, in which a child inherits its parent's high-water mark.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
