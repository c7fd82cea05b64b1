"""`on_incomplete = "stop"` as the webserver's buttons meet it: a red run stops those downstream, and is continued."""

from pathlib import Path

import dagster as dg
import pytest

from appstream_export.emulator import Emulator
from tests.defs.exports import as_toml
from tests.defs.servers import ROOT, ask, dagster_dev, launched, wait_until, write_workspace
from tests.export import ACCOUNTS, Export
from tests.factories import image_builder

SICK = f"{ACCOUNTS[0]}/eu-west-1"
FROM_ASSET_FAILURE = """mutation { launchRunReexecution(reexecutionParams: {
    parentRunId: "%s", strategy: FROM_ASSET_FAILURE }) {
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


def wait_for(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Return whether a run has succeeded, once it has ended."""

    def find_status() -> dg.DagsterRunStatus | None:
        run = instance.get_run_by_id(run_id)
        return run.status if run and run.is_finished else None

    wait_until(find_status, "the run ends")
    return find_status() is dg.DagsterRunStatus.SUCCESS


def list_materialized(instance: dg.DagsterInstance, run_id: str) -> set[str]:
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return {key.to_user_string() for entry in logs if (key := entry.get_dagster_event().asset_key)}


@pytest.mark.long
def test_a_red_run_that_stops_those_downstream_goes_on_from_asset_failure(
    aws: Emulator, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    export = Export(aws, tmp_path)
    aws.put(SICK, image_builder("a"))
    file = tmp_path / "appstream-export.toml"
    file.write_text(as_toml(export, '[dagster]\non_incomplete = "stop"\n'))
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(file))
    aws.fail(SICK, "deny")
    workspace = str(write_workspace(tmp_path))
    with dagster_dev(home, {}, workspace) as url, dg.DagsterInstance.from_config(str(home)) as instance:
        first = launched(url, "everything")
        assert not wait_for(instance, first)
        stopped = list_materialized(instance, first)
        aws.heal()
        aws.reset_calls()
        second = ask(url, FROM_ASSET_FAILURE % first)["launchRunReexecution"]["run"]["runId"]
        assert wait_for(instance, second)
        landed = list_materialized(instance, second)

    assert {"image_builders", "feeds/image_builders"} <= stopped
    assert "by_team" not in stopped
    assert export.calls() == [SICK]
    assert {"image_builders", "feeds/image_builders", "by_team"} <= landed
