"""A rival as a process: a job comes as a line of JSON, and what it cost and counted leaves as one.

A job holds `url`, `accounts`, `regions`, `workers` and `folder`, and what its rival wants besides.
"""

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from benchmarks.children import peak_mb

Job = dict[str, Any]


def work(act: Callable[[Job], dict[str, Any] | None]) -> None:
    """Do one job. What was used before this call is Python's start and the rival's imports."""
    imports_cpu_s = process_time()
    job = json.loads(sys.stdin.readline())
    Path(job["folder"]).mkdir(parents=True, exist_ok=True)
    answer, sys.stdout = sys.stdout, sys.stderr  # whatever a rival's packages print is no answer
    began, began_cpu_s = perf_counter(), process_time()
    counted = act(job) or {}
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    children_cpu_s = children.ru_utime + children.ru_stime
    costs = {
        "work_s": perf_counter() - began,
        "work_cpu_s": process_time() - began_cpu_s + children_cpu_s,
        "cpu_s": process_time() + children_cpu_s,
        "imports_cpu_s": imports_cpu_s,
        "peak_mb": peak_mb(),
        "has_pandas": "pandas" in sys.modules,
    }
    print(json.dumps(costs | counted), file=answer, flush=True)
