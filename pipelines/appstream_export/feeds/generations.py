"""Layout of feeds in the warehouse, below `feeds/v1/` and `feeds/v2/`.

    current.json                  name of the served generation, replaced last
    latest                        symbolic link to the served generation (only in v1, none on S3)
    bi.duckdb                     every feed as a table of a single file, replaced as a whole
    generations/<snapshot_id>/    files that never change, and datapackage.json, which lists them
    claims/                       a file per reserved generation: two publishers never share one

A snapshot that is published again goes to `<snapshot_id>-2`, because files that readers hold open must not change.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import msgspec

from appstream_export.errors import ConfigurationError, StorageFailed
from appstream_export.lake.storage import FEEDS_FOLDER, Store, StoredObject, generate_ulid, translate_storage_errors

FEEDS_ROOT = FEEDS_FOLDER
V1, V2 = "v1", "v2"
VERSIONS = (V1, V2)
"""Versions of the feeds. A run publishes those that the settings name, of the same snapshot."""
CURRENT, LATEST, FEEDS_DATABASE = "current.json", "latest", "bi.duckdb"
PACKAGE = "datapackage.json"
GRACE = timedelta(hours=1)  # much longer than a dashboard needs to read the files that current.json names
_GENERATIONS, _CLAIMS = "generations", "claims"


class CurrentGeneration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Content of `current.json`. Paths are relative to its folder; `why` is why a newer snapshot is not served.

    In v2, a feed has a list of files: one for each month of a fact that grows, else one.
    `sha256` is the digest of the file without this key; files of version 0.2 have none.
    """

    snapshot_id: str
    seq: int
    as_of_utc: datetime
    published_at_utc: datetime
    is_ok: bool
    why: str | None
    generation: str
    datapackage: str
    datapackage_sha256: str
    bi_duckdb: str
    feeds: dict[str, str | list[str]]
    sha256: str = ""

    def add_digest(self) -> "CurrentGeneration":
        """Return a copy with its digest."""
        bare = msgspec.structs.replace(self, sha256="")
        return msgspec.structs.replace(bare, sha256=hashlib.sha256(bare.encode_json()).hexdigest())

    @property
    def name(self) -> str:
        """The name of the generation."""
        return self.generation.rpartition("/")[2]

    def get_feed_location(self, feed: str) -> str:
        """Return the path of a feed's file, or a pattern of the paths of its parts."""
        files = self.feeds[feed]
        whole = f"{self.generation}/{feed}.parquet"
        return whole if files in (whole, [whole]) else f"{self.generation}/{feed}.*.parquet"

    def encode_json(self) -> bytes:
        """Return the content of `current.json`."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


class GenerationStore:
    """Generations of one version of the feeds in a warehouse. Paths in its store are relative to `feeds/`."""

    def __init__(self, warehouse: Store, *, file_mode: int, create: bool = False, version: str = V1) -> None:
        self._warehouse_root = warehouse.root
        self.version = version
        self.current_file, self.database_file = f"{version}/{CURRENT}", f"{version}/{FEEDS_DATABASE}"
        self.latest_link = f"{version}/{LATEST}" if version == V1 else None
        """A link that changes between two reads, so later versions have none."""
        self.store = warehouse.open_subfolder(FEEDS_ROOT, file_mode=file_mode, create=create)

    def load_current(self) -> CurrentGeneration | None:
        """Return the served generation, or None before the first publication; raises StorageFailed if damaged."""
        try:
            return msgspec.json.decode(self.store.read_bytes(self.current_file), type=CurrentGeneration)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            where = self.store.resolve_uri(self.current_file)
            raise StorageFailed(
                f"{where} is damaged: {error}", fix="replace it with: appstream-export feeds publish"
            ) from error

    def load_unchanged_current(self) -> CurrentGeneration | None:
        """Return the served generation as `load_current` does; raises StorageFailed also if its digest is wrong."""
        current = self.load_current()
        if current is not None and current.sha256 and current != current.add_digest():
            where = self.store.resolve_uri(self.current_file)
            raise StorageFailed(f"{where} was changed after it was written")
        return current

    def has_current(self) -> bool:
        """Return whether a generation was ever served."""
        return self.store.exists(self.current_file)

    @property
    def place(self) -> str:
        """Folder of this version, as users write it."""
        return self.store.resolve_uri(self.current_file).rpartition("/")[0]

    def require_current(self) -> CurrentGeneration:
        """Return the served generation; raises ConfigurationError before the first publication."""
        current = self.load_current()
        if current is None:
            raise ConfigurationError(
                f"{self._warehouse_root}: no feeds yet", fix="publish them with: appstream-export feeds publish"
            )
        return current

    def get_file_path(self, generation: str, name: str) -> str:
        """Return the path of a generation's file, relative to the store."""
        return f"{self.version}/{_GENERATIONS}/{generation}/{name}"

    def set_current(self, current: CurrentGeneration) -> None:
        """Serve a generation from now on."""
        self.write_file(self.current_file, current.encode_json())
        if self.latest_link:
            self.store.symlink(self.latest_link, current.generation)

    def write_file(self, path: str, content: bytes) -> None:
        """Write or replace a small file."""
        with self.store.open_output(path) as file:
            file.write(content)

    def reserve(self, snapshot_id: str) -> str:
        """Reserve a new generation of the snapshot for this publisher, and return its name."""
        names = (snapshot_id if n == 1 else f"{snapshot_id}-{n}" for n in count(1))
        # Unique content: put_if_absent takes an equal file for its own, because the answer to its write may be lost.
        claim = generate_ulid().encode()
        return next(name for name in names if self.store.put_if_absent(f"{self.version}/{_CLAIMS}/{name}", claim))

    def load_package(self, generation: str, *, sha256: str | None = None) -> dict[str, Any]:
        """Return a generation's data package; raises ConfigurationError if there is none, StorageFailed if damaged.

        With `sha256`, its content is compared with it.
        """
        path = self.get_file_path(generation, PACKAGE)
        try:
            content = self.store.read_bytes(path)
            if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
                raise StorageFailed(f"{self.store.resolve_uri(path)} was changed after it was written")
            return msgspec.json.decode(content, type=dict[str, Any])
        except FileNotFoundError:
            known = ", ".join(sorted(self._list_names_of_all_versions(), reverse=True)[:3]) or "none"
            what = f'there is no generation "{generation}" of feeds'
            raise ConfigurationError(what, fix=f"the newest are: {known}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StorageFailed(f"{self.store.resolve_uri(path)} is damaged: {error}") from error

    def list_generations(self) -> Mapping[str, list[StoredObject]]:
        """Return the files of each generation by its name, finished or not, the oldest generation first."""
        found: dict[str, list[StoredObject]] = {}
        for stored in self.store.list_all():
            parts = stored.path.split("/")
            if parts[:2] == [self.version, _GENERATIONS] and len(parts) > 3:
                found.setdefault(parts[2], []).append(stored)
        return dict(sorted(found.items(), key=lambda item: (_get_last_changed_at(item[1]), item[0])))

    def _list_names_of_all_versions(self) -> set[str]:
        paths = (stored.path.split("/") for stored in self.store.list_all())
        return {parts[2] for parts in paths if parts[1:2] == [_GENERATIONS] and len(parts) > 3}

    def prune(self, *, retain: int, now: datetime, erased_seq: int = 0) -> list[str]:
        """Remove old generations and return their names; never the served one, nor one replaced within GRACE.

        The newest `retain` finished generations are retained. Generations from before the commit `erased_seq` hold
        erased rows: they are removed at once, but the served one only after another one is served.
        """
        current, found = self.load_current(), self.list_generations()
        names = [*found]
        finished = [name for name in names if any(s.path.endswith(f"/{PACKAGE}") for s in found[name])]
        erased = {name for name in finished if erased_seq and self.load_package(name).get("seq", 0) < erased_seq}
        retained = {*finished[-retain:]} - erased | {current.name if current else ""}
        removed = []
        # A generation is replaced by the next one, so its grace starts when that one was written.
        for name, successor in zip(names, [*names[1:], None], strict=True):
            replaced_at = _get_last_changed_at(found[successor]) if successor else now
            if name not in retained and (name in erased or replaced_at <= now - GRACE):
                self._delete_generation(name, found[name])
                removed.append(name)
        return removed

    def remove_all(self) -> bool:
        """Remove this version's files, and return whether it had any.

        `current.json` is first, so that no reader finds what is being removed.
        """
        found = [stored.path for stored in self.store.list_all() if stored.path.startswith(f"{self.version}/")]
        if found and self.latest_link:
            self.store.remove(self.latest_link)
        for path in sorted(found, key=lambda path: path != self.current_file):
            self.store.remove(path)
        return bool(found)

    def _delete_generation(self, generation: str, files: list[StoredObject]) -> None:
        """Delete a generation, its description first: if this is killed, the rest is unfinished and pruned later."""
        for stored in sorted(files, key=lambda stored: not stored.path.endswith(f"/{PACKAGE}")):
            self.store.remove(stored.path)
        self.store.remove(f"{self.version}/{_CLAIMS}/{generation}")


def list_served_versions(store: Store) -> list[str]:
    """Return the versions of the feeds that readers find in a warehouse; none before the first publication."""
    with translate_storage_errors(store):
        stores = [GenerationStore(store, file_mode=0o600, version=version) for version in VERSIONS]
        return [generations.version for generations in stores if generations.has_current()]


def format_feed_name(version: str, name: str) -> str:
    """Return the name of a feed among those of all versions: `v2/<feed>`; feeds of v1 have their own name."""
    return name if version == V1 else f"{version}/{name}"


def split_feed_name(name: str) -> tuple[str | None, str]:
    """Return the version that a feed's name begins with, if any, and the rest of the name.

    >>> split_feed_name("v2/dim_account"), split_feed_name("accounts")
    (('v2', 'dim_account'), (None, 'accounts'))
    """
    version, _, own = name.rpartition("/")
    return (version, own) if version in VERSIONS else (None, name)


def get_generation_folder(generation: str) -> str:
    """Return the folder of a generation, relative to `current.json`."""
    return f"{_GENERATIONS}/{generation}"


def _get_last_changed_at(files: list[StoredObject]) -> datetime:
    return max(stored.changed_at for stored in files)
