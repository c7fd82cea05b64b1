"""Facts of `feeds/v2` in parts by month, so that a publication writes only the parts that may have changed.

`fact_image_builder_day.2026-10.parquet` has the rows of October. The newest snapshot's month of facts by day is in
parts of at most eight days: `fact_image_builder_day.2026-11-09.parquet` begins with November 9. A part has a digest of
what its rows derive from: the feed's SQL and columns, and the rows of its `inputs`, or else its own. If the served
generation has the part with the same digest, and its bytes are what its description says, the new generation gets the
same file under a second name. Generations from before an erase are never used.
"""
# ruff: noqa: S608 - names come from checked contracts and headers, values are quoted by lake/duckdb.py

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

import pyarrow as pa

from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.definitions import build_feed_schema
from appstream_export.feeds.generations import GenerationStore
from appstream_export.lake.catalog import FeedConnection
from appstream_export.lake.duckdb import quote_identifier
from appstream_export.lake.snapshots import FileEntry, open_parquet_file, read_row_groups

PART_DAYS = 8  # the mart image_builder_span_months has the same parts
_DAY = timedelta(days=1)


class PartDays(NamedTuple):
    """The first and last day of a part: a month, or some days of it; `UNDATED` has rows without a date or time.

    A month prints as `2026-10`, November 9 to 16 as `2026-11-09`.
    """

    first: date
    last: date

    def __str__(self) -> str:
        if self == UNDATED:
            return "undated"
        return str(self.first)[: 7 if self == find_month_days(self.first) else 10]

    @classmethod
    def parse(cls, text: str) -> "PartDays":
        """Return the days that print as this text; raises ValueError."""
        if text == str(UNDATED):
            return UNDATED
        if text.count("-") == 1:
            return find_month_days(date.fromisoformat(f"{text}-01"))
        return _build_part(date.fromisoformat(text))


UNDATED = PartDays(date.max, date.max)  # sorted last


@dataclass(frozen=True, slots=True)
class FactPart:
    """The file with the rows of some days, and the digest of what they derive from."""

    days: PartDays
    derived_from: str
    file: FileEntry


@dataclass(slots=True)
class FactPlan:
    """What a publication writes of a feed: the digests of all parts, parts to use again, and those to write."""

    feed: Feed
    keys: Mapping[PartDays, str]
    reused: Sequence[FactPart]
    missing: Sequence[PartDays]
    days_in_table: frozenset[PartDays] | None = None
    """The parts whose rows are in the table; None if there is no table yet."""


def build_part_name(feed: str, days: PartDays) -> str:
    """Return the name of a part's file."""
    return f"{feed}.{days}.parquet"


def find_month_days(day: date) -> PartDays:
    """Return the days of a day's month."""
    following = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return PartDays(day.replace(day=1), following - _DAY)


def find_days_in_month(day: date) -> PartDays:
    """Return the at most `PART_DAYS` days of a day's part of its month."""
    return _build_part(day - (day.day - 1) % PART_DAYS * _DAY)


def _build_part(first: date) -> PartDays:
    return PartDays(first, min(first + (PART_DAYS - 1) * _DAY, find_month_days(first).last))


def compute_part_keys(connection: FeedConnection, feed: Feed) -> dict[PartDays, str]:
    """Return a digest of what the rows of each part derive from, by its days; of one part if there are no rows."""
    connection.derive_tables([source for source, _ in feed.inputs] or feed.reads)
    found = _compute_input_digests(connection, feed) if feed.inputs else _compute_row_digests(connection, feed)
    columns = [f"{column.name} {column.type} {column.doc}" for column in feed.columns]
    query = feed.sql
    if feed.inputs:  # with the SQL of the views between the feed and what is hashed by part
        query = connection.restrict_source(query, feed.reads, feed.inputs[0][0], "true")
    fixed = [connection.engine_version, feed.doc, query, *columns]
    parts = found or {find_part_days(feed, connection.as_of.date(), connection.as_of): ""}
    return {days: sha256("\n".join([*fixed, digest]).encode()).hexdigest() for days, digest in parts.items()}


def find_part_days(feed: Feed, day: date, as_of: datetime) -> PartDays:
    """Return the days of a day's part: its month, or less in the newest month of feeds by day, which name inputs."""
    month = find_month_days(day)
    return find_days_in_month(day) if feed.inputs and month.last >= as_of.date() else month


def _render_first_day(feed: Feed, column: str, as_of: datetime) -> str:
    """Return SQL of the first day of the part in which a column of dates or times puts a row; null without a date."""
    month = f"date_trunc('month', {column})::date"
    if not feed.inputs:
        return month
    days = f"{column}::date - ((dayofmonth({column}) - 1) % {PART_DAYS})::integer"
    return f"case when {column} < date '{as_of:%Y-%m}-01' then {month} else {days} end"


def render_days_condition(feed: Feed, parts: Iterable[PartDays]) -> str:
    """Return SQL that is true for rows of these parts, of a table with the feed's columns."""
    return _render_ranges(feed.history or "", parts)


def render_part_query(connection: FeedConnection, feed: Feed, parts: Sequence[PartDays]) -> str:
    """Return a query of the rows of these parts, which derives no more than it needs."""
    query = feed.sql
    if feed.inputs:
        source, column = feed.inputs[0]
        query = connection.restrict_source(query, feed.reads, source, _render_ranges(column or "", parts))
    return f"from ({query}\n) where {render_days_condition(feed, parts)}"


def plan_fact(
    generations: GenerationStore, feed: Feed, before: Sequence[FactPart], keys: Mapping[PartDays, str]
) -> FactPlan:
    """Return what is to be written: parts are used again if their rows have not changed and their files are whole."""
    same = [part for part in before if keys.get(part.days) == part.derived_from]
    reused = sorted((part for part in same if _is_whole(generations, part.file)), key=lambda part: part.days)
    return FactPlan(feed, keys, reused, sorted(keys.keys() - {part.days for part in reused}))


def copy_part(generations: GenerationStore, feed: Feed, part: FactPart, generation: str) -> FactPart:
    """Give a part's file a name in a new generation, and return the part there."""
    path = generations.get_file_path(generation, build_part_name(feed.name, part.days))
    generations.store.copy(part.file.path, path)
    file = FileEntry(path=path, rows=part.file.rows, bytes=part.file.bytes, sha256=part.file.sha256)
    return FactPart(part.days, part.derived_from, file)


def read_part(generations: GenerationStore, feed: Feed, part: FactPart) -> Iterator[pa.Table]:
    """Yield the rows of a part, some thousand at a time, as they are in `bi.duckdb`: with times that have no zone."""
    groups = read_row_groups(open_parquet_file(generations.store, part.file.path))
    schema = build_feed_schema(replace(feed, has_zone=False))
    return (group.cast(schema) for group in groups)


def _is_whole(generations: GenerationStore, file: FileEntry) -> bool:
    with suppress(OSError):
        return generations.store.compute_digest(file.path) == (file.bytes, file.sha256)
    return False


def _compute_row_digests(connection: FeedConnection, feed: Feed) -> dict[PartDays, str]:
    return dict(_load_part_digests(connection, feed, f"({feed.sql}\n)", feed.history or ""))


def _compute_input_digests(connection: FeedConnection, feed: Feed) -> dict[PartDays, str]:
    """Return digests of the inputs by part; the parts are those of the first one."""
    (first, column), *others = feed.inputs
    found = dict(_load_part_digests(connection, feed, quote_identifier(first), column or ""))
    cut = find_cut_part(connection, feed)
    found = {days: digest for days, digest in found.items() if cut is None or days >= cut}
    for source, by in others:
        name = quote_identifier(source)
        if by:
            more = dict(_load_part_digests(connection, feed, name, by))
        else:
            [(digest,)] = connection.fetch_rows(f"select concat_ws(' ', count(*), sum(hash(q))) from {name} as q")
            more = dict.fromkeys(found, digest)
        found = {days: f"{digest}\n{source} {more.get(days, '')}" for days, digest in found.items()}
    limit = feed.find_first_day(connection.as_of)
    return {days: f"{digest}\n{limit}" if days == cut else digest for days, digest in found.items()}


def find_cut_part(connection: FeedConnection, feed: Feed) -> PartDays | None:
    """Return the first part of a limited history, which loses rows from day to day; None if it has no limit."""
    limit = feed.find_first_day(connection.as_of)
    return find_part_days(feed, limit, connection.as_of) if limit else None


def _load_part_digests(
    connection: FeedConnection, feed: Feed, source: str, column: str
) -> Iterator[tuple[PartDays, str]]:
    first = _render_first_day(feed, quote_identifier(column), connection.as_of)
    query = f"select {first}, concat_ws(' ', count(*), sum(hash(q))) from {source} as q group by 1"
    for day, digest in connection.fetch_rows(query):
        yield find_part_days(feed, day, connection.as_of) if day else UNDATED, digest


def _render_ranges(column: str, parts: Iterable[PartDays]) -> str:
    """Return SQL that is true if a column of dates or times is in one of these parts."""
    column = quote_identifier(column)
    ranges = [f"{column} is null" if days == UNDATED else _render_range(column, days) for days in parts]
    return f"({' or '.join(ranges) or 'false'})"


def _render_range(column: str, days: PartDays) -> str:
    return f"({column} >= date '{days.first}' and {column} < date '{days.last + _DAY}')"
