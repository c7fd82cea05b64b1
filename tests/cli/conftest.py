"""The command as users meet it: a process of its own with a clean environment; and one demo for the whole session."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appstream_export.cli.main import main
from tests.absent import without

EARLIER_DEMO = """\
# Made by: appstream-export demo; a later demo in this folder starts afresh.
regions = ["us-east-1"]
aws = { endpoint_url = "http://127.0.0.1:4599" }
accounts = [{ id = "111122223333" }]
"""
Finished = subprocess.CompletedProcess[str]
Command = Callable[..., Finished]


@pytest.fixture(autouse=True)
def at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed must not depend on who started the tests."""
    for name in ("UV_RUN_RECURSION_DEPTH", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def cli(tmp_path: Path) -> Command:
    """Run the command in an empty folder, in a process of its own."""

    def run(*args: str, env: dict[str, str] | None = None, cwd: Path = tmp_path) -> Finished:
        return command(*args, env=env, cwd=cwd)

    return run


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process: its exit code, stdout and stderr."""

    def run(*args: str) -> tuple[int, str, str]:
        code = main(args)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> tuple[Path, Finished]:
    """The folder of a demo, and what it printed: it runs once, for all workers. Leave the folder as it is."""
    top = tmp_path_factory.getbasetemp()
    top = top if worker_id == "master" else top.parent
    with (top / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = top / "demo.txt"
        if not said.exists():
            said.write_text(_play(top / "demos"))
    return top / "demos" / "d", subprocess.CompletedProcess("demo", 0, said.read_text(), "")


def _play(top: Path) -> str:
    """Run the demo where an earlier one was; a snapshot of that one must be gone afterwards."""
    old = top / "d" / "warehouse" / "commits"
    old.mkdir(parents=True, exist_ok=True)  # a play that was cut off is played again
    (old / "000000000099.json").write_text("of an earlier demo")
    (top / "d" / "appstream-export.toml").write_text(EARLIER_DEMO)
    done = command(
        "demo", "--dir", "d", "--resources", "image_builders", cwd=top, env=without(top / "absent", clean_environment())
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def command(*args: str, cwd: Path, env: dict[str, str] | None = None) -> Finished:
    """`appstream-export ARGS` without anything of this machine's AWS."""
    return subprocess.run(
        [sys.executable, "-m", "appstream_export.cli.main", *args],
        cwd=cwd,
        env=clean_environment() | (env or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def clean_environment() -> dict[str, str]:
    """This process's environment without settings of AWS, of ours and of the terminal."""
    ours = ("AWS_", "APPSTREAM_EXPORT_", "UV_", "FORCE_COLOR", "TERM")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    root = str(Path(__file__).parents[2])
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return kept | nowhere | {"COLUMNS": "80", "AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": root}
