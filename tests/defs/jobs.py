"""The job as Dagster rebuilds it for executions and re-executions."""

import dagster as dg

from pipelines.definitions import defs


def snapshot_job() -> dg.JobDefinition:
    """The `snapshot` job of our definitions."""
    return defs().resolve_job_def("snapshot")
