"""Flatten the pages of all tasks and write their rows to the staged snapshot."""

import gc
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa

from appstream_export.contracts import Contract, EnumValues, build_arrow_schema, get_operational_table
from appstream_export.model import Outcome, Page, RunListener, Task
from appstream_export.normalize import TaskBatch, TaskBatcher

FLUSH_ITEMS = 10_240  # about 8 MB of flat rows, one row group: larger batches need more memory and are not faster
GARBAGE_OBJECTS = 50_000  # about 4 MB of raw items between two garbage collections

WriteTables = Callable[[Mapping[str, pa.Table]], None]
_DRIFT = ("resource", "path", "kind", "example", "count")


def ingest_pages(
    results: Iterable[Page | Outcome],
    contracts: Sequence[Contract],
    write: WriteTables,
    *,
    enum_values: Mapping[str, EnumValues],
    listener: RunListener,
) -> dict[Task, Outcome]:
    """Flatten pages, write their rows, and return each task's outcome with its row counts; tasks may be interleaved.

    Rows of a task are written only after its outcome arrives, and only if that is an answer. Page 0 starts a new scan
    of its task and discards the pages of an earlier scan. `write` gets tables with the schemas of the contracts, and
    also `quarantine` and `drift`. `enum_values` are those of botocore, by resource.
    """
    ingester = _PageIngester(contracts, write, enum_values)
    with _reduce_gc_frequency():
        for result in results:
            if isinstance(result, Page):
                ingester.add_page(result)
                listener.on_page(result)
            else:
                ingester.end_task(result)
                listener.on_outcome(result)
        return ingester.close()


def merge_drift_tables(parts: Iterable[pa.Table]) -> pa.Table:
    """Return the `drift` rows of several shards as one table: counts summed, one example of each unknown field."""
    drift = _DriftCounter()
    for row in (row for part in parts for row in part.to_pylist()):
        drift.add(*(row[name] for name in _DRIFT))
    return drift.to_table()


@contextmanager
def _reduce_gc_frequency() -> Generator[None]:
    """Run a block with fewer garbage collections."""
    # Pages are many objects without cycles: a collection after every 700 of them, Python's default, takes a fifth of
    # the time and frees nothing.
    usual = gc.get_threshold()
    if usual[0]:  # 0: the caller has disabled collections
        gc.set_threshold(max(usual[0], GARBAGE_OBJECTS), *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class _PageIngester:
    def __init__(
        self, contracts: Sequence[Contract], write: WriteTables, enum_values: Mapping[str, EnumValues]
    ) -> None:
        self._write = write
        self._batchers = {c.name: TaskBatcher(c, enum_values.get(c.name, {})) for c in contracts}
        self._scans: list[Task] = []
        self._newest: dict[Task, int] = {}
        self._outcomes: dict[Task, Outcome] = {}
        self._drift = _DriftCounter()

    def add_page(self, page: Page) -> None:
        batcher = self._batchers[page.task.resource]
        # A scan that starts again must not count its earlier pages twice.
        if page.number == 0 and page.task in self._newest:
            batcher.end_task(self._newest.pop(page.task), retain_rows=False)
        batcher.add(self._assign_scan_number(page.task), page)

    def end_task(self, outcome: Outcome) -> None:
        lands = outcome.status.is_answer
        self._outcomes[outcome.task] = outcome if lands else replace(outcome, items=0)
        batcher = self._batchers[outcome.task.resource]
        # Rows of a failed scan are incomplete, so they are discarded and the earlier rows are carried over.
        batcher.end_task(self._assign_scan_number(outcome.task), retain_rows=lands)
        if batcher.ended_items >= FLUSH_ITEMS:
            self._flush_batcher(outcome.task.resource, batcher)

    def close(self) -> dict[Task, Outcome]:
        for resource, batcher in self._batchers.items():
            self._flush_batcher(resource, batcher)
        self._write({"drift": self._drift.to_table()})
        return self._outcomes

    def _assign_scan_number(self, task: Task) -> int:
        """Return the number of the task's scan. Each scan gets its own, so that a restarted one reuses no rows."""
        if task not in self._newest:
            self._newest[task] = len(self._scans)
            self._scans.append(task)
        return self._newest[task]

    def _flush_batcher(self, resource: str, batcher: TaskBatcher) -> None:
        batch = batcher.flush()
        self._write(batch.tables)
        self._update_outcome_counts(batch)
        for (path, kind, example), count in batch.drift.items():
            self._drift.add(resource, path, kind, example, count)

    def _update_outcome_counts(self, batch: TaskBatch) -> None:
        for number, counts in batch.counts.items():
            task = self._scans[number]
            self._outcomes[task] = replace(
                self._outcomes[task],
                rows=counts.rows,
                duplicates=counts.duplicates,
                quarantined=counts.quarantined,
                quarantined_items=counts.quarantined_items,
            )


class _DriftCounter:
    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}

    def add(self, resource: str, path: str, kind: str, example: str, count: int) -> None:
        if kind == "field":  # one example is enough; other kinds count each value
            example = self._examples.setdefault((resource, path), example)
        self._counts[resource, path, kind, example] += count

    def to_table(self) -> pa.Table:
        found = [dict(zip(_DRIFT, (*key, count), strict=True)) for key, count in sorted(self._counts.items())]
        return pa.Table.from_pylist(found, build_arrow_schema(get_operational_table("drift")))
