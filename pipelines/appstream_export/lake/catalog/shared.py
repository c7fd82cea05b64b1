"""One connection for all stages that publish a snapshot, so that they derive its marts from the history only once."""

import logging
import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from typing import Self, TypeVar

import duckdb
import pyarrow as pa

from appstream_export.contracts import Contract, list_sql_files
from appstream_export.errors import KeptPartsLost, OutOfMemory, QueryError
from appstream_export.lake.catalog.derived import (
    compute_views,
    derive_newest_months,
    derive_tables,
    restrict_source,
)
from appstream_export.lake.catalog.kept_parts import KeptParts
from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.catalog.rendered import connect_as_rendered
from appstream_export.lake.snapshots import Manifest, load_head
from appstream_export.lake.storage import FEEDS_FOLDER, Store

_log = logging.getLogger(__name__)
T = TypeVar("T")
_OPTIONS = (
    # Tables of bi.duckdb are committed one by one. Above this size, a commit writes to the file and not to its log.
    "checkpoint_threshold = '1MiB'",
    # Found by measurement: these take a tenth of the time of writing bi.duckdb, and never compress best.
    "disabled_compression_methods = 'zstd,fsst,dictionary'",
)
MEMORY_LIMITS = (96, 1024)
"""The least and the most memory that DuckDB begins with, in MiB; it spills the rest. What cannot be spilled gets the
most, or twice as much as it had."""
ITEMS_PER_MIB, COMMITS_PER_MIB = 540, 8
"""A larger or older warehouse begins with more: joins of 60,000 wide rows need 104 MiB, the days of 1,000 items in a
year 96 MiB. Trying again would cost a whole stage."""
COMMITS_MAX = 800  # from here on, days and states are in kept parts of months
_LOSSES_MAX = 2  # an erase, or an expire that publishes: more in the time of a publication would be strange
_ONE_THREAD = "threads = 1"  # most statements are short: more threads take a quarter more CPU, and more memory
_SHOWN_SEQ_SQL = "select seq from lake.shows"


class SharedConnection:
    """A connection to the newest snapshot. Use it in a `with` statement, which closes it.

    It may write only to the folder in which the store builds files: that of the feeds, or a temporary one for S3. It
    may read what feeds publish. With `keeps_parts`, histories are read from kept parts, which are written if they are
    missing.
    """

    def __init__(self, store: Store, contracts: Sequence[Contract], *, keeps_parts: bool = False) -> None:
        self._store, self._contracts = store, contracts
        self._kept = KeptParts(store) if keeps_parts else None
        self._reads_parts = keeps_parts
        self._con: duckdb.DuckDBPyConnection | None = None
        self._memory_mib: int | None = None
        self._has_more_memory = False
        self._limited: set[str] = set()
        """Tables that have only the newest months."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def open_newest(self, *folders: str) -> Generator[duckdb.DuckDBPyConnection]:
        """Yield the connection, or a new one if another run has committed since; close it if the block fails.

        What files of these folders of `sql/` read has been derived from the history, once per connection. Raises
        ConfigurationError before the first snapshot, StorageFailed if files cannot be read.
        """
        try:
            con = self._connect()
            self.derive_sources(con, *folders)
            yield con
        except BaseException as error:
            # The next stage must not find a connection in an unknown state.
            self.close()
            if isinstance(error, Exception) and not isinstance(error, OutOfMemory):
                self._find_lost_parts(error)
            raise

    def call_with_retry(self, act: Callable[[], T]) -> T:
        """Call `act` and return its result; call it again with a new connection if it runs out of memory.

        Also call it again if it loses a kept part; if another one is lost then, without parts.
        """
        for _ in range(_LOSSES_MAX):
            try:
                return self._call_with_more_memory(act)
            except KeptPartsLost as error:
                _log.info("%s: publishing again", error)
        self._reads_parts = False
        return self._call_with_more_memory(act)

    def _call_with_more_memory(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except OutOfMemory:
            if self._has_more_memory or self._memory_mib is None:
                raise
            before, self._has_more_memory = self._memory_mib, True
            self._memory_mib = max(MEMORY_LIMITS[-1], 2 * before)
            _log.info("DuckDB needs more than %d MiB to publish: trying again with %d MiB", before, self._memory_mib)
            self.close()
            return act()

    def run_query(self, con: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
        """Return the rows of one SELECT; raises QueryError, and OutOfMemory for `call_with_retry`."""
        try:
            return run_query(con, sql)
        except QueryError as error:
            if isinstance(error.__cause__, duckdb.OutOfMemoryException):
                raise OutOfMemory(str(error)) from error
            raise

    def derive_tables(self, con: duckdb.DuckDBPyConnection, reads: Iterable[str]) -> None:
        """Compute what `reads` name and derives from a history, unless the connection has it."""
        derive_tables(con, self._contracts, reads, limited=self._limited)

    def derive_sources(self, con: duckdb.DuckDBPyConnection, *folders: str) -> None:
        """Compute what the files of these folders of `sql/` read and derives from a history, unless it is there."""
        files = [file for folder in folders for file in list_sql_files(self._contracts, folder)]
        self.derive_tables(con, [source for file in files for source in file.reads])

    def derive_newest_months(self, con: duckdb.DuckDBPyConnection, reads: Iterable[str], months: int) -> None:
        """Compute what `reads` name and derives from a history, but only so many months of marts by day."""
        self._limited.update(derive_newest_months(con, self._contracts, reads, months))

    def restrict_source(
        self, con: duckdb.DuckDBPyConnection, query: str, reads: Iterable[str], source: str, condition: str
    ) -> str:
        """Return the query as if the derived table `source` had only the rows for which the condition is true."""
        self.derive_tables(con, [source])
        return restrict_source(self._contracts, query, reads, source, condition)

    def compute_views(self, con: duckdb.DuckDBPyConnection, names: Iterable[str]) -> list[str]:
        """Compute those of the names that are views of `sql/` and no tables yet; return theirs, to be dropped."""
        return compute_views(con, self._contracts, names)

    def close(self) -> None:
        """Close the connection; do nothing if it is closed."""
        if self._con is not None:
            with suppress(duckdb.Error):
                self._con.close()
            self._con = None
            self._limited.clear()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        self._memory_mib = self._memory_mib or _choose_memory(load_head(self._store), self._contracts)
        if self._con is not None and not self._is_newest(self._con):
            self.close()
        if self._con is None:
            store = self._store
            is_local = store.get_filesystem() is None
            feeds = store.resolve_uri(FEEDS_FOLDER)
            folders = [feeds] if is_local else [feeds, tempfile.gettempdir()]  # files of a bucket are only read
            # In a bucket, threads wait for files at the same time.
            options = (f"memory_limit = '{self._memory_mib}MiB'", *_OPTIONS, *((_ONE_THREAD,) if is_local else ()))
            self._con = connect_as_rendered(
                store,
                self._contracts,
                folders=folders,
                options=options,
                kept=self._kept if self._reads_parts else None,
            )
        return self._con

    def find_kept_parts(self, con: duckdb.DuckDBPyConnection) -> KeptParts | None:
        """Return the warehouse's kept parts; None if this connection does not keep any."""
        return KeptParts(self._store, con.execute(_SHOWN_SEQ_SQL).fetchall()[0][0]) if self._kept else None

    def _find_lost_parts(self, error: Exception) -> None:
        """Raise KeptPartsLost if an error may come from a part that was removed or damaged while it was in use."""
        if self._kept and self._reads_parts and (lost := self._kept.remove_damaged()):
            what = f"{self._store.root}/{lost[0]}: another run removed it while it was read, or it is damaged"
            raise KeptPartsLost(what) from error

    def _is_newest(self, con: duckdb.DuckDBPyConnection) -> bool:
        head = load_head(self._store)
        return head is not None and con.execute(_SHOWN_SEQ_SQL).fetchall() == [(head.seq,)]


def _choose_memory(head: Manifest | None, contracts: Sequence[Contract]) -> int:
    """Return the memory of DuckDB, in MiB, that a warehouse of this size begins with."""
    tables = [head.tables.get(contract.item_table.name) for contract in contracts] if head else []
    items = sum(file.rows for table in tables if table for file in table.files)
    least, most = MEMORY_LIMITS
    commits = min(head.seq if head else 0, COMMITS_MAX)
    return min(int(max(least, items / ITEMS_PER_MIB) + commits / COMMITS_PER_MIB), most)
