"""An export as Dagster is given it: a file; and what a job of ours did with it."""

import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest

from tests.defs.jobs import rebuilt, snapshot_job
from tests.export import Export
from tests.lake.buckets import Bucket, Seen, Wire

EXECUTE_JOB = [*(sys.executable, "-m", "dagster", "job", "execute"), *("-m", "appstream_export.definitions", "-j")]
"""The headless command, without the job's name."""


def as_toml(export: Export, more: str = "") -> str:
    """The configuration of an export; `more` is TOML that comes after it."""
    accounts = "".join(
        f'[[accounts]]\nid = "{a["id"]}"\nrole_arn = "{a["role_arn"]}"\n' for a in export.mapping["accounts"]
    )
    return (
        f'warehouse = "warehouse"\nregions = {list(export.regions)}\n[aws]\n'
        f'endpoint_url = "{export.aws.endpoint_url}"\n[extract]\nmax_attempts = 1\n{accounts}{more}'
    )


@contextmanager
def stopping_in_bucket(
    export: Export, moment: str, patch: pytest.MonkeyPatch, before: Callable[[], object] = lambda: None
) -> Generator[tuple[Wire, list[str]]]:
    """Give the export a warehouse in a bucket, and terminate this process once, when a run commits, or sweeps.

    Yield the wire, and the keys at which it was stopped; `before` is called just before.
    """
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "k")
    with Wire(int(export.aws.endpoint_url.rpartition(":")[2])) as wire:
        file, stopped = export.folder / "appstream-export.toml", list[str]()
        settings = file.read_text().replace('"warehouse"', f'"{Bucket(export.aws, wire).place()}"', 1)
        file.write_text(f'lake.s3.endpoint_url = "{wire.url}"\n{settings}')

        def stop(_: int, seen: Seen) -> None:
            at = "/commits/0" if moment == "commit" else "/tables/image_builders/"
            if seen.method == "PUT" and at in seen.key and not stopped:
                stopped.append(seen.key)
                before()
                os.kill(os.getpid(), signal.SIGTERM)

        wire.plan = stop
        yield wire, stopped


def execute(
    instance: dg.DagsterInstance, again: dg.ReexecutionOptions | None = None, **asked: Any
) -> dg.JobExecutionResult:
    """The job `snapshot`; `asked` is what the launchpad would be told."""
    config = {"ops": {"snapshot_tables": {"config": asked}}} if asked else None
    return dg.execute_job(rebuilt(snapshot_job), instance, reexecution_options=again, run_config=config)


def materialized(result: dg.JobExecutionResult) -> set[str]:
    """Keys of what a run made."""
    return {e.asset_key.to_user_string() for e in result.all_events if e.is_step_materialization and e.asset_key}


def checks(result: dg.JobExecutionResult) -> dict[str, bool]:
    """Whether each check has passed."""
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
