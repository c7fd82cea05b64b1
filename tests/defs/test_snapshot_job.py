"""Dagster shows what happened: all tables land, then a failed scope turns the run red; re-execution mends it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from appstream_export.contracts import load_contracts
from appstream_export.contracts.model import list_snapshot_tables
from appstream_export.definitions import defs
from appstream_export.defs import specs
from appstream_export.defs.assets import SnapshotConfig
from appstream_export.defs.steps import resolve_run_id
from appstream_export.defs.stop import STOPPED_AFTER_COMMIT
from appstream_export.model import ScanOptions
from appstream_export.run import Request
from appstream_export.settings import Settings
from benchmarks.world import REGIONS as MANY_REGIONS
from tests.defs.exports import EXECUTE_JOB, as_toml, checks, execute, materialized, stopping_in_bucket
from tests.defs.jobs import rebuilt, retried_job, sharded_job, snapshot_job
from tests.export import ACCOUNTS, Export
from tests.factories import image_builder

SICK = f"{ACCOUNTS[0]}/eu-west-1"
TABLES = {t.name for t in list_snapshot_tables(load_contracts())}
ALL = {
    asset.key.to_user_string()
    for asset in specs.build_asset_sources(load_contracts(), Settings())
    if asset.group != specs.SOURCES
}
PROGRESS_LINES = 12  # of a run, however many scopes it has
FEEDS = {key for key in ALL if key.startswith("feeds/")}


def numbers(instance: dg.DagsterInstance, asset: str) -> dict[str, object]:
    """Metadata of an asset's newest materialization, as values."""
    event = instance.get_latest_materialization_event(dg.AssetKey(asset.split("/")))
    assert event is not None
    assert event.asset_materialization is not None
    return {name: entry.value for name, entry in event.asset_materialization.metadata.items()}


def list_metadata(result: dg.JobExecutionResult) -> Iterator[tuple[str, dg.MetadataValue]]:
    """Yield the metadata of all materializations and checks of a run."""
    for event in result.all_events:
        if event.is_step_materialization:
            yield from event.step_materialization_data.materialization.metadata.items()
    for check in result.get_asset_check_evaluations():
        yield from check.metadata.items()


@pytest.mark.slow
def test_a_clean_run_makes_everything_passes_its_checks_and_tells_numbers(
    configured: Export, instance: dg.DagsterInstance
) -> None:
    up = image_builder("a", subnets=["subnet-1", "subnet-2"], State="RUNNING")
    configured.aws.put(SICK, up, image_builder("b", State="STOPPED"))
    with execute(instance) as result:
        assert result.success
        assert materialized(result) == ALL
        assert set(checks(result).values()) == {True}
        quiet = [e for e in instance.all_logs(result.run_id) if not is_of_an_asset(e)]
        raw = {name for name, value in list_metadata(result) if isinstance(value, dg.JsonMetadataValue)}
    builders, runs = numbers(instance, "image_builders"), numbers(instance, "scope_runs")

    assert len(quiet) <= 25
    assert raw == set(), "Dagster would show JSON"
    assert (builders["dagster/row_count"], builders["running"]) == (2, 1)
    assert builders["states"] == "RUNNING 1, STOPPED 1"
    assert builders["dagster/uri"] == f"{configured.warehouse}/tables/image_builders"
    assert (runs["requested"], runs["failed"], runs["calls"], runs["throttles"]) == (4, 0, 4, 0)
    assert numbers(instance, "image_builder_subnets")["dagster/row_count"] == 2
    feed = numbers(instance, "feeds/image_builders")
    assert feed["dagster/row_count"] == 2
    assert Path(str(feed["dagster/uri"])).is_file()
    star, days = (numbers(instance, f"feeds/v2/{name}") for name in ("image_builder_latest", "fact_image_builder_day"))
    assert (star["dagster/row_count"], Path(str(star["dagster/uri"])).is_file()) == (2, True)
    assert (days["dagster/row_count"], len([*Path("/").glob(str(days["dagster/uri"])[1:])])) == (2, 1)
    assert {row.data["column"] for row in days["column_sources"].records} > {"day", "cost_usd_at_least"}
    assert numbers(instance, "image_builder_overview")["dagster/row_count"] == 2
    assert feed["dagster/column_lineage"].deps_by_column["name"] == [dg.TableColumnDep("image_builders", "name")]


@pytest.mark.long
def test_the_event_log_does_not_grow_with_scopes(configured: Export, instance: dg.DagsterInstance) -> None:
    def count_rows() -> int:
        with execute(instance) as result:
            return len(instance.all_logs(result.run_id))

    few = count_rows()
    configured.regions = MANY_REGIONS
    (configured.folder / "appstream-export.toml").write_text(as_toml(configured))
    many = count_rows()

    assert len(configured.statuses()) == 2 * len(MANY_REGIONS)
    assert many - few <= PROGRESS_LINES < 2 * len(MANY_REGIONS) - 4


def is_of_an_asset(entry: dg.EventLogEntry) -> bool:
    kind = entry.dagster_event.event_type_value if entry.dagster_event else ""
    return kind.startswith("ASSET_") or kind == "STEP_OUTPUT"


@pytest.mark.long
def test_a_failed_scope_turns_the_run_red_after_everything_landed_and_a_reexecution_green(
    configured: Export, instance: dg.DagsterInstance
) -> None:
    configured.aws.put(SICK, image_builder("a"))
    configured.aws.fail(SICK, "deny")
    with execute(instance) as red:
        assert not red.success
        assert materialized(red) == ALL
        assert checks(red)["coverage"] is False
        assert checks(red)["feeds_are_published"] is True
    assert configured.statuses()[SICK] == "denied"

    configured.aws.heal()
    configured.aws.reset_calls()
    with execute(instance, dg.ReexecutionOptions.from_failure(red.run_id, instance)) as green:
        assert green.success
    assert configured.calls() == [SICK]
    assert configured.sql("select name, is_stale from image_builders") == [("a", False)]


def test_a_reexecution_from_asset_failure_goes_on_in_the_run_that_it_continues() -> None:
    tags = {"dagster/is_asset_resume_retry": "true"}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun("snapshot", run_id="a"))

        again = dg.DagsterRun("snapshot", run_id="b", parent_run_id="a", root_run_id="a", tags=tags)

        assert resolve_run_id(again, instance) == "a"


@pytest.mark.parametrize(
    ("steps", "parent", "begins"),
    [(None, None, "c"), (None, "b", "c"), (["snapshot_tables"], "b", "a"), (["snapshot_tables"], "pruned", "pruned")],
    ids=["first", "all steps", "from failure", "from a failure that is gone"],
)
def test_reexecutions_from_failure_go_on_in_the_run_that_was_asked_first_and_others_begin_anew(
    steps: list[str] | None, parent: str | None, begins: str
) -> None:
    one = ["snapshot_tables"]
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun("snapshot", run_id="a"))
        instance.add_run(
            dg.DagsterRun("snapshot", run_id="b", parent_run_id="a", root_run_id="a", step_keys_to_execute=one)
        )
        run = dg.DagsterRun(
            "snapshot", run_id="c", parent_run_id=parent, root_run_id=parent and "a", step_keys_to_execute=steps
        )

        assert resolve_run_id(run, instance) == begins


@pytest.mark.slow
def test_what_another_job_publishes_is_neither_made_nor_vouched_for(
    configured: Export, instance: dg.DagsterInstance
) -> None:
    file = configured.folder / "appstream-export.toml"
    file.write_text(file.read_text() + "[feeds]\npublish = false\nreport = false\n")
    ours = defs()
    result = ours.resolve_job_def("snapshot").execute_in_process(instance=instance)
    made = {e.asset_key.to_user_string() for e in result.all_events if e.is_step_materialization and e.asset_key}
    graph = ours.resolve_asset_graph()

    assert made == ALL - FEEDS - {"report"}
    assert {"feeds_are_published", "report_is_written"}.isdisjoint(key.name for key in graph.asset_check_keys)
    assert not graph.get(specs.build_feed_key("image_builders")).is_materializable


ALWAYS = """-- always_red: A check that finds a row.
-- severity: error
-- reads: image_builders

select 'a' as name
"""


@pytest.mark.slow
def test_a_failed_check_is_red_by_its_name_also_if_another_job_publishes_the_feeds(
    configured: Export, instance: dg.DagsterInstance
) -> None:
    (configured.folder / "sql" / "checks").mkdir(parents=True)
    (configured.folder / "sql" / "checks" / "always_red.sql").write_text(ALWAYS)
    file = configured.folder / "appstream-export.toml"
    file.write_text(file.read_text() + '[sql]\nfolder = "sql"\n[feeds]\npublish = false\nreport = false\n')
    job = defs().resolve_job_def("snapshot")
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    (failure,) = result.get_step_failure_events()
    message = failure.step_failure_data.user_failure_data

    assert failure.step_key == "coverage"
    assert message is not None
    assert message.description == "Check always_red: 1 rows found. A check that finds a row."
    assert [c.check_name for c in result.get_asset_check_evaluations() if not c.passed] == ["always_red"]
    assert not (configured.folder / "warehouse" / "feeds").exists()


def test_the_launchpad_takes_the_options_of_a_run() -> None:
    config = SnapshotConfig(resources=["image_builders"], accounts=[ACCOUNTS[0]], regions=["eu-west-1"], names=["a"])

    assert config.request == Request(
        resources=("image_builders",),
        accounts=(ACCOUNTS[0],),
        regions=("eu-west-1",),
        scan_options=ScanOptions(names=("a",)),
    )


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(("job", "step"), [(snapshot_job, "snapshot_tables"), (sharded_job, "plan")])
def test_the_launchpad_shows_the_defaults_of_a_run_and_the_sharded_job_takes_the_same(
    job: Callable[[], dg.JobDefinition], step: str
) -> None:
    defaults = dg.validate_run_config(job(), {})["ops"][step]["config"]
    given = SnapshotConfig(accounts=[ACCOUNTS[0]], retry_failed=True).model_dump()
    taken = dg.validate_run_config(job(), {"ops": {step: {"config": given}}})["ops"][step]["config"]

    assert SnapshotConfig().model_dump().items() <= defaults.items()
    assert given.items() <= taken.items()


@pytest.mark.long
def test_the_launchpad_limits_who_is_asked_and_the_rest_stays(configured: Export, instance: dg.DagsterInstance) -> None:
    configured.aws.put(SICK, image_builder("a"), image_builder("b"))
    with execute(instance) as first:
        assert first.success
    configured.aws.reset_calls()
    with execute(instance, accounts=[ACCOUNTS[0]], regions=["eu-west-1"], names=["a"]) as result:
        assert result.success
    asked = configured.calls()
    with execute(instance, accounts=["999999999999"]) as wrong:
        assert not wrong.success

    assert asked == [SICK]
    assert configured.sql("select name from image_builders order by 1") == ["a", "b"]


@pytest.mark.usefixtures("configured")
def test_a_key_of_the_launchpad_from_an_earlier_version_is_refused_beside_the_new_one() -> None:
    config = {"ops": {"snapshot_tables": {"config": {"force": True}}}}
    with pytest.raises(dg.DagsterInvalidConfigError, match=r'unexpected config entry "force".*accept_drop'):
        dg.validate_run_config(snapshot_job(), config)


@pytest.mark.slow
def test_feeds_that_cannot_be_published_turn_the_run_red_and_a_reexecution_publishes_them(
    configured: Export, instance: dg.DagsterInstance
) -> None:
    in_the_way = configured.folder / "warehouse" / "feeds" / "v1"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("a file where a folder is due")
    with execute(instance) as red:
        assert not red.success
        assert materialized(red) == ALL - FEEDS
    logged = [entry.dagster_event for entry in instance.all_logs(red.run_id) if entry.dagster_event]
    found = [e.asset_check_evaluation_data for e in logged if e.event_type_value == "ASSET_CHECK_EVALUATION"]
    assert [check.check_name for check in found if not check.passed] == ["feeds_are_published"] * 2, "of each version"
    in_the_way.unlink()
    configured.aws.reset_calls()
    with execute(instance, dg.ReexecutionOptions.from_failure(red.run_id, instance)) as green:
        assert green.success
        assert materialized(green) == ALL
    assert configured.calls() == []


@pytest.mark.slow
@pytest.mark.parametrize("moment", [pytest.param("commit", marks=pytest.mark.slow), "sweep"])
def test_a_stop_ends_the_run_after_a_commit_in_progress_with_its_tables_and_before_it_commits_nothing(
    moment: str, configured: Export, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured.aws.put(SICK, image_builder("a"))

    def report_cancel() -> None:
        instance.report_run_canceling(instance.get_runs(limit=1)[0])  # as Dagster's Terminate does first

    with (
        stopping_in_bucket(configured, moment, monkeypatch, report_cancel) as (_, stopped),
        execute(instance) as result,
    ):
        told = [e.user_message for e in instance.all_logs(result.run_id)]
        failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
        made = materialized(result)
        run = instance.get_run_by_id(result.run_id)

    assert len(stopped) == 1
    assert run is not None
    assert run.status is dg.DagsterRunStatus.CANCELED
    if moment == "commit":
        assert made == TABLES
        assert failed == []
        assert STOPPED_AFTER_COMMIT in told
    else:
        assert made == set()
        assert "interrupted: nothing was committed, the previous snapshot is unchanged" in told


@pytest.mark.long
def test_a_retry_policy_does_not_repeat_a_failed_run(configured: Export, instance: dg.DagsterInstance) -> None:
    configured.aws.fail(SICK, "deny")
    with dg.execute_job(rebuilt(retried_job), instance) as result:
        assert not result.success
        kinds = {event.event_type_value for event in result.all_events}

    assert not {"STEP_UP_FOR_RETRY", "STEP_RESTARTED"} & kinds
    assert configured.sql("select count(*) from snapshots") == [1]


@pytest.mark.slow
def test_a_run_that_commits_nothing_fails_with_one_line(configured: Export, instance: dg.DagsterInstance) -> None:
    configured.aws.fail("*", "deny")
    with execute(instance) as result:
        assert not result.success
        (failure,) = result.get_step_failure_events()
        assert "no scope answered and no earlier snapshot exists" in str(failure.event_specific_data)


@pytest.mark.long
def test_the_headless_command_works_with_the_configuration_named_in_the_environment(configured: Export) -> None:
    configured.aws.put(SICK, image_builder("a"))
    command = [*EXECUTE_JOB, "snapshot"]
    home = configured.folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    done = subprocess.run(
        command, env=os.environ | {"DAGSTER_HOME": str(home)}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert configured.sql("select name from image_builders") == ["a"]
