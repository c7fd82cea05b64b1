"""Contracts as values: resources, their tables and columns, and the tables about the export itself."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from appstream_export.contracts.call_rules import MONTH, CallRules, get_input_name
from appstream_export.contracts.paths import MAP, convert_item_source, join_source_path

EnumValues: TypeAlias = Mapping[tuple[str, str], tuple[str, ...]]
"""The values that botocore knows for an enum, by table and column."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. `source` is the dotted path in the item or row.

    `.` is the row itself, `{name}` the column `name` of the parent's row.
    """

    name: str
    type: str
    doc: str
    source: str = ""

    @property
    def input_name(self) -> str | None:
        """The column of the parent's row that a follow-up call's row repeats, or None."""
        return get_input_name(self.source)


SNAPSHOT_ID = Column("snapshot_id", "string", "Snapshot that the row belongs to: a ULID.")
ACCOUNT_ID = Column("account_id", "string", "AWS account, 12 digits.")
REGION = Column("region", "string", "AWS region.")
OBSERVED_AT = Column(
    "observed_at",
    "timestamp",
    "When AWS returned this row, by our clock; older than the snapshot if the scope has failed since.",
)
ACCOUNT_NAME = Column(
    "account_name", "string", "Name of the account; null when neither settings nor organization has one."
)
IS_STALE = Column(
    "is_stale",
    "boolean",
    "The newest attempt to read this scope failed or was skipped: the row dates from observed_at.",
)
EXTRA_JSON = Column(
    "extra_json", "json", "Fields that AWS sent and the contract does not map, as JSON; null when none."
)
POSITION = Column("position", "integer", "Place in AWS's list, from 0.")
CHANGE_COLUMNS = (
    Column("change", "string", "first_seen, created, changed, deleted, or ended (its scope ended)."),
    Column("column_name", "string", "Column, or child table, that changed; null unless change is changed."),
    Column(
        "old_value", "string", "Value before, as text, null when absent; the whole item as JSON for deleted and ended."
    ),
    Column(
        "new_value",
        "string",
        "Value after, as text, null when absent; the whole item as JSON for first_seen and created.",
    ),
    Column("observed_at", "timestamp", "When AWS gave the answer that proves the change."),
    Column(
        "previous_observed_at",
        "timestamp",
        "When AWS gave the answer before, null if none; the change happened between the two.",
    ),
)


@dataclass(frozen=True, slots=True)
class JoinKey:
    """One text that identifies an item in all tables: `account/region/name`, made from `columns` by the catalog.

    Views and feeds have it as the column `name`, such as `image_builder_key`; files do not.
    """

    name: str
    item: str
    """What it identifies, such as `image_builder`."""
    columns: tuple[str, ...]
    """The columns that hold its parts in this table, in order: account, region, the item's own key."""

    @property
    def column(self) -> Column:
        """The column of views that shows it."""
        title, parts = self.item.replace("_", " "), ", ".join(self.columns)
        return Column(self.name, "string", f"Key of the {title} in all its tables: {parts}, separated by slashes.")


@dataclass(frozen=True, slots=True)
class Table:
    """A table with all its columns in order, including those that every table has (scope, position, ...).

    `key` names the columns that are unique within a snapshot. `rows_from` is the list or map whose entries become rows
    (None: the items themselves). `resource` is None for operational tables. A `cumulative` table repeats the rows
    of earlier snapshots, so `snapshot_id` is a column of its files and not only the folder's name.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    resource: str | None = None
    rows_from: str | None = None
    created_at_column: str | None = None
    cumulative: bool = False
    join_keys: tuple[JoinKey, ...] = ()

    @property
    def source_columns(self) -> tuple[Column, ...]:
        """Columns that are read from AWS's answer, or from the parent's row of a follow-up call."""
        return tuple(c for c in self.columns if c.source)

    @property
    def answer_columns(self) -> tuple[Column, ...]:
        """Columns that are read from AWS's answer."""
        return tuple(c for c in self.source_columns if c.input_name is None)

    @property
    def input_columns(self) -> dict[str, str]:
        """Columns that are read from the parent's row of a follow-up call: the parent's column by the own one."""
        return {c.name: c.input_name for c in self.source_columns if c.input_name is not None}

    @property
    def view_columns(self) -> tuple[Column, ...]:
        """Columns of the view: each join key after its parts; item and child tables get account_name and is_stale."""
        columns = list(self.columns)
        for key in self.join_keys:
            columns.insert(1 + max(n for n, column in enumerate(columns) if column.name in key.columns), key.column)
        if self.resource is not None:
            columns[-1:-1] = (ACCOUNT_NAME, IS_STALE)
        return tuple(columns)

    def get_column(self, name: str) -> Column:
        """Return the column of that name; raises KeyError."""
        found = find_column(self.columns, name)
        if found is None:
            raise KeyError(name)
        return found

    def build_source_path(self, column: Column) -> str:
        """Return the path that a column reads, from the item: `Groups[].Members[]`, or `.` for the item itself."""
        return join_source_path(self.rows_from, column.source)


@dataclass(frozen=True, slots=True)
class Contract:
    """An AWS list operation to export, and its tables; the first one holds the items."""

    name: str
    doc: str
    service: str
    operation: str
    items: str
    item_name: str
    tables: tuple[Table, ...]
    ignored: Mapping[str, str]
    file: Path
    sensitive: tuple[str, ...] = ()
    """Paths of values that AWS's model calls sensitive and no column reads: ignored, and masked in all text."""
    calls: CallRules = field(default_factory=CallRules)

    @property
    def iam_action(self) -> str:
        """The IAM action that allows the operation."""
        return self.calls.action or f"{self.service}:{self.operation}"

    @property
    def parent_columns(self) -> frozenset[str]:
        """The columns of the parent resource that follow-up calls and their rows need."""
        return frozenset({*self.calls.placeholders, *self.item_table.input_columns.values()} - {MONTH})

    @property
    def has_map_items(self) -> bool:
        """Whether the items are the rows of a map."""
        return self.items.endswith(MAP)

    @property
    def has_text_items(self) -> bool:
        """Whether the items are texts and not structures."""
        return any(column.source == "." for column in self.item_table.columns)

    @property
    def item_sources(self) -> dict[str, str]:
        """The path of each column of the item table in a normalized item, by column name."""
        return {c.name: convert_item_source(c.source) for c in self.item_table.answer_columns}

    @property
    def item_table(self) -> Table:
        """The table of the items: one row per item."""
        return self.tables[0]

    @property
    def child_tables(self) -> tuple[Table, ...]:
        """The tables of lists within an item: one row per element."""
        return self.tables[1:]

    @property
    def parent_key(self) -> tuple[str, ...]:
        """The item's key columns under their names in child tables and changes, such as `image_builder_name`."""
        return tuple(f"{self.item_name}_{k}" for k in self.item_key)

    @property
    def item_key(self) -> tuple[str, ...]:
        """The item's key columns, without the scope."""
        return tuple(k for k in self.item_table.key if k not in ("account_id", "region"))

    @property
    def join_key_name(self) -> str:
        """The column that identifies an item in the views of all its tables, such as `image_builder_key`."""
        return build_join_key_name(self.item_name)

    @property
    def changes_table(self) -> Table:
        """The change log of the resource: one row per change between complete answers."""
        return _build_changes_table(self)


def build_join_key_name(item_name: str) -> str:
    """Return the name of the column that identifies an item in views and feeds."""
    return f"{item_name}_key"


def build_join_key(item_name: str, key: Iterable[str]) -> JoinKey:
    """Return the key that joins a table to the item whose key columns, without the scope, are `key` there."""
    return JoinKey(build_join_key_name(item_name), item_name, (ACCOUNT_ID.name, REGION.name, *key))


def rename_join_key(key: JoinKey, names: Mapping[str, str]) -> JoinKey | None:
    """Return the key for a table that has its parts under other `names` (new by old), or None if it lacks one."""
    account_id, region, *parts = key.columns
    if any(part not in names for part in parts):
        return None
    return JoinKey(key.name, key.item, (account_id, region, *(names[part] for part in parts)))


def find_column(columns: Iterable[Column], name: object) -> Column | None:
    """Return the column of that name, or None."""
    return next((column for column in columns if column.name == name), None)


@cache
def load_operational_tables() -> tuple[Table, ...]:
    """Return the tables about the export itself: scope_runs, snapshots, accounts, quarantine, drift and the lists."""
    raw = tomllib.loads(Path(__file__).with_name("operational.toml").read_text("utf-8"))
    return tuple(_parse_operational_table(name, dict(table)) for name, table in raw.items())


def get_operational_table(name: str) -> Table:
    """Return the table about the export itself that has this name; raises KeyError."""
    return {table.name: table for table in load_operational_tables()}[name]


def list_snapshot_tables(contracts: Iterable[Contract]) -> list[Table]:
    """Return every table of a snapshot: items and children, changes, then the operational tables."""
    return [*chain.from_iterable((*c.tables, c.changes_table) for c in contracts), *load_operational_tables()]


def _parse_operational_table(name: str, raw: dict[str, Any]) -> Table:
    doc, key, cumulative = raw.pop("doc"), tuple(raw.pop("key")), raw.pop("cumulative", False)
    columns = tuple(Column(n, c["type"], c["doc"]) for n, c in raw.items())
    return Table(name, doc, (SNAPSHOT_ID, *columns), key, cumulative=cumulative)


def _build_changes_table(contract: Contract) -> Table:
    keys = tuple(Column(k, "string", contract.item_table.get_column(k).doc) for k in contract.item_key)
    doc = f"One row per change of {contract.name} that complete answers prove; one per column where an item changed."
    columns = (SNAPSHOT_ID, ACCOUNT_ID, REGION, *keys, *CHANGE_COLUMNS)
    names = {column.name for column in columns}
    join_keys = tuple(key for key in contract.item_table.join_keys if names.issuperset(key.columns))
    return Table(f"{contract.item_name}_changes", doc, columns, (), join_keys=join_keys)
