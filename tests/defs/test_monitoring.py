"""Runs in Dagster report themselves like those of the command: once at their start, and once at their end."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

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
    """Stop a run once: as soon as it has its plan, begins a stage, or comes to a step of a sharded one."""
    stopped: list[str] = []

    def stop(name: str) -> None:
        if name == moment and not stopped:
            stopped.append(name)
            os.kill(os.getpid(), signal.SIGTERM)

    def interrupt(*_: object, **__: object) -> None:
        raise dg.DagsterExecutionInterruptedError

    plan = LoggingRunListener.on_plan

    def on_plan(listener: LoggingRunListener, tasks: int) -> None:
        plan(listener, tasks)
        stop("plan")

    if moment in SHARDED_STEPS:
        monkeypatch.setattr(sharded, SHARDED_STEPS[moment], interrupt)
    monkeypatch.setattr(LoggingRunListener, "on_plan", on_plan)
    monkeypatch.setattr(LoggingRunListener, "on_stage", lambda _, name: stop(name))


Start = Callable[[], AbstractContextManager[dg.JobExecutionResult]]
SHARDED_STEPS = {"plan_shards": "plan_shards", "sweep": "run_shard_process"}


def prepare_run(_: Export, instance: dg.DagsterInstance) -> Start:
    """A run of the job."""
    return lambda: execute(instance)


def prepare_reexecution(configured: Export, instance: dg.DagsterInstance) -> Start:
    """A re-execution after a scope was denied."""
    configured.aws.fail("111122223333/eu-west-1", "deny")
    with execute(instance) as red:
        assert not red.success
    configured.aws.heal()
    return lambda: execute(instance, dg.ReexecutionOptions.from_failure(red.run_id, instance))


def prepare_sharded_run(configured: Export, instance: dg.DagsterInstance) -> Start:
    """A run of the job with shards."""
    file = configured.folder / "appstream-export.toml"
    file.write_text(file.read_text() + '[dagster]\nexecutor = "in_process"\nshards = 2\n')
    return lambda: dg.execute_job(rebuilt(sharded_job), instance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "moment", "code", "seq"),
    [
        (prepare_run, "catalog", 0, 1), (prepare_run, "feeds", 0, 1), (prepare_run, "plan", 4, None),
        (prepare_reexecution, "catalog", 0, 2), (prepare_reexecution, "plan", 4, 1),  # 1: of the last commit
        (prepare_sharded_run, "catalog", 0, 1), (prepare_sharded_run, "plan_shards", 4, None),
        (prepare_sharded_run, "sweep", 4, None),
    ],
)  # fmt: skip
def test_a_stopped_run_reports_its_end_once_and_the_snapshot_that_it_committed(
    prepare: Callable[[Export, dg.DagsterInstance], Start],
    moment: str,
    code: int,
    seq: int | None,
    configured: Export,
    instance: dg.DagsterInstance,
    pings: Pings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, before = prepare(configured, instance), [*pings.signals]
    stop_at(moment, monkeypatch)
    with start() as ended:
        assert not ended.success

    found = read(configured)
    assert (found["run_exit_code"], found.get("snapshot_seq")) == (code, seq)
    assert pings.signals == [*before, "start", "ok" if code == 0 else "fail"]
