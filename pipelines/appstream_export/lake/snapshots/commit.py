"""A draft becomes a snapshot: carry forward, compare, check, and create the manifest that makes it visible.

Against the head that is found: nothing of a snapshot is visible before its manifest exists, and the manifest is
created only if no other run took its number. Who comes second starts over from the new head, with the same draft.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from appstream_export.contracts import Contract
from appstream_export.errors import CommitConflict, CommitStateUnknown, ExportError, StorageFailed
from appstream_export.lake.duckdb import translate_duckdb_errors
from appstream_export.lake.snapshots.manifest import Manifest, find_attempt, load_head, read_manifest
from appstream_export.lake.snapshots.producer import (
    AccountRow,
    CommitRequest,
    PriceRow,
    RunFacts,
    SnapshotProducer,
    get_utc_now,
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
from appstream_export.model import Outcome, Task

_log = logging.getLogger(__name__)


def commit_snapshot(
    store: Store,
    contracts: Sequence[Contract],
    draft: StagedSnapshot,
    *,
    planned: Collection[Task],
    outcomes: Mapping[Task, Outcome],
    accounts: Sequence[AccountRow],
    facts: RunFacts,
    prices: Sequence[PriceRow] = (),
    max_drop_percent: int = 50,
    max_rebases: int = 10,
    clock: Callable[[], datetime] = get_utc_now,
) -> Manifest:
    """Make the draft visible, all tables together, and return the manifest.

    Tasks that are planned but have no outcome were not asked: they stay as they were. Tasks of the head that are not
    planned end. The same attempt commits once: its manifest is returned if it is there already. Raises CommitError
    (a rule is broken), Conflict (others kept being first) or StorageFailed; the head is then what it was before.
    """
    work = CommitRequest(store, contracts, draft, planned, outcomes, accounts, facts, prices, max_drop_percent, clock)
    try:
        with translate_storage_errors(store), translate_duckdb_errors():
            for rebase in range(max_rebases + 1):
                base = load_head(store)
                if twin := _find_own_commit(store, base, facts):
                    draft.discard()
                    return twin
                manifest = _build_unless_head_changed(work, base, rebase)
                if manifest is None:
                    continue
                draft.is_possibly_committed = True
                if committed := create_manifest(store, manifest):
                    _remove_unreferenced_files(draft, committed)
                    return committed
                draft.is_possibly_committed = False
                _remove_carried_files(store, manifest)
    except Exception:
        draft.discard()
        raise
    draft.discard()
    raise CommitConflict(f"{store.root}: {max_rebases + 1} other commits came first; run again")


def _build_unless_head_changed(work: CommitRequest, base: Manifest | None, rebase: int) -> Manifest | None:
    """One try; None when an erase took away files of the head that we stood on: there is another head by now."""
    try:
        return _build_with_memory_fallback(work, base, rebase)
    except (duckdb.Error, FileNotFoundError):
        newest = load_head(work.store)
        if newest is None or base is None or newest.seq == base.seq:
            raise
        return None


def _build_with_memory_fallback(work: CommitRequest, base: Manifest | None, rebase: int) -> Manifest:
    """Not all that a commit needs can be spilled: where the usual memory is too little, there is more."""
    try:
        return SnapshotProducer(work, base, rebase, MEMORY).build_snapshot()
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if "Out of Memory Error" not in str(error):
            raise
    _log.info("the commit needs more memory than %s: once more with %s", MEMORY, FALLBACK_MEMORY)
    return SnapshotProducer(work, base, rebase, FALLBACK_MEMORY).build_snapshot()


def create_manifest(store: Store, manifest: Manifest) -> Manifest | None:
    """Create the manifest; None when another run was first. Whatever happened, what lies there has the last word.

    Raises CommitStateUnknown where even that cannot be told.
    """
    path = build_manifest_path(manifest.seq)
    try:
        is_ours = store.put_if_absent(path, manifest.encode_json()) or _is_own_manifest(store, manifest)
        return manifest if is_ours and _is_part_of_history(store, manifest) else None
    except (OSError, ExportError) as error:
        with suppress(OSError, ExportError):
            if store.exists(path):
                return manifest if _is_own_manifest(store, manifest) and _is_part_of_history(store, manifest) else None
        raise CommitStateUnknown(
            f"{store.resolve_uri(path)}: {error}; look at the head before running again"
        ) from error


def _is_part_of_history(store: Store, manifest: Manifest) -> bool:
    """Whether what we have just created is part of the history, and did not fill a gap that gc had made long ago."""
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
    """The manifest of this very attempt, if a twin of ours committed it since we began.

    Told by what the head lists, not by the times of commits: the twin's machine may have another clock.
    """
    known: list[dict[str, Any]] = []
    with suppress(StorageFailed):  # an erase took the file away: the attempt itself looks what there is now
        known = load_head_rows(store, base, "snapshots", ("attempt_id",)) if base else []
    if {"attempt_id": facts.attempt_id} not in known:
        return None
    found = find_attempt(store, run_id=facts.run_id, attempt_id=facts.attempt_id)
    return found if found and found.attempt_id == facts.attempt_id else None


def _remove_unreferenced_files(draft: StagedSnapshot, manifest: Manifest) -> None:
    """Files of answers that did not count, such as those that the guard refused: the others were written anew."""
    named = {file.path for file in manifest.files}
    written = [file.path for files in draft.files.values() for file in files]
    remove_files_quietly(draft.store, [path for path in written if path not in named])


def _remove_carried_files(store: Store, manifest: Manifest) -> None:
    carried = [f.path for files in manifest.tables.values() for f in files.files if "/carried-" in f.path]
    remove_files_quietly(store, carried)
