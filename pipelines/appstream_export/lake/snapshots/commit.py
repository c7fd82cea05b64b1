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

from appstream_export.contracts import Contract, arrow_schema
from appstream_export.contracts.model import operational_table
from appstream_export.errors import Conflict, ExportError, StorageFailed, Unheard
from appstream_export.lake import sql
from appstream_export.lake.snapshots.manifest import Manifest, find_attempt, head, read
from appstream_export.lake.snapshots.parquet import read_part, records
from appstream_export.lake.snapshots.producer import Account, Attempt, Price, RunFacts, Work, remove_quietly, utc_now
from appstream_export.lake.snapshots.staged_snapshot import Draft
from appstream_export.lake.snapshots.workspace import MEMORY, ROOMY
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.base import Store, storage_errors
from appstream_export.model import Outcome, Task

__all__ = ["Account", "Price", "RunFacts", "commit", "find_attempt", "head_rows", "head_scope_runs"]

_log = logging.getLogger(__name__)


def commit(
    store: Store,
    contracts: Sequence[Contract],
    draft: Draft,
    *,
    planned: Collection[Task],
    outcomes: Mapping[Task, Outcome],
    accounts: Sequence[Account],
    facts: RunFacts,
    prices: Sequence[Price] = (),
    guard_percent: int = 50,
    max_rebases: int = 10,
    clock: Callable[[], datetime] = utc_now,
) -> Manifest:
    """Make the draft visible, all tables together, and return the manifest.

    Tasks that are planned but have no outcome were not asked: they stay as they were. Tasks of the head that are not
    planned end. The same attempt commits once: its manifest is returned if it is there already. Raises CommitError
    (a rule is broken), Conflict (others kept being first) or StorageFailed; the head is then what it was before.
    """
    work = Work(store, contracts, draft, planned, outcomes, accounts, facts, prices, guard_percent, clock)
    try:
        with storage_errors(store), sql.reading_errors():
            for rebase in range(max_rebases + 1):
                base = head(store)
                if twin := _own(store, base, facts):
                    draft.discard()
                    return twin
                manifest = _built(work, base, rebase)
                if manifest is None:
                    continue
                draft.may_be_named = True
                if committed := create(store, manifest):
                    _remove_unnamed(draft, committed)
                    return committed
                draft.may_be_named = False
                _remove_carried(store, manifest)
    except Exception:
        draft.discard()
        raise
    draft.discard()
    raise Conflict(f"{store.root}: {max_rebases + 1} other commits came first; run again")


def head_scope_runs(store: Store, manifest: Manifest) -> list[dict[str, Any]]:
    """The rows of `scope_runs` in a snapshot, without snapshot_id; `decisions.is_failed` tells which to ask again."""
    return head_rows(store, manifest, "scope_runs")


def head_rows(store: Store, manifest: Manifest, name: str, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows of an operational table in a snapshot: these columns, or all that its files have.

    Read without DuckDB, which a sweep need not load before it asks.
    """
    whole = arrow_schema.schema(operational_table(name))
    wanted = pa.schema([whole.field(column) for column in only]) if only else whole
    with storage_errors(store):
        parts = [read_part(store, file.path, wanted) for file in manifest.tables[name].files]
    return records(pa.concat_tables(parts))


def _built(work: Work, base: Manifest | None, rebase: int) -> Manifest | None:
    """One try; None when an erase took away files of the head that we stood on: there is another head by now."""
    try:
        return _roomy(work, base, rebase)
    except (duckdb.Error, FileNotFoundError):
        newest = head(work.store)
        if newest is None or base is None or newest.seq == base.seq:
            raise
        return None


def _roomy(work: Work, base: Manifest | None, rebase: int) -> Manifest:
    """Not all that a commit needs can be spilled: where the usual memory is too little, there is more."""
    try:
        return Attempt(work, base, rebase, MEMORY).build()
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if "Out of Memory Error" not in str(error):
            raise
    _log.info("the commit needs more memory than %s: once more with %s", MEMORY, ROOMY)
    return Attempt(work, base, rebase, ROOMY).build()


def create(store: Store, manifest: Manifest) -> Manifest | None:
    """Create the manifest; None when another run was first. Whatever happened, what lies there has the last word.

    Raises Unheard where even that cannot be told.
    """
    path = paths.manifest_path(manifest.seq)
    try:
        is_ours = store.create(path, manifest.encoded()) or _is_ours(store, manifest)
        return manifest if is_ours and _counts(store, manifest) else None
    except (OSError, ExportError) as error:
        with suppress(OSError, ExportError):
            if store.exists(path):
                return manifest if _is_ours(store, manifest) and _counts(store, manifest) else None
        raise Unheard(f"{store.uri(path)}: {error}; look at the head before running again") from error


def _counts(store: Store, manifest: Manifest) -> bool:
    """Whether what we have just created is part of the history, and did not fill a gap that gc had made long ago."""
    latest = max(paths.seq_of(name) or 0 for name in store.latest(paths.COMMITS))
    newest = head(store) if latest > manifest.seq else None
    if newest is None or manifest.snapshot_id in {row["snapshot_id"] for row in head_rows(store, newest, "snapshots")}:
        return True
    store.remove(paths.manifest_path(manifest.seq))
    return False


def _is_ours(store: Store, manifest: Manifest) -> bool:
    path = paths.manifest_path(manifest.seq)
    return store.exists(path) and read(store, manifest.seq).digest == manifest.digest


def _own(store: Store, base: Manifest | None, facts: RunFacts) -> Manifest | None:
    """The manifest of this very attempt, if a twin of ours committed it since we began.

    Told by what the head lists, not by the times of commits: the twin's machine may have another clock.
    """
    known: list[dict[str, Any]] = []
    with suppress(StorageFailed):  # an erase took the file away: the attempt itself looks what there is now
        known = head_rows(store, base, "snapshots", ("attempt_id",)) if base else []
    if {"attempt_id": facts.attempt_id} not in known:
        return None
    found = find_attempt(store, run_id=facts.run_id, attempt_id=facts.attempt_id)
    return found if found and found.attempt_id == facts.attempt_id else None


def _remove_unnamed(draft: Draft, manifest: Manifest) -> None:
    """Files of answers that did not count, such as those that the guard refused: the others were written anew."""
    named = {file.path for file in manifest.files}
    written = [file.path for files in draft.files.values() for file in files]
    remove_quietly(draft.store, [path for path in written if path not in named])


def _remove_carried(store: Store, manifest: Manifest) -> None:
    carried = [f.path for files in manifest.tables.values() for f in files.files if "/carried-" in f.path]
    remove_quietly(store, carried)
