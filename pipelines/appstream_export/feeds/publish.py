"""Publish feeds: a generation that never changes, `bi.duckdb` beside it, and then `current.json`, which serves both.

Whatever fails before that last step leaves readers with what they had. Where a check of severity error finds rows in
the newest snapshot, its feeds are not shown: those of the generation before are published again, as they are, and
`feed_status` says why.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by sql.py

import hashlib
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from appstream_export.contracts import Contract
from appstream_export.errors import BadContract, StorageFailed
from appstream_export.feeds import datapackage
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.definitions import PUBLICATION, STATUS, check_columns, definitions, schema
from appstream_export.feeds.generations import CURRENT, DATABASE, FOLDER, PACKAGE, Current, Shelf, folder_of, path_in
from appstream_export.inputs.csv import FORMULA
from appstream_export.lake.catalog import checks, feed_connection
from appstream_export.lake.catalog.checks import CheckResult
from appstream_export.lake.catalog.feed_connection import Outlet
from appstream_export.lake.snapshots.manifest import FileEntry, head
from appstream_export.lake.sql import literal, quoted
from appstream_export.lake.storage.base import Store, storage_errors
from appstream_export.lake.storage.checksum_trailer import seal
from appstream_export.settings import FeedsSettings

_log = logging.getLogger(__name__)
Checked: TypeAlias = Mapping[int, Sequence[CheckResult]]
_UNCHECKED: Checked = MappingProxyType({})
DEFAULTS = FeedsSettings()
_LABELLED = "select 1 from accounts where json_extract_string(labels_json, ?) is not null limit 1"
_REPUBLISHES = 5  # each means that yet another run committed while we wrote
_CSV_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What is served now. `rows` by feed; `problem` is why that is not the newest snapshot, in one line."""

    current: Current
    rows: Mapping[str, int]
    place: str
    problem: str | None
    removed: tuple[str, ...] = ()
    """Old generations that were removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edition:
    """What will be published: feeds with their queries, and what is said of the whole."""

    feeds: list[Feed]
    snapshot_id: str
    seq: int
    as_of: datetime
    seen: Mapping[str, Any]
    published_at: datetime
    why: str | None = None
    files: dict[str, FileEntry] = field(default_factory=dict)


class _Overtaken(Exception):
    """Another run serves a newer snapshot by now."""


def publish(
    store: Store,
    contracts: Sequence[Contract],
    settings: FeedsSettings = DEFAULTS,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    checked: Checked = _UNCHECKED,
    anew: bool = False,
) -> Published:
    """Publish the head's feeds, and remove old generations. Raises StorageFailed, SetupError; readers keep what was.

    `checked` are results of checks that are known already, by the seq of the head that they are of. `anew` is for a
    catalog that this very version may not have published.
    """
    shelf = Shelf(store, file_mode=int(settings.file_mode, 8), create=True)
    with storage_errors(store):
        published = None
        for _ in range(_REPUBLISHES):
            try:
                published, seq = _publish(store, shelf, contracts, settings, checked, clock(), anew=anew)
            except _Overtaken:
                continue
            newest = head(store)
            if newest is None or newest.seq <= seq:
                break  # else another run committed meanwhile, and we may have replaced its newer feeds
        if published is None:
            raise StorageFailed(f"{store.root}: {_REPUBLISHES} newer publications came first; theirs is served")
        erased_seq = feed_connection.erased_since(store)
        removed = shelf.tidy(keep=settings.keep_generations, now=clock(), erased_seq=erased_seq)
    return replace(published, removed=tuple(removed))


def is_published(store: Store) -> bool:
    """Whether dashboards are served anything from this warehouse."""
    return store.exists(f"{FOLDER}/{CURRENT}")


def _publish(
    store: Store,
    shelf: Shelf,
    contracts: Sequence[Contract],
    settings: FeedsSettings,
    checked: Checked,
    now: datetime,
    *,
    anew: bool,
) -> tuple[Published, int]:
    with feed_connection.opened(store, contracts, anew=anew) as lake:
        for label in settings.account_labels:
            if not lake.rows(_LABELLED, [f'$."{label}"']):
                _log.warning("[feeds] account_labels: no account has the label %s, its column is empty", label)
        edition = _edition(lake, definitions(contracts, settings.account_labels), now)
        results = checked[lake.seq] if lake.seq in checked else checks.run(lake.con)
        if broken := [f"{result.name} ({result.rows} rows)" for result in results if result.is_error]:
            why = f"snapshot {lake.snapshot_id} breaks {', '.join(broken)}; look closer: appstream-export verify"
            edition = _as_before(lake, shelf, replace(edition, why=why), feed_connection.erased_since(store))
        generation = shelf.claim(edition.snapshot_id)

        def build(file: str) -> None:
            _write(lake, shelf, edition, generation, file, is_csv=settings.csv)
            seal(Path(file))

        shelf.store.replace(DATABASE, build, mode=shelf.store.file_mode & 0o444)
        current = _current(edition, generation)
        shelf.point_to(current)
        rows = {feed.name: edition.files[f"{feed.name}.parquet"].rows for feed in edition.feeds}
        where = shelf.store.uri(DATABASE).rpartition("/")[0]
        return Published(current=current, rows=rows, place=where, problem=edition.why), lake.seq


def _edition(lake: Outlet, feeds: list[Feed], now: datetime) -> _Edition:
    return _Edition(
        feeds=feeds,
        snapshot_id=lake.snapshot_id,
        seq=lake.seq,
        as_of=lake.as_of,
        seen=datapackage.seen_by(lake),
        published_at=now,
    )


def _as_before(lake: Outlet, shelf: Shelf, edition: _Edition, erased_seq: int) -> _Edition:
    """What is served now, to be published once more with another `feed_status`; that one alone where there is none."""
    status = edition.feeds[-1]
    current = shelf.current()
    if current is None or current.seq < erased_seq:
        return replace(edition, feeds=[status])
    package = shelf.package(current.name)
    feeds = []
    for feed in datapackage.feeds_of(package):
        if feed.name != STATUS:
            raw = shelf.store.read_bytes(path_in(current.name, f"{feed.name}.parquet"))
            lake.offer(f"before_{feed.name}", pq.read_table(pa.BufferReader(raw)))
            feeds.append(replace(feed, sql=f"select * from {quoted(f'before_{feed.name}')}"))
    lake.stand_at(current.snapshot_id, current.as_of_utc)
    return replace(
        edition,
        feeds=[*feeds, status],
        snapshot_id=current.snapshot_id,
        seq=current.seq,
        as_of=current.as_of_utc,
        seen={name: package[name] for name in edition.seen},
    )


def _write(lake: Outlet, shelf: Shelf, edition: _Edition, generation: str, file: str, *, is_csv: bool) -> None:
    """Fill the DuckDB file, write from it every file of the generation, and last what describes them."""
    lake.rows(PUBLICATION)
    with lake.filling(file):
        for feed in edition.feeds:
            if feed.name == STATUS:
                _tell(lake, edition)
            docs = {column.name: column.doc for column in feed.columns}
            table = lake.put(feed.name, f"from ({feed.sql}\n) order by {quoted(feed.key)}", feed.doc, docs)
            check_columns(feed, lake.columns(f"from {table}"))
            _check_key(lake, feed, table)
            edition.files[f"{feed.name}.parquet"] = _write_parquet(lake, shelf, feed, table, generation)
            if is_csv:
                edition.files[f"{feed.name}.csv"] = _write_csv(lake, shelf, feed, table, generation)
    _refuse_older(lake, shelf)
    shelf.write(path_in(generation, PACKAGE), _described(edition))


def _refuse_older(lake: Outlet, shelf: Shelf) -> None:
    """Raise _Overtaken where readers have a newer snapshot than ours: to show ours would take theirs away."""
    with suppress(StorageFailed):  # a damaged current.json is about to be written anew
        served = shelf.current()
        if served is not None and served.seq > lake.seq:
            raise _Overtaken


def _tell(lake: Outlet, edition: _Edition) -> None:
    """What `feed_status` reads: a row for each feed, itself included."""
    is_ok, at = edition.why is None, edition.published_at.astimezone(UTC).replace(tzinfo=None)
    for feed in edition.feeds:
        file = edition.files.get(f"{feed.name}.parquet")
        rows = file.rows if file else len(edition.feeds)
        told = [feed.name, feed.doc, rows, is_ok, edition.why, at]
        lake.rows("insert into feed_publication values (?, ?, ?, ?, ?, ?)", told)


def _check_key(lake: Outlet, feed: Feed, table: str) -> None:
    key = quoted(feed.key)
    rows, known, different = lake.rows(f"select count(*), count({key}), count(distinct {key}) from {table}")[0]
    if not rows == known == different:
        raise BadContract(
            f"feed {feed.name}: {feed.key} is no key: {rows} rows, {known} not null, {different} different"
        )


def _write_parquet(lake: Outlet, shelf: Shelf, feed: Feed, table: str, generation: str) -> FileEntry:
    kinds, path, rows = schema(feed), path_in(generation, f"{feed.name}.parquet"), 0
    with shelf.store.writing(path) as sink:
        with pq.ParquetWriter(sink, kinds, compression="snappy", write_page_checksum=True) as writer:
            for batch in lake.batches(f"from {table}"):
                writer.write_table(pa.Table.from_batches([batch]).cast(kinds))
                rows += batch.num_rows
        return FileEntry(path=path, rows=rows, bytes=sink.size, sha256=sink.sha256)


def _write_csv(lake: Outlet, shelf: Shelf, feed: Feed, table: str, generation: str) -> FileEntry:
    """In UTF-8: text in quotes, null as nothing at all, and a `'` before text that a spreadsheet would run."""
    path, rows = path_in(generation, f"{feed.name}.csv"), 0
    shown = ", ".join(_csv_column(column.name, column.type) for column in feed.columns)
    with shelf.store.writing(path) as sink:
        buffer = io.BytesIO()
        buffer.write((",".join(f'"{column.name}"' for column in feed.columns) + "\n").encode())
        for batch in lake.batches(f"select {shown} from {table}"):
            csv.write_csv(batch, buffer, csv.WriteOptions(include_header=False, quoting_style="needed"))
            rows += batch.num_rows
            sink.write(buffer.getvalue())
            buffer = io.BytesIO()
        sink.write(buffer.getvalue())
        return FileEntry(path=path, rows=rows, bytes=sink.size, sha256=sink.sha256)


def _csv_column(name: str, kind: str) -> str:
    column = quoted(name)
    if kind == "VARCHAR":
        is_run = f"{column} <> '' and contains({literal(FORMULA)}, left({column}, 1))"
        return f"if({is_run}, '''' || {column}, {column}) as {column}"
    return f"strftime({column}, '{_CSV_TIME}') as {column}" if kind == "TIMESTAMP" else column


def _described(edition: _Edition) -> bytes:
    described = datapackage.package(
        edition.feeds,
        edition.files,
        snapshot_id=edition.snapshot_id,
        seq=edition.seq,
        as_of=edition.as_of,
        published_at=edition.published_at,
        is_ok=edition.why is None,
        why=edition.why,
        seen=edition.seen,
    )
    return msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n"


def _current(edition: _Edition, generation: str) -> Current:
    folder = folder_of(generation)
    return Current(
        snapshot_id=edition.snapshot_id,
        seq=edition.seq,
        as_of_utc=edition.as_of,
        published_at_utc=edition.published_at,
        is_ok=edition.why is None,
        why=edition.why,
        generation=folder,
        datapackage=f"{folder}/{PACKAGE}",
        datapackage_sha256=hashlib.sha256(_described(edition)).hexdigest(),
        bi_duckdb=DATABASE.rpartition("/")[2],
        feeds={feed.name: f"{folder}/{feed.name}.parquet" for feed in edition.feeds},
    ).sealed()
