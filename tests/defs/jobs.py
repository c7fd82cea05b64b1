"""Our jobs as Dagster rebuilds them for executions and re-executions."""

from collections.abc import Callable

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob

from appstream_export.definitions import defs


def rebuilt(job: Callable[[], dg.JobDefinition]) -> ReconstructableJob:
    """One of the jobs below, by the configuration of now: a process of Dagster's keeps the last that it built."""
    ReconstructableJob.get_repository_definition.cache_clear()
    ReconstructableJob.get_definition.cache_clear()
    return dg.reconstructable(job)


def snapshot_job() -> dg.JobDefinition:
    """The `snapshot` job of our definitions."""
    return defs().resolve_job_def("snapshot")


def sharded_job() -> dg.JobDefinition:
    """The same run by several processes."""
    return defs().resolve_job_def("snapshot_sharded")


def retried_job() -> dg.JobDefinition:
    """The same assets in a job that retries steps which fail, as a user may define one."""
    ours = defs()
    job = dg.define_asset_job("retried", op_retry_policy=dg.RetryPolicy(max_retries=2))
    more = dg.Definitions.merge(ours, dg.Definitions(jobs=[job]))
    return more.resolve_job_def("retried")


def maintenance_job() -> dg.JobDefinition:
    """Expire, gc, verify."""
    return defs().resolve_job_def("maintenance")


def prune_job() -> dg.JobDefinition:
    """Old runs go."""
    return defs().resolve_job_def("prune_runs")
