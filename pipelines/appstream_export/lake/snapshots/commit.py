"""The commit of a staged snapshot: carry rows forward, compare, check, and create the manifest.

Readers see a snapshot only when its manifest exists. The manifest is created only if no other run has taken its number.
If one has, the commit starts over from the new head, with the same staged files.
"""

import logging
from contextlib import suppress
from typing import Any

import duckdb

from appstream_export.errors import CommitConflict, CommitStateUnknown, ExportError, OutOfMemory, StorageFailed
from appstream_export.lake.duckdb import translate_duckdb_errors
from appstream_export.lake.snapshots.losses import check_head_files
from appstream_export.lake.snapshots.manifest import Manifest, find_attempt, find_newest_seq, load_head, read_manifest
from appstream_export.lake.snapshots.producer import (
    CommitBase,
    CommitRequest,
    RunFacts,
    SnapshotProducer,
    remove_files_quietly,
)
from appstream_export.lake.snapshots.reader import load_head_rows
from appstream_export.lake.snapshots.staged_snapshot import StagedSnapshot
from appstream_export.lake.snapshots.workspace import FALLBACK_MEMORY, MEMORY
from appstream_export.lake.storage import (
    COMMITS_FOLDER,
    Store,
    build_manifest_path,
    parse_manifest_seq,
    translate_storage_errors,
)

_log = logging.getLogger(__name__)


def commit_snapshot(request: CommitRequest) -> Manifest:
    """Commit a staged snapshot, all tables at once, and return its manifest.

    An attempt commits only once: if it already has, its manifest is returned. Raises CommitError if a rule is broken,
    CommitConflict if other runs always commit first, or StorageFailed; the head is then unchanged. Raises
    CommitStateUnknown if the manifest may have been created.
    """
    store, staged = request.store, request.staged
    try:
        with translate_storage_errors(store):
            for rebase in range(request.max_rebases + 1):
                # Read before the head: a commit in between must not look like a damaged manifest, whose seq is skipped.
                newest_seq = find_newest_seq(store)
                base = load_head(store)
                # An attempt may be repeated after its commit, such as by Dagster, and must not commit its rows twice.
                if earlier := _find_own_commit(store, base, request.facts):
                    staged.discard()
                    return earlier
                if committed := _try_commit(request, base, newest_seq, rebase):
                    return committed
    except Exception:
        staged.discard()
        raise
    staged.discard()
    raise CommitConflict(f"{store.root}: {request.max_rebases + 1} other commits came first", fix="run again")


def _try_commit(request: CommitRequest, head: Manifest | None, newest_seq: int, rebase: int) -> Manifest | None:
    """Commit on top of a head; return None if there is a newer head by now."""
    files = check_head_files(request.store, head)
    for lost in files.lost:
        _log.warning("%s: %d rows of %s cannot be carried forward", lost, lost.entry.rows, lost.table)
    seq = max(newest_seq, head.seq if head else 0) + 1
    manifest = _build_unless_head_changed(request, CommitBase(files=files, seq=seq, rebase=rebase))
    if manifest is None:
        return None
    # Set before the request: if its answer is lost, the manifest may exist, and its files must stay.
    request.staged.is_possibly_committed = True
    if committed := create_manifest(request.store, manifest):
        _remove_unreferenced_files(request.staged, committed)
        return committed
    request.staged.is_possibly_committed = False
    # The staged files fit any head and are used again. The carried ones were copied from the old head.
    _remove_carried_files(request.store, manifest)
    return None


def _build_unless_head_changed(request: CommitRequest, base: CommitBase) -> Manifest | None:
    """Build the snapshot; return None if an erase deleted files of the head meanwhile: there is a newer head then."""
    try:
        return _build_with_memory_fallback(request, base)
    except (duckdb.Error, StorageFailed, FileNotFoundError):
        newest, head = load_head(request.store), base.files.base
        if newest is None or head is None or newest.seq == head.seq:
            raise
        return None


def _build_with_memory_fallback(request: CommitRequest, base: CommitBase) -> Manifest:
    """Build the snapshot, with more memory if the usual limit is too low."""
    # The usual limit is enough for most commits. DuckDB cannot spill the state of every operator, so a few need more.
    try:
        return _build_snapshot(request, base, MEMORY)
    except OutOfMemory:
        _log.info("the commit needs more memory than %s: trying again with %s", MEMORY, FALLBACK_MEMORY)
    return _build_snapshot(request, base, FALLBACK_MEMORY)


def _build_snapshot(request: CommitRequest, base: CommitBase, memory: str) -> Manifest:
    with translate_duckdb_errors():
        return SnapshotProducer(request, base, memory).build_snapshot()


def create_manifest(store: Store, manifest: Manifest) -> Manifest | None:
    """Create the manifest and return it; return None if another run was first.

    After an error, the file in the store decides. Raises CommitStateUnknown if that file cannot be read.
    """
    path = build_manifest_path(manifest.seq)
    # A request may fail although it arrived, and its retry then finds the file: this manifest, or another run's.
    try:
        is_own = store.put_if_absent(path, manifest.encode_json()) or _is_own_manifest(store, manifest)
        return manifest if is_own and _is_part_of_history(store, manifest) else None
    except (OSError, ExportError) as error:
        with suppress(OSError, ExportError):
            if store.exists(path):
                return manifest if _is_own_manifest(store, manifest) and _is_part_of_history(store, manifest) else None
        raise CommitStateUnknown(
            f"{store.resolve_uri(path)}: {error}",
            fix="look at appstream-export status before you run again",
        ) from error


def _is_part_of_history(store: Store, manifest: Manifest) -> bool:
    """Return whether a new manifest is part of the history; remove it if it fills a gap that gc left."""
    # A slow writer may take the number of a manifest that gc has deleted since: newer commits do not follow from it.
    latest = max(parse_manifest_seq(name) or 0 for name in store.list_tail(COMMITS_FOLDER))
    newest = load_head(store) if latest > manifest.seq else None
    if newest is None or manifest.snapshot_id in {
        row["snapshot_id"] for row in load_head_rows(store, newest, "snapshots")
    }:
        return True
    store.remove(build_manifest_path(manifest.seq))
    return False


def _is_own_manifest(store: Store, manifest: Manifest) -> bool:
    path = build_manifest_path(manifest.seq)
    return store.exists(path) and read_manifest(store, manifest.seq).digest == manifest.digest


def _find_own_commit(store: Store, base: Manifest | None, facts: RunFacts) -> Manifest | None:
    """Return the manifest that this attempt has committed, in this or another process, or None.

    The head's table `snapshots` decides, not the times of commits: the clock of another machine may differ.
    """
    known: list[dict[str, Any]] = []
    with suppress(StorageFailed, FileNotFoundError):  # an erase removed the file, or it is lost
        known = load_head_rows(store, base, "snapshots", ("attempt_id",)) if base else []
    if known and {"attempt_id": facts.attempt_id} not in known:
        return None
    found = find_attempt(store, run_id=facts.run_id, attempt_id=facts.attempt_id)
    return found if found and found.attempt_id == facts.attempt_id else None


def _remove_unreferenced_files(staged: StagedSnapshot, manifest: Manifest) -> None:
    """Remove staged files with discarded rows, such as rows that the guard blocked: their other rows were rewritten."""
    named = {file.path for file in manifest.files}
    written = [file.path for files in staged.files.values() for file in files]
    remove_files_quietly(staged.store, [path for path in written if path not in named])


def _remove_carried_files(store: Store, manifest: Manifest) -> None:
    carried = [f.path for files in manifest.tables.values() for f in files.files if "/carried-" in f.path]
    remove_files_quietly(store, carried)
