"""A worker that is killed in mid-sweep leaves nothing to clean up: the next run is as if it had never been."""

import os
import signal
import subprocess
from pathlib import Path

import dagster as dg
import pytest

from appstream_export.emulator import Fault
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.run import open_existing_warehouse
from tests.defs.exports import EXECUTE_JOB, execute
from tests.defs.servers import ROOT, wait_until
from tests.export import ACCOUNTS, Export
from tests.factories import image_builder

pytestmark = pytest.mark.slow


@pytest.mark.long
def test_a_worker_killed_in_mid_sweep_leaves_the_lake_as_it_was_and_the_next_run_makes_it_the_truth(
    configured: Export, stored_instance: dg.DagsterInstance, home: Path
) -> None:
    scopes = [f"{account}/{region}" for account in ACCOUNTS for region in configured.regions]
    for scope in scopes:
        configured.aws.put(scope, image_builder("old"), image_builder("kept"))
    configured.run()
    before = configured.sql("select account_id, region, name from image_builders order by all")
    for scope in scopes:
        configured.aws.remove(scope, "old")
        configured.aws.put(scope, image_builder("new"))
    configured.aws.fail(scopes[0], Fault("slow", delay_s=120))
    configured.aws.reset_calls()
    command = [*EXECUTE_JOB, "snapshot"]
    with (home / "killed.log").open("wb") as log:
        worker = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"DAGSTER_HOME": str(home)}, stdout=log, stderr=log
        )
    wait_until(lambda: len(configured.calls()) == len(scopes), "every scope is asked")
    worker.send_signal(signal.SIGKILL)

    assert worker.wait() == -signal.SIGKILL
    assert configured.sql("select account_id, region, name from image_builders order by all") == before
    (killed,) = stored_instance.get_runs()
    assert killed.status is dg.DagsterRunStatus.STARTED, "nobody was left to say how it ended"
    configured.aws.heal()
    with execute(stored_instance) as clean:
        assert clean.success
    assert configured.sql("select account_id || '/' || region, name, is_stale from image_builders order by all") == [
        (scope, name, False) for scope in sorted(scopes) for name in ("kept", "new")
    ]
    store = open_existing_warehouse(configured.settings)
    assert store is not None
    assert verify_warehouse(store).problems == ()
