"""The plain script given our clients, and with `hook` in the job our reader of raw answers too."""

from benchmarks.rivals.job import Job, work
from benchmarks.rivals.our_clients import Asking, read_json
from benchmarks.rivals.rows import Rows


def act(job: Job) -> None:
    """Ask, make rows, write."""
    rows = Rows()
    for answers in Asking(job, read_json() if job.get("hook") else None).scopes():
        rows.add(answers)
    rows.write(job["folder"])


if __name__ == "__main__":
    work(act)
