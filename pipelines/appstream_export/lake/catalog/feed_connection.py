"""The lake's outlet: one snapshot to read feeds from, and the DuckDB file that they are put into.

What feeds are and where they lie is their own business; they come here because nobody else may open a DuckDB.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by sql.py

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from appstream_export.contracts import Contract
from appstream_export.errors import StorageFailed
from appstream_export.lake import sql
from appstream_export.lake.catalog.connect import reading
from appstream_export.lake.catalog.file import STORAGE_VERSION
from appstream_export.lake.maintenance.erase import last_erase
from appstream_export.lake.snapshots.manifest import SWEEP
from appstream_export.lake.sql import literal, quoted
from appstream_export.lake.storage.base import Store

BATCH_ROWS = 10_240
MEMORY = "512MiB"  # what DuckDB holds while feeds are made; more is spilled
_SNAPSHOT = f"""
create temp view feed_snapshot as
select snapshot_id, utc(committed_at) as as_of_utc, committed_at as as_of
from snapshots where kind = {literal(SWEEP)} order by seq desc limit 1"""


class Outlet:
    """A snapshot of a warehouse, and a DuckDB file while it is being filled.

    Beside the catalog's views, queries may read `feed_snapshot` (one row: snapshot_id, as_of_utc, as_of) and use
    `utc(t)`, which makes a TIMESTAMP in UTC of a TIMESTAMPTZ. Raises StorageFailed where a query fails.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self.con.execute(f"set memory_limit = {literal(MEMORY)}")
        self.con.execute("create temp macro utc(t) as make_timestamp(epoch_us(t))")
        self.con.execute(_SNAPSHOT)
        self.seq: int = self._one("select seq from lake.shows")[0]
        """Of the head: the sweep behind `snapshot_id`, or a thin or erase commit after it."""
        self.snapshot_id, self.as_of = self._snapshot()

    def columns(self, query: str) -> list[tuple[str, str]]:
        """Name and DuckDB type of a query's columns, in order; nothing is run."""
        with _told(query):
            return [(name, kind) for name, kind, *_ in self.con.execute(f"describe {query}").fetchall()]

    def rows(self, query: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """A small result."""
        with _told(query):
            return self.con.execute(query, params).fetchall()

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """A large result in parts. Nothing else may be asked before the last one."""
        with _told(query):
            yield from sql.stream(self.con, query, BATCH_ROWS)

    def stand_at(self, snapshot_id: str, as_of: datetime) -> None:
        """Let `feed_snapshot` be an earlier one, whose rows are offered."""
        self.snapshot_id, self.as_of = snapshot_id, as_of
        moment = f"timestamptz {literal(as_of.isoformat())}"
        self._do(
            "create or replace temp view feed_snapshot as"
            f" select {literal(snapshot_id)} as snapshot_id, utc({moment}) as as_of_utc, {moment} as as_of"
        )

    def offer(self, name: str, table: pa.Table) -> None:
        """Let queries read an Arrow table under that name."""
        self.con.register(name, table)

    @contextmanager
    def filling(self, file: str) -> Generator[None]:
        """Make a DuckDB file that the oldest supported version can open; `put` fills it."""
        self._do(f"attach {literal(file)} as filled (storage_version {literal(STORAGE_VERSION)})")
        self._do("begin")
        try:
            yield
            self._do("commit")
            self._do("checkpoint filled")
        except BaseException:
            with suppress(StorageFailed):
                self._do("rollback")
            raise
        finally:
            self._do("detach filled")

    def put(self, name: str, query: str, doc: str, columns: Mapping[str, str]) -> str:
        """Materialize a query as a table of the file, with comments; `columns` are docs by name. How SQL names it."""
        table = f"filled.main.{quoted(name)}"
        self._do(f"create table {table} as {query}")
        self._do(f"comment on table {table} is {literal(doc)}")
        for column, text in columns.items():
            self._do(f"comment on column {table}.{quoted(column)} is {literal(text)}")
        return table

    def _snapshot(self) -> tuple[str, datetime]:
        snapshot_id, as_of_us = self._one("select snapshot_id, epoch_us(as_of_utc) from feed_snapshot")
        return snapshot_id, sql.moment(as_of_us)

    def _one(self, query: str) -> tuple[Any, ...]:
        return self.rows(query)[0]

    def _do(self, statement: str) -> None:
        self.rows(statement)


@contextmanager
def opened(store: Store, contracts: Sequence[Contract], *, anew: bool = False) -> Generator[Outlet]:
    """The head's outlet; raises SetupError before the first snapshot. `anew` trusts no published catalog."""
    with closing(reading(store, contracts, anew=anew)) as con:
        yield Outlet(con)


def erased_since(store: Store) -> int:
    """Seq of the newest erase: what was read before it may hold what is to be gone. 0 where there was none."""
    last = last_erase(store)
    return last["seq"] if last else 0


@contextmanager
def looking_into(file: Path) -> Generator[Callable[[str], list[tuple[Any, ...]]]]:
    """Open a DuckDB file for reading, and answer queries of its tables."""
    with closing(duckdb.connect()) as con:
        with _told(str(file)):
            con.execute(f"attach {literal(str(file))} as published (read_only)")
            con.execute("use published")

        def rows(query: str) -> list[tuple[Any, ...]]:
            with _told(query):
                return con.execute(query).fetchall()

        yield rows


@contextmanager
def _told(what: str) -> Generator[None]:
    """DuckDB's complaint in one line; our SQL is to blame, or the storage."""
    try:
        with sql.reading_errors():
            yield
    except duckdb.Error as error:
        place = " ".join(what.split())[:80]
        raise StorageFailed(f"{' '.join(str(error).split())[:300]}; in: {place}") from error
