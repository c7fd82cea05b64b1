"""Dagster's own processes on this machine, each with a home and a port of its own; ended by their own group."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
START_S = 600  # a loaded machine; it takes ten
STOP_S = 30


@contextmanager
def dagster_dev(home: Path, environ: dict[str, str], workspace: str = "workspace.yaml") -> Iterator[str]:
    """`dagster dev -w workspace.yaml`: the URL of its webserver, once our definitions are loaded."""
    port = free_port()
    command = [sys.executable, "-m", "dagster", "dev", "-w", workspace, "-h", "127.0.0.1", "-p", str(port)]
    with (home / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environ | {"DAGSTER_HOME": str(home)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: is_loaded(url), f"dagster dev: {home / 'dev.log'}")
        yield url
    finally:
        end(process)


def write_workspace(folder: Path) -> Path:
    """A workspace of our export with an asset of another team downstream."""
    location = {"relative_path": str(ROOT / "tests/defs/downstream.py"), "working_directory": str(ROOT)}
    file = folder / "workspace.yaml"
    file.write_text(json.dumps({"load_from": [{"python_file": location | {"location_name": "appstream-export"}}]}))
    return file


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to stop, then kill what does not."""
    for how in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(STOP_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def is_loaded(url: str) -> bool:
    """Whether the webserver answers, and knows our job."""
    try:
        found = ask(url, "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }")
    except OSError:
        return False
    entries = found["workspaceOrError"]["locationEntries"]
    return bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)


def ask(url: str, query: str) -> Any:
    """What its GraphQL answers."""
    request = urllib.request.Request(
        f"{url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=180) as answer:
        return json.load(answer)["data"]


LAUNCH = """mutation { launchRun(executionParams: { selector: {
    repositoryLocationName: "appstream-export", repositoryName: "__repository__", jobName: "%s" } }) {
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


def launched(url: str, job: str = "snapshot") -> str:
    """The id of a run of a job, launched as the webserver's pages do."""
    return ask(url, LAUNCH % job)["launchRun"]["run"]["runId"]


def wait_until(is_so: Any, what: str, within_s: float = START_S) -> None:
    """Look again until it is so."""
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.2)


def children(pid: int, named: str) -> list[int]:
    """Processes below this one whose command has that in it."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            command = (place / "cmdline").read_text()
        except OSError:
            continue  # it has just ended
        if parent == pid:
            found += [int(place.name)] * (named in command) + children(int(place.name), named)
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
