"""Runs in Dagster report themselves like those of the command: once at their start, and once at their end."""

import os
import signal
from collections.abc import Iterator

import dagster as dg
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from appstream_export.defs import sharded
from appstream_export.defs.binding import ExportBinding
from appstream_export.defs.monitoring import load_reported_settings
from appstream_export.defs.progress import LoggingRunListener
from tests.defs.exports import as_toml, execute
from tests.defs.jobs import rebuilt, sharded_job
from tests.export import Export
from tests.pings import Pings, serve_pings

pytestmark = pytest.mark.usefixtures("without_checks")


@pytest.fixture
def pings(configured: Export) -> Iterator[Pings]:
    with serve_pings() as service:
        (configured.folder / "appstream-export.toml").write_text(
            as_toml(configured, f'[metrics]\nfile = "m.prom"\n[heartbeat]\nurl = "{service.url}"\n')
        )
        yield service


def read(export: Export) -> dict[str, float]:
    text = (export.folder / "m.prom").read_text()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {s.name.removeprefix("appstream_export_"): s.value for s in samples if not s.labels}


@pytest.mark.slow
def test_a_run_of_the_job_reports_its_start_and_its_end_once(
    configured: Export, instance: dg.DagsterInstance, pings: Pings
) -> None:
    with execute(instance) as green:
        assert green.success
    well = read(configured)
    configured.aws.fail("111122223333/eu-west-1", "deny")
    with execute(instance) as red:
        assert not red.success
    ill = read(configured)

    assert pings.signals == ["start", "ok", "start", "fail"]
    assert [body for _, body in pings.received][1::2] == [
        "exit code 0; snapshot 1; scopes: 4 ok", "exit code 3; snapshot 2; scopes: 3 ok, 1 denied",
    ]  # fmt: skip
    assert (well["run_exit_code"], ill["run_exit_code"], ill["snapshot_seq"]) == (0, 3, 2)
    assert ill["last_success_timestamp_seconds"] == well["last_success_timestamp_seconds"]


def test_a_run_that_commits_nothing_or_is_refused_reports_its_failure(
    configured: Export, instance: dg.DagsterInstance, pings: Pings
) -> None:
    configured.aws.fail("*", "deny")
    with execute(instance) as red:
        assert not red.success
    nothing = read(configured)
    file = configured.folder / "appstream-export.toml"
    file.write_text(file.read_text() + "[extract2]\n")
    with pytest.raises(dg.Failure, match="extract2"):
        load_reported_settings(ExportBinding(config=file))

    assert (nothing["run_exit_code"], "snapshot_seq" in nothing) == (4, False)
    assert read(configured)["run_exit_code"] == 2
    assert pings.signals == ["start", "fail", "fail"]


@pytest.mark.long
def test_a_sharded_run_reports_itself_once_however_many_processes_it_has(
    configured: Export, stored_instance: dg.DagsterInstance, pings: Pings
) -> None:
    assert dg.execute_job(rebuilt(sharded_job), stored_instance).success

    assert pings.signals == ["start", "ok"]
    assert read(configured)["run_exit_code"] == 0


def stop_at(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Terminate this process once, as soon as a run has its plan, or begins a stage."""
    stopped: list[str] = []

    def stop(name: str) -> None:
        if name == moment and not stopped:
            stopped.append(name)
            os.kill(os.getpid(), signal.SIGTERM)

    plan = LoggingRunListener.on_plan

    def on_plan(listener: LoggingRunListener, tasks: int) -> None:
        plan(listener, tasks)
        stop("plan")

    monkeypatch.setattr(LoggingRunListener, "on_plan", on_plan)
    monkeypatch.setattr(LoggingRunListener, "on_stage", lambda _, name: stop(name))


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "code", "seq"), [("catalog", 0, 1), ("feeds", 0, 1), ("plan", 4, None)])
def test_a_stopped_run_reports_its_end_once_and_the_snapshot_that_it_committed(
    moment: str,
    code: int,
    seq: int | None,
    configured: Export,
    instance: dg.DagsterInstance,
    pings: Pings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop_at(moment, monkeypatch)
    with execute(instance) as ended:
        assert not ended.success

    found = read(configured)
    assert (found["run_exit_code"], found.get("snapshot_seq")) == (code, seq)
    assert pings.signals == ["start", "ok" if code == 0 else "fail"]


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "code", "seq"), [("catalog", 0, 2), ("plan", 4, 1)])  # 1: of the last commit
def test_a_stopped_reexecution_reports_its_end_once_and_the_snapshot_that_it_committed(
    moment: str,
    code: int,
    seq: int,
    configured: Export,
    instance: dg.DagsterInstance,
    pings: Pings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configured.aws.fail("111122223333/eu-west-1", "deny")
    with execute(instance) as red:
        assert not red.success
    configured.aws.heal()
    stop_at(moment, monkeypatch)
    with execute(instance, dg.ReexecutionOptions.from_failure(red.run_id, instance)) as ended:
        assert not ended.success

    found = read(configured)
    assert (found["run_exit_code"], found.get("snapshot_seq")) == (code, seq)
    assert pings.signals == ["start", "fail", "start", "ok" if code == 0 else "fail"]


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "code", "seq"), [("catalog", 0, 1), ("plan_shards", 4, None), ("sweep", 4, None)])
def test_a_stopped_sharded_run_reports_its_end_once(
    moment: str,
    code: int,
    seq: int | None,
    configured: Export,
    instance: dg.DagsterInstance,
    pings: Pings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = configured.folder / "appstream-export.toml"
    file.write_text(file.read_text() + '[dagster]\nexecutor = "in_process"\nshards = 2\n')

    def interrupt(*_: object, **__: object) -> None:
        raise dg.DagsterExecutionInterruptedError

    if moment == "catalog":
        stop_at(moment, monkeypatch)
    else:
        monkeypatch.setattr(sharded, "plan_shards" if moment == "plan_shards" else "run_shard_process", interrupt)
    with dg.execute_job(rebuilt(sharded_job), instance) as ended:
        assert not ended.success

    found = read(configured)
    assert (found["run_exit_code"], found.get("snapshot_seq")) == (code, seq)
    assert pings.signals == ["start", "ok" if code == 0 else "fail"]
