"""Read a feed of one snapshot from the files of its generation."""

import pyarrow as pa
import pyarrow.parquet as pq

from appstream_export.errors import ConfigurationError, suggest_correction
from appstream_export.feeds.datapackage import get_feed_name, list_parquet_resources
from appstream_export.feeds.generations import VERSIONS, GenerationStore, split_feed_name
from appstream_export.lake.storage import Store, translate_storage_errors


def load_feed(store: Store, name: str, *, snapshot_id: str | None = None) -> pa.Table:
    """Return the rows of a feed, by default as it is served; with `snapshot_id`, of that snapshot's generation.

    A name such as `v2/dim_account` is of that version; others are of v1, or of v2 if settings leave out v1. Raises
    ConfigurationError if there is no such feed, no publication yet, or no such generation any more.
    """
    version, name = split_feed_name(name)
    generations = _open_generations(store, version)
    generation = _find_generation(generations, snapshot_id)
    resources = list_parquet_resources(generations.load_package(generation))
    paths = [resource["path"] for resource in resources if get_feed_name(resource) == name]
    if not paths:
        known = dict.fromkeys(map(get_feed_name, resources))
        raise ConfigurationError(f'there is no feed "{name}"', fix=suggest_correction(name, known))
    with translate_storage_errors(store):
        files = generations.store.read_files(generations.get_file_path(generation, path) for path in paths)
        return pa.concat_tables(pq.read_table(pa.BufferReader(f), page_checksum_verification=True) for f in files)


def find_served_snapshot_id(store: Store, name: str) -> str:
    """Return the snapshot of a feed that readers see; raises ConfigurationError before the first publication."""
    return _open_generations(store, split_feed_name(name)[0]).require_current().snapshot_id


def find_feed_version(store: Store, name: str) -> str:
    """Return the version that a feed's name begins with; without one v1, or v2 if settings leave out v1."""
    return _open_generations(store, split_feed_name(name)[0]).version


def _open_generations(store: Store, version: str | None) -> GenerationStore:
    """Return the generations of a version; without one, of v1, or of v2 if settings leave out v1."""
    if version:
        return GenerationStore(store, file_mode=0o600, version=version)
    v1, v2 = (GenerationStore(store, file_mode=0o600, version=version) for version in VERSIONS)
    return v2 if v2.has_current() and not v1.has_current() else v1


def _find_generation(generations: GenerationStore, snapshot_id: str | None) -> str:
    """Return the generation to read: the served one, or the newest of a snapshot."""
    current = generations.require_current()
    if snapshot_id is None or current.snapshot_id == snapshot_id:
        return current.name
    found = [name for name in generations.list_generations() if name.partition("-")[0] == snapshot_id]
    if not found:
        raise ConfigurationError(
            f"the feeds of snapshot {snapshot_id} are not retained", fix="raise [feeds] keep_generations"
        )
    return found[-1]
