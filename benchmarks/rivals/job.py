"""A rival as a process: it reads a job as a line of JSON, and prints its costs as another.

A job holds `url`, `accounts`, `regions`, `workers` and `folder`, and the fields that its rival needs besides.
"""

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

from benchmarks.children import peak_mb

Job = dict[str, Any]


def work(run_job: Callable[[Job], dict[str, Any] | None]) -> None:
    """Read one job, run it, print its costs. CPU before this call is Python's start and the rival's imports."""
    imports_cpu_s = process_time()
    job = json.loads(sys.stdin.readline())
    Path(job["folder"]).mkdir(parents=True, exist_ok=True)
    answer, sys.stdout = sys.stdout, sys.stderr  # packages of rivals may print too
    began_cpu_s = process_time()
    counted = run_job(job) or {}
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    children_cpu_s = children.ru_utime + children.ru_stime
    costs = {
        "work_cpu_s": process_time() - began_cpu_s + children_cpu_s,
        "cpu_s": process_time() + children_cpu_s,
        "imports_cpu_s": imports_cpu_s,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(costs | counted), file=answer, flush=True)
