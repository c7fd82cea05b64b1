"""Facts of `feeds/v2` in files by month, so that a publication writes only the months that may have changed.

`fact_image_builder_day.2026-10.parquet` has the rows of October. The newest snapshot's month of facts by day is in
parts of at most eight days: `fact_image_builder_day.2026-11-09.parquet` begins with November 9. A part has a digest of
what its rows derive from: the feed's SQL and columns, and the rows of its `inputs`, or else its own. If the served
generation has the part with the same digest, and its bytes are what its description says, the new generation gets the
same file under a second name. Generations from before an erase are never used.
"""
# ruff: noqa: S608 - names come from checked contracts and headers, values are quoted by lake/duckdb.py

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from hashlib import sha256

import pyarrow as pa

from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.definitions import build_feed_schema
from appstream_export.feeds.generations import GenerationStore
from appstream_export.lake.catalog import FeedConnection
from appstream_export.lake.duckdb import quote_identifier, quote_literal
from appstream_export.lake.snapshots import FileEntry, open_parquet_file, read_row_groups

PART_DAYS = 8  # the mart image_builder_span_months has the same parts
UNDATED = "undated"
"""The part of rows that have no date or time."""


@dataclass(frozen=True, slots=True)
class FactPart:
    """The file with the rows of a month or part, and the digest of what they derive from.

    `month` is such as `2026-10`, or `2026-11-09` for the days from November 9 to 16.
    """

    month: str
    derived_from: str
    file: FileEntry


@dataclass(slots=True)
class FactPlan:
    """What a publication writes of a feed: the digests of all months, parts to use again, and months to write."""

    feed: Feed
    keys: Mapping[str, str]
    reused: Sequence[FactPart]
    missing: Sequence[str]
    months_in_table: frozenset[str] | None = None
    """Months whose rows are in the table; None if there is no table yet."""


def build_part_name(feed: str, month: str) -> str:
    """Return the name of a part's file."""
    return f"{feed}.{month}.parquet"


def compute_part_keys(connection: FeedConnection, feed: Feed) -> dict[str, str]:
    """Return a digest of what the rows of each month derive from, by month; of one month if there are no rows."""
    connection.derive_tables([source for source, _ in feed.inputs] or feed.reads)
    found = _compute_input_digests(connection, feed) if feed.inputs else _compute_row_digests(connection, feed)
    columns = [f"{column.name} {column.type} {column.doc}" for column in feed.columns]
    columns += [f"{column} in {to}" for column, to in feed.foreign_keys.items()]  # compared when a part is written
    query = feed.sql
    if feed.inputs:  # with the SQL of the views between the feed and what is hashed by month
        query = connection.restrict_source(query, feed.reads, feed.inputs[0][0], "true")
    fixed = [connection.engine_version, feed.doc, query, *columns]
    months = found or {get_part_month(feed, connection.as_of.date(), connection.as_of): ""}
    return {month: sha256("\n".join([*fixed, digest]).encode()).hexdigest() for month, digest in months.items()}


def get_part_month(feed: Feed, day: date, as_of: datetime) -> str:
    """Return the month or part of a day; only feeds by day, which name inputs, have parts of the newest month."""
    if not feed.inputs or f"{day:%Y-%m}" < f"{as_of:%Y-%m}":
        return f"{day:%Y-%m}"
    return f"{day - timedelta((day.day - 1) % PART_DAYS):%Y-%m-%d}"


def _render_part_month(feed: Feed, column: str, as_of: datetime) -> str:
    """Return SQL of the part in which a column of dates or times puts a row."""
    month = f"strftime({column}, '%Y-%m')"
    if not feed.inputs:
        return month
    part = f"strftime({column}::date - ((dayofmonth({column}) - 1) % {PART_DAYS})::integer, '%Y-%m-%d')"
    return f"case when {column} < date '{as_of:%Y-%m}-01' then {month} else {part} end"


def render_month_condition(feed: Feed, months: Sequence[str]) -> str:
    """Return SQL that is true for rows of these months, of a table with the feed's columns."""
    column = quote_identifier(feed.history or "")
    return f"({' or '.join(_render_month_range(column, month) for month in months) or 'false'})"


def render_part_query(connection: FeedConnection, feed: Feed, months: Sequence[str]) -> str:
    """Return a query of the rows of these months, which derives no more than it needs."""
    query = feed.sql
    if feed.inputs:
        source, column = feed.inputs[0]
        chosen = " or ".join(_render_month_range(quote_identifier(column or ""), month) for month in months)
        query = connection.restrict_source(query, feed.reads, source, chosen or "false")
    return f"from ({query}\n) where {render_month_condition(feed, months)}"


def plan_fact(
    generations: GenerationStore, feed: Feed, before: Sequence[FactPart], keys: Mapping[str, str]
) -> FactPlan:
    """Return what is to be written: parts are used again if their rows have not changed and their files are whole."""
    same = [part for part in before if keys.get(part.month) == part.derived_from]
    reused = sorted((part for part in same if _is_whole(generations, part.file)), key=lambda part: part.month)
    return FactPlan(feed, keys, reused, sorted(keys.keys() - {part.month for part in reused}))


def copy_part(generations: GenerationStore, feed: Feed, part: FactPart, generation: str) -> FactPart:
    """Give a part's file a name in a new generation, and return the part there."""
    path = generations.get_file_path(generation, build_part_name(feed.name, part.month))
    generations.store.copy(part.file.path, path)
    file = FileEntry(path=path, rows=part.file.rows, bytes=part.file.bytes, sha256=part.file.sha256)
    return FactPart(part.month, part.derived_from, file)


def read_part(generations: GenerationStore, feed: Feed, part: FactPart) -> Iterator[pa.Table]:
    """Yield the rows of a part, some thousand at a time, as they are in `bi.duckdb`: with times that have no zone."""
    groups = read_row_groups(open_parquet_file(generations.store, part.file.path))
    schema = build_feed_schema(replace(feed, has_zone=False))
    return (group.cast(schema) for group in groups)


def _is_whole(generations: GenerationStore, file: FileEntry) -> bool:
    with suppress(OSError):
        return generations.store.compute_digest(file.path) == (file.bytes, file.sha256)
    return False


def _compute_row_digests(connection: FeedConnection, feed: Feed) -> dict[str, str]:
    return dict(_load_month_digests(connection, feed, f"({feed.sql}\n)", feed.history or ""))


def _compute_input_digests(connection: FeedConnection, feed: Feed) -> dict[str, str]:
    """Return digests of the inputs by month; the months are those of the first one."""
    (first, column), *others = feed.inputs
    limit = feed.find_first_day(connection.as_of)
    cut = get_part_month(feed, limit, connection.as_of) if limit else ""
    found = dict(_load_month_digests(connection, feed, quote_identifier(first), column or ""))
    found = {month: digest for month, digest in found.items() if month >= cut}
    for source, by in others:
        name = quote_identifier(source)
        if by:
            more = dict(_load_month_digests(connection, feed, name, by))
        else:
            [(digest,)] = connection.fetch_rows(f"select concat_ws(' ', count(*), sum(hash(q))) from {name} as q")
            more = dict.fromkeys(found, digest)
        found = {month: f"{digest}\n{source} {more.get(month, '')}" for month, digest in found.items()}
    # The first month of a limited history loses rows from day to day.
    return {month: f"{digest}\n{limit}" if month == cut else digest for month, digest in found.items()}


def _load_month_digests(connection: FeedConnection, feed: Feed, source: str, column: str) -> Iterator[tuple[str, str]]:
    part = _render_part_month(feed, quote_identifier(column), connection.as_of)
    month = f"coalesce({part}, '{UNDATED}')"
    query = f"select {month}, concat_ws(' ', count(*), sum(hash(q))) from {source} as q group by 1"
    return iter(connection.fetch_rows(query))


def _render_month_range(column: str, month: str) -> str:
    if month == UNDATED:
        return f"{column} is null"
    first = date.fromisoformat(month if len(month) > len("2026-10") else f"{month}-01")
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    if len(month) > len("2026-10"):
        following = min(following, first + timedelta(PART_DAYS))
    return f"({column} >= date {quote_literal(str(first))} and {column} < date {quote_literal(str(following))})"
