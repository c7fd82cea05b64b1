"""The star of feeds/v2 as views, so that the page's statements find it whether or not it is published.

If this run has just published the star, the views read its files: of facts, only those of the months that a statement
reads. Otherwise, such as without v2 in `[feeds] versions`, they are the queries of the feeds. Each view has the columns
and types of the tables in `bi.duckdb`.
"""
# ruff: noqa: S608 - names come from checked headers, values are quoted by lake/duckdb.py

from collections.abc import Sequence
from datetime import date, timedelta

import pyarrow as pa

from appstream_export.contracts import STAR_FOLDER, Column, Contract, SqlFile, list_sql_files
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.publish import PublishResult
from appstream_export.feeds.report.blocks import KEY
from appstream_export.feeds.star import FEED_SCOPES, build_star_feeds
from appstream_export.lake.catalog import FeedConnection
from appstream_export.lake.duckdb import quote_identifier, quote_literal

# The page lists covered accounts alone: to find the others, all histories would be read.
_COVERED_SCOPES_SQL = """select account_id, region, true as is_covered, utc_day(observed_at) as first_day,
    utc_day(observed_at) as last_day from scope_runs"""

_LISTED = "listed_builders"


class StarViews:
    """The feeds of the star, as views of a connection that are created when a statement reads them.

    `published` are the feeds of v2 that this run has published, of which a history must be whole.
    """

    def __init__(
        self, connection: FeedConnection, contracts: Sequence[Contract], published: PublishResult | None = None
    ) -> None:
        self._connection = connection
        # Other feeds of v2 have the names of tables, such as resource_tags.
        names = {file.name for file in list_sql_files(contracts, STAR_FOLDER)}
        self._feeds = {feed.name: feed for feed in build_star_feeds(contracts, ()) if feed.name in names}
        self._published = published if published and _is_newest(published, connection) else None
        self._has_scopes = False

    def load_rows(self, file: SqlFile, /, only: pa.Table | None = None) -> pa.Table:
        """Return the rows of a statement of the page; with `only`, those of the builders with its keys.

        Raises StorageFailed, QueryError or OutOfMemory.
        """
        if only is not None:
            self._connection.register_table(_LISTED, only)
        for feed in (self._feeds[name] for name in file.reads if name in self._feeds):
            first_day = self._find_first_day(file.newest_months) if feed.is_in_parts else None
            if self._published:
                query = _render_file_query(feed, self._published, first_day)
            else:
                self._derive_sources(feed, file.newest_months)
                query = _limit_query(feed, first_day)
            if only is not None and any(column.name == KEY for column in feed.columns):
                query = f"from ({query}\n) where {KEY} in (from {_LISTED})"
            self._connection.create_temporary_view(feed.name, query)
        return self._connection.run_query(file.sql)

    def _derive_sources(self, feed: Feed, newest_months: int | None) -> None:
        if FEED_SCOPES in feed.reads and not self._has_scopes:
            self._connection.create_temporary_table(FEED_SCOPES, _COVERED_SCOPES_SQL)
            self._has_scopes = True
        if newest_months:
            self._connection.derive_newest_months(feed.reads, newest_months)
        else:
            self._connection.derive_tables(feed.reads)

    def _find_first_day(self, newest_months: int | None) -> date | None:
        """Return the first day of so many months, the snapshot's among them; None for all months."""
        first = self._connection.as_of.date().replace(day=1)
        for _ in range((newest_months or 1) - 1):
            first = (first - timedelta(days=1)).replace(day=1)
        return first if newest_months else None


def _is_newest(published: PublishResult, connection: FeedConnection) -> bool:
    """Return whether the feeds are of the connection's snapshot, and no other commit was made since."""
    current = published.current
    return current.is_ok and (current.seq, current.snapshot_id) == (connection.seq, connection.snapshot_id)


def _limit_query(feed: Feed, first_day: date | None) -> str:
    """Return the feed's query from a day on, as its files have it."""
    if first_day is None:
        return feed.sql
    return f"from ({feed.sql}\n) where {quote_identifier(feed.history or '')} >= date {quote_literal(str(first_day))}"


def _render_file_query(feed: Feed, published: PublishResult, first_day: date | None) -> str:
    """Return a query of a feed's files: only of the months from a day on if there is one, or of the newest month."""
    paths = sorted(published.current.feeds[feed.name])
    if first_day:
        paths = [path for path in paths if path.rsplit(".", 2)[1] >= f"{first_day:%Y-%m}"] or paths[-1:]
    places = ", ".join(quote_literal(f"{published.place}/{path}") for path in paths)
    columns = ", ".join(map(_render_column, feed.columns))
    return f"select {columns} from read_parquet([{places}], hive_partitioning = false)"


def _render_column(column: Column) -> str:
    """Return a column of a file as it is in `bi.duckdb`: times without a zone."""
    name = quote_identifier(column.name)
    return f"utc({name}) as {name}" if column.type == "TIMESTAMP" else name
