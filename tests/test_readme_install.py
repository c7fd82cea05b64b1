"""README's path from the install to a scheduled run, word for word, where nothing of this project is installed."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from appstream_export.emulator import Emulator
from tests.defs.servers import ask, end, free_port
from tests.factories import image_builder

ROOT = Path(__file__).parent.parent
ACCOUNT = "111122223333"
GIVE_UP_S = 600
PASSED = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_FIND_LINKS", "PIP_", "SSL_")  # what leads to a package index
RUNS = "{runsOrError {... on Runs {results {status tags {key value}}}}}"


def read_blocks(heading: str) -> list[str]:
    """Return the shell blocks of a section of README."""
    section = (ROOT / "README.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)


def test_readme_installs_with_each_tool_and_then_schedules() -> None:
    install, use, schedule = read_blocks("Use it on your AWS")

    assert [line.partition(" install ")[0] for line in install.splitlines()] == ["uv tool", "pipx", "pip"]
    assert all("'.[ui]'" in line for line in install.splitlines())
    assert [line.split()[:2] for line in use.splitlines()][:4] == [
        ["appstream-export", command] for command in ("init", "doctor", "plan", "run")
    ]
    assert "dagster dev -m appstream_export.definitions" in schedule


@pytest.fixture
def machine(tmp_path: Path) -> Mapping[str, str]:
    """The environment of a new user: a home of their own, uv, and no tool installed."""
    uv = os.environ.get("UV") or shutil.which("uv") or pytest.skip("needs uv")
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "uv").symlink_to(uv)
    passed = {k: v for k, v in os.environ.items() if k.startswith(PASSED) or k.lower().endswith("_proxy")}
    cache = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    own = {
        "HOME": str(home),
        "PATH": f"{home}/bin:{sys.base_prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        "UV_TOOL_DIR": str(home / "tools"),
        "UV_TOOL_BIN_DIR": str(home / "bin"),
        "UV_CACHE_DIR": cache,
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    return passed | own


@pytest.mark.long
@pytest.mark.parametrize("tool", ["uv tool", "pipx", "pip"])
def test_from_readmes_install_to_a_scheduled_run(
    tool: str, aws: Emulator, machine: Mapping[str, str], tmp_path: Path
) -> None:
    install, use, schedule = read_blocks("Use it on your AWS")
    machine = provide(tool, machine)
    aws.put(f"{ACCOUNT}/us-east-1", image_builder("a"))
    project = tmp_path / "project"
    project.mkdir()

    run(next(line for line in install.splitlines() if line.startswith(f"{tool} install ")), ROOT, machine)
    init, _, others = use.partition("\n")
    run(init, project, machine)
    fill_in(project / "appstream-export.toml", aws.endpoint_url)
    for line in others.splitlines():
        run(line, project, machine)

    for status in watch_scheduled_run(schedule, project, machine):
        assert status in {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "SUCCESS"}


def provide(tool: str, machine: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment of a user who has that installer: pipx from an index, or a virtual environment's pip."""
    home = machine["HOME"]
    if tool == "pipx":
        run("uv tool install --quiet pipx", Path(home), machine)
        return {**machine, "PIPX_HOME": f"{home}/pipx", "PIPX_BIN_DIR": f"{home}/bin"}
    if tool == "pip":
        run(f"{sys.executable} -m venv {home}/venv", Path(home), machine)
        return {**machine, "VIRTUAL_ENV": f"{home}/venv", "PATH": f"{home}/venv/bin:{machine['PATH']}"}
    return machine


def fill_in(settings: Path, endpoint_url: str) -> None:
    """Do what README and the comments of the settings request: an account, a cron, and here our emulator."""
    text = settings.read_text()
    for commented, line in (
        ('# [[accounts]]\n# id = "111122223333"', f'[[accounts]]\nid = "{ACCOUNT}"'),
        ('# role_arn = "arn:aws:iam::111122223333', f'role_arn = "arn:aws:iam::{ACCOUNT}'),
        ('# endpoint_url = "http://127.0.0.1:4599"', f'endpoint_url = "{endpoint_url}"'),
        ('# cron = "0 * * * *"', 'cron = "* * * * *"'),
    ):
        assert text.count(commented) == 1, commented
        text = text.replace(commented, line)
    settings.write_text(text)


def watch_scheduled_run(commands: str, folder: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield each status of the first scheduled run, up to its success."""
    port = free_port()
    quiet = {**environ, "DAGSTER_CLI_DEV_PORT": str(port)}
    log = folder / "dagster.log"
    with log.open("w") as output:
        served = subprocess.Popen(
            ["sh", "-ec", commands], cwd=folder, env=quiet, stdout=output, stderr=output, start_new_session=True
        )
    try:
        until, status = time.monotonic() + GIVE_UP_S, ""
        while status != "SUCCESS":
            assert time.monotonic() < until, log.read_text()[-4000:]
            assert served.poll() is None, log.read_text()[-4000:]
            time.sleep(1)
            if status := find_scheduled_status(port) or status:
                yield status
    finally:
        end(served)


def find_scheduled_status(port: int) -> str | None:
    """Return the status of the oldest run that a schedule launched, as the webserver reports it; None before."""
    try:
        runs = ask(f"http://127.0.0.1:{port}", RUNS)["runsOrError"]["results"]
    except OSError:
        return None
    scheduled = [each for each in runs if any(tag["key"] == "dagster/schedule_name" for tag in each["tags"])]
    return scheduled[-1]["status"] if scheduled else None


def run(line: str, folder: Path, environ: Mapping[str, str]) -> None:
    """Run a line of README in a shell; it must succeed."""
    done = subprocess.run(["sh", "-ec", line], cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
