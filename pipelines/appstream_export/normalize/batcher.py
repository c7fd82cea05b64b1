"""Collect pages in batches, flatten them, drop repeated items, and count. Rows count once their task has ended.

Memory holds at most one batch of raw pages, and the flat rows of tasks that are open or not yet flushed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from appstream_export.contracts import Contract, EnumValues, get_operational_table
from appstream_export.model import Page
from appstream_export.normalize.flatten import Flattener, build_schema_with_hidden_columns
from appstream_export.normalize.validate import encode_raw_json

BATCH_ITEMS = 8_192  # some 160 pages: each call into Arrow may have to wait for the GIL, so make few
BATCH_PAGES = 1_024  # most pages of a sparse organization are empty: flatten them at some time, too


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """Counts of a task: items = rows + duplicates + quarantined_items. `quarantined` counts issues of all levels."""

    rows: int = 0
    duplicates: int = 0
    quarantined: int = 0
    quarantined_items: int = 0


@dataclass(frozen=True, slots=True)
class TaskBatch:
    """The rows of tasks that succeeded, in the schemas of their tables, with the tasks' counts and the drift found."""

    tables: Mapping[str, pa.Table]
    counts: Mapping[int, TaskCounts]
    drift: Mapping[tuple[str, str, str], int]
    """Number of occurrences by (path, kind, example)."""


class TaskBatcher:
    """Batcher of one resource's pages. Tasks are identified by a number, which is used only once."""

    def __init__(self, contract: Contract, enum_values: EnumValues) -> None:
        self._contract, self._enum_values = contract, enum_values
        self._flattener = Flattener(contract)
        self._tables = {t.name: t for t in (*contract.tables, get_operational_table("quarantine"))}
        self._batch: list[tuple[int, Page]] = []
        self._batch_items = self._items = 0
        self._pending: dict[str, list[pa.Table]] = {name: [] for name in self._tables}
        self._unknown: list[tuple[int, str, str]] = []
        self._open_items: Counter[int] = Counter()
        self._ended: dict[int, bool] = {}
        self._ended_items = 0

    @property
    def ended_items(self) -> int:
        """The number of items of ended tasks that are not yet flushed."""
        return self._ended_items

    def add(self, task: int, page: Page) -> None:
        """Add a page. Pages of a task must come in AWS's order, because the last of repeated items wins."""
        self._batch.append((task, page))
        self._open_items[task] += len(page.items)
        self._unknown += [(task, path, encode_raw_json(value)) for path, value in page.other_members.items()]
        self._batch_items += len(page.items)
        if self._batch_items >= BATCH_ITEMS or len(self._batch) >= BATCH_PAGES:
            self._flatten_batch()

    def end_task(self, task: int, *, retain_rows: bool) -> None:
        """End a task after its last page, and retain or discard its rows."""
        self._ended[task] = retain_rows
        self._ended_items += self._open_items.pop(task, 0)

    def flush(self) -> TaskBatch:
        """Return the rows of all tasks that ended since the last flush. Open tasks remain."""
        self._flatten_batch()
        landing = [task for task, lands in self._ended.items() if lands]
        landed: dict[str, pa.Table] = {}
        for name, parts in self._pending.items():
            held = pa.concat_tables(parts) if parts else self._build_empty_table(name)
            landed[name] = _filter_tasks(held, landing)
            self._pending[name] = [_filter_tasks(held, self._open_items)] if self._open_items else []
        batch = self._build_result(landed, landing)
        self._unknown = [u for u in self._unknown if u[0] not in self._ended]
        self._ended, self._ended_items = {}, 0
        return batch

    def _flatten_batch(self) -> None:
        if not self._batch:
            return
        flat = self._flattener.flatten_pages(self._batch, self._items)
        for name, rows in flat.tables.items():
            self._pending[name].append(rows)
        self._unknown += flat.unknown
        self._items += self._batch_items
        self._batch, self._batch_items = [], 0

    def _build_empty_table(self, name: str) -> pa.Table:
        return build_schema_with_hidden_columns(self._tables[name]).empty_table()

    def _build_result(self, tables: dict[str, pa.Table], tasks: list[int]) -> TaskBatch:
        items = tables[self._contract.name]
        repeated = _find_repeated_items(items, self._contract.item_key)
        single = tables
        if len(repeated):  # rare; a filter copies all rows even if it retains them all
            single = {name: t.filter(pc.invert(pc.is_in(t["_item"], repeated))) for name, t in tables.items()}
        counts = _count_items(tasks, items, single[self._contract.name], single["quarantine"])
        drift = self._count_drift(single, set(tasks))
        return TaskBatch(
            {n: t.drop_columns(["_item", "_task"]) for n, t in single.items()},
            counts,
            drift,
        )

    def _count_drift(self, tables: Mapping[str, pa.Table], tasks: set[int]) -> dict[tuple[str, str, str], int]:
        found: Counter[tuple[str, str, str]] = Counter(self._count_unknown_enum_values(tables))
        examples: dict[str, str] = {}
        for task, path, example in self._unknown:
            if task in tasks:
                found[path, "field", examples.setdefault(path, example)] += 1
        return dict(found)

    def _count_unknown_enum_values(self, tables: Mapping[str, pa.Table]) -> dict[tuple[str, str, str], int]:
        found = {}
        for (name, column), known in self._enum_values.items():
            source = self._tables[name].build_source_path(self._tables[name].get_column(column))
            for entry in pc.value_counts(tables[name][column].combine_chunks()).to_pylist():
                if entry["values"] is not None and entry["values"] not in known:
                    found[source, "enum", entry["values"]] = entry["counts"]
        return found


def _filter_tasks(rows: pa.Table, tasks: Iterable[int]) -> pa.Table:
    """Return the rows of these tasks. Nothing is copied if `rows` is empty or all rows are of these tasks."""
    if not rows.num_rows:
        return rows
    chosen = pc.is_in(rows["_task"], pa.array(list(tasks), pa.int64()))
    return rows if pc.all(chosen).as_py() else rows.filter(chosen)


def _find_repeated_items(items: pa.Table, key: Iterable[str]) -> pa.Array:
    """Return the numbers of items that a later item of the same task and key replaces."""
    # Item numbers grow in AWS's order, so the largest number of a key is its newest state.
    last = items.group_by(["_task", *key], use_threads=False).aggregate([("_item", "max")])["_item_max"]
    if len(last) == items.num_rows:
        return pa.array([], pa.int64())
    return items["_item"].filter(pc.invert(pc.is_in(items["_item"], last))).combine_chunks()


def _count_items(tasks: list[int], items: pa.Table, rows: pa.Table, quarantine: pa.Table) -> dict[int, TaskCounts]:
    seen, single, issues = _count_rows_per_task(items), _count_rows_per_task(rows), _count_rows_per_task(quarantine)
    whole = _count_rows_per_task(quarantine.filter(pc.equal(quarantine["level"], "item")))
    return {t: TaskCounts(single[t], seen[t] - single[t], issues[t], whole[t]) for t in tasks}


def _count_rows_per_task(table: pa.Table) -> Counter[int]:
    tasks, counts = pc.value_counts(table["_task"].combine_chunks()).flatten()
    return Counter(dict(zip(tasks.to_pylist(), counts.to_pylist(), strict=True)))
