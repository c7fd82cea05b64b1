"""A whole run, of this version or of an older one: each by its own `benchmarks.exporter`, which notes its stages."""

from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter
from typing import Any

from benchmarks.children import Child
from benchmarks.rivals.job import Job, work
from benchmarks.warehouse import by_role, settings_of

BOUND_S = 600.0
AFTER_SWEEP = ("commit", "catalog", "checks", "feeds", "report")


def run_job(job: Job) -> dict[str, Any]:
    """Run the release at `root` with its `python` and `environ`; return the costs of its process, and of each stage."""
    accounts = [by_role(account) for account in job["accounts"]]
    mapping = settings_of(job["url"], accounts, job["regions"], workers=job["workers"]) | job["settings"]
    began = perf_counter()
    with Child("benchmarks.exporter", python=job["python"], root=job["root"], environ=job["environ"]) as exporter:
        stages = exporter.ask({"mapping": mapping, "folder": job["folder"], "request": {}}, BOUND_S)
        process_s = perf_counter() - began
    assert stages["exit_code"] == 0, stages  # noqa: S101  costs of a failure are no measure
    after_cpu_s = sum(stages[f"{stage}_cpu_s"] for stage in AFTER_SWEEP)
    used = getrusage(RUSAGE_CHILDREN)
    cpu_s = used.ru_utime + used.ru_stime  # of that process alone, not of this one
    imports_cpu_s = cpu_s - stages["sweep_cpu_s"] - after_cpu_s
    costs = {"process_s": process_s, "cpu_s": cpu_s, "imports_cpu_s": imports_cpu_s, "after_cpu_s": after_cpu_s}
    return {**costs, "peak_mb": stages["peak_mb"], "stages": stages}


if __name__ == "__main__":
    work(run_job)
