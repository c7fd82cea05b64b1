"""Definition of feeds: a name, a query, described columns of plain types, and one column that is the key.

Each file of sql/feeds/, packaged or a user's, is a feed. So is each table of a contract without such a file
(contract_feeds.py), so that a new resource has feeds as soon as it has a contract. Account labels that the settings
name become columns of every feed with accounts.
"""
# ruff: noqa: S608 - names come from checked contracts and headers, values are quoted by lake/duckdb.py

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import pyarrow as pa

from appstream_export.contracts import Column, Contract, SqlFile, list_sql_files
from appstream_export.errors import ContractError, SettingsError
from appstream_export.feeds import contract_feeds
from appstream_export.feeds.contract_feeds import COVERAGE, SCOPE_KEY, Feed
from appstream_export.lake.duckdb import quote_identifier, quote_literal

FEED_STATUS = "feed_status"
"""The feed that describes all feeds; built last."""
STAMPS = ("as_of_utc", "snapshot_id")
"""Columns with the same value in all rows of a generation. Facts of v2 lack them: their past rows do not change."""
CREATE_PUBLICATION_SQL = """create or replace temp table feed_publication (
    feed varchar, description varchar, row_count bigint, is_ok boolean, why varchar, published_at_utc timestamp
)"""
_TIMES = ("DATE", "TIMESTAMP")
_DECIMAL = re.compile(r"DECIMAL\(18,\d+\)")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column type that every tool understands: its Arrow type and its name in a data package."""

    arrow: pa.DataType
    field: str


COLUMN_TYPES: Mapping[str, ColumnType] = {
    "VARCHAR": ColumnType(pa.string(), "string"),
    "BOOLEAN": ColumnType(pa.bool_(), "boolean"),
    "BIGINT": ColumnType(pa.int64(), "integer"),
    "DOUBLE": ColumnType(pa.float64(), "number"),
    "DATE": ColumnType(pa.date32(), "date"),
    "TIMESTAMP": ColumnType(pa.timestamp("us"), "datetime"),
}


def resolve_column_type(duckdb_type: str) -> ColumnType:
    """Return the type of a column; raises KeyError for a type that feeds must not have."""
    if _DECIMAL.fullmatch(duckdb_type):
        return ColumnType(pa.decimal128(18, int(duckdb_type[len("DECIMAL(18,") : -1])), "number")
    return COLUMN_TYPES[duckdb_type]


def build_feed_schema(feed: Feed) -> pa.Schema:
    """Return the Arrow schema of a feed's Parquet file, with descriptions as field metadata."""
    return pa.schema([_build_arrow_field(feed, column) for column in feed.columns], metadata={"comment": feed.doc})


def _build_arrow_field(feed: Feed, column: Column) -> pa.Field:
    kind = resolve_column_type(column.type).arrow
    if feed.has_zone and pa.types.is_timestamp(kind):
        kind = pa.timestamp(kind.unit, "UTC")
    return pa.field(column.name, kind, metadata={"comment": column.doc})


def build_feeds(contracts: Sequence[Contract], labels: Sequence[str]) -> list[Feed]:
    """Return the feeds of contracts and SQL files, sorted by name, `feed_status` last.

    Raises ContractError if a feed breaks the rules of feeds, SettingsError if a label cannot become a column.
    """
    items = {f"{c.item_name}_key": c.item_table.name for c in contracts}
    files = [build_file_feed(file, items) for file in list_sql_files(contracts, "feeds")]
    by_file = {feed.name for feed in files}
    found = [
        *files,
        *(feed for c in contracts for feed in contract_feeds.build_contract_feeds(c) if feed.name not in by_file),
    ]
    label_columns = map_label_columns(labels)
    ordered = sorted(found, key=lambda feed: (feed.name == FEED_STATUS, feed.name))
    return [check_feed(add_label_columns(feed, label_columns)) for feed in ordered]


def build_file_feed(file: SqlFile, items: Mapping[str, str]) -> Feed:
    """Return the feed of an SQL file, as its header describes it; raises ContractError if it names no key."""
    if file.key is None:
        raise ContractError(f'{file.name}.sql: the header names no key; add the line "-- key: <column>"')
    columns = tuple(replace(column, type=column.type.upper()) for column in file.columns)
    keys = {column.name for column in columns} - {file.key}
    # Only feeds with a `scope_key` show current rows, so only their other keys are sure to exist elsewhere.
    known = {SCOPE_KEY: COVERAGE, **items} if SCOPE_KEY in keys else {}
    foreign_keys = {key: to for key, to in known.items() if key in keys}
    return Feed(
        file.name,
        file.doc,
        columns,
        file.key,
        file.sql,
        foreign_keys,
        file.reads,
        file.history,
        inputs=file.inputs,
        sorted_by=file.order,
    )


def map_label_columns(
    labels: Iterable[str], *, setting: str = "account_labels", prefix: str = "label"
) -> dict[str, str]:
    """Return labels by the name of their column: `label_cost_centre` for "Cost Centre"; raises SettingsError."""
    found: dict[str, str] = {}
    for label in labels:
        slug = slugify_name(label)
        column = f"{prefix}_{slug}"
        if not slug or '"' in label:
            raise SettingsError(f'[feeds] {setting}: "{label}" cannot become a column name', fix=f"rename the {prefix}")
        if column in found:
            raise SettingsError(f'[feeds] {setting}: "{label}" and "{found[column]}" become the same column')
        found[column] = label
    return found


def slugify_name(name: str) -> str:
    """Return a name as an identifier: lower-case ASCII letters and digits, with `_` for everything else.

    >>> slugify_name("Not seen, and why")
    'not_seen_and_why'
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def add_label_columns(feed: Feed, labels: Mapping[str, str]) -> Feed:
    """Return the feed with labels of its account as columns, if it has an account."""
    if not labels or "account_id" not in {column.name for column in feed.columns}:
        return feed
    path = {name: quote_literal(f'$."{label}"') for name, label in labels.items()}
    selected = ", ".join(
        f"json_extract_string(l.labels_json, {p}) as {quote_identifier(name)}" for name, p in path.items()
    )
    query = f"select q.*, {selected} from ({feed.sql}\n) as q left join accounts as l on q.account_id = l.account_id"
    added = tuple(Column(n, "VARCHAR", f"Label {label} of the account; null if none.") for n, label in labels.items())
    return replace(feed, columns=(*feed.columns, *added), sql=query, reads=(*feed.reads, "accounts"))


def limit_history(feed: Feed, days: int | None) -> Feed:
    """Return the feed with the rows of the day of `as_of_utc` and of `days` days before it; all rows if `days` is None.

    Feeds that show only the newest snapshot stay whole.
    """
    if days is None or feed.history is None:
        return feed
    column = f"q.{quote_identifier(feed.history)}"
    # A span that lasts has no end; one without a time is not older than anything.
    limit = f"(select as_of_utc::date - {days} from feed_snapshot)"
    query = f"select q.* from ({feed.sql}\n) as q where coalesce({column} >= {limit}, true)"
    return replace(
        feed,
        doc=f"{feed.doc} [feeds] history_days limits it to {days} days before the newest one.",
        sql=query,
        history_days=days,
    )


def check_columns(feed: Feed, found: Sequence[tuple[str, str]]) -> None:
    """Compare a feed with the columns (name and DuckDB type) that its query returns; raises ContractError."""
    described = [(c.name, c.type) for c in feed.columns]
    if described != list(found):
        pairs = zip_longest(described, found, fillvalue=("nothing", "more"))
        said, given = next((a, b) for a, b in pairs if a != b)
        raise ContractError(
            f"feed {feed.name}: its description has {' '.join(said)}, its query returns {' '.join(given)}"
        )


def check_feed(feed: Feed) -> Feed:
    """Return the feed; raises ContractError if it lacks its key or a stamp, or has a type that not every tool knows."""
    names = {column.name for column in feed.columns}
    stamps = () if feed.is_fact else STAMPS
    if missing := {feed.key, *stamps} - names:
        raise ContractError(f"feed {feed.name}: column {min(missing)} is missing")
    for column in feed.columns:
        _check_type(feed, column)
    if feed.history and feed.history not in {column.name for column in feed.columns if column.type in _TIMES}:
        raise ContractError(f"feed {feed.name}: history: {feed.history} is no column of dates or times")
    if unknown := {*feed.sorted_by} - names:
        raise ContractError(f"feed {feed.name}: order: there is no column {min(unknown)}")
    return feed


def _check_type(feed: Feed, column: Column) -> None:
    where = f"feed {feed.name}: {column.name}"
    try:
        resolve_column_type(column.type)
    except KeyError:
        raise ContractError(
            f"{where} is {column.type}", fix=f"cast it to one of {', '.join(COLUMN_TYPES)}, DECIMAL(18,x)"
        ) from None
    if (column.type == "TIMESTAMP") is not column.name.endswith("_utc"):
        raise ContractError(f"{where} is {column.type}: times must be TIMESTAMP, and their names must end with _utc")
