"""Maintenance jobs: expire snapshots, delete unneeded files, verify the warehouse, and prune Dagster's runs."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from pydantic import Field

from appstream_export.defs.automation import build_job_tags, is_own_run
from appstream_export.defs.binding import MAINTENANCE, PRUNE, ExportAssets, ExportBinding
from appstream_export.defs.context import as_dagster_failure, require_warehouse
from appstream_export.lake.catalog import refresh_catalog
from appstream_export.lake.maintenance import (
    ExpireResult,
    VacuumResult,
    expire_snapshots,
    vacuum_warehouse,
    verify_warehouse as verify_files,
)
from appstream_export.lake.storage import Store
from appstream_export.run import load_readable_contracts
from appstream_export.settings import Settings
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


def build_maintenance_job(binding: ExportBinding, settings: Settings) -> dg.JobDefinition:
    """Build the job that expires snapshots, deletes unneeded files and verifies the rest, one after another."""
    expire, gc, verify = (build(binding) for build in (_build_expire_op, _build_gc_op, _build_verify_op))

    @dg.job(
        name=binding.format_name(MAINTENANCE),
        description="Expires snapshots, deletes unneeded files and verifies the remaining ones.",
        executor_def=dg.in_process_executor,
        tags=build_job_tags(settings),
    )
    def job() -> None:
        verify(gc(expire()))

    return job


def _build_expire_op(binding: ExportBinding) -> dg.OpDefinition:
    @dg.op(
        name=binding.format_name("expire"),
        pool=binding.pool,
        out=dg.Out(dg.Nothing),
        description="Expires snapshots according to the retention.",
    )
    def expire(context: dg.OpExecutionContext, config: MaintenanceConfig) -> None:
        settings = binding.load_settings(needs_accounts=False)
        result = _expire_history(settings, is_dry=config.dry_run)
        context.log.info(_format_result(result))
        context.add_output_metadata({"dropped": len(result.dropped), "bytes_freed": result.bytes_freed})
        _publish_rewritten(settings, result)

    return expire


def _expire_history(settings: Settings, *, is_dry: bool) -> ExpireResult:
    store = require_warehouse(settings)
    with as_dagster_failure():
        return expire_snapshots(
            store,
            now=datetime.now(UTC),
            policy=settings.lake.retention,
            tool_version=__version__,
            dry_run=is_dry,
        )


def _publish_rewritten(settings: Settings, result: ExpireResult) -> None:
    """Publish the catalog if snapshots have expired; raises Failure if it could not be published."""
    store, root = require_warehouse(settings), settings.lake.catalog_root
    problem = refresh_catalog(store, load_readable_contracts(settings, store), root=root) if result.seq else None
    if problem:
        raise dg.Failure(problem, allow_retries=False)


def _build_gc_op(binding: ExportBinding) -> dg.OpDefinition:
    @dg.op(
        name=binding.format_name("gc"),
        pool=binding.pool,
        ins={"expired": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        description="Deletes unneeded files, after a grace period of a day.",
    )
    def gc(context: dg.OpExecutionContext, config: MaintenanceConfig) -> None:
        result = _delete_unneeded_files(binding, is_dry=config.dry_run)
        context.log.info(_format_result(result))
        context.add_output_metadata({"files": result.files, "bytes": result.bytes, "waiting": result.waiting})

    return gc


def _delete_unneeded_files(binding: ExportBinding, *, is_dry: bool) -> VacuumResult:
    settings = binding.load_settings(needs_accounts=False)
    store = require_warehouse(settings)
    with as_dagster_failure():
        return vacuum_warehouse(
            store,
            load_readable_contracts(settings, store),
            now=datetime.now(UTC),
            dry_run=is_dry,
            catalog_root=settings.lake.catalog_root,
        )


def _build_verify_op(binding: ExportBinding) -> dg.OpDefinition:
    @dg.op(
        name=binding.format_name("verify_warehouse"),
        pool=binding.pool,
        ins={"collected": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        description="Verifies every byte.",
    )
    def verify_warehouse(context: dg.OpExecutionContext) -> None:
        _verify_every_byte(context, require_warehouse(binding.load_settings(needs_accounts=False)))

    return verify_warehouse


def _verify_every_byte(context: dg.OpExecutionContext, store: Store) -> None:
    """Log the first problems; raises Failure if a byte differs."""
    with as_dagster_failure():
        problems = verify_files(store).problems
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


def build_prune_job(binding: ExportBinding, assets: ExportAssets, settings: Settings) -> dg.JobDefinition:
    """Build the job that deletes old finished runs of the export with their events; Dagster itself retains them.

    Runs of other jobs and assets of the host are never deleted.
    """

    @dg.op(name=binding.format_name("prune"), description="Deletes old finished runs of this export with their events.")
    def prune(context: dg.OpExecutionContext, config: PruneConfig) -> None:
        days = config.keep_days
        if days is None:
            days = binding.load_settings(needs_accounts=False).dagster.keep_runs_days
        _prune_runs(context, binding, assets, datetime.now(UTC) - timedelta(days=days))

    @dg.job(
        name=binding.format_name(PRUNE),
        description="Deletes old runs of this export from Dagster's own storage. Snapshots are not touched.",
        executor_def=dg.in_process_executor,
        tags=build_job_tags(settings),
    )
    def job() -> None:
        prune()

    return job


def _prune_runs(context: dg.OpExecutionContext, binding: ExportBinding, assets: ExportAssets, before: datetime) -> None:
    instance = context.instance
    old = instance.get_run_records(dg.RunsFilter(statuses=FINISHED_STATUSES, created_before=before))
    own = [record.dagster_run for record in old if is_own_run(record.dagster_run, binding, assets)]
    newest = {run.run_id for job in {run.job_name for run in own} for run in _list_newest_runs(instance, job)}
    retained = newest | _find_materializing_run_ids(instance)
    expired = [run.run_id for run in own if run.run_id not in retained]
    for run_id in expired:
        _delete_run(instance, run_id)
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
