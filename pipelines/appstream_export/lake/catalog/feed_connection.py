"""A connection for feeds: it reads one snapshot and writes a DuckDB file.

The package `feeds` defines the feeds and their files; it does not import duckdb.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by lake/duckdb.py

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from appstream_export.errors import StorageFailed
from appstream_export.lake.catalog.kept_parts import KeptParts
from appstream_export.lake.catalog.shared import SharedConnection
from appstream_export.lake.catalog.stored_form import STORAGE_VERSION
from appstream_export.lake.catalog.views import MACROS
from appstream_export.lake.duckdb import (
    lock_to_files,
    quote_identifier,
    quote_literal,
    stream_batches,
    translate_duckdb_errors,
)
from appstream_export.lake.snapshots import KIND_SWEEP, convert_epoch_us, find_last_erase
from appstream_export.lake.storage import Store

BATCH_ROWS = 10_240
FEED_SNAPSHOT, FEED_SNAPSHOT_COLUMNS = "feed_snapshot", ("snapshot_id", "as_of_utc", "as_of")
"""A table of one row that queries of feeds may read, and its columns."""
_SNAPSHOT = f"""
create or replace temp view {FEED_SNAPSHOT} as
select snapshot_id, utc(committed_at) as as_of_utc, committed_at as as_of
from snapshots where kind = {quote_literal(KIND_SWEEP)} order by seq desc limit 1"""
_STAGED = "staged_rows"


class FeedConnection:
    """A connection to one snapshot of a warehouse, and to a DuckDB file while that is filled.

    Besides the catalog's views, queries may read `feed_snapshot` (one row: snapshot_id, as_of_utc, as_of) and use
    `utc(t)`, which converts a TIMESTAMPTZ to a TIMESTAMP in UTC. Raises StorageFailed if a query fails.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, shared: SharedConnection) -> None:
        self.con, self._shared = con, shared
        # Not a cast, whose result would depend on the time zone of the connection.
        self.con.execute("create or replace temp macro utc(t) as make_timestamp(epoch_us(t))")
        self.con.execute(_SNAPSHOT)
        self.seq: int = self._fetch_row("select seq from lake.shows")[0]
        """Seq of the head: that of `snapshot_id`, or of a later expire or erase commit."""
        self.snapshot_id, self.as_of = self._load_snapshot()

    def describe_columns(self, query: str) -> list[tuple[str, str]]:
        """Return name and DuckDB type of a query's columns, in order, without running the query."""
        with _translate_query_errors(query):
            return [(name, kind) for name, kind, *_ in self.con.execute(f"describe {query}").fetchall()]

    def fetch_rows(self, query: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a small result."""
        with _translate_query_errors(query):
            return self.con.execute(query, params).fetchall()

    def stream_batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """Yield a large result in batches. Run no other query before the last batch."""
        with _translate_query_errors(query):
            yield from stream_batches(self.con, query, BATCH_ROWS)

    def set_snapshot(self, snapshot_id: str, as_of: datetime) -> None:
        """Set `feed_snapshot` to an earlier snapshot, whose rows are to be published."""
        self.snapshot_id, self.as_of = snapshot_id, as_of
        moment = f"timestamptz {quote_literal(as_of.isoformat())}"
        self._execute_statement(
            f"create or replace temp view {FEED_SNAPSHOT} as"
            f" select {quote_literal(snapshot_id)} as snapshot_id, utc({moment}) as as_of_utc, {moment} as as_of"
        )

    @property
    def engine_version(self) -> str:
        """The version of DuckDB, and the macros of queries: with others, a query may give other rows."""
        return "\n".join([duckdb.__version__, *MACROS])

    @property
    def kept_parts(self) -> KeptParts | None:
        """Files that later publications use; None if none are kept."""
        return self._shared.find_kept_parts(self.con)

    def restrict_source(self, query: str, reads: Iterable[str], source: str, condition: str) -> str:
        """Return the query as if `source` had only the rows for which the condition is true.

        `reads` is what the query reads. Views between the query and `source` are computed in the query.
        """
        return self._shared.restrict_source(self.con, query, reads, source, condition)

    def derive_tables(self, reads: Iterable[str]) -> None:
        """Compute what `reads` name and derives from a history, unless the connection has it."""
        self._shared.derive_tables(self.con, reads)

    def derive_newest_months(self, reads: Iterable[str], months: int) -> None:
        """Compute what `reads` name and derives from a history, but only so many months of marts by day."""
        self._shared.derive_newest_months(self.con, reads, months)

    def derive_sources(self, *folders: str) -> None:
        """Compute what the files of these folders of `sql/` read and derives from a history, unless it is there."""
        self._shared.derive_sources(self.con, *folders)

    @contextmanager
    def stage_rows(self, query: str, reads: Iterable[str]) -> Generator[str]:
        """Compute a query of many joins in little memory; yield a query of its rows, which `reads` name the sources of.

        The views that it reads are computed one by one, then joined, and the caller sorts the rows.
        """
        views = self._shared.compute_views(self.con, reads)
        try:
            self.create_temporary_table(_STAGED, query)
            self._drop_temporary_tables(views)
            yield f"from temp.{_STAGED}"
        except BaseException:
            with suppress(StorageFailed):  # which would hide the error, such as a lack of memory
                self._drop_temporary_tables([*views, _STAGED])
            raise
        self._drop_temporary_tables([_STAGED])

    def _drop_temporary_tables(self, names: Iterable[str]) -> None:
        # A failure, such as one for lack of memory, must not hide that of the block: tables end with the connection.
        with suppress(StorageFailed):
            for name in names:
                self._execute_statement(f"drop table if exists temp.{quote_identifier(name)}")

    def register_table(self, name: str, table: pa.Table) -> None:
        """Register an Arrow table under a name that queries can read."""
        self.con.register(name, table)

    def create_temporary_table(self, name: str, query: str) -> None:
        """Create or replace a table from a query, which later queries can read."""
        self._execute_statement(f"create or replace temp table {quote_identifier(name)} as {query}")

    def create_temporary_view(self, name: str, query: str) -> None:
        """Create or replace a view of a query, which later queries can read."""
        self._execute_statement(f"create or replace temp view {quote_identifier(name)} as {query}")

    def run_query(self, query: str) -> pa.Table:
        """Return the rows of one SELECT; raises QueryError, and OutOfMemory for `call_with_retry`."""
        return self._shared.run_query(self.con, query)

    @contextmanager
    def attach_output_file(self, file: str) -> Generator[None]:
        """Attach a new DuckDB file, which the oldest supported version can open, for `create_table`."""
        self._execute_statement(
            f"attach {quote_literal(file)} as filled (storage_version {quote_literal(STORAGE_VERSION)})"
        )
        try:
            yield
            self._execute_statement("checkpoint filled")
        finally:
            self._execute_statement("detach filled")

    def create_table(
        self, name: str, query: str, doc: str, columns: Mapping[str, str], *, declared: Sequence[str] = ()
    ) -> str:
        """Create a table of the file from a query and return its SQL name; `columns` maps columns to their docs.

        `declared` are all its columns as SQL, with types and constraints.
        """
        table = get_feed_table_name(name)
        created = [f"create table {table} as {query}"]
        if declared:
            created = [f"create table {table} ({', '.join(declared)})", f"insert into {table} {query}"]
        comments = [f"comment on table {table} is {quote_literal(doc)}"]
        comments += [
            f"comment on column {table}.{quote_identifier(column)} is {quote_literal(text)}"
            for column, text in columns.items()
        ]
        # A transaction for each table: DuckDB holds all rows of a transaction in memory.
        self._execute_statement("begin")
        try:
            for statement in (*created, ";".join(comments), "commit"):
                self._execute_statement(statement)
        except BaseException:
            with suppress(StorageFailed):
                self._execute_statement("rollback")
            raise
        return table

    def insert_rows(self, table: str, rows: str | pa.Table) -> None:
        """Insert the rows of a query, or of an Arrow table, into a table of the file."""
        if isinstance(rows, str):
            return self._execute_statement(f"insert into {table} {rows}")
        self.con.register("inserted_rows", rows)
        try:
            self._execute_statement(f"insert into {table} by name from inserted_rows")
        finally:
            self.con.unregister("inserted_rows")

    def _load_snapshot(self) -> tuple[str, datetime]:
        snapshot_id, as_of_us = self._fetch_row("select snapshot_id, epoch_us(as_of_utc) from feed_snapshot")
        return snapshot_id, convert_epoch_us(as_of_us)

    def _fetch_row(self, query: str) -> tuple[Any, ...]:
        return self.fetch_rows(query)[0]

    def _execute_statement(self, statement: str) -> None:
        self.fetch_rows(statement)


def get_feed_table_name(feed: str) -> str:
    """Return the SQL name of a feed's table in the DuckDB file that is being filled."""
    return f"filled.main.{quote_identifier(feed)}"


@contextmanager
def open_feed_connection(shared: SharedConnection) -> Generator[FeedConnection]:
    """Open a FeedConnection to the head; raises ConfigurationError before the first snapshot."""
    with shared.open_newest() as con:
        yield FeedConnection(con, shared)


def get_last_erase_seq(store: Store) -> int:
    """Return the seq of the newest erase, or 0. Data read before it may contain erased rows."""
    last = find_last_erase(store)
    return last["seq"] if last else 0


@contextmanager
def open_duckdb_file(file: Path) -> Generator[Callable[[str], list[tuple[Any, ...]]]]:
    """Open a DuckDB file for reading; yield a function that returns the rows of a query on it."""
    with closing(duckdb.connect()) as con:
        with _translate_query_errors(str(file)):
            con.execute(f"attach {quote_literal(str(file))} as published (read_only)")
            con.execute("use published")
            lock_to_files(con)

        def fetch_rows(query: str) -> list[tuple[Any, ...]]:
            with _translate_query_errors(query):
                return con.execute(query).fetchall()

        yield fetch_rows


@contextmanager
def _translate_query_errors(what: str) -> Generator[None]:
    """Translate DuckDB's errors to StorageFailed: one line with the query that failed."""
    try:
        with translate_duckdb_errors():
            yield
    except duckdb.Error as error:
        place = " ".join(what.split())[:80]
        raise StorageFailed(f"{' '.join(str(error).split())[:300]}; in: {place}") from error
