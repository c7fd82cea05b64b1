"""dlt given our clients and our reader: raw items in, its own child tables out, Parquet on disk.

Tuned: pages are yielded whole and resources made once, telemetry, schema inference of lists beyond need and the
state's sync are off, buffers and files are large, and what lies between its steps is not compressed. Leaves out:
coverage, carried rows, quarantine (an odd value becomes a variant column), natural keys in child tables, an atomic
commit over tables; one denied account aborts the load.
"""

import os
from collections.abc import Iterator
from typing import Any

SETTINGS = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "20000",  # of extract and normalize both
    "DATA_WRITER__DISABLE_COMPRESSION": "true",  # of what lies between its steps
    "NORMALIZE__START_METHOD": "spawn",
    "LOAD__WORKERS": "4",
    "LOAD__DELETE_COMPLETED_JOBS": "true",
}
os.environ.update(SETTINGS)  # before dlt reads them at its import

import dlt  # noqa: E402
from dlt.destinations import filesystem  # noqa: E402

from benchmarks.rivals.job import Job, work  # noqa: E402
from benchmarks.rivals.our_clients import Asking, read_json  # noqa: E402


def act(job: Job) -> None:
    """Ask while dlt extracts; then normalize and load."""
    pipeline = dlt.pipeline(
        "rival", destination=filesystem(f"file://{job['folder']}"), dataset_name="out", pipelines_dir=job["folder"]
    )
    items = dlt.resource(_pages(job), name="image_builders", write_disposition="replace", max_table_nesting=2)
    pipeline.config.restore_from_destination = False
    pipeline.run(items, loader_file_format="parquet")


def _pages(job: Job) -> Iterator[list[dict[str, Any]]]:
    for answers in Asking(job, read_json()).scopes():
        for account, region, page in answers:
            yield [item | {"account_id": account, "region": region} for item in page["ImageBuilders"]]


if __name__ == "__main__":
    work(act)
