"""Clocks of machines that are wrong: no run is discarded in silence."""

import re
from datetime import UTC, datetime, timedelta

from appstream_export.preflight import Verdict, check_readiness
from appstream_export.run import Request, execute_run
from tests.export import Export
from tests.factories import image_builder

SCOPE = "111122223333/eu-west-1"


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
    assert re.fullmatch(r"snapshot 2 lies \d+ s in the future by AWS's clock", warning)
