"""Dagster shows what happened: all tables land, then a failed scope turns the run red; re-execution mends it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pipelines.contracts import load_all
from pipelines.contracts.contract import all_tables
from tests.defs.jobs import snapshot_job
from tests.export import ACCOUNTS, Export
from tests.factories import image_builder

SICK = f"{ACCOUNTS[0]}/eu-west-1"
TABLES = {t.name for t in all_tables(load_all())}


@pytest.fixture
def configured(export: Export, monkeypatch: pytest.MonkeyPatch) -> Export:
    """The export's configuration as a file, named in the environment."""
    file = export.folder / "appstream-export.toml"
    file.write_text(as_toml(export))
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(file))
    return export


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster of its own, kept in the test's folder."""
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made


def as_toml(export: Export) -> str:
    accounts = "".join(
        f'[[accounts]]\nid = "{a["id"]}"\nrole_arn = "{a["role_arn"]}"\n' for a in export.mapping["accounts"]
    )
    return (
        f'warehouse = "warehouse"\nregions = {list(export.regions)}\n[aws]\n'
        f'endpoint_url = "{export.aws.endpoint_url}"\n[extract]\nmax_attempts = 1\n{accounts}'
    )


def execute(instance: dg.DagsterInstance, again: dg.ReexecutionOptions | None = None) -> dg.JobExecutionResult:
    return dg.execute_job(dg.reconstructable(snapshot_job), instance, reexecution_options=again)


def materialized(result: dg.JobExecutionResult) -> set[str]:
    return {e.asset_key.to_user_string() for e in result.all_events if e.is_step_materialization and e.asset_key}


def test_a_clean_run_materializes_every_table_and_passes_its_check(
    configured: Export, instance: dg.DagsterInstance
) -> None:
    configured.aws.put(SICK, image_builder("a", subnets=["subnet-1", "subnet-2"]))
    with execute(instance) as result:
        assert result.success
        assert materialized(result) == TABLES
        (check,) = result.get_asset_check_evaluations()
        assert check.passed
        event = instance.get_latest_materialization_event(dg.AssetKey("image_builder_subnets"))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["dagster/row_count"].value == 2


def test_a_failed_scope_turns_the_run_red_after_all_tables_landed_and_a_reexecution_green(
    configured: Export, instance: dg.DagsterInstance
) -> None:
    configured.aws.put(SICK, image_builder("a"))
    configured.aws.fail(SICK, "deny")
    with execute(instance) as red:
        assert not red.success
        assert materialized(red) == TABLES
        (check,) = red.get_asset_check_evaluations()
        assert (check.passed, check.metadata["failed"].value) == (False, 1)
    assert configured.statuses()[SICK] == "denied"

    configured.aws.heal()
    configured.aws.reset_calls()
    with execute(instance, dg.ReexecutionOptions.from_failure(red.run_id, instance)) as green:
        assert green.success
    assert configured.calls() == [SICK]
    assert configured.sql("select name, is_stale from image_builders") == [("a", False)]


def test_a_run_that_commits_nothing_fails_with_one_line(configured: Export, instance: dg.DagsterInstance) -> None:
    configured.aws.fail("*", "deny")
    with execute(instance) as result:
        assert not result.success
        (failure,) = result.get_step_failure_events()
        assert "no scope answered and no earlier snapshot exists" in str(failure.event_specific_data)


def test_the_headless_command_works_with_the_configuration_named_in_the_environment(configured: Export) -> None:
    configured.aws.put(SICK, image_builder("a"))
    command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "pipelines.definitions", "-j", "snapshot"]
    home = configured.folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    done = subprocess.run(
        command, env=os.environ | {"DAGSTER_HOME": str(home)}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert configured.sql("select name from image_builders") == ["a"]


def test_the_asset_keys_jobs_and_checks_are_these() -> None:
    """Others name them: dashboards, alerts, other code locations."""
    from pipelines.definitions import defs

    made = defs()
    keys = {key.to_user_string() for key in made.resolve_asset_graph().get_all_asset_keys()}
    assert keys == TABLES
    assert {
        "image_builders",
        "image_builder_subnets",
        "image_builder_security_groups",
        "image_builder_errors",
        "image_builder_endpoints",
        "scope_runs",
    } <= keys
    assert [c.to_user_string() for c in made.resolve_asset_graph().asset_check_keys] == ["scope_runs:coverage"]
