"""Read a feed of one snapshot from the files of its generation."""

import pyarrow as pa
import pyarrow.parquet as pq

from appstream_export.errors import ConfigurationError, suggest_correction
from appstream_export.feeds.datapackage import get_feed_name, list_parquet_resources
from appstream_export.feeds.generations import VERSIONS, GenerationStore
from appstream_export.lake.storage import Store, translate_storage_errors


def load_feed(store: Store, name: str, *, snapshot_id: str | None = None) -> pa.Table:
    """Return the rows of a feed, by default as it is served; with `snapshot_id`, of that snapshot's generation.

    Raises ConfigurationError if there is no such feed, no publication yet, or no such generation any more.
    """
    generations = _open_generations(store)
    generation = _find_generation(generations, snapshot_id)
    resources = list_parquet_resources(generations.load_package(generation))
    paths = [resource["path"] for resource in resources if get_feed_name(resource) == name]
    if not paths:
        known = dict.fromkeys(map(get_feed_name, resources))
        raise ConfigurationError(f'there is no feed "{name}"', fix=suggest_correction(name, known))
    with translate_storage_errors(store):
        files = generations.store.read_files(generations.get_file_path(generation, path) for path in paths)
        return pa.concat_tables(pq.read_table(pa.BufferReader(f), page_checksum_verification=True) for f in files)


def find_served_snapshot_id(store: Store) -> str:
    """Return the snapshot of the feeds that readers see; raises ConfigurationError before the first publication."""
    return _open_generations(store).require_current().snapshot_id


def _open_generations(store: Store) -> GenerationStore:
    """Return the generations of v1, or those of v2 if settings leave out v1."""
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
