"""A log never decides, and a result that is lost is no success: every command with streams that are closed or full."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from appstream_export.emulator import Emulator, make_image_builder
from tests.cli.conftest import clean_environment
from tests.lake.lakes import A, Lake, builder, ok
from tests.slices import long_but

SCOPE, OTHER = "111122223333/eu-west-1", "111122223333/us-east-1"
SETTINGS = """
regions = ["eu-west-1", "us-east-1"]
accounts = [{{ id = "111122223333", role_arn = "arn:aws:iam::111122223333:role/reader" }}]
aws.endpoint_url = "{url}"
extract.max_attempts = 1
feeds.report = false
"""
COMMAND = f"{shlex.quote(sys.executable)} -m appstream_export.cli.main"


@pytest.fixture
def folder(tmp_path: Path, aws: Emulator) -> Path:
    """Settings of two scopes, a builder in each."""
    for scope in (SCOPE, OTHER):
        aws.put(scope, make_image_builder("a", scope=scope))
    (tmp_path / "appstream-export.toml").write_text(SETTINGS.format(url=aws.endpoint_url))
    return tmp_path


def shell(words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of bash; `us` is the command."""
    script = f'us() {{ {COMMAND} "$@"; }}\nset -o pipefail\n{words}'
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False,
        timeout=240,
    )  # fmt: skip


STREAMS = {
    "closed": "us run >&- 2>&- <&-",
    "full": "us run >/dev/full 2>/dev/full",
    "a pipe that breaks": "us run 2>&1 | true",
    "its log is full, but not its result": "us run --json 2>/dev/full",
}


@pytest.mark.slow
@pytest.mark.parametrize("case", long_but(STREAMS, "full"))
def test_a_run_goes_on_whatever_becomes_of_its_log_and_its_code_tells_of_the_export(
    case: str, folder: Path, aws: Emulator
) -> None:
    clean = shell(STREAMS[case], folder)
    aws.fail(OTHER, "deny")
    failed = shell(STREAMS[case], folder)
    current = json.loads((folder / "warehouse" / "feeds" / "v1" / "current.json").read_text())

    assert (clean.returncode, failed.returncode) == (0, 3), clean.stderr + failed.stderr
    assert current["seq"] == 2
    assert "Exception ignored" not in clean.stderr + failed.stderr


@pytest.mark.slow
@pytest.mark.parametrize("stdout", long_but([">/dev/full", ">&-"], ">&-"))
def test_a_run_whose_object_is_lost_does_not_end_with_0(stdout: str, folder: Path) -> None:
    done = shell(f"us run --json {stdout}", folder)

    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("appstream-export: the output could not be written: ")
    assert (folder / "warehouse" / "warehouse.duckdb").is_file()


ANSWERS = ["sql 'select 1' --json", "query running_over", "status", "tables --json"]


@pytest.mark.slow
@pytest.mark.parametrize("stdout", [">/dev/full", ">&-"])
@pytest.mark.parametrize("words", long_but(ANSWERS, "sql 'select 1' --json"))
def test_an_answer_that_is_lost_is_one_line_and_no_success(words: str, stdout: str, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")))
    lake.publish()
    where = "" if words.startswith("tables") else "--warehouse warehouse"
    done = shell(f"us {words} {where} {stdout}", tmp_path)
    unlogged = shell(f"us {words} {where} {stdout} 2>&-", tmp_path)

    assert (done.returncode, unlogged.returncode) == (2, 2)
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("appstream-export: the output could not be written: ")


def test_a_bar_is_drawn_on_a_terminal_and_lines_beside_it() -> None:
    ours, theirs = os.openpty()
    script = (
        "import sys; from appstream_export.cli import progress\n"
        "with progress.show_run_progress() as seen:\n"
        "    seen.on_plan(3); print('beside', file=sys.stderr); seen.on_stage('commit')"
    )
    done = subprocess.run([sys.executable, "-c", script], stderr=theirs, env=clean_environment(), timeout=240)
    os.close(theirs)
    drawn = os.read(ours, 1 << 16).decode()
    os.close(ours)

    assert done.returncode == 0
    assert "0/3 scopes, 0 items, commit" in drawn
    assert "beside" in drawn


@pytest.mark.slow
def test_sql_from_a_closed_stdin_is_one_line(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")))
    done = shell("us sql - --warehouse warehouse <&-", tmp_path)

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
