"""Feeds that nobody writes: a contract's tables with keys of one column, times in UTC without a zone, and stamps.

`<singular>_key` (account/region/name) is the items' key and leads from every other feed to them; rows of child tables
and of changes have a `row_key`. `scope_key` (resource/account/region) leads to the feed `coverage`.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by sql.py

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from appstream_export.contracts import Column, Contract, Table
from appstream_export.contracts.model import ACCOUNT_NAME
from appstream_export.lake.sql import literal, quoted

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
AS_OF = Column("as_of_utc", "TIMESTAMP", "When the snapshot was committed that this feed shows. UTC.")
SNAPSHOT = Column("snapshot_id", "VARCHAR", "Snapshot that this feed shows: equal in all feeds of a generation.")
_SCOPE = Column(SCOPE_KEY, "VARCHAR", "Resource, account and region, with slashes between them: key of coverage.")
_CHANGED_IN = (
    Column("changed_in_snapshot_id", "VARCHAR", "Snapshot that found the change."),
    Column("changed_in_snapshot_utc", "TIMESTAMP", "When that snapshot was committed. UTC."),
)


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed. Columns have DuckDB's types; `key` is unique and never null; `leads_to` are feeds by their key here."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: str
    sql: str
    leads_to: Mapping[str, str] = field(default_factory=dict)


def feeds(contract: Contract) -> Iterator[Feed]:
    """A feed for each table of a contract, and one of all its changes."""
    yield _feed(contract, contract.item_table, _item_key(contract), ())
    for table in contract.child_tables:
        outer = [c.name for c in table.columns if c.name in table.key and c.name not in _item_columns(contract)]
        yield _feed(contract, table, Column(ROW_KEY, "VARCHAR", _doc((*_words(contract), *outer))), outer)
    yield _changes(contract)


def _feed(contract: Contract, table: Table, key: Column, positions: Sequence[str]) -> Feed:
    is_item = table is contract.item_table
    names = contract.item_key if is_item else contract.parent_key
    item = _item_key(contract)
    shown = [(key, _joined(contract, names, positions))]
    shown += [] if is_item else [(item, _joined(contract, names))]
    shown += [(_SCOPE, _scope(contract)), *_own(table)]
    leads = {SCOPE_KEY: COVERAGE} | ({} if is_item else {item.name: contract.item_table.name})
    return _built(table.name, table.doc, shown, table.name, key.name, leads)


def _changes(contract: Contract) -> Feed:
    table = contract.changes
    told = (*(c for c in table.columns if c.name in ("change", "column_name")),)
    parts = ", ".join(f"coalesce(r.{quoted(c.name)}, '')" for c in told)
    row = f"concat_ws('/', r.snapshot_id, {_joined(contract, contract.item_key)}, {parts})"
    key = Column(ROW_KEY, "VARCHAR", _doc(("changed_in_snapshot_id", *_words(contract), *(c.name for c in told))))
    shown = [(key, row), (_item_key(contract), _joined(contract, contract.item_key)), (_SCOPE, _scope(contract))]
    shown += [(_CHANGED_IN[0], "r.snapshot_id"), (_CHANGED_IN[1], "utc(r.snapshot_at)"), *_own(table)]
    doc = f"{table.doc} Of all snapshots that are known; items that are gone stand here and nowhere else."
    return _built(table.name, doc, shown, f"{table.name}_history", ROW_KEY, {})


def _own(table: Table) -> Iterator[tuple[Column, str]]:
    """The table's columns as a feed shows them, the account's name beside its id."""
    columns = [c for c in table.view_columns if c.name not in ("snapshot_id", ACCOUNT_NAME.name)]
    if table.resource is not None:
        columns.insert(1, ACCOUNT_NAME)
    for column in columns:
        kind = TYPES[column.type]
        is_time = kind == "TIMESTAMP"
        name = f"{column.name}_utc" if is_time else column.name
        yield (
            Column(name, kind, f"{column.doc} UTC." if is_time else column.doc),
            f"utc(r.{quoted(column.name)})" if is_time else f"r.{quoted(column.name)}",
        )


def _built(
    name: str, doc: str, shown: Sequence[tuple[Column, str]], source: str, key: str, leads_to: Mapping[str, str]
) -> Feed:
    shown = [*shown, (AS_OF, "f.as_of_utc"), (SNAPSHOT, "f.snapshot_id")]
    listed = ", ".join(f"{sql} as {quoted(column.name)}" for column, sql in shown)
    query = f"select {listed} from {quoted(source)} as r cross join feed_snapshot as f"
    return Feed(name, doc, tuple(column for column, _ in shown), key, query, leads_to)


def _item_key(contract: Contract) -> Column:
    return Column(f"{contract.singular}_key", "VARCHAR", _doc(_words(contract)))


def _item_columns(contract: Contract) -> set[str]:
    return {"account_id", "region", *contract.parent_key}


def _words(contract: Contract) -> tuple[str, ...]:
    return ("account_id", "region", *contract.item_key)


def _doc(words: Sequence[str]) -> str:
    return f"{', '.join(words)} with slashes between them."


def _joined(contract: Contract, names: Sequence[str], positions: Sequence[str] = ()) -> str:
    """SQL of a key. One name may hold slashes, since what stands beside it cannot; of several, each is escaped."""
    parts = [f"r.{quoted(name)}" for name in names]
    if len(contract.item_key) > 1:
        parts = [f"replace(replace({part}::varchar, '%', '%25'), '/', '%2F')" for part in parts]
    return f"concat_ws('/', r.account_id, r.region, {', '.join([*parts, *(f'r.{quoted(p)}' for p in positions)])})"


def _scope(contract: Contract) -> str:
    return f"concat_ws('/', {literal(contract.name)}, r.account_id, r.region)"
