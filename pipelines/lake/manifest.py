"""The manifest: the one small file that makes a snapshot visible, and names every file that belongs to it.

JSON in canonical form. `digest` is the SHA-256 of the document without it, and `parent_digest` links to the
predecessor, so that a change anywhere in the history shows.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from pipelines.errors import SetupError, StorageFailed
from pipelines.lake import layout
from pipelines.lake.store import LocalStore, storage_errors

FORMAT = 1  # schema_version of what we write; anything newer is refused, anything older is read


class FileEntry(Struct, frozen=True, kw_only=True):
    """One committed file."""

    path: str
    rows: int
    bytes: int
    sha256: str


class TableFiles(Struct, frozen=True, kw_only=True):
    """A table in one snapshot: its files, and the columns (name: contract type) that all of them have."""

    files: list[FileEntry]
    columns: dict[str, str]

    @property
    def rows(self) -> int:
        """Rows over all files."""
        return sum(file.rows for file in self.files)


class Manifest(Struct, frozen=True, kw_only=True):
    """One snapshot. `counts` holds the numbers of its row in the table `snapshots`, under the same names."""

    seq: int
    kind: str
    snapshot_id: str
    run_id: str
    attempt_id: str
    schema_version: int
    parent_seq: int | None
    parent_digest: str | None
    started_at: datetime
    committed_at: datetime
    tool_version: str
    tables: dict[str, TableFiles]
    counts: dict[str, int]
    digest: str = ""

    def sealed(self) -> "Manifest":
        """The same with its digest filled in."""
        return msgspec.structs.replace(self, digest=_digest(msgspec.to_builtins(self)))

    def encoded(self) -> bytes:
        """The bytes of its file."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1)


def head(store: LocalStore) -> Manifest | None:
    """The newest snapshot; None before the first. Raises StorageFailed when its manifest is damaged."""
    seqs = _seqs(store)
    return read(store, seqs[-1]) if seqs else None


def history(store: LocalStore, *, since_seq: int = 1) -> list[Manifest]:
    """Every snapshot from `since_seq` on, oldest first."""
    return [read(store, seq) for seq in _seqs(store) if seq >= since_seq]


def find_attempt(store: LocalStore, *, run_id: str, attempt_id: str) -> Manifest | None:
    """What came of this run before: this very attempt if it committed, else the run's newest attempt, else None.

    The caller tells the two apart by `attempt_id`. Manifests that do not mention the run are not even parsed.
    """
    found: list[Manifest] = []
    for seq in reversed(_seqs(store)):
        raw = _raw(store, seq)
        if run_id.encode() in raw or attempt_id.encode() in raw:
            manifest = _parsed(store, seq, raw)
            if manifest.attempt_id == attempt_id:
                return manifest
            if manifest.run_id == run_id:
                found.append(manifest)
    return found[0] if found else None


def read(store: LocalStore, seq: int) -> Manifest:
    """One manifest, checked; raises StorageFailed when damaged, SetupError when a newer version wrote it."""
    return _parsed(store, seq, _raw(store, seq))


def _seqs(store: LocalStore) -> list[int]:
    with storage_errors(store):
        return sorted(seq for name in store.list(layout.COMMITS) if (seq := layout.seq_of(name)) is not None)


def _raw(store: LocalStore, seq: int) -> bytes:
    with storage_errors(store):
        return store.read_bytes(layout.manifest_path(seq))


def _parsed(store: LocalStore, seq: int, raw: bytes) -> Manifest:
    where = store.uri(layout.manifest_path(seq))
    try:
        content = msgspec.json.decode(raw, type=dict[str, Any])
        _refuse_newer(where, content)
        manifest = msgspec.convert(content, Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StorageFailed(f"{where} is damaged: {error}; restore the file from a backup") from error
    if manifest.seq != seq or manifest.digest != _digest(content):
        raise StorageFailed(f"{where} is damaged: its content does not match its digest; restore it from a backup")
    return manifest


def _refuse_newer(where: str, content: Mapping[str, Any]) -> None:
    version = content.get("schema_version")
    if isinstance(version, int) and version > FORMAT:
        raise SetupError(
            f"{where}: written in format {version} by a newer appstream-export, this one reads up to {FORMAT};"
            " upgrade appstream-export"
        )


def _digest(content: Mapping[str, Any]) -> str:
    bare = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(msgspec.json.encode(bare, order="sorted")).hexdigest()
