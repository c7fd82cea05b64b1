"""verify: whether what was published is what `datapackage.json` says, byte for byte and row by row."""
# ruff: noqa: S608 - names come from the package and are quoted

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from appstream_export.errors import SetupError, StorageFailed
from appstream_export.feeds import datapackage
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.definitions import STAMPS, schema
from appstream_export.feeds.generations import CURRENT, DATABASE, LATEST, PACKAGE, Current, Shelf, path_in
from appstream_export.lake.catalog import feed_connection
from appstream_export.lake.sql import literal, quoted
from appstream_export.lake.storage.base import Store, storage_errors
from appstream_export.lake.storage.checksum_trailer import is_sealed

_REPUBLISH = "publish it anew with: appstream-export feeds publish"


def verify(store: Store, generation: str | None = None, *, file_mode: int = 0o640) -> list[str]:
    """What is wrong with a generation, a line each; with what is served (also `bi.duckdb`, `latest`) by default.

    Raises SetupError where there is no such generation.
    """
    shelf = Shelf(store, file_mode=file_mode)
    with storage_errors(store):
        if generation is not None:
            return [*_readable(generation, _generation(shelf, generation, shelf.package(generation)))]
        current = shelf.current()
        if current is None:
            raise SetupError(f"{store.root}: no feeds yet; publish them with: appstream-export feeds publish")
        return [*_readable(current.name, _served(shelf, current))]


def _readable(generation: str, lines: Iterator[str]) -> Iterator[str]:
    """The lines, up to where the description is too damaged to go by."""
    try:
        yield from lines
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        yield f"{generation}/{PACKAGE}: is no description of feeds any more ({type(error).__name__}: {error})"


def _served(shelf: Shelf, current: Current) -> Iterator[str]:
    if shelf.store.read_bytes(CURRENT) != current.encoded() or (current.sha256 and current != current.sealed()):
        yield f"current.json: is not as it was written; {_REPUBLISH}"
    try:
        package = shelf.package(current.name)
    except (SetupError, StorageFailed) as error:
        yield f"current.json: {error}"
        return
    raw = shelf.store.read_bytes(path_in(current.name, PACKAGE))
    if hashlib.sha256(raw).hexdigest() != current.datapackage_sha256:
        yield f"{current.datapackage}: another content than current.json says (sha256)"
    yield from _generation(shelf, current.name, package)
    yield from _latest(shelf, current)
    yield from _database(shelf, package)


def _generation(shelf: Shelf, name: str, package: Mapping[str, Any]) -> Iterator[str]:
    feeds = {f"{feed.name}.parquet": feed for feed in datapackage.feeds_of(package)}
    for resource in package["resources"]:
        path = resource["path"]
        try:
            raw = shelf.store.read_bytes(path_in(name, path))
        except FileNotFoundError:
            yield f"{name}/{path}: missing"
            continue
        problems = [*_bytes(resource, raw)]
        if not problems and path in feeds:
            problems = [*_rows(feeds[path], resource, package, raw)]
        yield from (f"{name}/{path}: {problem}" for problem in problems)


def _bytes(resource: Mapping[str, Any], raw: bytes) -> Iterator[str]:
    if len(raw) != resource["bytes"]:
        yield f"{len(raw)} bytes instead of {resource['bytes']}"
    elif hashlib.sha256(raw).hexdigest() != resource["sha256"]:
        yield "another content than datapackage.json says (sha256)"


def _rows(feed: Feed, resource: Mapping[str, Any], package: Mapping[str, Any], raw: bytes) -> Iterator[str]:
    try:
        found = pq.read_table(pa.BufferReader(raw), page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        yield f"not readable as Parquet: {str(error).splitlines()[0]}"
        return
    if not found.schema.equals(schema(feed)):
        yield f"columns {', '.join(map(str, found.schema.remove_metadata()))} instead of those described"
        return
    if found.num_rows != resource["rows"]:
        yield f"{found.num_rows} rows instead of {resource['rows']}"
    key = found.column(feed.key)
    if key.null_count or pc.count_distinct(key).as_py() != found.num_rows:
        yield f"{feed.key} is no key: {key.null_count} null, {pc.count_distinct(key).as_py()} different values"
    if found.num_rows and {*found.column("snapshot_id").unique().to_pylist()} != {package["snapshot_id"]}:
        yield "rows of another snapshot"


def _latest(shelf: Shelf, current: Current) -> Iterator[str]:
    link = Path(shelf.store.uri(LATEST))
    if shelf.store.keeps_catalog and (not link.is_symlink() or str(link.readlink()) != current.generation):
        yield f"latest: does not lead to {current.generation}"


def _database(shelf: Shelf, package: Mapping[str, Any]) -> Iterator[str]:
    """`bi.duckdb` holds the same feeds, column by column and row by row of one snapshot."""
    if not shelf.store.exists(DATABASE):
        yield "bi.duckdb: missing"
        return
    with TemporaryDirectory(prefix="appstream-export-") as folder:
        file, content = Path(shelf.store.uri(DATABASE)), shelf.store.read_bytes(DATABASE)
        if not is_sealed(content):
            yield f"bi.duckdb: is not as it was published; {_REPUBLISH}"
            return
        if not shelf.store.keeps_catalog:
            file = Path(folder, "bi.duckdb")
            file.write_bytes(content)
        try:
            yield from _tables(file, package)
        except StorageFailed as error:
            yield f"bi.duckdb: {error}"


def _tables(file: Path, package: Mapping[str, Any]) -> Iterator[str]:
    with feed_connection.looking_into(file) as ask:
        for feed, resource in zip(datapackage.feeds_of(package), datapackage.resources(package), strict=True):
            name = literal(feed.name)
            columns = ask(
                f"select column_name, data_type from duckdb_columns() where table_name = {name} order by column_index"
            )
            if columns != [(c.name, c.type) for c in feed.columns]:
                yield f"bi.duckdb: {feed.name} has other columns than the generation"
                continue
            stamps = ", ".join(f"count(distinct {quoted(stamp)})" for stamp in STAMPS)
            shown = f"count(*), count(distinct {quoted(feed.key)}), any_value(snapshot_id), {stamps}"
            rows, keys, snapshot, *_ = ask(f"select {shown} from {quoted(feed.name)}")[0]
            if (rows, keys) != (resource["rows"], resource["rows"]) or (rows and snapshot != package["snapshot_id"]):
                yield f"bi.duckdb: {feed.name} holds {rows} rows of {snapshot}, the generation {resource['rows']}"
