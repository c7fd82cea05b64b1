"""Runs of the Dagster job `snapshot` in a process of its own, one per line of its standard input, each told as JSON.

A line names the home, the configuration, and perhaps the run that is executed again from its failure.
"""

import json
import os
import sys
from time import perf_counter
from typing import Any

import dagster as dg

from appstream_export.definitions import defs
from benchmarks.findings import say

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def snapshot_job() -> dg.JobDefinition:
    """The job, as Dagster rebuilds it."""
    return defs().resolve_job_def("snapshot")


def execute(home: str, config: str, again: str | None = None) -> dict[str, Any]:
    """One run: how it ended, what it wrote into the event log, and the seconds that were Dagster's own."""
    os.environ["APPSTREAM_EXPORT_CONFIG"] = config
    with dg.DagsterInstance.from_config(home) as instance:
        options = dg.ReexecutionOptions.from_failure(again, instance) if again else None
        began = perf_counter()
        job = dg.reconstructable(snapshot_job)
        with dg.execute_job(job, instance, run_config=QUIET, reexecution_options=options) as result:
            took_s = perf_counter() - began
            events = [record.dagster_event for record in instance.all_logs(result.run_id)]
        event = instance.get_latest_materialization_event(dg.AssetKey("scope_runs"))
        assert event is not None  # noqa: S101
        assert event.asset_materialization is not None  # noqa: S101
        told = {name: entry.value for name, entry in event.asset_materialization.metadata.items()}
    kinds = [event.event_type_value if event else "" for event in events]
    return {
        "run_id": result.run_id,
        "success": result.success,
        "materialized": kinds.count("ASSET_MATERIALIZATION"),
        "rows": len(kinds),
        "log_rows": sum(not kind.startswith("ASSET_") and kind != "STEP_OUTPUT" for kind in kinds),
        "asked": told["asked"],
        "failed": told["failed"],
        "run_s": told["seconds"],
        "own_s": took_s - float(str(told["seconds"])),
    }


def main() -> None:
    """Run what each line asks for, until the input ends."""
    for line in sys.stdin:
        say(json.dumps(execute(**json.loads(line))))


if __name__ == "__main__":
    main()
