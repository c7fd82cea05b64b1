"""Clocks of machines that are wrong: no run is discarded in silence."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appstream_export.contracts import load_contracts
from appstream_export.errors import NothingExtracted
from appstream_export.preflight import Verdict, check_readiness
from appstream_export.run import Request, execute_run
from tests.cells import ACCOUNT, build_settings
from tests.export import Export
from tests.factories import image_builder
from tests.world import HOME, World

pytestmark = pytest.mark.usefixtures("without_checks")

SCOPE = "111122223333/eu-west-1"


@pytest.mark.slow
def test_a_run_after_one_whose_clock_was_ahead_fails_and_names_the_clock(export: Export) -> None:
    export.aws.put(SCOPE, image_builder("old"))
    ahead = datetime.now(UTC) + timedelta(seconds=240)
    execute_run(export.settings, export.contracts, moment=ahead)
    export.aws.put(SCOPE, image_builder("new"))

    result = export.run()

    assert (result.exit_code, len(result.failures), result.overtaken) == (3, 4, frozenset())
    assert {(o.status, o.error_code) for o in result.failures} == {("error", "AnswerDiscarded")}
    assert "so a clock is wrong" in str(result.failures[0].reason)
    assert export.sql("select distinct status, is_stale, discarded_at is not null from coverage") == [
        ("error", True, True)
    ]
    assert export.sql("select name from image_builders") == ["old"]
    findings = check_readiness(export.settings, export.contracts, Request()).findings
    (warning,) = [f.reason for f in findings if f.area == "clock" and f.verdict is Verdict.WARNING]
    assert re.fullmatch(r"the commit time of snapshot 2 is \d+ s in the future by AWS's clock", warning)


@pytest.mark.parametrize("role", [True, False])
@pytest.mark.parametrize(
    ("ahead_s", "direction", "verdict"),
    [
        (600, "ahead of", Verdict.PROBLEM),
        (-600, "behind", Verdict.PROBLEM),
        (240, "ahead of", Verdict.WARNING),
        (-240, "behind", Verdict.WARNING),
    ],
)
def test_the_doctor_compares_the_clock_with_awss_also_where_aws_refuses_every_signature(
    ahead_s: int, direction: str, verdict: Verdict, role: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with World(tmp_path) as world:
        world.clock_ahead_s = ahead_s
        world.enter(monkeypatch, AWS_ACCESS_KEY_ID=f"AKIA{ACCOUNT}", AWS_SECRET_ACCESS_KEY="secret-word")
        checkup = check_readiness(build_settings(world, "auto", role=role), load_contracts(), Request())

    clock, *others = [f for f in checkup.findings if f.area == "clock"]
    assert (checkup.exit_code, clock.verdict) == (verdict is Verdict.PROBLEM, verdict)
    found = re.fullmatch(r"this machine's clock is (\d+) s (.+) AWS's", clock.reason)
    assert found
    assert (abs(int(found[1]) - abs(ahead_s)) < 60, found[2]) == (True, direction)
    assert {f.area for f in checkup.filter_findings(Verdict.PROBLEM)} == ({"clock"} if others else set())
    advised = [clock, *others, *(f for f in checkup.findings if f.area == "regions" and f.fix)]
    assert all("clock (timedatectl set-ntp true)" in str(f.fix) for f in advised)


def test_a_first_run_whose_signatures_are_refused_for_their_time_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with World(tmp_path) as world:
        world.clock_ahead_s = 600
        world.enter(monkeypatch, AWS_ACCESS_KEY_ID=f"AKIA{ACCOUNT}", AWS_SECRET_ACCESS_KEY="secret-word")
        with pytest.raises(NothingExtracted, match="Signature not yet current") as raised:
            execute_run(build_settings(world, HOME), load_contracts())

    assert str(raised.value.fix).startswith("set the machine's clock")
