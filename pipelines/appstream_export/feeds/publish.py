"""Publish feeds: a generation that never changes, then `bi.duckdb`, then `current.json`, which serves both.

Both versions, `feeds/v1` and `feeds/v2`, are of the same snapshot. v1 is served first, so that it needs nothing of v2.

After a failure before the last step, readers still see the earlier feeds. If a check of severity error finds rows in
the newest snapshot, its feeds are not served: the served ones are published again unchanged, and `feed_status` shows
why.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by lake/duckdb.py

import hashlib
import io
import logging
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from appstream_export.contracts import Contract
from appstream_export.errors import ContractError, ExportError, StorageFailed, describe_error
from appstream_export.feeds import datapackage
from appstream_export.feeds.contract_feeds import SCOPE_KEY, Feed
from appstream_export.feeds.definitions import (
    CREATE_PUBLICATION_SQL,
    FEED_STATUS,
    build_feed_schema,
    limit_history,
)
from appstream_export.feeds.fact_tables import create_table, fill_fact, remove_kept_past, write_past
from appstream_export.feeds.generations import (
    FEEDS_DATABASE,
    PACKAGE,
    V1,
    V2,
    VERSIONS,
    CurrentGeneration,
    GenerationStore,
    format_feed_name,
    get_generation_folder,
)
from appstream_export.feeds.odcs import ODCS_FILE, render_data_contract
from appstream_export.feeds.parts import (
    FactPart,
    FactPlan,
    build_part_name,
    compute_part_keys,
    copy_part,
    plan_fact,
    render_days_condition,
)
from appstream_export.feeds.relations import check_foreign_keys
from appstream_export.feeds.star import FEED_SCOPES, build_version_feeds, render_feed_scopes
from appstream_export.feeds.xlsx import check_feed_formats, write_xlsx
from appstream_export.inputs import FORMULA_GUARDS
from appstream_export.lake.catalog import (
    CheckResult,
    FeedConnection,
    SharedConnection,
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
DEFAULT_SETTINGS = FeedsSettings()
_LABEL_IN_USE_SQL = "select 1 from accounts where json_extract_string(labels_json, ?) is not null limit 1"
_REPUBLISH_MAX = 5  # each attempt means that another run committed during the last one
_DAMAGE_FIX = "correct what the checks of the newest snapshot name; then publish with: appstream-export feeds publish"
_VARYING = frozenset({"name", "arn", "old_value", "new_value", "extra_json"})
_CSV_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class PublishedFeed(NamedTuple):
    """A feed that is served: its name among those of all versions, its rows, and its file or a pattern of its files."""

    name: str
    rows: int
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishResult:
    """Feeds that are served now. `rows` by feed; `problem` is why they are not of the newest snapshot, in one line."""

    version: str
    current: CurrentGeneration
    rows: Mapping[str, int]
    place: str
    problem: str | None
    removed: tuple[str, ...] = ()
    """Old generations of this version that were removed."""
    star: "PublishResult | None" = None
    """The feeds of `feeds/v2` beside those of `feeds/v1`; None if only one version is published."""

    def list_feeds(self) -> list[PublishedFeed]:
        """Return the feeds of this version, then those of the star."""
        own = [
            PublishedFeed(
                format_feed_name(self.version, name), rows, f"{self.place}/{self.current.get_feed_location(name)}"
            )
            for name, rows in self.rows.items()
        ]
        return [*own, *(self.star.list_feeds() if self.star else ())]


class _Served(NamedTuple):
    """The generation that readers see, as `current.json` named it once: its package, and its parts of facts by feed."""

    current: CurrentGeneration
    package: Mapping[str, Any]
    parts: Mapping[str, Sequence[FactPart]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Publication:
    """Feeds to publish with their queries, and the description of their generation."""

    feeds: list[Feed]
    snapshot_id: str
    seq: int
    as_of: datetime
    coverage_summary: Mapping[str, Any]
    published_at: datetime
    why: str | None = None
    version: str = V1
    is_xlsx: bool = False
    is_republished: bool = False
    """Whether the feeds are those of the served generation."""
    files: dict[str, FileEntry] = field(default_factory=dict)
    """The files that were written, by name."""
    parts: dict[str, list[FactPart]] = field(default_factory=dict)
    """The parts of facts that were written, by feed."""
    served: _Served | None = None
    """The generation that readers see; None if there is none that may be used."""

    def count_rows(self, feed: Feed) -> int:
        """Return the number of rows that were written of a feed."""
        return sum(file.rows for file in self.list_parquet_files(feed))

    def list_parquet_files(self, feed: Feed) -> list[FileEntry]:
        """Return the Parquet files of a feed that were written; none yet before that."""
        if feed.is_in_parts:
            return [part.file for part in self.parts.get(feed.name, ())]
        file = self.files.get(f"{feed.name}.parquet")
        return [file] if file else []


class _NewerSnapshotServed(Exception):
    """Another run already serves a newer snapshot."""


def publish_feeds(
    store: Store,
    contracts: Sequence[Contract],
    settings: FeedsSettings = DEFAULT_SETTINGS,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    check_results: CheckResultsBySeq = _NO_CHECK_RESULTS,
    shared: SharedConnection | None = None,
) -> PublishResult:
    """Publish the feeds of the head and remove old generations; raises StorageFailed or ConfigurationError.

    `check_results` are results of checks that already ran, by the seq of their head. `shared` is the connection of the
    run's other stages.
    """
    check_feed_formats(settings)
    if shared is None:
        with SharedConnection(store, contracts, keeps_parts=True) as own:
            publish = partial(publish_feeds, clock=clock, check_results=check_results, shared=own)
            return own.call_with_retry(lambda: publish(store, contracts, settings))
    versions = _open_versions(store, settings)
    publish_once = partial(_publish_generation, store, versions, contracts, settings, check_results, shared=shared)
    with translate_storage_errors(store):
        published = _publish_until_newest(store, lambda: publish_once(now=clock()))
        removed = _remove_old_feeds(store, versions, settings, clock())
    star = published.star and replace(published.star, removed=tuple(removed[-1]))
    return replace(published, removed=tuple(removed[0]), star=star)


def _open_versions(store: Store, settings: FeedsSettings) -> list[GenerationStore]:
    mode, versions = int(settings.file_mode, 8), [version for version in VERSIONS if version in settings.versions]
    return [GenerationStore(store, file_mode=mode, create=True, version=version) for version in versions]


def _publish_until_newest(store: Store, publish: Callable[[], tuple[PublishResult, int]]) -> PublishResult:
    """Publish, again if a run committed in the meantime, so that readers end up with the newest snapshot."""
    published = None
    for _ in range(_REPUBLISH_MAX):
        try:
            published, seq = publish()
        except _NewerSnapshotServed:
            continue
        newest = load_head(store)
        if newest is None or newest.seq <= seq:
            break
    if published is None:
        raise StorageFailed(
            f"{store.root}: {_REPUBLISH_MAX} times, another run published newer feeds first; those are served"
        )
    return published


def _remove_old_feeds(
    store: Store, versions: Sequence[GenerationStore], settings: FeedsSettings, now: datetime
) -> list[list[str]]:
    """Remove old generations, and versions that are off; return the names of the removed generations by version."""
    erased_seq = get_last_erase_seq(store)
    removed = [
        generations.prune(retain=settings.keep_generations, now=now, erased_seq=erased_seq) for generations in versions
    ]
    for version in {*VERSIONS} - {*settings.versions}:
        generations = GenerationStore(store, file_mode=int(settings.file_mode, 8), version=version)
        if generations.remove_all():
            _log.warning("%s: its feeds are removed, because [feeds] versions leaves them out", generations.place)
    return removed


def load_published_feeds(store: Store, versions: Collection[str] = VERSIONS) -> PublishResult | None:
    """Return the feeds of these versions that readers see, or None if there are none; raises StorageFailed."""
    named = (version for version in VERSIONS if version in versions)
    found = [published for version in named if (published := _load_published_version(store, version))]
    return replace(found[0], star=found[1] if len(found) > 1 else None) if found else None


def _load_published_version(store: Store, version: str) -> PublishResult | None:
    generations = GenerationStore(store, file_mode=0o600, version=version)
    current = generations.load_current()
    if current is None:
        return None
    return PublishResult(
        version=version,
        current=current,
        rows=datapackage.count_feed_rows(generations.load_package(current.name)),
        place=generations.place,
        problem=current.why,
    )


def _publish_generation(
    store: Store,
    versions: Sequence[GenerationStore],
    contracts: Sequence[Contract],
    settings: FeedsSettings,
    check_results: CheckResultsBySeq,
    *,
    now: datetime,
    shared: SharedConnection,
) -> tuple[PublishResult, int]:
    """Write and serve a generation of each version; return the first one's feeds with the second one's, and the seq."""
    with open_feed_connection(shared) as connection:
        _warn_of_unused_labels(connection, settings.account_labels)
        newest = _build_publication(connection, now, _find_failed_checks(connection, contracts, check_results))
        erased_seq, written = get_last_erase_seq(store), []
        for generations in versions:
            feeds = build_version_feeds(generations.version, contracts, settings)
            feeds = [limit_history(feed, settings.history_days) for feed in feeds]
            is_xlsx = settings.xlsx and generations.version != V1
            publication = replace(newest, feeds=feeds, version=generations.version, is_xlsx=is_xlsx, files={}, parts={})
            if publication.why:
                publication = replace(publication, served=_load_served(generations, erased_seq))
                publication = _reuse_served_feeds(connection, generations, publication)
            elif generations.version != V1:
                with suppress(StorageFailed):  # all is written again
                    publication = replace(publication, served=_load_served(generations, erased_seq))
                connection.create_temporary_table(FEED_SCOPES, render_feed_scopes(contracts))
            connection.set_snapshot(publication.snapshot_id, publication.as_of)
            written.append(_write_publication(connection, generations, publication, is_csv=settings.csv))
            generations.set_current(written[-1].current)
        if V2 not in settings.versions:
            remove_kept_past(connection)
        return replace(written[0], star=written[1] if len(written) > 1 else None), connection.seq


def _find_failed_checks(
    connection: FeedConnection, contracts: Sequence[Contract], check_results: CheckResultsBySeq
) -> str | None:
    """Return why the snapshot must not be published, or None."""
    results = check_results.get(connection.seq)
    if results is None:
        connection.derive_sources("checks")
        results = run_checks(connection.con, contracts)
    broken = [f"{result.name} ({result.rows} rows)" for result in results if result.is_error and result.blocks_feeds]
    if not broken:
        return None
    return f"snapshot {connection.snapshot_id} fails checks: {', '.join(broken)}; see: appstream-export verify"


def _warn_of_unused_labels(connection: FeedConnection, labels: Sequence[str]) -> None:
    for label in labels:
        if not connection.fetch_rows(_LABEL_IN_USE_SQL, [f'$."{label}"']):
            _log.warning("[feeds] account_labels: no account has the label %s, its column is empty", label)


def _write_publication(
    connection: FeedConnection, generations: GenerationStore, publication: _Publication, *, is_csv: bool
) -> PublishResult:
    """Write a generation and `bi.duckdb`, and return them as they will be served."""
    generation = generations.reserve(publication.snapshot_id)
    package_sha256 = ""

    # The store calls this with a temporary file and ignores its result. The generation is written from its tables.
    def build_database(file: str) -> None:
        nonlocal package_sha256
        package_sha256 = _write_generation(connection, generations, publication, generation, file, is_csv=is_csv)
        append_file_checksum(Path(file), snapshot_id=publication.snapshot_id)

    generations.store.replace(generations.database_file, build_database, mode=generations.store.file_mode)
    return PublishResult(
        version=generations.version,
        current=_build_current_generation(publication, generation, package_sha256),
        rows={feed.name: publication.count_rows(feed) for feed in publication.feeds},
        place=generations.place,
        problem=publication.why,
    )


def _build_publication(connection: FeedConnection, now: datetime, why: str | None) -> _Publication:
    return _Publication(
        feeds=[],
        snapshot_id=connection.snapshot_id,
        seq=connection.seq,
        as_of=connection.as_of,
        coverage_summary=datapackage.load_coverage_summary(connection),
        published_at=now,
        why=why,
    )


def _reuse_served_feeds(
    connection: FeedConnection, generations: GenerationStore, publication: _Publication
) -> _Publication:
    """Return a publication of the served feeds, if there are any, with a new `feed_status`."""
    status = publication.feeds[-1]
    if publication.served is None:
        return replace(publication, feeds=[status])
    current, package, _ = publication.served
    files = datapackage.parse_whole_files(package, generations.get_file_path(current.name, ""))
    feeds = []
    for feed in datapackage.parse_feeds(package):
        if feed.name != FEED_STATUS:
            schema = build_feed_schema(replace(feed, has_zone=False))
            rows = schema.empty_table()  # its parts are copied
            if not feed.is_in_parts:
                rows = _read_served_rows(generations, *files[feed.name]).cast(schema)
            connection.register_table(f"before_{feed.name}", rows)
            feeds.append(replace(feed, sql=f"select * from {quote_identifier(f'before_{feed.name}')}"))
    return replace(
        publication,
        is_republished=True,
        feeds=[*feeds, status],
        snapshot_id=current.snapshot_id,
        seq=current.seq,
        as_of=current.as_of_utc,
        coverage_summary={name: package[name] for name in publication.coverage_summary},
    )


def _write_generation(
    connection: FeedConnection,
    generations: GenerationStore,
    publication: _Publication,
    generation: str,
    file: str,
    *,
    is_csv: bool,
) -> str:
    """Fill the DuckDB file, write the generation's files from it, then the data package; return its SHA-256."""
    connection.fetch_rows(CREATE_PUBLICATION_SQL)
    plans = _plan_facts(connection, generations, publication)
    past_file = publication.served.package.get(datapackage.PAST_FILE) if publication.served else None
    # Served feeds do not say which parts are past: all are copied, and the kept file stays for the next snapshot.
    if plans and not publication.is_republished:
        past_file = write_past(connection, generations, [*plans.values()], Path(file), served=past_file)
    with connection.attach_output_file(file):
        for feed in publication.feeds:
            if feed.name == FEED_STATUS:
                _insert_publication_rows(connection, publication)
            if feed.is_in_parts:
                table = _write_fact(connection, generations, publication, plans[feed.name], generation)
            else:
                table = _create_feed_table(connection, feed)
                path = generations.get_file_path(generation, name := f"{feed.name}.parquet")
                publication.files[name] = _write_parquet(connection, generations, feed, f"from {table}", path)
            if is_csv:
                publication.files[f"{feed.name}.csv"] = _write_csv(connection, generations, feed, table, generation)
            if publication.is_xlsx:
                publication.files[f"{feed.name}.xlsx"] = _write_excel(connection, generations, feed, table, generation)
        check_foreign_keys(connection, publication.feeds)
    _reject_older_snapshot(generations, publication.seq)
    if publication.version != V1:
        _write_data_contract(generations, publication, generation)
    package = _encode_datapackage(publication, past_file)
    generations.write_file(generations.get_file_path(generation, PACKAGE), package)
    return hashlib.sha256(package).hexdigest()


def _write_data_contract(generations: GenerationStore, publication: _Publication, generation: str) -> None:
    content = render_data_contract(publication.feeds, snapshot_id=publication.snapshot_id, as_of=publication.as_of)
    path = generations.get_file_path(generation, ODCS_FILE)
    generations.write_file(path, content)
    sha256 = hashlib.sha256(content).hexdigest()
    publication.files[ODCS_FILE] = FileEntry(path=path, rows=0, bytes=len(content), sha256=sha256)


def _write_fact(
    connection: FeedConnection, generations: GenerationStore, publication: _Publication, plan: FactPlan, generation: str
) -> str:
    """Fill the table of a feed in parts and write the generation's files of it; return the table's SQL name."""
    feed, table = plan.feed, fill_fact(connection, generations, plan)
    parts = [copy_part(generations, feed, part, generation) for part in plan.reused]
    for days in plan.missing:
        rows = f"from {table} where {render_days_condition(feed, [days])}"
        path = generations.get_file_path(generation, build_part_name(feed.name, days))
        file = _write_parquet(connection, generations, feed, rows, path)
        parts.append(FactPart(days, plan.keys[days], file))
        _log.debug("rows written of %s: %d of %s", feed.name, file.rows, days)
    _check_key(connection, feed, table, where=render_days_condition(feed, plan.missing))
    publication.parts[feed.name] = sorted(parts, key=lambda part: part.days)
    return table


def _plan_facts(
    connection: FeedConnection, generations: GenerationStore, publication: _Publication
) -> dict[str, FactPlan]:
    """Return what is written of each feed in parts."""
    plans = {}
    for feed in (feed for feed in publication.feeds if feed.is_in_parts):
        before = publication.served.parts.get(feed.name, ()) if publication.served else ()
        keys = {part.days: part.derived_from for part in before}
        if not publication.is_republished:
            keys = compute_part_keys(connection, feed)
        plan = plan_fact(generations, feed, before, keys)
        if publication.is_republished and (plan.missing or not before):
            damaged = ", ".join(map(str, plan.missing)) or "each part"
            raise StorageFailed(f"{generations.place}: {feed.name}: {damaged} is missing or damaged", fix=_DAMAGE_FIX)
        plans[feed.name] = plan
    return plans


def _load_served(generations: GenerationStore, erased_seq: int) -> _Served | None:
    """Return the served generation; None if there is none, or if it may contain erased rows.

    Raises StorageFailed if it is damaged.
    """
    try:
        current = generations.load_unchanged_current()
        # Feeds from before an erase hold erased rows and must not be published again.
        if current is None or current.seq < erased_seq:
            return None
        package = generations.load_package(current.name, sha256=current.datapackage_sha256)
        return _Served(current, package, datapackage.parse_parts(package, generations.get_file_path(current.name, "")))
    except ExportError as error:
        raise StorageFailed(f"{generations.place}: {error.message}", fix=_DAMAGE_FIX) from error
    except (KeyError, TypeError, ValueError) as error:
        what = f"{PACKAGE} of the served generation is not valid: {describe_error(error)}"
        raise StorageFailed(f"{generations.place}: {what}", fix=_DAMAGE_FIX) from error


def _read_served_rows(generations: GenerationStore, path: str, sha256: str) -> pa.Table:
    """Return the rows of a served file; raises StorageFailed if it is missing or damaged."""
    content = b""
    with suppress(FileNotFoundError):
        content = generations.store.read_bytes(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        where = generations.store.resolve_uri(path)
        raise StorageFailed(f"{where} is missing or damaged", fix=_DAMAGE_FIX)
    return pq.read_table(pa.BufferReader(content))


def _create_feed_table(connection: FeedConnection, feed: Feed) -> str:
    """Create the table of a feed and return its SQL name; raises ContractError if its columns or key are wrong."""
    connection.derive_tables(feed.reads)
    query = f"from ({feed.sql}\n)"
    is_wide = feed.is_newest_state and feed.reads
    with connection.stage_rows(query, feed.reads) if is_wide else nullcontext(query) as rows:
        table = create_table(connection, feed, f"{rows}{feed.order}")
    _check_key(connection, feed, table)
    return table


def _reject_older_snapshot(generations: GenerationStore, seq: int) -> None:
    """Raise _NewerSnapshotServed if readers already see a newer snapshot, which must not be replaced."""
    with suppress(StorageFailed):  # a damaged current.json is about to be replaced
        served = generations.load_unchanged_current()
        if served is not None and served.seq > seq:
            raise _NewerSnapshotServed


def _insert_publication_rows(connection: FeedConnection, publication: _Publication) -> None:
    """Insert the rows that `feed_status` reads: one for each feed, itself included."""
    is_ok, at = publication.why is None, publication.published_at.astimezone(UTC).replace(tzinfo=None)
    for feed in publication.feeds:
        # feed_status has no file yet; it has a row for each feed.
        rows = len(publication.feeds) if feed.name == FEED_STATUS else publication.count_rows(feed)
        row = [feed.name, feed.doc, rows, is_ok, publication.why, at]
        connection.fetch_rows("insert into feed_publication values (?, ?, ?, ?, ?, ?)", row)


def _check_key(connection: FeedConnection, feed: Feed, table: str, *, where: str = "true") -> None:
    key = quote_identifier(feed.key)
    rows, known, different = connection.fetch_rows(
        f"select count(*), count({key}), count(distinct {key}) from {table} where {where}"
    )[0]
    if not rows == known == different:
        raise ContractError(
            f"feed {feed.name}: {feed.key} is not a key: {rows} rows, {known} not null, {different} distinct"
        )


def _write_parquet(
    connection: FeedConnection, generations: GenerationStore, feed: Feed, query: str, path: str
) -> FileEntry:
    kinds, rows = build_feed_schema(feed), 0
    options = {"use_dictionary": _list_repeating_columns(feed), "write_page_checksum": True}
    with generations.store.open_output(path) as output:
        with pq.ParquetWriter(output, kinds, compression="snappy", **options) as writer:
            for batch in connection.stream_batches(query):
                writer.write_table(pa.Table.from_batches([batch]).cast(kinds))
                rows += batch.num_rows
        return FileEntry(path=path, rows=rows, bytes=output.size, sha256=output.sha256)


def _list_repeating_columns(feed: Feed) -> list[str]:
    """Return the columns that have a value in many rows: for keys and texts, a dictionary costs time and space."""
    names = (column.name for column in feed.columns)
    return [name for name in names if name == SCOPE_KEY or not (name.endswith("_key") or name in _VARYING)]


def _write_csv(
    connection: FeedConnection, generations: GenerationStore, feed: Feed, table: str, generation: str
) -> FileEntry:
    """Write a feed as CSV in UTF-8: quoted text, empty nulls, and a `'` before text that a spreadsheet would run."""
    path, rows = generations.get_file_path(generation, f"{feed.name}.csv"), 0
    selected = ", ".join(_render_csv_column(column.name, column.type) for column in feed.columns)
    with generations.store.open_output(path) as output:
        buffer = io.BytesIO()
        buffer.write((",".join(f'"{column.name}"' for column in feed.columns) + "\n").encode())
        for batch in connection.stream_batches(f"select {selected} from {table}"):
            csv.write_csv(batch, buffer, csv.WriteOptions(include_header=False, quoting_style="needed"))
            rows += batch.num_rows
            # Write and replace the buffer after each batch, to limit the memory.
            output.write(buffer.getvalue())
            buffer = io.BytesIO()
        output.write(buffer.getvalue())
        return FileEntry(path=path, rows=rows, bytes=output.size, sha256=output.sha256)


def _write_excel(
    connection: FeedConnection, generations: GenerationStore, feed: Feed, table: str, generation: str
) -> FileEntry:
    path = generations.get_file_path(generation, f"{feed.name}.xlsx")
    with TemporaryDirectory(prefix="appstream-export-") as folder:
        file = Path(folder, "feed.xlsx")
        rows = write_xlsx(feed, connection.stream_batches(f"from {table}"), file)
        with generations.store.open_output(path) as output, file.open("rb") as written:
            shutil.copyfileobj(written, output)
            return FileEntry(path=path, rows=rows, bytes=output.size, sha256=output.sha256)


def _render_csv_column(name: str, kind: str) -> str:
    column = quote_identifier(name)
    if kind == "VARCHAR":
        guarded = column
        for pattern, replacement in FORMULA_GUARDS:
            guarded = f"regexp_replace({guarded}, {quote_literal(pattern)}, {quote_literal(replacement)}, 'g')"
        return f"{guarded} as {column}"
    return f"strftime({column}, '{_CSV_TIME}') as {column}" if kind == "TIMESTAMP" else column


def _encode_datapackage(publication: _Publication, past_file: str | None) -> bytes:
    described = datapackage.build_datapackage(
        publication.feeds,
        publication.files,
        publication.parts,
        snapshot_id=publication.snapshot_id,
        seq=publication.seq,
        as_of=publication.as_of,
        published_at=publication.published_at,
        is_ok=publication.why is None,
        why=publication.why,
        coverage_summary=publication.coverage_summary,
        version=publication.version,
        past_file=past_file,
    )
    return msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n"


def _list_paths(publication: _Publication, feed: Feed, folder: str) -> str | list[str]:
    """Return the path of a feed in v1, or its paths in v2, in which facts have several files."""
    names = [file.path.rpartition("/")[2] for file in publication.list_parquet_files(feed)]
    paths = [f"{folder}/{name}" for name in names]
    return paths[0] if publication.version == V1 else paths


def _build_current_generation(publication: _Publication, generation: str, package_sha256: str) -> CurrentGeneration:
    folder = get_generation_folder(generation)
    return CurrentGeneration(
        snapshot_id=publication.snapshot_id,
        seq=publication.seq,
        as_of_utc=publication.as_of,
        published_at_utc=publication.published_at,
        is_ok=publication.why is None,
        why=publication.why,
        generation=folder,
        datapackage=f"{folder}/{PACKAGE}",
        datapackage_sha256=package_sha256,
        bi_duckdb=FEEDS_DATABASE,
        feeds={feed.name: _list_paths(publication, feed, folder) for feed in publication.feeds},
    ).add_digest()
