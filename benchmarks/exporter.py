"""Real exports in a process of their own: one per line of standard input, whose costs it prints as a line of JSON.

A RunListener takes the times, and the garbage collector's list counts the open clients.
"""

import gc
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Event
from time import perf_counter, process_time
from typing import Any

from botocore.client import BaseClient

from appstream_export.model import Outcome, RunListener, ScanOptions
from appstream_export.run import Request, execute_run, load_enabled_contracts
from appstream_export.run.shard_process import run_shard_process
from appstream_export.run.shards import commit_shards, plan_shards
from appstream_export.settings import Settings, parse_settings
from benchmarks.children import peak_mb
from benchmarks.findings import say
from benchmarks.warehouse import write_toml


class Stopwatch(RunListener):
    """Notes when each stage of a run begins, and counts boto3's clients when its last task ends."""

    def __init__(self) -> None:
        self.clients = self._open = 0
        self._marks: list[tuple[str, float, float, float]] = []
        self.on_stage("start")

    def on_plan(self, tasks: int) -> None:
        """Note the begin of the sweep."""
        self._open = tasks
        self.on_stage("sweep")

    def on_outcome(self, outcome: Outcome) -> None:  # noqa: ARG002  the name is the protocol's
        """Count the clients after the last one."""
        self._open -= 1
        if not self._open:
            self.clients = sum(issubclass(type(each), BaseClient) for each in gc.get_objects())

    def on_stage(self, name: str) -> None:
        """Note the begin of a stage, and the end of the one before."""
        self._marks.append((name, perf_counter(), process_time(), peak_mb()))

    def finish(self) -> dict[str, Any]:
        """Return costs by stage: `sweep_s`, `sweep_cpu_s`, `sweep_peak_mb` at its end, and so on; `total_s` of all."""
        self.on_stage("end")
        found: dict[str, float] = {}
        for (name, wall, cpu, _), (_, wall_then, cpu_then, peak) in pairwise(self._marks):
            found |= {f"{name}_s": wall_then - wall, f"{name}_cpu_s": cpu_then - cpu, f"{name}_peak_mb": peak}
        return found | {"total_s": self._marks[-1][1] - self._marks[0][1]}


def export(mapping: dict[str, Any], folder: str, request: dict[str, Any], shards: int = 1) -> dict[str, Any]:
    """Run one export, its sweep shared by processes where there are several shards, and return its costs."""
    file = Path(folder) / "appstream-export.toml"
    settings = parse_settings(mapping, file)
    contracts, listener, wanted = (
        load_enabled_contracts(settings),
        Stopwatch(),
        Request(scan_options=ScanOptions(), **request),
    )
    if shards > 1:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_toml(file, mapping)
        os.environ["APPSTREAM_EXPORT_CONFIG"] = str(file)  # its processes read it
        _commit_shards(settings, wanted, listener, shards)
        return listener.finish()
    result = execute_run(settings, contracts, wanted, listener=listener)
    costs = listener.finish()
    problems = (result.catalog_problem, result.checks_problem, result.feeds_problem, result.report_problem)
    assert not any(problems), problems  # noqa: S101  costs of a failure are no measure
    return costs | {"clients": listener.clients, "exit_code": result.exit_code, "peak_mb": peak_mb()}


def _commit_shards(settings: Settings, request: Request, listener: RunListener, shards: int) -> None:
    """Export as the Dagster job `snapshot_sharded` does, without Dagster's own seconds."""
    contracts, stop, ids = load_enabled_contracts(settings), Event(), {"run_id": "r", "attempt_id": "a"}
    prepared, parts = plan_shards(settings, contracts, request, shards, **ids, listener=listener, stop=stop)
    with ThreadPoolExecutor(len(parts)) as pool:
        swept = list(pool.map(lambda part: run_shard_process(settings, part), parts))
    commit_shards(settings, contracts, prepared, swept, listener=listener, stop=stop)


if __name__ == "__main__":
    for line in sys.stdin:
        say(json.dumps(export(**json.loads(line))))
