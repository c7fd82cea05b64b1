"""An export as Dagster is given it: a file; and what a job of ours did with it."""

from typing import Any

import dagster as dg

from tests.defs.jobs import rebuilt, snapshot_job
from tests.export import Export


def as_toml(export: Export, more: str = "") -> str:
    """The configuration of an export; `more` is TOML that comes after it."""
    accounts = "".join(
        f'[[accounts]]\nid = "{a["id"]}"\nrole_arn = "{a["role_arn"]}"\n' for a in export.mapping["accounts"]
    )
    return (
        f'warehouse = "warehouse"\nregions = {list(export.regions)}\n[aws]\n'
        f'endpoint_url = "{export.aws.endpoint_url}"\n[extract]\nmax_attempts = 1\n{accounts}{more}'
    )


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
