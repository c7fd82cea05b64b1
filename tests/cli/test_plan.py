"""`plan`: who would be asked and what that costs; and how `run` tells of a discovery that failed."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from appstream_export.contracts import load_contracts
from appstream_export.emulator import Emulator
from appstream_export.preflight.estimate import Cost
from appstream_export.run import execute_run
from appstream_export.settings import read_settings
from tests.cli.organization import DEV, EU, HUB, LAB, LISTS, PROD, US, found, of_accounts, of_organization

pytestmark = pytest.mark.usefixtures("without_checks")

Told = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """An organization; each test heals what it broke."""
    with Emulator() as running:
        found(running)
        yield running


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    of_accounts(aws, tmp_path)
    aws.reset_calls()
    yield tmp_path
    aws.heal()
    aws.set_account_state(DEV, "ACTIVE")


def planned(told: Told, *words: str) -> dict[str, Any]:
    return json.loads(told("plan", "--json", *words)[1])


@pytest.mark.slow
def test_the_first_plan_asks_nobody_and_writes_nothing(folder: Path, aws: Emulator, told: Told) -> None:
    code, out, err = told("plan")

    assert (code, err, aws.calls) == (0, "", [])
    assert out == (
        "accounts  4: 4 settings\n"
        "regions   2 (settings): eu-south-1, us-east-1\n"
        "tasks     8 image_builders\n"
        "calls     12: 8 for tasks (8 counted as one call each), 4 for sessions\n"
        "time      about 1 second: 0.25 s a call (assumed: nothing has been measured\n"
        "          yet), 4 at once\n"
        "run it    appstream-export run\n"
    )
    assert [path.name for path in folder.iterdir()] == ["appstream-export.toml"]


@pytest.mark.slow
def test_once_there_was_a_run_the_calls_are_those_of_the_next(folder: Path, aws: Emulator, told: Told) -> None:
    file = folder / "appstream-export.toml"
    file.write_text(file.read_text().replace("workers = 4", "workers = 4\npage_size = 1"))
    told("run")
    foreseen = planned(told)
    aws.reset_calls()
    told("run")

    assert foreseen["calls"] == len(aws.calls) == 4 + 8 * 2
    assert (foreseen["tasks_known"], foreseen["is_measured"]) == (8, True)
    assert 0 < foreseen["seconds"] < 60


@pytest.mark.slow
def test_what_limits_a_run_limits_its_plan(aws: Emulator, told: Told) -> None:
    aws.fail(f"{DEV}/{EU}", "deny")
    told("run")
    one = planned(told, "--accounts", f"{PROD},{DEV}", "--regions", EU)
    failed = planned(told, "--retry-failed")
    _, out, _ = told("plan", "--accounts", DEV, "--retry-failed")

    assert (one["tasks"], one["not_asked"]) == ([f"image_builders@{PROD}/{EU}", f"image_builders@{DEV}/{EU}"], 6)
    assert (one["task_calls"], one["tasks_known"], one["session_calls"]) == (2, 1, 2)
    assert failed["tasks"] == [f"image_builders@{DEV}/{EU}"]
    assert out.endswith(f"run it    appstream-export run --accounts {DEV} --retry-failed\n")
    assert "7 not requested, their rows stay unchanged" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--accounts", "999999999999"], "--accounts 999999999999: not covered"),
        (["--retry-failed"], "--retry-failed: there is no snapshot yet; run without it"),
    ],
)
def test_what_a_run_refuses_a_plan_refuses(words: list[str], expected: str, told: Told) -> None:
    code, _, err = told("plan", *words)

    assert code == 2
    assert expected in err


@pytest.mark.slow
def test_scopes_that_would_end_are_named_with_what_they_hold(folder: Path, aws: Emulator, told: Told) -> None:
    told("run")
    of_accounts(aws, folder, {PROD: "prod", DEV: "dev", HUB: "management"})

    assert planned(told)["ends"] == [{"task": f"image_builders@{LAB}/{region}", "items": 2} for region in (EU, US)]
    assert f"ends 2 scopes of the newest snapshot, with 4 items: {LAB}/{EU}," in " ".join(told("plan")[1].split())


@pytest.mark.slow
def test_an_organization_is_asked_for_its_accounts_and_regions_alone(folder: Path, aws: Emulator, told: Told) -> None:
    of_organization(aws, folder, "")
    aws.set_account_state(DEV, "SUSPENDED")
    aws.reset_calls()
    foreseen = planned(told, "--regions", EU)

    assert (foreseen["accounts"], foreseen["regions_source"]) == ({"organization": 4}, "ssm")
    assert foreseen["skipped"] == [{"task": f"image_builders@{DEV}/{EU}", "reason": "account is SUSPENDED"}]
    assert len(foreseen["tasks"]) == 3
    assert {c.service for c in aws.calls} == {"organizations", "ssm"}
    assert foreseen["discovery_calls"] == len(aws.calls)


@pytest.mark.slow
def test_a_discovery_that_fails_is_told_with_the_ways_out(folder: Path, aws: Emulator, told: Told) -> None:
    of_organization(aws, folder)
    aws.fail(LISTS, "deny", operation="ListAccounts")
    first = told("plan")[0]
    aws.heal()
    told("run")
    aws.fail(LISTS, "deny", operation="ListAccounts")
    code, out, _ = told("plan")
    ran, said, _ = told("run")
    again, nothing, _ = told("run", "--retry-failed")
    _, as_json, _ = told("run", "--json")

    assert (first, code) == (4, 1)
    assert "discovery failed: the organization's accounts are not known: ListAccounts:" in out
    assert (ran, again) == (3, 3)
    for text in (said, nothing):
        last = text[text.index("discovery failed") :]
        assert last.startswith("discovery failed, so the exit code is 3: the organization's accounts are not")
        assert last.splitlines()[-2:] == [
            "find the cause:    appstream-export doctor",
            "accept the list from AWS, even if short or empty:  appstream-export run --accept-drop",
        ]
    assert "nothing to do: every scope of this run" in nothing
    assert "the run uses the 4 accounts of the newest snapshot" in json.loads(as_json)["discovery_problem"]


def test_a_run_in_the_moment_of_the_demo_is_measured_too(folder: Path, told: Told) -> None:
    settings = read_settings(folder / "appstream-export.toml")
    execute_run(settings, load_contracts(), moment=datetime(2026, 11, 24, tzinfo=UTC))

    assert planned(told)["is_measured"] is True


@pytest.mark.parametrize("last", ["nothing is due", "nothing was called"])
def test_what_earlier_runs_measured_is_used_where_the_newest_called_nothing(
    last: str, folder: Path, aws: Emulator, told: Told
) -> None:
    told("run")
    measured = planned(told)["call_seconds"]
    if last == "nothing is due":
        file = folder / "appstream-export.toml"
        file.write_text(file.read_text() + '[contracts.cadence]\nimage_builders = "1d"\n')
    else:
        aws.fail("*", "deny", operation="AssumeRole")
    told("run")
    found = planned(told)

    assert found["is_measured"] is True
    assert found["call_seconds"] == measured


def test_a_process_is_as_fast_as_its_workers_up_to_1200_calls_per_second() -> None:
    def estimate(call_s: float) -> float:
        cost = Cost(session_calls=0, task_calls=12_000, known_tasks=0, workers=64, call_s=call_s, is_measured=True)
        return cost.seconds

    assert estimate(0.055) == pytest.approx(12_000 * 0.055 / 64)
    assert estimate(0.01) == pytest.approx(10)
