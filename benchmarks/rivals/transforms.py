"""Items that are in memory already become tables: ours beside CloudQuery's Python SDK. `by` in the job says which.

CloudQuery's in its own usual form: lists are JSON columns, for child tables would cost a thread's turn per builder.
"""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.rivals.job import Job, work
from benchmarks.rivals.rows import LISTS, PATHS
from benchmarks.world import World

Item = dict[str, Any]
Scoped = tuple[str, str, list[Item]]


def act(job: Job) -> dict[str, Any]:
    """Transform all items at once, in seconds of its own; then leave the tables to be checked."""
    world = World(**job["world"])
    scopes = [(a, r, world.items_of(a, r)) for a in job["accounts"] for r in job["regions"]]
    transform = {"ours": _ours, "cloudquery": _cloudquery}[job["by"]]
    pa.array([job["by"]])  # where pandas is installed, the first array imports it: not what is measured here
    began, cpu_s = perf_counter(), process_time()
    tables = transform(scopes)
    told = {"part_s": perf_counter() - began, "part_cpu_s": process_time() - cpu_s}
    for name, table in tables.items():
        pq.write_table(_readable(table), Path(job["folder"]) / f"{name}.parquet")
    return told


def _ours(scopes: list[Scoped]) -> dict[str, pa.Table]:
    from appstream_export.contracts import load_contracts
    from appstream_export.model import Page, Scope, Task
    from appstream_export.normalize import TaskBatcher

    gatherer, now = TaskBatcher(load_contracts()[0], {}), datetime.now(UTC)
    for number, (account, region, items) in enumerate(scopes):
        for page in range(0, len(items), 50):
            task = Task("image_builders", Scope(account, region))
            gatherer.add(number, Page(task, page // 50, items[page : page + 50], now))
        gatherer.end_task(number, retain_rows=True)
    tables = gatherer.flush().tables
    return {"builders": tables["image_builders"]} | {name: tables[f"image_builder_{name}"] for name in LISTS}


def _cloudquery(scopes: list[Scoped]) -> dict[str, pa.Table]:
    import structlog
    from cloudquery.sdk.message import SyncInsertMessage
    from cloudquery.sdk.scheduler import Scheduler, TableResolver
    from cloudquery.sdk.schema import Column, Table
    from cloudquery.sdk.types import JSONType

    kinds: dict[str, pa.DataType] = {"created_time": pa.float64(), "enable_default_internet_access": pa.bool_()}
    lists = {column: path for path, column in LISTS.values()}
    scalars = [Column(name, kinds.get(name, pa.string())) for name in ("account_id", "region", *PATHS)]
    table = Table("image_builders", [*scalars, *(Column(name, JSONType()) for name in lists)])

    class Builders(TableResolver):
        def resolve(self, client: Any, parent_resource: Any) -> Iterator[dict[str, Any]]:  # noqa: ARG002  its own words
            for account, region, items in scopes:
                for item in items:
                    values = {name: _at(item, path) for name, path in PATHS.items()}
                    values |= {name: item["VpcConfig"][path] for name, path in lists.items()}
                    yield values | {"account_id": account, "region": region}

    class Client:
        def id(self) -> str:
            return "benchmark"

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    scheduler = Scheduler(concurrency=2)
    messages = scheduler.sync(Client(), [Builders(table)])
    records = [message.record for message in messages if isinstance(message, SyncInsertMessage)]
    scheduler.shutdown()
    return {"builders": pa.Table.from_batches(records)}


def _readable(table: pa.Table) -> pa.Table:
    """JSON of an extension type as text."""
    for place, field in enumerate(table.schema):
        if isinstance(field.type, pa.BaseExtensionType):
            chunks = [chunk.storage for chunk in table.column(place).chunks]
            table = table.set_column(place, field.name, pa.chunked_array(chunks).cast(pa.string()))
    return table


def _at(item: Item, path: str) -> Any:
    first, _, last = path.partition(".")
    return item[first][last] if last else item[first]


if __name__ == "__main__":
    work(act)
