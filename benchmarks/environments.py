"""Environments of their own for rivals, made by uv from uv.lock: some of them bring pandas, and ours must not have it.

Where pandas is installed, pyarrow imports it with the first array that it makes: two seconds of CPU that nobody asked
for. So our own processes run where only the package itself is installed, as its users have it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from benchmarks.children import ROOT

FOLDER = ROOT / ".benchmarks"
GROUPS: Mapping[str, tuple[str, ...]] = {"ours": (), "rivals": ("rivals",), "cloudquery": ("cloudquery",)}
"""Environment → groups of pyproject.toml that it has besides the package."""
INSTALL_S = 600


class Unreachable(Exception):
    """No environment could be made: no uv, or no package index."""


def pythons() -> dict[str, Path]:
    """The Python of each environment; raises Unreachable."""
    return {name: _made(name, groups) for name, groups in GROUPS.items()}


def leave_pandas(arguments: list[str]) -> None:
    """Go on in the package's own environment where this one has pandas; does not return then."""
    if find_spec("pandas") is None:
        return
    python = str(_made("ours", GROUPS["ours"]))
    os.execv(python, [python, "-m", "benchmarks", *arguments])  # noqa: S606  ourselves, elsewhere


def _made(name: str, groups: tuple[str, ...]) -> Path:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise Unreachable("uv is not on the PATH")
    wanted = [word for group in groups for word in ("--group", group)]
    python = ["--python", sys.executable] if sys.prefix == sys.base_prefix else ["--python", sys.base_exec_prefix]
    done = subprocess.run(  # noqa: S603  our own lock file
        [uv, "sync", "--quiet", "--locked", "--compile-bytecode", "--no-default-groups", *python, *wanted],
        cwd=ROOT,
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(FOLDER / name)},
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    if done.returncode:
        raise Unreachable(f"environment {name}: {done.stderr.strip().splitlines()[-1]}")
    return FOLDER / name / "bin" / "python"
