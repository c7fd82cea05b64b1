"""What the coverage check says of runs that are not simply good or bad."""

from dataclasses import replace

import dagster as dg

from pipelines.defs.checks import coverage_result
from tests.export import Export


def test_a_discovery_that_failed_turns_the_run_red_even_where_every_scope_answered(export: Export) -> None:
    check = coverage_result(replace(export.run(), discovery_problem="the organization's accounts are not known"))

    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert check.description == "the organization's accounts are not known. All 4 asked scopes answered."
