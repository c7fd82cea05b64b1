"""dlt's Arrow path given our clients, our reader and our flatten: all that is left to it is to load tables.

It normalizes nothing here, for its Arrow path opens no lists. Leaves out what dlt_rows leaves out, but for keys.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from benchmarks.rivals import dlt_rows  # first: it sets what dlt reads at its import

import dlt  # isort: skip
from dlt.destinations import filesystem

from appstream_export.contracts import load_contracts
from appstream_export.model import Page, Scope, Task
from appstream_export.normalize import TaskBatcher
from benchmarks.rivals.job import Job, work
from benchmarks.rivals.our_clients import Asking, read_json


def act(job: Job) -> None:
    """Ask, flatten, load."""
    assert dlt_rows.SETTINGS  # noqa: S101
    pipeline = dlt.pipeline(
        "rival", destination=filesystem(f"file://{job['folder']}"), dataset_name="out", pipelines_dir=job["folder"]
    )
    pipeline.config.restore_from_destination = False
    tables = _tables(job)
    resources = [
        dlt.resource(iter(parts), name=name, write_disposition="replace") for name, parts in tables.items() if parts
    ]
    pipeline.run(resources, loader_file_format="parquet")


def _tables(job: Job) -> dict[str, list[Any]]:
    contract = load_contracts()[0]
    gatherer, found = TaskBatcher(contract, {}), {table.name: [] for table in contract.tables}
    for number, answers in enumerate(_scopes(job)):
        for page in answers:
            gatherer.add(number, page)
        gatherer.end_task(number, retain_rows=True)
    for name, table in gatherer.flush().tables.items():
        if table.num_rows and name in found:
            found[name].append(table)
    return found


def _scopes(job: Job) -> Iterator[list[Page]]:
    now = datetime.now(UTC)
    for answers in Asking(job, read_json()).scopes():
        yield [
            Page(Task("image_builders", Scope(account, region)), number, page["ImageBuilders"], now)
            for number, (account, region, page) in enumerate(answers)
        ]


if __name__ == "__main__":
    work(act)
