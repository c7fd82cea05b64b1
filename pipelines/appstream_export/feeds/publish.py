"""Publish feeds: a generation that never changes, `bi.duckdb` beside it, and then `current.json`, which serves both.

Whatever fails before that last step leaves readers with what they had. Where a check of severity error finds rows in
the newest snapshot, its feeds are not shown: those of the generation before are published again, as they are, and
`feed_status` says why.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by lake/duckdb.py

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
from appstream_export.errors import ContractError, StorageFailed
from appstream_export.feeds import datapackage
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.definitions import PUBLICATION, STATUS, build_feed_schema, build_feeds, check_columns
from appstream_export.feeds.generations import (
    CURRENT,
    DATABASE,
    FOLDER,
    PACKAGE,
    CurrentGeneration,
    GenerationStore,
    get_generation_file_path,
    get_generation_folder,
)
from appstream_export.inputs import FORMULA
from appstream_export.lake.catalog import (
    CheckResult,
    FeedConnection,
    get_last_erase_seq,
    open_feed_connection,
    run_checks,
)
from appstream_export.lake.duckdb import quote_identifier, quote_literal
from appstream_export.lake.snapshots import FileEntry, load_head
from appstream_export.lake.storage import Store, append_file_checksum, translate_storage_errors
from appstream_export.settings import FeedsSettings

_log = logging.getLogger(__name__)
CheckResultsBySeq: TypeAlias = Mapping[int, Sequence[CheckResult]]
_NO_CHECK_RESULTS: CheckResultsBySeq = MappingProxyType({})
DEFAULTS = FeedsSettings()
_LABEL_IN_USE_SQL = "select 1 from accounts where json_extract_string(labels_json, ?) is not null limit 1"
_REPUBLISH_MAX = 5  # each means that yet another run committed while we wrote
_CSV_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishResult:
    """What is served now. `rows` by feed; `problem` is why that is not the newest snapshot, in one line."""

    current: CurrentGeneration
    rows: Mapping[str, int]
    place: str
    problem: str | None
    removed: tuple[str, ...] = ()
    """Old generations that were removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Publication:
    """What will be published: feeds with their queries, and what is said of the whole."""

    feeds: list[Feed]
    snapshot_id: str
    seq: int
    as_of: datetime
    coverage_summary: Mapping[str, Any]
    published_at: datetime
    why: str | None = None
    files: dict[str, FileEntry] = field(default_factory=dict)


class _NewerSnapshotServed(Exception):
    """Another run serves a newer snapshot by now."""


def publish_feeds(
    store: Store,
    contracts: Sequence[Contract],
    settings: FeedsSettings = DEFAULTS,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    check_results: CheckResultsBySeq = _NO_CHECK_RESULTS,
    rebuild: bool = False,
) -> PublishResult:
    """Publish the head's feeds, and remove old generations. Raises StorageFailed or ConfigurationError.

    `checked` are results of checks that are known already, by the seq of the head that they are of. `anew` is for a
    catalog that this very version may not have published.
    """
    shelf = GenerationStore(store, file_mode=int(settings.file_mode, 8), create=True)
    with translate_storage_errors(store):
        published = None
        for _ in range(_REPUBLISH_MAX):
            try:
                published, seq = _publish_generation(
                    store, shelf, contracts, settings, check_results, clock(), rebuild=rebuild
                )
            except _NewerSnapshotServed:
                continue
            newest = load_head(store)
            if newest is None or newest.seq <= seq:
                break  # else another run committed meanwhile, and we may have replaced its newer feeds
        if published is None:
            raise StorageFailed(f"{store.root}: {_REPUBLISH_MAX} newer publications came first; theirs is served")
        erased_seq = get_last_erase_seq(store)
        removed = shelf.prune(retain=settings.keep_generations, now=clock(), erased_seq=erased_seq)
    return replace(published, removed=tuple(removed))


def has_published_feeds(store: Store) -> bool:
    """Whether dashboards are served anything from this warehouse."""
    return store.exists(f"{FOLDER}/{CURRENT}")


def _publish_generation(
    store: Store,
    shelf: GenerationStore,
    contracts: Sequence[Contract],
    settings: FeedsSettings,
    check_results: CheckResultsBySeq,
    now: datetime,
    *,
    rebuild: bool,
) -> tuple[PublishResult, int]:
    with open_feed_connection(store, contracts, rebuild=rebuild) as lake:
        for label in settings.account_labels:
            if not lake.fetch_rows(_LABEL_IN_USE_SQL, [f'$."{label}"']):
                _log.warning("[feeds] account_labels: no account has the label %s, its column is empty", label)
        edition = _build_publication(lake, build_feeds(contracts, settings.account_labels), now)
        results = check_results[lake.seq] if lake.seq in check_results else run_checks(lake.con)
        if broken := [f"{result.name} ({result.rows} rows)" for result in results if result.is_error]:
            why = f"snapshot {lake.snapshot_id} breaks {', '.join(broken)}; look closer: appstream-export verify"
            edition = _reuse_served_feeds(lake, shelf, replace(edition, why=why), get_last_erase_seq(store))
        generation = shelf.reserve(edition.snapshot_id)

        def build_database(file: str) -> None:
            _write_generation(lake, shelf, edition, generation, file, is_csv=settings.csv)
            append_file_checksum(Path(file))

        shelf.store.replace(DATABASE, build_database, mode=shelf.store.file_mode & 0o444)
        current = _build_current_generation(edition, generation)
        shelf.set_current(current)
        rows = {feed.name: edition.files[f"{feed.name}.parquet"].rows for feed in edition.feeds}
        where = shelf.store.resolve_uri(DATABASE).rpartition("/")[0]
        return PublishResult(current=current, rows=rows, place=where, problem=edition.why), lake.seq


def _build_publication(lake: FeedConnection, feeds: list[Feed], now: datetime) -> _Publication:
    return _Publication(
        feeds=feeds,
        snapshot_id=lake.snapshot_id,
        seq=lake.seq,
        as_of=lake.as_of,
        coverage_summary=datapackage.load_coverage_summary(lake),
        published_at=now,
    )


def _reuse_served_feeds(
    lake: FeedConnection, shelf: GenerationStore, edition: _Publication, erased_seq: int
) -> _Publication:
    """What is served now, to be published once more with another `feed_status`; that one alone where there is none."""
    status = edition.feeds[-1]
    current = shelf.load_current()
    if current is None or current.seq < erased_seq:
        return replace(edition, feeds=[status])
    package = shelf.load_package(current.name)
    feeds = []
    for feed in datapackage.parse_feeds(package):
        if feed.name != STATUS:
            raw = shelf.store.read_bytes(get_generation_file_path(current.name, f"{feed.name}.parquet"))
            lake.register_table(f"before_{feed.name}", pq.read_table(pa.BufferReader(raw)))
            feeds.append(replace(feed, sql=f"select * from {quote_identifier(f'before_{feed.name}')}"))
    lake.set_snapshot(current.snapshot_id, current.as_of_utc)
    return replace(
        edition,
        feeds=[*feeds, status],
        snapshot_id=current.snapshot_id,
        seq=current.seq,
        as_of=current.as_of_utc,
        coverage_summary={name: package[name] for name in edition.coverage_summary},
    )


def _write_generation(
    lake: FeedConnection, shelf: GenerationStore, edition: _Publication, generation: str, file: str, *, is_csv: bool
) -> None:
    """Fill the DuckDB file, write from it every file of the generation, and last what describes them."""
    lake.fetch_rows(PUBLICATION)
    with lake.attach_output_file(file):
        for feed in edition.feeds:
            if feed.name == STATUS:
                _insert_publication_rows(lake, edition)
            docs = {column.name: column.doc for column in feed.columns}
            table = lake.create_table(
                feed.name, f"from ({feed.sql}\n) order by {quote_identifier(feed.key)}", feed.doc, docs
            )
            check_columns(feed, lake.describe_columns(f"from {table}"))
            _check_key(lake, feed, table)
            edition.files[f"{feed.name}.parquet"] = _write_parquet(lake, shelf, feed, table, generation)
            if is_csv:
                edition.files[f"{feed.name}.csv"] = _write_csv(lake, shelf, feed, table, generation)
    _reject_older_snapshot(lake, shelf)
    shelf.write_file(get_generation_file_path(generation, PACKAGE), _encode_datapackage(edition))


def _reject_older_snapshot(lake: FeedConnection, shelf: GenerationStore) -> None:
    """Raise _Overtaken where readers have a newer snapshot than ours: to show ours would take theirs away."""
    with suppress(StorageFailed):  # a damaged current.json is about to be written anew
        served = shelf.load_current()
        if served is not None and served.seq > lake.seq:
            raise _NewerSnapshotServed


def _insert_publication_rows(lake: FeedConnection, edition: _Publication) -> None:
    """What `feed_status` reads: a row for each feed, itself included."""
    is_ok, at = edition.why is None, edition.published_at.astimezone(UTC).replace(tzinfo=None)
    for feed in edition.feeds:
        file = edition.files.get(f"{feed.name}.parquet")
        rows = file.rows if file else len(edition.feeds)
        told = [feed.name, feed.doc, rows, is_ok, edition.why, at]
        lake.fetch_rows("insert into feed_publication values (?, ?, ?, ?, ?, ?)", told)


def _check_key(lake: FeedConnection, feed: Feed, table: str) -> None:
    key = quote_identifier(feed.key)
    rows, known, different = lake.fetch_rows(f"select count(*), count({key}), count(distinct {key}) from {table}")[0]
    if not rows == known == different:
        raise ContractError(
            f"feed {feed.name}: {feed.key} is no key: {rows} rows, {known} not null, {different} different"
        )


def _write_parquet(lake: FeedConnection, shelf: GenerationStore, feed: Feed, table: str, generation: str) -> FileEntry:
    kinds, path, rows = build_feed_schema(feed), get_generation_file_path(generation, f"{feed.name}.parquet"), 0
    with shelf.store.open_output(path) as sink:
        with pq.ParquetWriter(sink, kinds, compression="snappy", write_page_checksum=True) as writer:
            for batch in lake.stream_batches(f"from {table}"):
                writer.write_table(pa.Table.from_batches([batch]).cast(kinds))
                rows += batch.num_rows
        return FileEntry(path=path, rows=rows, bytes=sink.size, sha256=sink.sha256)


def _write_csv(lake: FeedConnection, shelf: GenerationStore, feed: Feed, table: str, generation: str) -> FileEntry:
    """In UTF-8: text in quotes, null as nothing at all, and a `'` before text that a spreadsheet would run."""
    path, rows = get_generation_file_path(generation, f"{feed.name}.csv"), 0
    shown = ", ".join(_render_csv_column(column.name, column.type) for column in feed.columns)
    with shelf.store.open_output(path) as sink:
        buffer = io.BytesIO()
        buffer.write((",".join(f'"{column.name}"' for column in feed.columns) + "\n").encode())
        for batch in lake.stream_batches(f"select {shown} from {table}"):
            csv.write_csv(batch, buffer, csv.WriteOptions(include_header=False, quoting_style="needed"))
            rows += batch.num_rows
            sink.write(buffer.getvalue())
            buffer = io.BytesIO()
        sink.write(buffer.getvalue())
        return FileEntry(path=path, rows=rows, bytes=sink.size, sha256=sink.sha256)


def _render_csv_column(name: str, kind: str) -> str:
    column = quote_identifier(name)
    if kind == "VARCHAR":
        is_run = f"{column} <> '' and contains({quote_literal(FORMULA)}, left({column}, 1))"
        return f"if({is_run}, '''' || {column}, {column}) as {column}"
    return f"strftime({column}, '{_CSV_TIME}') as {column}" if kind == "TIMESTAMP" else column


def _encode_datapackage(edition: _Publication) -> bytes:
    described = datapackage.build_datapackage(
        edition.feeds,
        edition.files,
        snapshot_id=edition.snapshot_id,
        seq=edition.seq,
        as_of=edition.as_of,
        published_at=edition.published_at,
        is_ok=edition.why is None,
        why=edition.why,
        coverage_summary=edition.coverage_summary,
    )
    return msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n"


def _build_current_generation(edition: _Publication, generation: str) -> CurrentGeneration:
    folder = get_generation_folder(generation)
    return CurrentGeneration(
        snapshot_id=edition.snapshot_id,
        seq=edition.seq,
        as_of_utc=edition.as_of,
        published_at_utc=edition.published_at,
        is_ok=edition.why is None,
        why=edition.why,
        generation=folder,
        datapackage=f"{folder}/{PACKAGE}",
        datapackage_sha256=hashlib.sha256(_encode_datapackage(edition)).hexdigest(),
        bi_duckdb=DATABASE.rpartition("/")[2],
        feeds={feed.name: f"{folder}/{feed.name}.parquet" for feed in edition.feeds},
    ).add_digest()
