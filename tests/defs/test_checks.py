"""What the checks say of runs that are not simply good or bad."""

from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import pytest

from appstream_export.contracts import load_contracts
from appstream_export.defs.checks import (
    build_check_results,
    build_coverage_result,
    explain_failure,
    split_check_specs,
)
from appstream_export.defs.specs import build_asset_sources
from appstream_export.lake.catalog.checks import CheckResult
from appstream_export.settings import Settings
from tests.export import Export


@pytest.mark.slow
def test_a_discovery_that_failed_turns_the_run_red_even_where_every_scope_answered(export: Export) -> None:
    check = build_coverage_result(replace(export.run(), discovery_problem="the organization's accounts are not known"))

    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert check.description == "the organization's accounts are not known. All 4 requested scopes answered."


@pytest.mark.slow
def test_rows_that_must_not_exist_turn_the_run_red_and_those_to_look_at_do_not(export: Export) -> None:
    result = export.run()
    rows = ({"name": "a", "rows": 2, "since": datetime(2026, 1, 31, 6, 5, 4, tzinfo=UTC), "reason": None},)
    changed = {"duplicate_keys": 1, "unknown_fields": 3}
    found = [replace(c, rows=changed.get(c.name, 0), examples=rows) if c.name in changed else c for c in result.checks]
    assets = build_asset_sources(load_contracts(), Settings())
    told = {check.check_name: check for check in build_check_results(replace(result, checks=tuple(found)), assets)}
    early, late = split_check_specs(assets, {asset.key for asset in assets}, is_blocking=True)
    blocking = {spec.name for spec in (*early, *late) if spec.blocking}
    red = {name for name, c in told.items() if not c.passed and c.severity is dg.AssetCheckSeverity.ERROR}

    assert red == {"duplicate_keys"} <= blocking
    examples = told["duplicate_keys"].metadata["examples"].value
    assert [record.data for record in examples.records] == [
        {"name": "a", "rows": "2", "since": "2026-01-31 06:05", "reason": ""}
    ]
    assert (told["unknown_fields"].passed, "unknown_fields" in blocking) == (False, False)
    assert told["coverage"].passed


@pytest.mark.slow
def test_what_a_red_run_ends_with_names_scopes_and_rows_each_where_they_are_why(export: Export) -> None:
    sound = export.run()
    broken = replace(sound, checks=(CheckResult(name="orphan_children", doc="No parent.", severity="error", rows=2),))
    export.aws.fail("111122223333/eu-west-1", "deny")
    unseen = export.run()

    assert explain_failure(broken) == "Check orphan_children: 2 rows found. No parent."
    assert explain_failure(unseen).startswith(
        "1 of 4 requested scopes failed, such as image_builders@111122223333/eu-west-1 (denied); "
    )
    assert "Check" not in explain_failure(unseen)


@pytest.mark.slow
def test_what_could_not_be_looked_at_has_not_passed(export: Export) -> None:
    result = replace(export.run(), checks=(), checks_problem="the disk is gone")
    told = {c.check_name: c for c in build_check_results(result, build_asset_sources(load_contracts(), Settings()))}

    assert told["stale_scopes"].description == "the disk is gone"
    assert not told["stale_scopes"].passed


@pytest.mark.slow
def test_a_run_that_left_feeds_and_report_as_they_were_does_not_vouch_for_them(export: Export) -> None:
    told = {
        c.check_name: c for c in build_check_results(export.run(), build_asset_sources(load_contracts(), Settings()))
    }

    assert {name for name, check in told.items() if not check.passed} == {"feeds_are_published", "report_is_written"}
    assert told["catalog_is_published"].passed
