"""The snapshot that readers see in the catalog, the feeds, `bi.duckdb` and the report."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial

from appstream_export.errors import ExportError, StorageFailed, describe_error
from appstream_export.feeds.generations import CURRENT, FEEDS_ROOT, V1, VERSIONS, GenerationStore
from appstream_export.lake.catalog import load_catalog_seq, load_feeds_database_snapshot_id
from appstream_export.lake.storage import CATALOG_FILE, REPORT_FILE, Store, find_snapshot_id, read_checked_tail

# The snapshot's ULID in the heading of the page.
_PAGE_SNAPSHOT = re.compile(rb'snapshot \d+\s*<span class="faint">\((\w{26})\)')


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedOutput:
    """An output and the snapshot that it shows, by id or by the seq of a commit; it shows none if both are None.

    `problem` is why the snapshot is unknown, such as a damaged file.
    """

    name: str
    place: str
    snapshot_id: str | None = None
    seq: int | None = None
    problem: str | None = None
    version: str | None = None
    """The version of the feeds; None if it is another output."""

    @property
    def is_published(self) -> bool:
        """True if readers can open the output, damaged or not."""
        return self.snapshot_id is not None or self.seq is not None or self.problem is not None


def load_served_outputs(store: Store, versions: Collection[str] = ()) -> list[ServedOutput]:
    """Return each output with the snapshot that it shows; an output that does not exist shows none.

    Feeds are those of `versions`, missing or not, and of all other versions that are served.
    """
    return [*_load_outputs(store, versions)]


def _load_outputs(store: Store, versions: Collection[str]) -> Iterator[ServedOutput]:
    if store.has_catalog_file:
        yield _load_output("catalog", store.resolve_uri(CATALOG_FILE), lambda: load_catalog_seq(store))
    for version in VERSIONS:
        generations = GenerationStore(store, file_mode=0o600, version=version)
        if version not in versions and not generations.has_current():
            continue
        suffix, database = "" if version == V1 else f" {version}", f"{FEEDS_ROOT}/{generations.database_file}"
        current = f"{generations.place}/{CURRENT}"
        feeds = _load_output(f"feeds{suffix}", current, partial(_load_feeds_snapshot_id, generations))
        yield replace(feeds, version=version)
        place = store.resolve_uri(database)
        bi = _load_output(f"bi.duckdb{suffix}", place, partial(load_feeds_database_snapshot_id, store, database))
        yield replace(bi, version=version)
    yield _load_output("report", store.resolve_uri(REPORT_FILE), lambda: _load_report_snapshot_id(store))


def _load_output(name: str, place: str, load: Callable[[], str | int | None]) -> ServedOutput:
    try:
        shown = load()
    except (ExportError, OSError) as error:
        return ServedOutput(name=name, place=place, problem=describe_error(error))
    if isinstance(shown, int):
        return ServedOutput(name=name, place=place, seq=shown)
    return ServedOutput(name=name, place=place, snapshot_id=shown)


def _load_feeds_snapshot_id(generations: GenerationStore) -> str | None:
    current = generations.load_current()
    return current.snapshot_id if current else None


def _load_report_snapshot_id(store: Store) -> str | None:
    if not store.exists(REPORT_FILE):
        return None
    if snapshot_id := find_snapshot_id(read_checked_tail(store, REPORT_FILE)):
        return snapshot_id
    found = _PAGE_SNAPSHOT.search(store.read_bytes(REPORT_FILE))  # a page of version 0.3 names it only in its text
    if found is None:
        raise StorageFailed(f"{store.resolve_uri(REPORT_FILE)} names no snapshot", fix="appstream-export report")
    return found[1].decode()
