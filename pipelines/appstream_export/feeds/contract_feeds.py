"""Feeds rendered from contracts: each table with a key of one column, times in UTC without a zone, and stamps.

`<item_name>_key` (account/region/name) is the key of items and a foreign key in other feeds; rows of child tables and
of changes have a `row_key`. `scope_key` (resource/account/region) is a foreign key to the feed `coverage`.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by lake/duckdb.py

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from appstream_export.contracts import ACCOUNT_NAME, Column, Contract, Table
from appstream_export.lake.duckdb import quote_identifier, quote_literal

COVERAGE = "coverage"
SCOPE_KEY = "scope_key"
ROW_KEY = "row_key"
TYPES: Mapping[str, str] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "number": "DOUBLE",
    "json": "VARCHAR",
}
AS_OF = Column("as_of_utc", "TIMESTAMP", "When the snapshot of this feed was committed. UTC.")
SNAPSHOT = Column("snapshot_id", "VARCHAR", "Snapshot of this feed: the same in all feeds of a generation.")
_SCOPE = Column(SCOPE_KEY, "VARCHAR", "Resource, account and region, separated by slashes: key of coverage.")
_CHANGED_IN = (
    Column("changed_in_snapshot_id", "VARCHAR", "Snapshot that found the change."),
    Column("changed_in_snapshot_utc", "TIMESTAMP", "When that snapshot was committed. UTC."),
)


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed. Columns have DuckDB's types; `key` is unique and never null; `foreign_keys` are feeds by column.

    `required` columns are never null. With `has_zone`, times of Parquet files have the zone UTC.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: str
    sql: str
    foreign_keys: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    """Tables and views that `sql` reads."""
    history: str | None = None
    """The column of dates or times that `[feeds] history_days` limits; None if all rows are of the newest snapshot."""
    required: frozenset[str] = frozenset()
    has_zone: bool = False
    is_fact: bool = False
    """Whether rows lack `as_of_utc` and `snapshot_id`: those of the past never change. Only in v2."""
    inputs: tuple[tuple[str, str | None], ...] = ()
    """Sources with their column of days: a month's rows derive only from theirs of that month, or from all if None.

    The first one has rows of each month that the feed has. Empty if the feed's own rows say what has changed."""
    sorted_by: tuple[str, ...] = ()
    """The columns by which `sql` sorts its rows itself; empty if they are to be sorted by the key."""
    history_days: int | None = None
    """`[feeds] history_days`, if the feed is limited."""

    @property
    def column_types(self) -> dict[str, str]:
        """DuckDB's types by column."""
        return {column.name: column.type for column in self.columns}

    @property
    def order(self) -> str:
        """ORDER BY the key; empty if the query sorts, and for changes, which are too wide to sort in little memory."""
        is_wide = self.history == _CHANGED_IN[1].name
        return "" if is_wide or self.sorted_by else f" order by {quote_identifier(self.key)}"

    @property
    def is_in_parts(self) -> bool:
        """Whether each month has a file of its own."""
        return self.is_fact and self.history is not None

    def find_first_day(self, as_of: datetime) -> date | None:
        """Return the first day of a limited history, else None."""
        return None if self.history_days is None else as_of.date() - timedelta(days=self.history_days)

    @property
    def is_dimension(self) -> bool:
        """Whether other feeds lead to it: a dimension, or the newest state of items."""
        return self.name.startswith("dim_") or self.is_newest_state

    @property
    def is_newest_state(self) -> bool:
        """Whether it has one wide row for each item of the newest snapshot. Only in v2."""
        return self.name.endswith("_latest")


def build_contract_feeds(contract: Contract) -> Iterator[Feed]:
    """Yield a feed for each table of a contract, then one for all its changes."""
    yield _build_table_feed(contract, contract.item_table, _build_item_key_column(contract), ())
    for table in contract.child_tables:
        outer = [c.name for c in table.columns if c.name in table.key and c.name not in _get_item_columns(contract)]
        yield _build_table_feed(
            contract, table, Column(ROW_KEY, "VARCHAR", _describe_key((*_list_key_parts(contract), *outer))), outer
        )
    yield _build_changes_feed(contract)


def _build_table_feed(contract: Contract, table: Table, key: Column, positions: Sequence[str]) -> Feed:
    is_item = table is contract.item_table
    item = _build_item_key_column(contract)
    row = ", ".join((_render_item_key(contract), *(f"r.{quote_identifier(p)}" for p in positions)))
    columns = [] if is_item else [(key, f"concat_ws('/', {row})")]
    columns += [(item, _render_item_key(contract)), *_list_parent_keys(contract, table)]
    columns += [(_SCOPE, _render_scope_sql(contract)), *_list_table_columns(table)]
    foreign_keys = {SCOPE_KEY: COVERAGE} | ({} if is_item else {item.name: contract.item_table.name})
    return _build_feed(table.name, table.doc, columns, table.name, key.name, foreign_keys)


def _build_changes_feed(contract: Contract) -> Feed:
    table = contract.changes_table
    details = (*(c for c in table.columns if c.name in ("change", "column_name")),)
    parts = ", ".join(f"coalesce(r.{quote_identifier(c.name)}, '')" for c in details)
    row = f"concat_ws('/', r.snapshot_id, {_render_item_key(contract)}, {parts})"
    key = Column(
        ROW_KEY,
        "VARCHAR",
        _describe_key(("changed_in_snapshot_id", *_list_key_parts(contract), *(c.name for c in details))),
    )
    columns = [
        (key, row),
        (_build_item_key_column(contract), _render_item_key(contract)),
        *_list_parent_keys(contract, table),
        (_SCOPE, _render_scope_sql(contract)),
    ]
    columns += [(_CHANGED_IN[0], "r.snapshot_id"), (_CHANGED_IN[1], "utc(r.snapshot_at)"), *_list_table_columns(table)]
    doc = f"{table.doc} It covers all retained snapshots; deleted items appear only here."
    feed = _build_feed(table.name, doc, columns, f"{table.name}_history", ROW_KEY, {})
    return replace(feed, history=_CHANGED_IN[1].name)


def _list_table_columns(table: Table) -> Iterator[tuple[Column, str]]:
    """Yield the feed's columns of a table with their SQL; the account's name follows its id."""
    apart = {"snapshot_id", ACCOUNT_NAME.name, *(key.name for key in table.join_keys)}
    columns = [c for c in table.view_columns if c.name not in apart]
    if table.resource is not None:
        columns.insert(1, ACCOUNT_NAME)
    for column in columns:
        kind = TYPES[column.type]
        is_time = kind == "TIMESTAMP"
        name = f"{column.name}_utc" if is_time else column.name
        yield (
            Column(name, kind, f"{column.doc} UTC." if is_time else column.doc),
            f"utc(r.{quote_identifier(column.name)})" if is_time else f"r.{quote_identifier(column.name)}",
        )


def _build_feed(
    name: str, doc: str, columns: Sequence[tuple[Column, str]], source: str, key: str, foreign_keys: Mapping[str, str]
) -> Feed:
    columns = [*columns, (AS_OF, "f.as_of_utc"), (SNAPSHOT, "f.snapshot_id")]
    listed = ", ".join(f"{sql} as {quote_identifier(column.name)}" for column, sql in columns)
    query = f"select {listed} from {quote_identifier(source)} as r cross join feed_snapshot as f"
    return Feed(name, doc, tuple(column for column, _ in columns), key, query, foreign_keys, reads=(source,))


def _build_item_key_column(contract: Contract) -> Column:
    return Column(contract.join_key_name, "VARCHAR", _describe_key(_list_key_parts(contract)))


def _get_item_columns(contract: Contract) -> set[str]:
    return {"account_id", "region", *contract.parent_key}


def _list_key_parts(contract: Contract) -> tuple[str, ...]:
    return ("account_id", "region", *contract.item_key)


def _describe_key(parts: Sequence[str]) -> str:
    return f"{', '.join(parts)} separated by slashes."


def _render_item_key(contract: Contract) -> str:
    return f"r.{quote_identifier(contract.join_key_name)}"


def _list_parent_keys(contract: Contract, table: Table) -> Iterator[tuple[Column, str]]:
    """Yield the keys of the items that a follow-up call's rows belong to, with their SQL."""
    for key in table.join_keys:
        if key.name != contract.join_key_name:
            yield Column(key.name, "VARCHAR", key.column.doc), f"r.{quote_identifier(key.name)}"


def _render_scope_sql(contract: Contract) -> str:
    return f"concat_ws('/', {quote_literal(contract.name)}, r.account_id, r.region)"
