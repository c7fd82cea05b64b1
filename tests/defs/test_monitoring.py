"""Runs in Dagster report themselves like those of the command: once at their start, and once at their end."""

from collections.abc import Iterator

import dagster as dg
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from appstream_export.defs.binding import ExportBinding
from appstream_export.defs.monitoring import load_reported_settings
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
