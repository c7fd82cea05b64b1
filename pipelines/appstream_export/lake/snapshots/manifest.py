"""The manifest: the one small file that makes a snapshot visible, and names every file that belongs to it.

JSON in canonical form. `digest` is the SHA-256 of the document without it, and `parent_digest` links to the
predecessor, so that a change anywhere in the history shows. An expire or erase commit writes the history as it is from
then on, whole, into its own manifest: readers go back to the newest of those and no further.
"""

import hashlib
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from appstream_export.contracts import DUCKDB_TYPES
from appstream_export.errors import ConfigurationError, ManifestDamaged, StorageFailed
from appstream_export.lake.snapshots.commit_kinds import find_commit_kinds
from appstream_export.lake.storage import (
    COMMITS_FOLDER,
    Store,
    build_manifest_path,
    is_table_file,
    parse_manifest_seq,
    translate_storage_errors,
)

FORMAT = 2  # schema_version of what we write; anything newer is refused, anything older is read
KIND_SWEEP, KIND_EXPIRE, KIND_ERASE, KIND_REPAIR = "sweep", "thin", "erase", "repair"
_REWRITES = (KIND_EXPIRE, KIND_ERASE, KIND_REPAIR)
PAST_KEY = b'"past":'  # is in every manifest of an expire or erase commit, and in few others
_KIND = re.compile(rb'^ "kind": "(\w+)"', re.MULTILINE)  # of the document itself: a nested one is indented further
_RELIST_RETRIES = 3  # each means that gc removed superseded manifests while they were being read
_RESTORE = "restore it from a backup"
_log = logging.getLogger(__name__)
_REQUIRED_TABLES = ("accounts", "scope_runs", "snapshots")  # every sweep of every version has them

# A digest without a key proves nothing about who wrote a manifest, so whatever it says becomes SQL only in these forms.
_Name: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,127}\Z")]
_Word: TypeAlias = Annotated[str, Meta(pattern=r"^\w{1,64}\Z")]
_Sha256: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
_ColumnType: TypeAlias = Annotated[str, Meta(pattern=rf"^({'|'.join(DUCKDB_TYPES)})\Z")]


class FileEntry(Struct, frozen=True, kw_only=True):
    """One committed file."""

    path: str
    rows: _Count
    bytes: _Count
    sha256: _Sha256


class TableFiles(Struct, frozen=True, kw_only=True):
    """A table in one snapshot: its files, and the columns (name: contract type) that all of them have."""

    files: list[FileEntry]
    columns: dict[_Name, _ColumnType]

    @property
    def rows(self) -> int:
        """Rows over all files."""
        return sum(file.rows for file in self.files)


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One snapshot. `counts` holds the numbers of its row in the table `snapshots`, under the same names.

    Only sweeps have rows of their own. An expire or erase commit shows the files of the newest sweep, and adds `past`
    (the sweeps that are retained, oldest first) and `kept` (rows of those that are not, which outlive them, by table).
    """

    seq: Annotated[int, Meta(ge=1, lt=10**12)]
    kind: Annotated[str, Meta(pattern=rf"^({KIND_SWEEP}|{KIND_EXPIRE}|{KIND_ERASE})\Z")]
    snapshot_id: _Word
    run_id: str
    attempt_id: str
    schema_version: int
    parent_seq: _Count | None
    parent_digest: _Sha256 | None
    started_at: _Moment
    committed_at: _Moment
    tool_version: str
    tables: dict[_Name, TableFiles]
    counts: dict[_Name, Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]]
    past: list["Manifest"] | None = None
    kept: dict[_Name, list[TableFiles]] = {}
    lost: list[str] = []
    """Files of older snapshots that are gone or changed: readers leave them out. See `losses.py`."""
    digest: str = ""

    @property
    def files(self) -> list[FileEntry]:
        """Every file that it names, those of the history in it included, some of them more than once."""
        own = [file for table in self.tables.values() for file in table.files]
        outliving = [file for tables in self.kept.values() for table in tables for file in table.files]
        return [*own, *outliving, *(file for manifest in self.past or () for file in manifest.files)]

    def add_digest(self) -> "Manifest":
        """The same with its digest filled in."""
        return msgspec.structs.replace(self, digest=_compute_digest(msgspec.to_builtins(self)))

    def encode_json(self) -> bytes:
        """The bytes of its file."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1)


def load_head(store: Store) -> Manifest | None:
    """Return the newest snapshot, or None before the first.

    Where its manifest is damaged, the one before is used, and a warning logged; but never past an expire or erase
    commit, or one of which the kind cannot be known: then StorageFailed is raised.
    """
    with translate_storage_errors(store):
        seqs = _parse_seqs(store.list_tail(COMMITS_FOLDER))
    if not seqs:
        return None
    try:
        return read_manifest(store, seqs[-1])
    except ManifestDamaged:
        return _load_head_before_damage(store)


def find_newest_seq(store: Store) -> int:
    """Return the highest number that a manifest has, whether damaged or not; 0 before the first."""
    with translate_storage_errors(store):
        return max(_parse_seqs(store.list_tail(COMMITS_FOLDER)), default=0)


def _load_head_before_damage(store: Store) -> Manifest | None:
    """Return the newest manifest that is not damaged, where only sweeps come after it."""
    with translate_storage_errors(store):
        seqs = _parse_seqs(store.list_folder(COMMITS_FOLDER))
        for seq in reversed(seqs):
            try:
                return read_manifest(store, seq)
            except ManifestDamaged as error:
                _refuse_unless_passable(store, seq, error, is_first=seq == seqs[0])
    return None


def _refuse_unless_passable(store: Store, seq: int, error: ManifestDamaged, *, is_first: bool = False) -> None:
    """Log that a damaged manifest is passed over; raise its error where it is the only one, or may be no sweep."""
    kind = find_damaged_kind(store, seq)
    if is_first and kind not in _REWRITES:
        raise error
    if kind != KIND_SWEEP:
        fix = f"{_RESTORE}; what can be done without one: appstream-export repair --dry-run"
        what = f"a commit of kind {kind}" if kind else "and whether it expired or erased anything cannot be known"
        raise ManifestDamaged(f"{error.message}; it is {what}" if kind else f"{error.message}, {what}", fix=fix)
    _warn_once(f"{error.message}; the snapshot before it is used: appstream-export repair --dry-run")


def refuse_missing_rewrite(store: Store, announced_seq: int) -> None:
    """Raise StorageFailed where a commit that must be there is missing, and may be no sweep; log it if it was one."""
    if announced_seq <= find_newest_seq(store):
        return
    where = store.resolve_uri(build_manifest_path(announced_seq))
    error = ManifestDamaged(f"{where} is missing, though it was committed", fix=_RESTORE)
    _refuse_unless_passable(store, announced_seq, error)


@cache
def _warn_once(message: str) -> None:
    """Log a warning, once in a process: each reader of the head comes by here."""
    _log.warning("%s", message)


def find_damaged_kind(store: Store, seq: int) -> str | None:
    """Return the kind of a commit whose manifest is damaged or missing; None where nothing says.

    What is left of the manifest says it, or the row that the commit wrote to its table `snapshots`.
    """
    with translate_storage_errors(store), suppress(FileNotFoundError):
        raw = store.read_bytes(build_manifest_path(seq))
        if found := _KIND.search(raw):
            kind = found[1].decode()
            return kind if kind in _REWRITES or PAST_KEY not in raw else None
    kinds = find_commit_kinds(store, seq)
    return kinds.pop() if len(kinds) == 1 else None


def load_history(
    store: Store, *, since_seq: int = 1, with_lost: bool = False, pass_damage: bool = False
) -> list[Manifest]:
    """Return every retained snapshot from `since_seq` on, oldest first; raises StorageFailed for a damaged manifest.

    With `pass_damage` a damaged newest one is passed over as `load_head` does, and one that a commit passed over.
    Files that a commit found lost are left out, unless `with_lost`; digests stay those of the manifests' files.
    """
    with translate_storage_errors(store):
        newer = list(_walk_chain(store, _read_raw_manifests(store, since_seq), pass_damage=pass_damage))
    found = [manifest for manifest in reversed(newer) if manifest.seq >= since_seq]
    if with_lost:
        return found
    lost = {path for manifest in found for path in manifest.lost}
    return [remove_lost_files(manifest, lost) for manifest in found]


def _walk_chain(store: Store, raw_manifests: Sequence[tuple[int, bytes]], *, pass_damage: bool) -> Iterator[Manifest]:
    """Yield manifests newest first, each the parent of the one before, back to the newest that holds the history."""
    parent_seq: int | None = None
    for seq, raw in reversed(raw_manifests):
        is_passed = parent_seq is not None and seq > parent_seq  # by the next commit, for it was damaged
        if is_passed and pass_damage:
            continue
        try:
            manifest = _parse_manifest(store, seq, raw)
        except ManifestDamaged as error:
            if parent_seq is not None or not pass_damage:
                raise
            _refuse_unless_passable(store, seq, error, is_first=seq == raw_manifests[0][0])
            continue
        if is_passed:
            continue
        yield manifest
        if manifest.past is not None:
            yield from reversed(manifest.past)
            return
        parent_seq = manifest.parent_seq


def load_superseded_manifests(store: Store) -> list[Manifest]:
    """Return manifests that a later one replaced and gc has not removed, oldest first; damaged ones are left out."""
    newest = find_newest_rewrite_seq(load_history(store))
    with translate_storage_errors(store):
        names = store.list_folder(COMMITS_FOLDER) if newest else []
    found: list[Manifest] = []
    for seq in (seq for seq in _parse_seqs(names) if seq < newest):
        with suppress(StorageFailed):
            found.append(read_manifest(store, seq))
    return found


def find_newest_rewrite_seq(manifests: Iterable[Manifest]) -> int:
    """Return the seq of the newest expire or erase commit, whose manifest holds all history before it; else 0."""
    return max((manifest.seq for manifest in manifests if manifest.past is not None), default=0)


def get_retained_files(manifests: Sequence[Manifest]) -> Mapping[str, list[TableFiles]]:
    """Return, by table, files with rows of snapshots that are not retained; `snapshot_id` is a column in them."""
    return next((manifest.kept for manifest in reversed(manifests) if manifest.past is not None), {})


def remove_lost_files(manifest: Manifest, lost: Collection[str]) -> Manifest:
    """Return the manifest without these files. Its digest stays that of the file in which it stands."""
    if not lost:
        return manifest
    return msgspec.structs.replace(
        manifest,
        tables={name: _remove_files(table, lost) for name, table in manifest.tables.items()},
        kept={name: [_remove_files(table, lost) for table in tables] for name, tables in manifest.kept.items()},
        past=manifest.past and [remove_lost_files(past, lost) for past in manifest.past],
    )


def _remove_files(table: TableFiles, lost: Collection[str]) -> TableFiles:
    if not any(file.path in lost for file in table.files):
        return table
    return msgspec.structs.replace(table, files=[file for file in table.files if file.path not in lost])


def select_history_until(manifests: Sequence[Manifest], moment: datetime) -> list[Manifest]:
    """Return the history as it ended at a moment: its retained sweeps, none before the first.

    The last one has the retained rows of others, also of commits that came later: the rows carry their snapshot's id.
    """
    sweeps = [manifest for manifest in manifests if manifest.kind == KIND_SWEEP and manifest.committed_at <= moment]
    retained = dict(get_retained_files(manifests))
    return [*sweeps[:-1], *(msgspec.structs.replace(last, past=[], kept=retained) for last in sweeps[-1:])]


def find_attempt(store: Store, *, run_id: str, attempt_id: str) -> Manifest | None:
    """Return the manifest of this attempt if it committed, else of the run's newest attempt, else None.

    The caller distinguishes the two by `attempt_id`. Manifests that do not mention the run are not even parsed.
    """
    found: list[Manifest] = []
    for manifest in _find_mentioning_manifests(store, run_id.encode(), attempt_id.encode()):
        if manifest.attempt_id == attempt_id:
            return manifest
        if manifest.run_id == run_id:
            found.append(manifest)
    return found[0] if found else None


def _find_mentioning_manifests(store: Store, *words: bytes) -> Iterator[Manifest]:
    """Retained snapshots of which one of the words may be said, newest first, and more. Damaged ones are left out."""
    with translate_storage_errors(store):
        for seq, raw in reversed(_read_raw_manifests(store)):
            if not any(word in raw for word in (*words, PAST_KEY)):
                continue
            with suppress(ManifestDamaged):
                manifest = _parse_manifest(store, seq, raw)
                yield manifest
                if manifest.past is not None:
                    yield from reversed(manifest.past)
                    return


def read_manifest(store: Store, seq: int) -> Manifest:
    """One manifest, checked; raises StorageFailed when damaged, ConfigurationError when a newer version wrote it."""
    with translate_storage_errors(store):
        return _parse_manifest(store, seq, store.read_bytes(build_manifest_path(seq)))


def is_canonical(raw: bytes) -> bool:
    """Whether a manifest's bytes are exactly those that we write for what it says."""
    content = msgspec.json.decode(raw, type=dict[str, Any])
    return msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=1) == raw


def _parse_seqs(names: Iterable[str]) -> list[int]:
    return sorted(seq for name in names if (seq := parse_manifest_seq(name)) is not None)


def _read_raw_manifests(store: Store, since_seq: int = 1, relists: int = _RELIST_RETRIES) -> list[tuple[int, bytes]]:
    """Seq and bytes of each manifest, oldest first."""
    seqs = [seq for seq in _parse_seqs(store.list_folder(COMMITS_FOLDER)) if seq >= since_seq]
    try:
        return list(zip(seqs, store.read_files(map(build_manifest_path, seqs)), strict=True))
    except FileNotFoundError:
        if not relists:
            raise
        return _read_raw_manifests(store, since_seq, relists - 1)


def _parse_manifest(store: Store, seq: int, raw: bytes) -> Manifest:
    where = store.resolve_uri(build_manifest_path(seq))
    try:
        content = msgspec.json.decode(raw, type=dict[str, Any])
        _reject_newer_format(where, content)
        manifest = msgspec.convert(content, Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ManifestDamaged(f"{where} is damaged: {error}", fix="restore the file from a backup") from error
    if manifest.seq != seq or manifest.digest != _compute_digest(content):
        raise ManifestDamaged(f"{where} is damaged: its content does not match its digest", fix=_RESTORE)
    if flaw := next(_find_flaws(manifest), None):
        raise StorageFailed(f"{where} is damaged: {flaw}", fix=_RESTORE)
    return manifest


def _find_flaws(manifest: Manifest) -> Iterator[str]:
    """Yield what no version writes, and what readers of the tables would take for something else."""
    for file in manifest.files:
        if not is_table_file(file.path):
            yield f'"{file.path}" is no file of a table'
    for one in (*(manifest.past or ()), manifest):
        if missing := [name for name in _REQUIRED_TABLES if name not in one.tables]:
            yield f"it names no table {missing[0]}"
        if one is not manifest and (one.past is not None or one.seq >= manifest.seq):
            yield f"its history holds snapshot {one.seq}"


def _reject_newer_format(where: str, content: Mapping[str, Any]) -> None:
    version = content.get("schema_version")
    if isinstance(version, int) and version > FORMAT:
        raise ConfigurationError(
            f"{where}: written in format {version} by a newer appstream-export, this one reads up to {FORMAT}",
            fix="upgrade appstream-export",
        )


def _compute_digest(content: Mapping[str, Any]) -> str:
    bare = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(msgspec.json.encode(bare, order="sorted")).hexdigest()
