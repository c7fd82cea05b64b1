"""dlt as a tuned user runs it: public boto3 lists, raw items in, dlt's own child tables out, Parquet on disk.

Tuned: lists of items are yielded whole, telemetry and the state's sync are off, buffers and files are large, and
nothing is compressed between its steps. It leaves out coverage, carried rows, quarantine (an odd value becomes a
variant column), natural keys in child tables, and an atomic commit over tables.
"""

import os
from collections.abc import Iterator
from typing import Any

SETTINGS = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "20000",  # of extract and normalize both
    "DATA_WRITER__DISABLE_COMPRESSION": "true",  # of the files between its steps
    "NORMALIZE__START_METHOD": "spawn",
    "LOAD__WORKERS": "4",
    "LOAD__DELETE_COMPLETED_JOBS": "true",
}
os.environ.update(SETTINGS)  # before dlt reads them at its import

import dlt  # noqa: E402
from dlt.destinations import filesystem  # noqa: E402

from benchmarks.rivals.job import Job, work  # noqa: E402
from benchmarks.rivals.plain import Script  # noqa: E402


def run_job(job: Job) -> None:
    """List while dlt extracts; then normalize and load."""
    pipeline = dlt.pipeline(
        "rival", destination=filesystem(f"file://{job['folder']}"), dataset_name="out", pipelines_dir=job["folder"]
    )
    items = dlt.resource(_list_items(job), name="image_builders", write_disposition="replace", max_table_nesting=2)
    pipeline.config.restore_from_destination = False
    pipeline.run(items, loader_file_format="parquet")


def _list_items(job: Job) -> Iterator[list[dict[str, Any]]]:
    for account, region, items in Script(job).list_scopes():
        yield [item | {"account_id": account, "region": region} for item in items]


if __name__ == "__main__":
    work(run_job)
