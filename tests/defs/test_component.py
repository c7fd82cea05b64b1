"""The export in another team's project: its names, its parts alone, and what a red run means for those downstream."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.testing import create_defs_folder_sandbox

from appstream_export.defs import AppStreamExport, export_definitions
from appstream_export.emulator import Emulator
from appstream_export.errors import SettingsError
from tests.defs.exports import as_toml
from tests.defs.hosts import as_key, host_definitions, host_job, run_assets
from tests.defs.jobs import rebuilt
from tests.export import ACCOUNTS, Export
from tests.factories import image_builder

SICK = f"{ACCOUNTS[0]}/eu-west-1"
OURS = "cloud/appstream"


@dataclass(frozen=True)
class Fed:
    """A host's Dagster after one run of all of its assets."""

    export: Export
    instance: dg.DagsterInstance
    whole: dg.ExecuteInProcessResult

    def calls(self) -> int:
        """Requests that AWS has answered so far."""
        return len(self.export.aws.calls)


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fed]:
    """One warehouse for all tests of this module that do not change what a run finds."""
    folder = tmp_path_factory.mktemp("host")
    with Emulator() as aws, pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        export = Export(aws, folder)
        aws.put(SICK, image_builder("a"))
        config = folder / "appstream-export.toml"
        config.write_text(as_toml(export, '[dagster]\nui_url = "https://dagster.example.com/"\n'))
        patch.setenv("APPSTREAM_EXPORT_CONFIG", str(config))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setattr("os.fsync", lambda _: None)
        job = host_definitions().resolve_implicit_global_asset_job_def()
        yield Fed(export, instance, job.execute_in_process(instance=instance, raise_on_error=False))


@pytest.fixture(autouse=True)
def configured(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of each test names that configuration: the one of all tests removes it."""
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(fed.export.folder / "appstream-export.toml"))


def materialized(result: dg.ExecuteInProcessResult | dg.JobExecutionResult) -> set[str]:
    return {e.asset_key.to_user_string() for e in result.all_events if e.is_step_materialization and e.asset_key}


def logged(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> str:
    return "\n".join(e.user_message for e in instance.all_logs(result.run_id))


@pytest.mark.slow
def test_a_run_of_the_host_makes_its_assets_and_ours_under_their_prefix(fed: Fed) -> None:
    made, graph = materialized(fed.whole), host_definitions().resolve_asset_graph()
    checks = {check.asset_check_key.to_user_string() for check in fed.whole.get_asset_check_evaluations()}
    run = fed.instance.get_run_by_id(fed.whole.run_id)

    assert fed.whole.success
    assert len([event for event in fed.whole.all_events if event.is_step_materialization]) == len(made), "each once"
    assert made == {k.to_user_string() for k in graph.executable_asset_keys}
    assert {"accounts", "report", f"{OURS}/accounts", f"{OURS}/feeds/image_builders", "page"} <= made
    assert checks == {key.to_user_string() for key in graph.asset_check_keys}
    assert graph.get(as_key("page")).owners == ["team:host"]
    assert graph.get(as_key("page")).parent_keys >= {as_key(f"{OURS}/image_builder_changes")}
    assert run is not None
    assert "dagster/max_runtime" not in run.tags, "the host's assets may take longer"


def test_the_executor_of_the_host_is_its_own_and_our_jobs_run_in_one_process() -> None:
    repository = host_definitions().get_repository_def()
    executors = {job.name: job.executor_def.name for job in repository.get_all_jobs()}

    assert executors["__ASSET_JOB"] == "multiprocess"
    assert executors["cloud_appstream_snapshot"] == executors["cloud_appstream_republish"] == "in_process"


def test_two_exports_with_different_configurations_live_in_one_location(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('warehouse = "other"\nregions = ["eu-west-1"]\naccounts = [{ id = "777788889999" }]\n')
    second = export_definitions(other, key_prefix=["second"], group_prefix="second_", schedule="5 * * * *")
    both = dg.Definitions.merge(host_definitions(), second)
    repository, graph = both.get_repository_def(), both.resolve_asset_graph()
    on = {s.name for s in repository.schedule_defs if s.default_status is dg.DefaultScheduleStatus.RUNNING}
    ops = {op for job in repository.get_all_jobs() for op in job.all_node_defs if isinstance(op, dg.OpDefinition)}

    assert on == {"second_snapshot_schedule"}
    assert {op.pool for op in ops} == {None, "cloud_appstream_warehouse", "second_warehouse"}
    assert graph.get(as_key("second/image_builders")).group_name == "second_tables"
    assert both.resolve_job_def("second_snapshot").tags["appstream_export/warehouse"] == str(tmp_path / "other")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::dagster_shared.utils.warnings.BetaWarning")  # Dagster warns about its own code
def test_the_component_reads_the_settings_beside_its_file_and_a_missing_one_is_one_line(fed: Fed) -> None:
    with create_defs_folder_sandbox() as sandbox:
        attributes = {"config": "mine.toml", "key_prefix": ["x"], "group_prefix": "x_", "schedule": "0 * * * *"}
        path = sandbox.scaffold_component(
            component_cls=AppStreamExport,
            defs_yaml_contents={"type": "appstream_export.defs.AppStreamExport", "attributes": attributes},
        )
        with pytest.raises(ComponentTreeException) as missing, sandbox.build_all_defs():
            pass
        assert str(missing.value.__cause__).endswith("mine.toml: no such file; create one with: appstream-export init")
        (path / "mine.toml").write_text(as_toml(fed.export))
        with sandbox.build_all_defs() as made:
            assert made.resolve_asset_graph().has(as_key("x/image_builders"))
            assert made.resolve_schedule_def("x_snapshot_schedule").cron_schedule == "0 * * * *"


def get_folder(key: str) -> str:
    """The part of a key before its name; feeds of v2 lie beside those of v1."""
    return key.replace("/v2/", "/").rpartition("/")[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asset", "also", "line"),
    [
        (f"{OURS}/image_builder_overview", f"{OURS}/coverage", "marts are selected; all marts are views of one"),
        (f"{OURS}/feeds/image_builders", f"{OURS}/feeds/v2/dim_account", "feeds are selected; all feeds are one"),
        (f"{OURS}/feeds/v2/dim_account", f"{OURS}/feeds/feed_status", "feeds are selected; all feeds are one"),
        ("page", "page", ""),
    ],
    ids=["mart", "feed", "feed of v2", "page"],
)
def test_a_mart_a_feed_or_the_page_is_made_again_alone_without_a_request(
    asset: str, also: str, line: str, fed: Fed
) -> None:
    before = fed.calls()
    result = run_assets(host_definitions(), fed.instance, asset)
    run = fed.instance.get_run_by_id(result.run_id)

    assert result.success
    assert {asset, also} <= materialized(result)
    assert {get_folder(key) for key in materialized(result)} == {get_folder(asset)}
    assert line in logged(fed.instance, result)
    assert fed.calls() == before
    assert run is not None
    assert run.tags["dagster/max_runtime"] == "7200", "the button gives none"


@pytest.mark.slow
def test_checks_run_alone_without_a_request_and_fail_no_run(fed: Fed) -> None:
    before = fed.calls()
    chosen = [f"{OURS}/image_builders:complete", f"{OURS}/scope_runs:coverage", f"{OURS}/image_builders:duplicate_keys"]
    result = run_assets(host_definitions(), fed.instance, checks=chosen)
    evaluated = {c.asset_check_key.to_user_string(): c.passed for c in result.get_asset_check_evaluations()}

    assert result.success
    assert evaluated == dict.fromkeys(chosen, True)
    assert (materialized(result), fed.calls()) == (set(), before)


@pytest.mark.long
def test_some_tables_are_exported_with_all_others_and_say_so(fed: Fed) -> None:
    result = run_assets(host_definitions(), fed.instance, f"{OURS}/image_builders")

    assert result.success
    assert materialized(result) == materialized(fed.whole) - {"accounts", "report"}
    line = r"\b1 of \d+ tables are selected; a snapshot is one commit of all of them"
    assert re.search(line, logged(fed.instance, result))


@pytest.fixture
def red(fed: Fed, tmp_path: Path) -> Iterator[tuple[Export, dg.DagsterInstance]]:
    """An export of its own of which one scope is denied, and a Dagster of its own."""
    export = Export(fed.export.aws, tmp_path)
    export.aws.fail(SICK, "deny")
    export.aws.reset_calls()
    with dg.DagsterInstance.ephemeral() as instance:
        yield export, instance
    export.aws.heal()


def write_config(export: Export, monkeypatch: pytest.MonkeyPatch, more: str = "") -> None:
    file = export.folder / "appstream-export.toml"
    file.write_text(as_toml(export, more))
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(file))


@pytest.mark.slow
def test_downstream_of_a_red_run_goes_on_and_its_reexecution_from_failure_requests_what_failed(
    red: tuple[Export, dg.DagsterInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    export, instance = red
    write_config(export, monkeypatch)
    with dg.execute_job(rebuilt(host_job), instance) as first:
        landed = materialized(first)
        checks = {c.asset_check_key.to_user_string(): c for c in first.get_asset_check_evaluations()}
        failed = [event.step_key for event in first.get_step_failure_events()]
    export.aws.heal()
    export.aws.reset_calls()
    with dg.execute_job(
        rebuilt(host_job), instance, reexecution_options=dg.ReexecutionOptions.from_failure(first.run_id, instance)
    ) as green:
        again = materialized(green)
        complete = [c.passed for c in green.get_asset_check_evaluations() if c.check_name == "complete"]

    assert (first.success, failed) == (False, ["cloud_appstream_coverage"])
    assert {"report", "page", f"{OURS}/image_builders", f"{OURS}/feeds/image_builders"} <= landed
    assert not checks[f"{OURS}/scope_runs:coverage"].passed
    stale = checks[f"{OURS}/image_builders:complete"]
    assert (stale.passed, stale.severity, stale.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert stale.metadata["failed_scopes"].value.records[0].data["status"] == "denied"
    assert green.success
    assert export.calls() == [SICK]
    assert again == landed - {"accounts", "report"}
    assert set(complete) == {True}
    assert export.sql("select count(*) from snapshots") == [2]


@pytest.mark.slow
def test_a_red_run_stops_those_downstream_where_the_settings_say_so_and_feeds_are_published(
    red: tuple[Export, dg.DagsterInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    export, instance = red
    write_config(export, monkeypatch, '[dagster]\non_incomplete = "stop"\n')
    graph = host_definitions().resolve_asset_graph()
    blocking = {key.name for key in graph.asset_check_keys if graph.get(key).blocking}
    with dg.execute_job(rebuilt(host_job), instance) as first:
        landed = materialized(first)
        failed = {c.check_name for c in first.get_asset_check_evaluations() if not c.passed and c.blocking}

    assert not first.success
    assert {"complete", "coverage", "duplicate_keys", "feeds_are_published"} <= blocking
    assert "report" not in landed
    assert {f"{OURS}/image_builders", f"{OURS}/feeds/image_builders", "page"} <= landed
    assert failed == {"complete", "coverage"}


def test_an_empty_key_prefix_is_none_and_one_that_dagster_refuses_is_one_line() -> None:
    assert {job.name for job in export_definitions(key_prefix="").jobs or ()} >= {"snapshot", "republish"}
    for prefix in ("cloud/appstream", ["cloud", "a b"]):
        with pytest.raises(SettingsError, match=r'key_prefix "[^"\n]*": .*; give its parts as a list') as caught:
            export_definitions(key_prefix=prefix)
        assert "\n" not in str(caught.value)
