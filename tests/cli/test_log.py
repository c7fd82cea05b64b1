"""What stderr says of a command: with time and level where no person looks on, as JSON for programs, or little."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appstream_export.emulator import Emulator
from tests.cli.two_scopes import BAD, GOOD, enter_folder, serve_two_scopes

pytestmark = pytest.mark.usefixtures("without_checks")
Told = Callable[..., tuple[int, str, str]]
TIMED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) \S")


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with serve_two_scopes() as running:
        yield running


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with enter_folder(tmp_path, aws, monkeypatch) as entered:
        yield entered


def records(err: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in err.splitlines()]


def test_every_line_of_a_run_that_nobody_looks_at_has_a_time_and_a_level(told: Told, aws: Emulator) -> None:
    aws.fail(BAD, "deny")
    code, out, err = told("run")

    assert code == 3
    assert [line for line in err.splitlines() if not TIMED.match(line)] == []
    assert f" WARNING denied {BAD}: " in err
    assert err.splitlines()[-1].endswith(" ERROR run ended with exit code 3")
    assert out.startswith("snapshot 1 committed: ")


def test_json_is_one_object_a_line_whose_last_says_how_the_run_ended(told: Told, aws: Emulator) -> None:
    aws.fail(BAD, "deny")
    code, out, err = told("--log-format", "json", "run")
    *_, denied, last = (r for r in records(err) if r.get("status") or "exit_code" in r)

    assert (code, out) == (3, "")
    assert {"time", "level", "logger", "message", "version"} <= min(map(set, records(err)), key=len)
    assert (denied["level"], denied["region"], denied["error_code"]) == (
        "warning",
        "us-east-1",
        "AccessDeniedException",
    )
    assert (last["level"], last["exit_code"], last["seq"], len(last["failures"])) == ("error", 3, 1, 1)


@pytest.mark.parametrize("words", [["--log-format", "json", "run"], ["--log-format=json", "rum"]])
def test_a_command_that_is_refused_says_so_in_json_too(words: list[str], folder: Path, told: Told) -> None:
    (folder / "appstream-export.toml").write_text("regions = 5")
    code, out, err = told(*words)

    assert (code, out) == (2, "")
    assert {(r["level"], r["exit_code"]) for r in records(err)} == {("error", 2)}


def test_the_environment_chooses_the_format_and_text_times_problems_too(
    told: Told, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "appstream-export.toml").write_text("regions = 5")
    plain = told("run")[2]
    timed = told("run", "--log-format", "text")[2]
    monkeypatch.setenv("APPSTREAM_EXPORT_LOG_FORMAT", "json")

    assert plain.startswith("appstream-export: ")
    assert TIMED.match(timed)
    assert records(told("run")[2])[0]["level"] == "error"


@pytest.mark.slow
def test_a_quiet_run_says_nothing_unless_it_fails(told: Told, aws: Emulator) -> None:
    quiet = told("run", "-q")
    aws.fail(BAD, "deny")
    code, out, err = told("run", "--quiet")

    assert quiet == (0, "", "")
    assert (code, err.count("\n")) == (3, 1)
    assert f"denied      {BAD}" in out


def test_a_verbose_run_names_every_scope_with_its_figures(told: Told) -> None:
    err = told("run", "-v")[2]

    assert re.search(rf"INFO ok {GOOD}: 1 items, 1 call, \d+ ms", err)
    assert re.search(rf"INFO ok {BAD}: 1 items, 1 call, \d+ ms", err)


def test_the_log_of_an_earlier_command_leaves_nothing_behind(told: Told) -> None:
    told("run", "-q", "--log-format", "json")

    assert TIMED.match(told("run")[2])
    assert len(logging.getLogger("appstream_export").handlers) == 1
