"""An older version of this program, installed from its commit in an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
OLD, OLD_COMMIT = "0.3.0", "dfa2196"


def install_release(tree: Path) -> Path | None:
    """Install the older version into a new folder and return its command; None if the checkout lacks its commit."""
    known = subprocess.run(["git", "cat-file", "-e", OLD_COMMIT], cwd=ROOT, check=False, capture_output=True)
    if known.returncode:
        return None
    tree.mkdir(parents=True)
    packed = subprocess.run(["git", "archive", OLD_COMMIT], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", tree], input=packed, check=True)
    environ = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")}
    command = ["uv", "sync", "-q", "--locked", "--no-dev", "--python", sys.executable]
    subprocess.run(command, cwd=tree, env=environ, check=True)
    return tree / ".venv" / "bin" / "appstream-export"
