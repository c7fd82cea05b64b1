"""Flatten pages of nested items into one Arrow table per contract table, column by column."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from appstream_export.contracts import (
    ARROW_TYPES,
    MAP,
    Column,
    Contract,
    Table,
    build_arrow_schema,
    get_operational_table,
    list_outer_positions,
)
from appstream_export.json_text import RawItems
from appstream_export.model import Page
from appstream_export.normalize.item_schema import Map, Struct, build_arrow_type, build_item_schema, walk_nodes
from appstream_export.normalize.json_pages import PageReader
from appstream_export.normalize.key_conflicts import find_key_conflicts
from appstream_export.normalize.maps import open_maps
from appstream_export.normalize.masking import build_sensitive_tree, replace_sensitive_values
from appstream_export.normalize.schema_match import NestedArray, match_items
from appstream_export.normalize.validate import (
    ValidatedItem,
    ValidationIssue,
    encode_raw_json,
    get_value_at_path,
    validate_item,
)

ITEM_FIELD = pa.field("_item", pa.int64())
"""Hidden column: the item's number, in AWS's order. All rows of an item have it, so repeats can be dropped."""
TASK_FIELD = pa.field("_task", pa.int64())
"""Hidden column: the number of the item's task, so that the rows of failed tasks can be discarded."""


@dataclass(slots=True)
class FlatBatch:
    """The rows of a batch: contract tables and `quarantine`, each with the hidden columns; and its unknown fields."""

    tables: dict[str, pa.Table]
    unknown: list[tuple[int, str, str]] = field(default_factory=list)
    """(task, path such as `VpcConfig.IpamPoolId`, example value as JSON)."""


class Flattener:
    """Flattener of page batches of one contract."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._item_schema: Struct = build_item_schema(contract)
        self._clean_type = build_arrow_type(self._item_schema)
        self._key = [contract.item_sources[k] for k in contract.item_key if k in contract.item_sources]
        self._inputs = contract.item_table.input_columns
        self._has_maps = any(isinstance(node, Map) for node in walk_nodes(self._item_schema))
        self._sensitive = build_sensitive_tree(contract.sensitive)
        self._page_reader = PageReader.create_if_typed(self._item_schema, self._key)
        self._schemas = {
            t.name: build_schema_with_hidden_columns(t) for t in (*contract.tables, get_operational_table("quarantine"))
        }

    def flatten_pages(self, pages: Sequence[tuple[int, Page]], first_item: int) -> FlatBatch:
        """Return the rows of pages, each with its task number. Items are numbered from `first_item` in page order."""
        origin = _Origin.from_pages(pages, first_item, self._inputs)
        flat = self._flatten_items(pages, origin)
        conflicts = find_key_conflicts(pages, first_item, flat.tables[self._contract.name], self._contract.item_key)
        return self._move_items_to_quarantine(flat, conflicts, first_item, origin) if conflicts else flat

    def _flatten_items(self, pages: Sequence[tuple[int, Page]], origin: "_Origin") -> FlatBatch:
        # Three paths with the same result, fastest first: JSON text to Arrow, objects to Arrow, and item by item.
        rows = self._read_raw_items([page.items for _, page in pages])
        if rows is not None:
            return self._build_clean_batch(rows, origin)
        items = list(chain.from_iterable(page.items for _, page in pages))
        opened = open_maps(items, self._item_schema) if self._has_maps else items
        rows = match_items(opened, self._item_schema, self._key) if opened is not None else None
        if rows is not None:
            return self._build_clean_batch(rows, origin)
        return self._flatten_validated_items(items, origin)

    def _move_items_to_quarantine(
        self, flat: FlatBatch, conflicts: Mapping[int, tuple[Any, str]], first_item: int, origin: "_Origin"
    ) -> FlatBatch:
        """Move all rows of the items in `conflicts` to quarantine, with their reasons."""
        numbers = pa.array(list(conflicts), pa.int64())
        tables = {n: t.filter(pc.invert(pc.is_in(t["_item"], numbers))) for n, t in flat.tables.items()}
        items = [self._replace_sensitive(item) for item, _ in conflicts.values()]
        reasons = [reason for _, reason in conflicts.values()]
        validated = [
            ValidatedItem(None, {}, [ValidationIssue("", "item", reason, item)])
            for item, reason in zip(items, reasons, strict=True)
        ]
        moved = self._build_quarantine_table(items, validated, origin.take_rows(pc.subtract(numbers, first_item)))
        return FlatBatch({**tables, "quarantine": pa.concat_tables([tables["quarantine"], moved])}, flat.unknown)

    def _read_raw_items(self, pages: Sequence[Sequence[Any]]) -> NestedArray | None:
        """Return all items of pages that are still text, or None if the batch needs a slower path."""
        raw = [items for items in pages if isinstance(items, RawItems)]
        is_readable = self._page_reader is not None and raw and len(raw) == len(pages)
        return self._page_reader.read_items(raw) if is_readable else None

    def _build_clean_batch(self, rows: NestedArray, origin: "_Origin") -> FlatBatch:
        tables = self._build_tables(rows, origin, None)
        return FlatBatch({**tables, "quarantine": self._build_quarantine_table([], [], origin)})

    def _flatten_validated_items(self, items: list[Any], origin: "_Origin") -> FlatBatch:
        items = [self._replace_sensitive(item) for item in items]
        validated = [validate_item(item, self._item_schema, self._key) for item in items]
        good = pa.array([n for n, c in enumerate(validated) if c.value is not None], pa.int64())
        valid = [c for c in validated if c.value is not None]
        rows = pa.array([c.value for c in valid], self._clean_type)
        extra = pa.array([encode_raw_json(c.extra) if c.extra else None for c in valid], pa.string())
        tables = self._build_tables(NestedArray(rows), origin.take_rows(good), extra)
        tables["quarantine"] = self._build_quarantine_table(items, validated, origin)
        unknown = [
            (origin.task[n].as_py(), _strip_list_indexes(f.path), f.raw_json)
            for n, c in enumerate(validated)
            for f in c.issues
            if f.level == "field"
        ]
        return FlatBatch(tables, unknown)

    def _replace_sensitive(self, item: Any) -> Any:
        return replace_sensitive_values(item, self._sensitive) if self._sensitive else item

    def _build_tables(self, items: NestedArray, origin: "_Origin", extra: pa.Array | None) -> dict[str, pa.Table]:
        item_table = self._contract.item_table
        sources = self._contract.item_sources
        values = {c.name: _build_column(items, c, sources[c.name]) for c in item_table.answer_columns}
        values |= origin.inputs
        values["extra_json"] = pa.nulls(len(items.values), pa.string()) if extra is None else extra
        keys = [values[k] for k in self._contract.item_key]
        tables = {item_table.name: self._build_table(item_table, origin, values)}
        for child in self._contract.child_tables:
            tables[child.name] = self._build_child_table(child, items, origin, keys)
        return tables

    def _build_child_table(self, table: Table, items: NestedArray, origin: "_Origin", keys: list[pa.Array]) -> pa.Table:
        rows_from = table.rows_from or ""
        opened = _unnest_path(items, rows_from)
        if opened is None:  # the usual case: skip building every column
            return self._schemas[table.name].empty_table()
        elements, parents, positions = opened
        values = dict(zip(self._contract.parent_key, (k.take(parents) for k in keys), strict=True))
        values |= dict(zip((*list_outer_positions(rows_from), "position"), positions, strict=True))
        values |= {c.name: _build_column(elements, c, c.source) for c in table.source_columns}
        return self._build_table(table, origin.take_rows(parents), values)

    def _build_table(self, table: Table, origin: "_Origin", values: dict[str, pa.Array]) -> pa.Table:
        wanted = self._schemas[table.name]
        given = values | origin.columns
        return pa.table([given[name] for name in wanted.names], schema=wanted)

    def _build_quarantine_table(self, items: list[Any], validated: list[ValidatedItem], origin: "_Origin") -> pa.Table:
        rows = [
            {
                "resource": self._contract.name,
                "account_id": origin.account_id[n].as_py(),
                "region": origin.region[n].as_py(),
                "item_name": self._build_item_name(items[n], origin, n),
                "path": finding.path or None,
                "level": finding.level,
                "reason": finding.reason,
                "raw_json": finding.raw_json,
                "observed_at": origin.observed_at[n].as_py(),
                "_item": origin.item[n].as_py(),
                "_task": origin.task[n].as_py(),
            }
            for n, c in enumerate(validated)
            for finding in c.issues
            if finding.level != "field"
        ]
        return pa.Table.from_pylist(rows, self._schemas["quarantine"])

    def _build_item_name(self, item: Any, origin: "_Origin", n: int) -> str | None:
        """Return the values of the item's key, joined by slashes; None if one is missing."""
        sources = self._contract.item_sources
        parts = [
            origin.inputs[name][n].as_py() if name in self._inputs else get_value_at_path(item, sources[name])
            for name in self._contract.item_key
        ]
        if not all(isinstance(p, str) and p for p in parts):
            return None
        return "/".join(parts).encode("utf-8", "replace").decode()  # UTF-8 has no lone surrogates; raw_json has them


@dataclass(frozen=True, slots=True)
class _Origin:
    """The columns that say where each item comes from."""

    account_id: pa.Array
    region: pa.Array
    observed_at: pa.Array
    item: pa.Array
    task: pa.Array
    inputs: Mapping[str, pa.Array] = field(default_factory=dict)
    """Columns of the item table that repeat the parent's row."""

    @classmethod
    def from_pages(cls, pages: Sequence[tuple[int, Page]], first_item: int, inputs: Mapping[str, str]) -> "_Origin":
        begins = list(accumulate((len(page.items) for _, page in pages), initial=0))
        numbers = pa.arange(first_item, first_item + begins[-1])
        # The pages as lists of item numbers: their parent indices are the page of each item, without a Python loop.
        page_of_item = pc.list_parent_indices(pa.ListArray.from_arrays(pa.array(begins, pa.int32()), numbers))

        def repeat_per_item(values: list[Any], kind: pa.DataType) -> pa.Array:
            return pa.array(values, kind).take(page_of_item)

        return cls(
            account_id=repeat_per_item([p.task.scope.account_id for _, p in pages], pa.string()),
            region=repeat_per_item([p.task.scope.region for _, p in pages], pa.string()),
            observed_at=repeat_per_item([p.observed_at for _, p in pages], ARROW_TYPES["timestamp"]),
            item=numbers,
            task=repeat_per_item([task for task, _ in pages], pa.int64()),
            inputs={
                name: repeat_per_item([p.parent_row.get(column) for _, p in pages], pa.string())
                for name, column in inputs.items()
            },
        )

    @property
    def columns(self) -> dict[str, pa.Array]:
        """The columns by name; every table has these names."""
        return {
            "account_id": self.account_id,
            "region": self.region,
            "observed_at": self.observed_at,
            "_item": self.item,
            "_task": self.task,
        }

    def take_rows(self, rows: pa.Array) -> "_Origin":
        own = {name: values.take(rows) for name, values in self.columns.items()}
        inputs = {name: values.take(rows) for name, values in self.inputs.items()}
        return _Origin(own["account_id"], own["region"], own["observed_at"], own["_item"], own["_task"], inputs)


def build_schema_with_hidden_columns(table: Table) -> pa.Schema:
    """Return the schema of a contract's table, with ITEM_FIELD and TASK_FIELD at the end."""
    return build_arrow_schema(table).append(ITEM_FIELD).append(TASK_FIELD)


def _build_column(rows: NestedArray, column: Column, source: str) -> pa.Array:
    values, kind = rows.get_field(source).values, ARROW_TYPES[column.type]  # "." is the row itself
    if values.type == kind:
        return values
    return _convert_to_timestamps(values) if column.type == "timestamp" else values.cast(kind)


def _convert_to_timestamps(values: pa.Array) -> pa.Array:
    """Convert epoch seconds to microseconds; rounded, since a float holds microseconds only nearly."""
    kind = ARROW_TYPES["timestamp"]
    if pa.types.is_null(values.type):
        return values.cast(kind)
    micros = pc.round(pc.multiply(values.cast(pa.float64()), 1_000_000.0))
    return micros.cast(pa.int64()).cast(kind)


def _unnest_path(items: NestedArray, rows_from: str) -> tuple[NestedArray, pa.Array, list[pa.Array]] | None:
    """Return the elements of each item's list: values, item numbers, and positions (one array per list on the path).

    None if no item has an element.
    """
    values, parents = items, None
    positions: list[pa.Array] = []
    for path in rows_from.removesuffix(MAP).split("[]"):
        opened = _unnest_list(values.get_field(path).values)
        if opened is None:
            return None
        elements, inner, position = opened
        values, parents = NestedArray(elements), inner if parents is None else parents.take(inner)
        positions = [*(p.take(inner) for p in positions), position]
    return values, parents, positions


def _unnest_list(lists: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array] | None:
    """Return the elements, the number of each element's list, and its position; None if there are no elements.

    A quarantined element is null: it is left out, and the others retain their positions.
    """
    if pa.types.is_null(lists.type):
        return None
    elements = pc.list_flatten(lists)
    if elements.null_count == len(elements):
        return None
    parents = pc.list_parent_indices(lists).cast(pa.int64())
    lengths = pc.fill_null(pc.list_value_length(lists), 0).cast(pa.int64())
    # An element's position is its distance from the start of its list; null lists have no elements.
    starts = pc.subtract(pc.cumulative_sum(lengths), lengths)
    position = pc.subtract(pa.arange(0, len(elements)), starts.take(parents))
    if not elements.null_count:
        return elements, parents, position
    there = elements.is_valid()
    return elements.filter(there), parents.filter(there), position.filter(there)


def _strip_list_indexes(path: str) -> str:
    """Remove list indexes: `ImageBuilderErrors[3].NewField` becomes `ImageBuilderErrors[].NewField`."""
    return re.sub(r"\[\d+\]", "[]", path)
