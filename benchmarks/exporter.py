"""Real runs in a process of their own, one per line of its standard input, each told as a line of JSON.

What `execute_run()` does is not touched: a RunListener takes the times, and the garbage collector's list counts the
clients that live.
"""

import gc
import json
import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from botocore.client import BaseClient

from appstream_export.contracts import load_contracts
from appstream_export.model import Outcome, RunListener, ScanOptions
from appstream_export.run import Request, execute_run
from appstream_export.settings import parse_settings
from benchmarks.children import peak_mb
from benchmarks.findings import say


class Stopwatch(RunListener):
    """When each stage of a run began, and how many of boto3's clients lived when its last task ended."""

    def __init__(self) -> None:
        self.clients = self._open = 0
        self._marks: list[tuple[str, float, float, float]] = []
        self.on_stage("start")

    def on_plan(self, tasks: int) -> None:
        """The sweep begins."""
        self._open = tasks
        self.on_stage("sweep")

    def on_outcome(self, outcome: Outcome) -> None:  # noqa: ARG002  the name is the protocol's
        """After the last one, the clients are counted."""
        self._open -= 1
        if not self._open:
            self.clients = sum(issubclass(type(each), BaseClient) for each in gc.get_objects())

    def on_stage(self, name: str) -> None:
        """A stage begins, and the one before has ended."""
        self._marks.append((name, perf_counter(), process_time(), peak_mb()))

    def costs(self) -> dict[str, float]:
        """Of each stage: `sweep_s`, `sweep_cpu_s`, `sweep_peak_mb` at its end, and so on; `total_s` of all."""
        found: dict[str, float] = {}
        for (name, wall, cpu, _), (_, wall_then, cpu_then, peak) in pairwise(self._marks):
            found |= {f"{name}_s": wall_then - wall, f"{name}_cpu_s": cpu_then - cpu, f"{name}_peak_mb": peak}
        return found | {"total_s": self._marks[-1][1] - self._marks[0][1]}


def export(mapping: dict[str, Any], folder: str, request: dict[str, Any]) -> dict[str, Any]:
    """One run, and what it cost."""
    settings = parse_settings(mapping, Path(folder) / "appstream-export.toml")
    listener = Stopwatch()
    result = execute_run(settings, load_contracts(), Request(scan_options=ScanOptions(), **request), listener=listener)
    listener.on_stage("end")
    problems = (result.catalog_problem, result.checks_problem, result.feeds_problem, result.report_problem)
    assert not any(problems), problems  # noqa: S101  what failed is no measure of what it costs
    return listener.costs() | {"clients": listener.clients, "exit_code": result.exit_code, "peak_mb": peak_mb()}


def main() -> None:
    """Export what each line asks for, until the input ends."""
    for line in sys.stdin:
        say(json.dumps(export(**json.loads(line))))


if __name__ == "__main__":
    main()
