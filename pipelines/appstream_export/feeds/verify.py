"""Verification of published feeds against `datapackage.json`: their bytes, columns, rows and keys."""
# ruff: noqa: S608 - names come from the package and are quoted

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from appstream_export.errors import ConfigurationError, StorageFailed
from appstream_export.feeds import datapackage
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.definitions import build_feed_schema
from appstream_export.feeds.generations import (
    CURRENT,
    PACKAGE,
    VERSIONS,
    CurrentGeneration,
    GenerationStore,
)
from appstream_export.lake.catalog import open_duckdb_file
from appstream_export.lake.duckdb import quote_identifier, quote_literal
from appstream_export.lake.storage import Store, has_valid_checksum, translate_storage_errors

_REPUBLISH = "publish it again with: appstream-export feeds publish"


def verify_feeds(store: Store, generation: str | None = None, *, file_mode: int = 0o640) -> list[str]:
    """Return the problems of a generation, a line each; by default of the served ones, `bi.duckdb` and `latest`.

    Raises ConfigurationError if there is no such generation.
    """
    v1, v2 = (GenerationStore(store, file_mode=file_mode, version=version) for version in VERSIONS)
    with translate_storage_errors(store):
        # A warehouse of an earlier version has no v2 yet, and [feeds] versions may leave out v1.
        has_star = v2.has_current() if generation is None else generation in v2.list_generations()
        has_v1 = v1.has_current() if generation is None else generation in v1.list_generations()
        lines = _verify_version(v1, generation) if has_v1 or not has_star else []
        lines += [f"v2: {line}" for line in (_verify_version(v2, generation) if has_star else ())]
        lost = [v for v in (v1, v2) if generation is None and not v.has_current() and v.list_generations()]
        return lines + [f"{version.version}: {CURRENT}: missing; {_REPUBLISH}" for version in lost]


def _verify_version(generations: GenerationStore, generation: str | None) -> list[str]:
    if generation is not None:
        lines = _verify_generation(generations, generation, generations.load_package(generation))
        return [*_report_damaged_package(generation, lines)]
    current = generations.require_current()
    return [*_report_damaged_package(current.name, _verify_served_generation(generations, current))]


def _report_damaged_package(generation: str, lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines; if the description is too damaged to verify the rest, end with a line about it."""
    try:
        yield from lines
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        yield f"{generation}/{PACKAGE}: is not a valid description of feeds ({type(error).__name__}: {error})"


def _verify_served_generation(generations: GenerationStore, current: CurrentGeneration) -> Iterator[str]:
    # Comparing the encoded bytes also finds changes that decoding ignores. Files of version 0.2 have no digest.
    if generations.store.read_bytes(generations.current_file) != current.encode_json() or (
        current.sha256 and current != current.add_digest()
    ):
        yield f"current.json: was changed after it was written; {_REPUBLISH}"
    try:
        package = generations.load_package(current.name)
    except (ConfigurationError, StorageFailed) as error:
        yield f"current.json: {error}"
        return
    raw = generations.store.read_bytes(generations.get_file_path(current.name, PACKAGE))
    if hashlib.sha256(raw).hexdigest() != current.datapackage_sha256:
        yield f"{current.datapackage}: its content differs from current.json (sha256)"
    yield from _verify_generation(generations, current.name, package)
    yield from _verify_latest_link(generations, current)
    yield from _verify_database(generations, package)


def _verify_generation(generations: GenerationStore, name: str, package: Mapping[str, Any]) -> Iterator[str]:
    known = {feed.name: feed for feed in datapackage.parse_feeds(package)}
    described = datapackage.list_parquet_resources(package)
    feeds = {resource["path"]: known[datapackage.get_feed_name(resource)] for resource in described}
    for resource in (*package["resources"], *package.get("files", ())):
        path = resource["path"]
        try:
            raw = generations.store.read_bytes(generations.get_file_path(name, path))
        except FileNotFoundError:
            yield f"{name}/{path}: missing"
            continue
        problems = [*_verify_bytes(resource, raw)]
        if not problems and path in feeds:
            problems = [*_verify_rows(feeds[path], resource, package, raw)]
        yield from (f"{name}/{path}: {problem}" for problem in problems)
    yield from _verify_relations(generations, name, feeds)


def _verify_relations(generations: GenerationStore, name: str, feeds: Mapping[str, Feed]) -> Iterator[str]:
    """Yield a line per key that is not in the feed it leads to; a file that cannot be read has a line of its own."""
    related = {path: feed for path, feed in feeds.items() if feed.required and feed.foreign_keys}
    keys: dict[str, pa.Array] = {}
    for path, feed in related.items():
        for column, to in feed.foreign_keys.items():
            with suppress(OSError, pa.ArrowException, KeyError):
                if to not in keys:
                    keys[to] = _read_keys(generations, name, f"{to}.parquet", column)
                found = pc.is_in(_read_keys(generations, name, path, column), keys[to])
                if lost := pc.sum(pc.invert(found)).as_py():
                    yield f"{name}/{path}: {lost} values of {column} are not in {to}"


def _read_keys(generations: GenerationStore, name: str, path: str, column: str) -> pa.Array:
    raw = generations.store.read_bytes(generations.get_file_path(name, path))
    return pq.read_table(pa.BufferReader(raw), columns=[column]).column(0).drop_null().unique()


def _verify_bytes(resource: Mapping[str, Any], raw: bytes) -> Iterator[str]:
    size = resource["size_bytes"] if "size_bytes" in resource else resource["bytes"]
    if len(raw) != size:
        yield f"{len(raw)} bytes instead of {size}"
    elif hashlib.sha256(raw).hexdigest() != resource["sha256"]:
        yield "its content differs from datapackage.json (sha256)"


def _verify_rows(feed: Feed, resource: Mapping[str, Any], package: Mapping[str, Any], raw: bytes) -> Iterator[str]:
    try:
        found = pq.read_table(pa.BufferReader(raw), page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        yield f"cannot be read as Parquet: {str(error).splitlines()[0]}"
        return
    if not found.schema.equals(build_feed_schema(feed)):
        yield f"columns {', '.join(map(str, found.schema.remove_metadata()))} instead of the described ones"
        return
    if found.num_rows != resource["rows"]:
        yield f"{found.num_rows} rows instead of {resource['rows']}"
    key = found.column(feed.key)
    if key.null_count or pc.count_distinct(key).as_py() != found.num_rows:
        yield f"{feed.key} is not a key: {key.null_count} null, {pc.count_distinct(key).as_py()} distinct values"
    if feed.is_fact:
        return
    if found.num_rows and {*found.column("snapshot_id").unique().to_pylist()} != {package["snapshot_id"]}:
        yield "rows of another snapshot"


def _verify_latest_link(generations: GenerationStore, current: CurrentGeneration) -> Iterator[str]:
    if generations.latest_link is None:
        return
    link = Path(generations.store.resolve_uri(generations.latest_link))
    if generations.store.has_catalog_file and (not link.is_symlink() or str(link.readlink()) != current.generation):
        yield f"latest: does not point to {current.generation}"


def _verify_database(generations: GenerationStore, package: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of `bi.duckdb`, which must hold the feeds of the generation: columns, rows and snapshot."""
    if not generations.store.exists(generations.database_file):
        yield "bi.duckdb: missing"
        return
    with TemporaryDirectory(prefix="appstream-export-") as folder:
        file = Path(generations.store.resolve_uri(generations.database_file))
        content = generations.store.read_bytes(generations.database_file)
        if not has_valid_checksum(content):
            yield f"bi.duckdb: was changed after it was published; {_REPUBLISH}"
            return
        if not generations.store.has_catalog_file:  # on S3, DuckDB opens a downloaded copy
            file = Path(folder, "bi.duckdb")
            file.write_bytes(content)
        try:
            yield from _verify_database_tables(file, package)
        except StorageFailed as error:
            yield f"bi.duckdb: {error}"


def _verify_database_tables(file: Path, package: Mapping[str, Any]) -> Iterator[str]:
    with open_duckdb_file(file) as fetch_rows:
        described = datapackage.count_feed_rows(package)
        for feed in datapackage.parse_feeds(package):
            name = quote_literal(feed.name)
            columns = fetch_rows(
                f"select column_name, data_type from duckdb_columns() where table_name = {name} order by column_index"
            )
            if columns != [(c.name, c.type) for c in feed.columns]:
                yield f"bi.duckdb: {feed.name} has other columns than the generation"
                continue
            snapshot_id = quote_literal(package["snapshot_id"]) if feed.is_fact else "any_value(snapshot_id)"
            selected = f"count(*), count(distinct {quote_identifier(feed.key)}), {snapshot_id}"
            rows, keys, snapshot = fetch_rows(f"select {selected} from {quote_identifier(feed.name)}")[0]
            expected = described[feed.name]
            if (rows, keys) != (expected, expected) or (rows and snapshot != package["snapshot_id"]):
                yield f"bi.duckdb: {feed.name} holds {rows} rows of {snapshot}, the generation has {expected}"
