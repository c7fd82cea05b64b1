"""Maintenance jobs: expire snapshots, delete unneeded files, verify the warehouse, and prune Dagster's runs."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from pydantic import Field

from appstream_export.defs.assets import POOL
from appstream_export.defs.context import as_dagster_failure, load_settings, require_warehouse
from appstream_export.lake.catalog import refresh_catalog
from appstream_export.lake.maintenance import (
    ExpireResult,
    VacuumResult,
    expire_snapshots,
    vacuum_warehouse,
    verify_warehouse as verify_files,
)
from appstream_export.run import load_readable_contracts
from appstream_export.version import __version__

PROBLEMS_MAX = 50
FINISHED_STATUSES = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
RETAINED_RUNS_MIN = 10
"""Finished runs of each job that are retained at any age, as are runs of each asset's newest materialization."""


class MaintenanceConfig(dg.Config):
    """Options of the maintenance job."""

    dry_run: bool = Field(default=False, description="Report what would be done, and change nothing.")


class PruneConfig(dg.Config):
    """Options of pruning; runs are deleted with their events and log lines."""

    keep_days: int | None = Field(
        default=None,
        ge=0,
        le=36_500,
        description="Runs younger than this are retained; default: [dagster] keep_runs_days.",
    )


@dg.op(pool=POOL, out=dg.Out(dg.Nothing), description="Expires snapshots according to the retention.")
def expire(context: dg.OpExecutionContext, config: MaintenanceConfig) -> None:
    """Commit a history without expired snapshots and publish the catalog; figures become the output's metadata."""
    settings = load_settings(needs_accounts=False)
    store = require_warehouse(settings)
    with as_dagster_failure():
        result = expire_snapshots(
            store,
            now=datetime.now(UTC),
            policy=settings.lake.retention,
            tool_version=__version__,
            dry_run=config.dry_run,
        )
        contracts = load_readable_contracts(settings, store)
        problem = refresh_catalog(store, contracts, root=settings.lake.catalog_root) if result.seq else None
    context.log.info(_format_result(result))
    figures = {"dropped": len(result.dropped), "retained": result.retained, "bytes_freed": result.bytes_freed}
    if problem:
        raise dg.Failure(problem, metadata=figures, allow_retries=False)
    context.add_output_metadata(figures)


@dg.op(pool=POOL, ins={"expired": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing), description="Deletes unneeded files.")
def gc(context: dg.OpExecutionContext, config: MaintenanceConfig) -> None:
    """Delete unneeded files after a grace period of a day; figures become the output's metadata."""
    settings = load_settings(needs_accounts=False)
    store = require_warehouse(settings)
    with as_dagster_failure():
        result = vacuum_warehouse(
            store,
            load_readable_contracts(settings, store),
            now=datetime.now(UTC),
            dry_run=config.dry_run,
            catalog_root=settings.lake.catalog_root,
        )
    context.log.info(_format_result(result))
    context.add_output_metadata({"files": result.files, "bytes": result.bytes, "waiting": result.waiting})


@dg.op(pool=POOL, ins={"collected": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing), description="Verifies every byte.")
def verify_warehouse(context: dg.OpExecutionContext) -> None:
    """Verify all committed files and log the first problems; raises Failure if a byte differs."""
    with as_dagster_failure():
        problems = verify_files(require_warehouse(load_settings(needs_accounts=False))).problems
    for problem in problems[:PROBLEMS_MAX]:
        context.log.warning(str(problem))
    damaged = [problem for problem in problems if not problem.is_note]
    if damaged:
        text = f"{len(damaged)} problems, such as {damaged[0]}"
        raise dg.Failure(description=text, metadata={"problems": len(damaged)}, allow_retries=False)
    context.add_output_metadata({"problems": 0, "notes": len(problems)})


def _format_result(result: ExpireResult | VacuumResult) -> str:
    """Format the figures of a result for the log: `files=2, bytes=100, ...`; of a tuple, its length."""
    figures = {name: len(value) if isinstance(value, tuple) else value for name, value in asdict(result).items()}
    return ", ".join(f"{name}={value}" for name, value in figures.items())


@dg.job(
    name="maintenance",
    description="Expires snapshots, deletes unneeded files and verifies the remaining ones.",
    executor_def=dg.in_process_executor,
)
def maintain_warehouse() -> None:
    """Run the three ops one after another."""
    verify_warehouse(gc(expire()))


@dg.op(name="prune", description="Deletes old finished runs of Dagster with their events. Dagster itself retains them.")
def prune_finished_runs(context: dg.OpExecutionContext, config: PruneConfig) -> None:
    """Delete finished runs older than `keep_days`; the newest runs of each job are retained, snapshots untouched."""
    days = (
        config.keep_days if config.keep_days is not None else load_settings(needs_accounts=False).dagster.keep_runs_days
    )
    before = datetime.now(UTC) - timedelta(days=days)
    old = context.instance.get_run_records(dg.RunsFilter(statuses=FINISHED_STATUSES, created_before=before))
    jobs = {record.dagster_run.job_name for record in old}
    newest = {run.run_id for job in jobs for run in _list_newest_runs(context.instance, job)}
    retained = newest | _find_materializing_run_ids(context.instance)
    expired = [run_id for record in old if (run_id := record.dagster_run.run_id) not in retained]
    for run_id in expired:
        _delete_run(context.instance, run_id)
    context.log.info(f"{len(expired)} runs from before {before:%Y-%m-%d} deleted")
    context.add_output_metadata({"deleted": len(expired)})


def _list_newest_runs(instance: dg.DagsterInstance, job: str) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(job_name=job, statuses=FINISHED_STATUSES), limit=RETAINED_RUNS_MIN)


def _find_materializing_run_ids(instance: dg.DagsterInstance) -> set[str]:
    """Return the ids of runs with an asset's newest materialization; without it Dagster shows the asset as missing."""
    newest = (record.asset_entry.last_materialization_record for record in instance.get_asset_records())
    return {record.run_id for record in newest if record}


def _delete_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run with the files that Dagster leaves behind: captured output and SQLite's file of the run's events."""
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    # Only Dagster's SQLite storage has a file of events per run; other storages delete the events with the run.
    if path_of := getattr(instance.event_log_storage, "path_for_shard", None):
        Path(path_of(run_id)).unlink(missing_ok=True)


@dg.job(
    name="prune_runs",
    description="Deletes old runs from Dagster's own storage. Snapshots are not touched.",
    executor_def=dg.in_process_executor,
)
def prune_runs() -> None:
    """Delete old runs in one step."""
    prune_finished_runs()
