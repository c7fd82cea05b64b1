"""The manifest: one small file that commits a snapshot and names all of its files.

It is JSON in canonical form. `digest` is the SHA-256 of the document without `digest`, and `parent_digest` links to the
previous manifest, so that any change in the history is detected. The manifest of an expire, erase or repair commit
contains the whole history that remains: readers go back to the newest one of these and no further.
"""

import hashlib
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, lru_cache
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

FORMAT = 2  # schema_version of new manifests; newer formats are refused, older ones are read
KIND_SWEEP, KIND_EXPIRE, KIND_ERASE, KIND_REPAIR = "sweep", "thin", "erase", "repair"
_REWRITES = (KIND_EXPIRE, KIND_ERASE, KIND_REPAIR)
CONTRACT_BYTES_MAX = 1 << 20  # a contract of 500 columns has 100 kB
PAST_KEY = b'"past":'  # in every manifest of an expire, erase or repair commit, and in few others
_KIND = re.compile(rb'^ "kind": "(\w+)"', re.MULTILINE)  # the outer document's key: nested ones are indented further
_RELIST_RETRIES = 3  # each retry means that gc removed superseded manifests during the read
_RESTORE = "restore it from a backup"
_log = logging.getLogger(__name__)
_REQUIRED_TABLES = ("accounts", "scope_runs", "snapshots")  # every sweep of every version has them

# A digest without a key does not prove who wrote a manifest, so its values become SQL only in these formats.
_Name: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,127}\Z")]
_Word: TypeAlias = Annotated[str, Meta(pattern=r"^\w{1,64}\Z")]
_Sha256: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
_ColumnType: TypeAlias = Annotated[str, Meta(pattern=rf"^({'|'.join(DUCKDB_TYPES)})\Z")]


class FileEntry(Struct, frozen=True, kw_only=True, gc=False):
    """One committed file."""

    path: str
    rows: _Count
    bytes: _Count
    sha256: _Sha256


class TableFiles(Struct, frozen=True, kw_only=True, gc=False):
    """A table in one snapshot: its files, and the columns (name: contract type) that all of them have."""

    files: list[FileEntry]
    columns: dict[str, str]
    """Names by `_Name`, types by `_ColumnType`: `_validate_columns` checks them when a manifest is parsed."""

    @property
    def rows(self) -> int:
        """Rows over all files."""
        return sum(file.rows for file in self.files)


class ContractEntry(Struct, frozen=True, kw_only=True):
    """A stored contract: `contracts/<sha256>.json`."""

    bytes: Annotated[int, Meta(ge=0, le=CONTRACT_BYTES_MAX)]
    sha256: _Sha256


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One commit. `counts` has the numbers of its row in the table `snapshots`, under the same names.

    Only sweeps add rows. An expire, erase or repair commit names the files of the newest sweep, and adds `past` (the
    retained sweeps, oldest first) and `kept` (retained rows of expired sweeps, by table).
    """

    seq: Annotated[int, Meta(ge=1, lt=10**12)]
    kind: Annotated[str, Meta(pattern=rf"^({KIND_SWEEP}|{KIND_EXPIRE}|{KIND_ERASE}|{KIND_REPAIR})\Z")]
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
    contracts: dict[_Name, ContractEntry] = {}
    """Contracts of the snapshot's tables, by resource; empty in manifests of older versions."""
    lost: list[str] = []
    """Missing or changed files of older snapshots: readers leave them out. See `losses.py`."""
    digest: str = ""

    @property
    def files(self) -> list[FileEntry]:
        """All files that the manifest names, those of its history included; some occur more than once."""
        own = [file for table in self.tables.values() for file in table.files]
        outliving = [file for tables in self.kept.values() for table in tables for file in table.files]
        return [*own, *outliving, *(file for manifest in self.past or () for file in manifest.files)]

    def add_digest(self) -> "Manifest":
        """Return the manifest with its digest."""
        return msgspec.structs.replace(self, digest=_compute_digest(msgspec.to_builtins(self)))

    def encode_json(self) -> bytes:
        """Return the bytes of the manifest's file."""
        # Equal content has equal bytes, so that `verify` can compare them; the indent is for people who look into it.
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1)


def load_head(store: Store) -> Manifest | None:
    """Return the manifest of the newest snapshot, or None before the first commit.

    If it is damaged, the one before it is returned, with a warning. Only a damaged sweep is skipped: behind an erase,
    removed rows would come back. Raises StorageFailed if the damaged commit is no sweep, or of unknown kind.
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
    """Return the highest seq of a manifest, damaged or not; 0 before the first commit."""
    with translate_storage_errors(store):
        return max(_parse_seqs(store.list_tail(COMMITS_FOLDER)), default=0)


def _load_head_before_damage(store: Store) -> Manifest | None:
    """Return the newest intact manifest, if only damaged sweeps come after it."""
    with translate_storage_errors(store):
        seqs = _parse_seqs(store.list_folder(COMMITS_FOLDER))
        for seq in reversed(seqs):
            try:
                return read_manifest(store, seq)
            except ManifestDamaged as error:
                _refuse_unless_passable(store, seq, error, is_first=seq == seqs[0])
    return None


def _refuse_unless_passable(store: Store, seq: int, error: ManifestDamaged, *, is_first: bool = False) -> None:
    """Log that a damaged manifest is skipped; raise its error if it is the only one, or may not be a sweep."""
    kind = find_damaged_kind(store, seq)
    if is_first and kind not in _REWRITES:
        raise error
    if kind != KIND_SWEEP:
        fix = f"{_RESTORE}; without a backup, see: appstream-export repair --dry-run"
        what = f"a commit of kind {kind}" if kind else "and it may be an expire or erase commit"
        raise ManifestDamaged(f"{error.message}; it is {what}" if kind else f"{error.message}, {what}", fix=fix)
    _warn_once(f"{error.message}; using the snapshot before it; see: appstream-export repair --dry-run")


def refuse_missing_rewrite(store: Store, announced_seq: int) -> None:
    """Raise StorageFailed if an announced commit is missing and may not be a sweep; log a warning if it was one."""
    if announced_seq <= find_newest_seq(store):
        return
    where = store.resolve_uri(build_manifest_path(announced_seq))
    error = ManifestDamaged(f"{where} is missing, although it was committed", fix=_RESTORE)
    _refuse_unless_passable(store, announced_seq, error)


@cache
def _warn_once(message: str) -> None:
    """Log a warning once per process, although every reader of the head finds the same damage."""
    _log.warning("%s", message)


def find_damaged_kind(store: Store, seq: int) -> str | None:
    """Return the kind of a commit whose manifest is damaged or missing; None if it is unknown.

    The kind comes from the rest of the manifest, or from the commit's row in its table `snapshots`.
    """
    with translate_storage_errors(store), suppress(FileNotFoundError):
        raw = store.read_bytes(build_manifest_path(seq))
        if found := _KIND.search(raw):
            kind = found[1].decode()
            # The word may be damaged itself: a sweep has no `past`. With it, the kind counts as unknown.
            return kind if kind in _REWRITES or PAST_KEY not in raw else None
    kinds = find_commit_kinds(store, seq)
    return kinds.pop() if len(kinds) == 1 else None


def load_history(
    store: Store, *, since_seq: int = 1, with_lost: bool = False, pass_damage: bool = False
) -> list[Manifest]:
    """Return every retained snapshot from `since_seq` on, oldest first.

    Raises StorageFailed for a damaged manifest, and for a missing one, which may be an erase. With `pass_damage`, a
    damaged newest manifest is skipped as in `load_head`, and so is one that a commit skipped. Files that a commit
    recorded as lost are left out, unless `with_lost`; digests remain those of the stored manifests.
    """
    with translate_storage_errors(store):
        newer = list(_walk_chain(store, _read_raw_manifests(store, since_seq), since_seq, pass_damage=pass_damage))
    found = [manifest for manifest in reversed(newer) if manifest.seq >= since_seq]
    if with_lost:
        return found
    lost = {path for manifest in found for path in manifest.lost}
    return [remove_lost_files(manifest, lost) for manifest in found]


def _walk_chain(
    store: Store, raw_manifests: Sequence[tuple[int, bytes]], since_seq: int, *, pass_damage: bool
) -> Iterator[Manifest]:
    """Yield manifests newest first, from child to parent, back to the newest one that contains the history."""
    parent_seq: int | None = None
    for seq, raw in reversed(raw_manifests):
        is_passed = parent_seq is not None and seq > parent_seq  # the next commit skipped it, because it was damaged
        if is_passed and pass_damage:
            continue
        if parent_seq is not None and seq < parent_seq:
            raise _build_missing_error(store, parent_seq)
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
    if parent_seq is not None and parent_seq >= since_seq:
        raise _build_missing_error(store, parent_seq)


def _build_missing_error(store: Store, seq: int) -> ManifestDamaged:
    what = f"{store.resolve_uri(build_manifest_path(seq))} is missing, although a later commit names it"
    return ManifestDamaged(what, fix=f"{_RESTORE}; without a backup, see: appstream-export repair --dry-run")


def load_superseded_manifests(store: Store) -> list[Manifest]:
    """Return manifests that a later one replaced and that gc has not removed, oldest first, without damaged ones."""
    newest = find_newest_rewrite_seq(load_history(store))
    with translate_storage_errors(store):
        names = store.list_folder(COMMITS_FOLDER) if newest else []
    found: list[Manifest] = []
    for seq in (seq for seq in _parse_seqs(names) if seq < newest):
        with suppress(StorageFailed):
            found.append(read_manifest(store, seq))
    return found


def find_newest_rewrite_seq(manifests: Iterable[Manifest]) -> int:
    """Return the seq of the newest commit that contains the history before it (expire, erase, repair), or 0."""
    return max((manifest.seq for manifest in manifests if manifest.past is not None), default=0)


def get_retained_files(manifests: Sequence[Manifest]) -> Mapping[str, list[TableFiles]]:
    """Return, by table, the files with retained rows of expired snapshots; `snapshot_id` is a column of these files."""
    return next((manifest.kept for manifest in reversed(manifests) if manifest.past is not None), {})


def remove_lost_files(manifest: Manifest, lost: Collection[str]) -> Manifest:
    """Return the manifest without the lost files. Its digest remains that of the stored manifest."""
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
    """Return the retained sweeps up to a moment, oldest first; empty before the first sweep.

    The last one also names the retained rows of expired snapshots, even later ones: each row has its snapshot's id.
    """
    sweeps = [manifest for manifest in manifests if manifest.kind == KIND_SWEEP and manifest.committed_at <= moment]
    retained = dict(get_retained_files(manifests))
    return [*sweeps[:-1], *(msgspec.structs.replace(last, past=[], kept=retained) for last in sweeps[-1:])]


def find_attempt(store: Store, *, run_id: str, attempt_id: str) -> Manifest | None:
    """Return the manifest of this attempt if it committed, else of the run's newest attempt, else None.

    The caller distinguishes the two by `attempt_id`. Manifests that do not mention the run are not parsed.
    """
    found: list[Manifest] = []
    for manifest in _find_mentioning_manifests(store, run_id.encode(), attempt_id.encode()):
        if manifest.attempt_id == attempt_id:
            return manifest
        if manifest.run_id == run_id:
            found.append(manifest)
    return found[0] if found else None


def _find_mentioning_manifests(store: Store, *words: bytes) -> Iterator[Manifest]:
    """Yield retained manifests, newest first, all that contain one of the words and some others. Skip damaged ones."""
    with translate_storage_errors(store):
        for seq, raw in reversed(_read_raw_manifests(store)):
            # A search in the bytes is much cheaper than parsing every manifest of a long history.
            if not any(word in raw for word in (*words, PAST_KEY)):
                continue
            with suppress(ManifestDamaged):
                manifest = _parse_manifest(store, seq, raw)
                yield manifest
                if manifest.past is not None:
                    yield from reversed(manifest.past)
                    return


def read_manifest(store: Store, seq: int) -> Manifest:
    """Return a checked manifest; raises StorageFailed if damaged, ConfigurationError if a newer version wrote it."""
    with translate_storage_errors(store):
        return _parse_manifest(store, seq, store.read_bytes(build_manifest_path(seq)))


def is_canonical(raw: bytes) -> bool:
    """Return whether a manifest's bytes are the canonical form of its content."""
    content = msgspec.json.decode(raw, type=dict[str, Any])
    return msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=1) == raw


def _parse_seqs(names: Iterable[str]) -> list[int]:
    return sorted(seq for name in names if (seq := parse_manifest_seq(name)) is not None)


def _read_raw_manifests(store: Store, since_seq: int = 1, relists: int = _RELIST_RETRIES) -> list[tuple[int, bytes]]:
    """Return seq and bytes of each manifest, oldest first."""
    seqs = [seq for seq in _parse_seqs(store.list_folder(COMMITS_FOLDER)) if seq >= since_seq]
    try:
        return list(zip(seqs, store.read_files(map(build_manifest_path, seqs)), strict=True))
    except FileNotFoundError:  # gc removed a superseded manifest after it was listed: list again
        if not relists:
            raise
        return _read_raw_manifests(store, since_seq, relists - 1)


def _parse_manifest(store: Store, seq: int, raw: bytes) -> Manifest:
    return _parse_manifest_at(store.resolve_uri(build_manifest_path(seq)), seq, raw)


@lru_cache(maxsize=1024)  # each stage of a run loads the history
def _parse_manifest_at(where: str, seq: int, raw: bytes) -> Manifest:
    try:
        content = msgspec.json.decode(raw, type=dict[str, Any])
        # First of all: a newer format may have other fields, and would look damaged.
        _reject_newer_format(where, content)
        manifest = msgspec.convert(content, Manifest)
        for tables in _walk_tables(manifest):
            _validate_columns(tuple(tables.columns.items()))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ManifestDamaged(f"{where} is damaged: {error}", fix="restore the file from a backup") from error
    # The digest covers the document as it was read, so that an added field is noticed too.
    if manifest.seq != seq or manifest.digest != _compute_digest(content):
        raise ManifestDamaged(f"{where} is damaged: its content does not match its digest", fix=_RESTORE)
    if flaw := next(_find_flaws(manifest), None):
        raise StorageFailed(f"{where} is damaged: {flaw}", fix=_RESTORE)
    return manifest


def _walk_tables(manifest: Manifest) -> Iterator[TableFiles]:
    yield from manifest.tables.values()
    for tables in manifest.kept.values():
        yield from tables
    for past in manifest.past or ():
        yield from _walk_tables(past)


# All manifests of a release have the same columns, and checking them takes as long as the rest.
@lru_cache(maxsize=1024)
def _validate_columns(columns: tuple[tuple[str, str], ...]) -> None:
    """Raise msgspec.ValidationError if a name or type of a column has another form than that of columns."""
    msgspec.convert(dict(columns), dict[_Name, _ColumnType])


def _find_flaws(manifest: Manifest) -> Iterator[str]:
    """Yield problems that no version writes, and that readers of the tables would misunderstand."""
    for file in manifest.files:
        if not is_table_file(file.path):
            yield f'"{file.path}" is not a table file'
    for one in (*(manifest.past or ()), manifest):
        if missing := [name for name in _REQUIRED_TABLES if name not in one.tables]:
            yield f"it lacks the table {missing[0]}"
        if one is not manifest and (one.past is not None or one.seq >= manifest.seq):
            yield f"its history contains snapshot {one.seq}, which cannot be part of it"


def _reject_newer_format(where: str, content: Mapping[str, Any]) -> None:
    version = content.get("schema_version")
    if isinstance(version, int) and version > FORMAT:
        raise ConfigurationError(
            f"{where}: written in format {version} by a newer appstream-export; this version reads up to {FORMAT}",
            fix="upgrade appstream-export",
        )


def _compute_digest(content: Mapping[str, Any]) -> str:
    bare = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(msgspec.json.encode(bare, order="sorted")).hexdigest()
