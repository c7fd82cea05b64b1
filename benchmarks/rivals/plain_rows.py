"""The plain script with what it lists written to Parquet: boto3's documented API alone, a client per scope, threads."""

from benchmarks.rivals.job import Job, work
from benchmarks.rivals.plain import Script
from benchmarks.rivals.rows import Rows


def act(job: Job) -> None:
    """List, make rows, write."""
    script = Script(job | {"mode": "standard", "max_attempts": 8})
    script.sweep()
    rows = Rows()
    rows.add((account, region, {"ImageBuilders": items}) for (account, region), items in script.items.items())
    rows.write(job["folder"])


if __name__ == "__main__":
    work(act)
