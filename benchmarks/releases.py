"""An older version of this program, installed from its commit in an environment of its own."""

import io
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

from benchmarks.children import ROOT, Unreachable, run_uv

OLD, OLD_COMMIT = "0.3.0", "dfa2196b"


def install_release(tree: Path) -> Path:
    """Install the older version into a folder, unless it is there, and return its folder of commands.

    Raises Unreachable if the checkout lacks its commit, or its packages cannot be had.
    """
    if not (tree / "uv.lock").exists():
        command = ["git", "archive", OLD_COMMIT]
        packed = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)  # noqa: S603
        if packed.returncode:
            raise Unreachable(f"this checkout lacks the commit {OLD_COMMIT} of version {OLD}")
        tree.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(tree, filter="data")
    run_uv(
        "sync", "--quiet", "--locked", "--compile-bytecode", "--no-dev", "--python", sys.executable,
        environ={"UV_PROJECT_ENVIRONMENT": str(tree / ".venv")}, root=tree,
    )  # fmt: skip
    return tree / ".venv" / "bin"


def find_command(tree: Path) -> Path | None:
    """Install the older version into a folder and return its command; None if it cannot be had."""
    with suppress(Unreachable):
        return install_release(tree) / "appstream-export"
    return None
