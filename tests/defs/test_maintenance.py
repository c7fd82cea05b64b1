"""The jobs beside the snapshot: the warehouse stays small and whole, Dagster's history does not grow for ever."""

from pathlib import Path

import dagster as dg
import pytest

from appstream_export.contracts import load_contracts
from appstream_export.defs.automation import is_own_run
from appstream_export.defs.binding import ExportBinding, bind_assets
from appstream_export.defs.maintenance import RETAINED_RUNS_MIN
from appstream_export.defs.specs import build_asset_sources
from appstream_export.settings import Settings
from tests.defs.jobs import maintenance_job, prune_job, rebuilt
from tests.export import Export
from tests.factories import image_builder


@pytest.mark.slow
def test_maintenance_thins_collects_and_verifies_and_is_red_where_a_byte_has_changed(
    configured: Export, instance: dg.DagsterInstance
) -> None:
    for name in ("a", "b"):
        configured.aws.put("111122223333/eu-west-1", image_builder(name))
        configured.run()
    retention = "[lake.retention]\nhourly_days = 0\ndaily_days = 1\nmonthly_months = 0\n"
    file = configured.folder / "appstream-export.toml"
    file.write_text(file.read_text() + retention)
    with dg.execute_job(rebuilt(maintenance_job), instance) as clean:
        assert clean.success
    assert configured.sql("select kind from snapshots order by seq")[-1] == "thin"
    damaged = sorted(Path(configured.warehouse).rglob("tables/image_builders/*/*.parquet"))[-1]
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with dg.execute_job(rebuilt(maintenance_job), instance) as red:
        (failure,) = red.get_step_failure_events()

    assert failure.step_key == "verify_warehouse"
    assert "has changed since it was committed" in str(failure.event_specific_data)


def test_maintenance_without_a_warehouse_says_what_comes_first(
    configured: Export, instance: dg.DagsterInstance
) -> None:
    with dg.execute_job(rebuilt(maintenance_job), instance) as red:
        (failure,) = red.get_step_failure_events()

    assert "run the job snapshot first" in str(failure.event_specific_data)
    assert not Path(configured.warehouse).exists()


@dg.asset
def rare() -> None:
    """What was last made long ago."""


@pytest.mark.long
@pytest.mark.usefixtures("configured")
def test_old_runs_go_with_all_that_is_kept_of_them_and_the_newest_of_each_job_and_asset_stay(
    stored_instance: dg.DagsterInstance, home: Path
) -> None:
    instance = stored_instance
    job, config = prune_job(), {"ops": {"prune": {"config": {"keep_days": 0}}}}
    made = dg.materialize([rare], instance=instance)
    failed = {f"failed-{n}" for n in range(RETAINED_RUNS_MIN)}
    for run_id in failed:
        name, status = made.job_def.name, dg.DagsterRunStatus.FAILURE
        instance.add_run(dg.DagsterRun(name, run_id=run_id, status=status))
    theirs = {f"theirs-{n}" for n in range(RETAINED_RUNS_MIN + 3)}
    for run_id in theirs:
        instance.add_run(dg.DagsterRun("theirs", run_id=run_id, status=dg.DagsterRunStatus.FAILURE))
    ids = [job.execute_in_process(instance=instance).run_id for _ in range(RETAINED_RUNS_MIN + 3)]
    instance.add_run(dg.DagsterRun(job.name, run_id="under way", status=dg.DagsterRunStatus.STARTED))
    last = job.execute_in_process(instance=instance, run_config=config).run_id
    left = {run.run_id for run in instance.get_runs()}
    files = {file.stem for file in (home / "history" / "runs").glob("*-*.db")}

    assert left == {made.run_id, *failed, *theirs, *ids[3:], "under way", last}
    assert files <= left, "SQLite keeps a file for each run"
    assert not {folder.name for folder in (home / "storage").iterdir()} - left
    assert instance.all_logs(ids[3])


def test_runs_that_also_made_assets_of_the_host_are_not_the_exports_own() -> None:
    binding = ExportBinding(key_prefix=("ours",), name_prefix="ours_")
    assets = bind_assets(binding, build_asset_sources(load_contracts(), Settings()), Settings(), {})
    ours, theirs = dg.AssetKey(["ours", "image_builders"]), dg.AssetKey("image_builders")
    runs = {
        "job of ours": dg.DagsterRun("ours_snapshot", run_id="1"),
        "assets of ours": dg.DagsterRun("__ASSET_JOB", run_id="2", asset_selection=frozenset({ours})),
        "both": dg.DagsterRun("__ASSET_JOB", run_id="3", asset_selection=frozenset({ours, theirs})),
        "job of theirs": dg.DagsterRun("snapshot", run_id="4"),
    }

    assert [name for name, run in runs.items() if is_own_run(run, binding, assets)] == ["job of ours", "assets of ours"]
