"""A commit without a sweep: one manifest with the whole rewritten history. Expire, erase and repair use it.

It names the newest sweep's files. Like any commit, it is created only if no other run has taken its number; if one has,
the history is rewritten again, with the newer commit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import pyarrow as pa
from ulid import ULID

from appstream_export.contracts import build_arrow_schema, get_operational_table
from appstream_export.errors import CommitConflict, CommitStateUnknown
from appstream_export.lake.snapshots.commit import create_manifest
from appstream_export.lake.snapshots.manifest import (
    FORMAT,
    FileEntry,
    Manifest,
    TableFiles,
    find_newest_seq,
    load_history,
)
from appstream_export.lake.snapshots.parquet import write_table_file
from appstream_export.lake.snapshots.producer import choose_commit_time, get_utc_now, remove_files_quietly
from appstream_export.lake.snapshots.reader import build_snapshot_row, load_head_rows
from appstream_export.lake.snapshots.workspace import get_stored_columns
from appstream_export.lake.storage import Store, build_carried_path, generate_ulid, translate_storage_errors

_REWRITE_RETRIES = 10  # each retry means that another run committed meanwhile
_SNAPSHOTS = "snapshots"


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenHistory:
    """A rewritten history: its sweeps, oldest first, and the retained rows of expired snapshots, by table."""

    past: Sequence[Manifest]
    retained: Mapping[str, list[TableFiles]]
    counts: Mapping[str, int] = field(default_factory=dict)
    """Counts of the table `snapshots` that differ from those of the head."""
    written_files: Sequence[FileEntry] = ()
    """Files written for this commit only; they are removed if it fails."""


def rewrite_history(
    store: Store,
    build_rewrite: Callable[[list[Manifest], str], RewrittenHistory | None],
    *,
    kind: str,
    tool_version: str,
    clock: Callable[[], datetime] = get_utc_now,
    load: Callable[[Store], list[Manifest]] = load_history,
) -> Manifest | None:
    """Commit the history that `build_rewrite` returns; return None if it returns None. Raises CommitError.

    `build_rewrite` gets the retained manifests that `load` returns, oldest first, and the new snapshot's id.
    """
    started_at = clock()
    with translate_storage_errors(store):
        for _ in range(_REWRITE_RETRIES + 1):
            newest_seq, manifests, snapshot_id = find_newest_seq(store), load(store), generate_ulid()
            rewritten = build_rewrite(manifests, snapshot_id) if manifests else None
            if rewritten is None:
                return None
            base = manifests[-1]
            manifest = _build_manifest(
                base,
                rewritten,
                seq=max(newest_seq, base.seq) + 1,
                kind=kind,
                snapshot_id=snapshot_id,
                tool_version=tool_version,
                started_at=started_at,
                committed_at=choose_commit_time(base, clock()),
            )
            if committed := _commit_rewrite(store, base, manifest, rewritten):
                return committed
    raise CommitConflict(f"{store.root}: {_REWRITE_RETRIES + 1} other commits came first", fix="run again")


def _build_manifest(
    base: Manifest,
    rewritten: RewrittenHistory,
    *,
    seq: int,
    kind: str,
    snapshot_id: str,
    tool_version: str,
    started_at: datetime,
    committed_at: datetime,
) -> Manifest:
    run_id = str(ULID())
    counts = base.counts | {"tasks_asked": 0, "items_fresh": 0, "items_carried": base.counts["items"], "changes": 0}
    return Manifest(
        seq=seq,
        kind=kind,
        snapshot_id=snapshot_id,
        run_id=run_id,
        attempt_id=run_id,
        schema_version=FORMAT,
        parent_seq=base.seq,
        parent_digest=base.digest,
        started_at=started_at,
        committed_at=committed_at,
        tool_version=tool_version,
        tables=rewritten.past[-1].tables,
        counts=counts | dict(rewritten.counts),
        past=[manifest.add_digest() for manifest in rewritten.past],
        kept=dict(rewritten.retained),
        contracts=rewritten.past[-1].contracts,
    )


def _commit_rewrite(store: Store, base: Manifest, manifest: Manifest, rewritten: RewrittenHistory) -> Manifest | None:
    """Write `snapshots` with one more row, and create the manifest; return None if another run was first."""
    own_files = list(rewritten.written_files)
    try:
        snapshots = _write_snapshots(store, base, manifest)
        own_files += snapshots.files
        whole = msgspec.structs.replace(manifest, tables=manifest.tables | {_SNAPSHOTS: snapshots}).add_digest()
        committed = create_manifest(store, whole)
    except CommitStateUnknown:  # the manifest may exist, so its files must stay
        raise
    except Exception:
        remove_files_quietly(store, [file.path for file in own_files])
        raise
    if committed is None:
        remove_files_quietly(store, [file.path for file in own_files])
    return committed


def _write_snapshots(store: Store, base: Manifest, manifest: Manifest) -> TableFiles:
    table = get_operational_table(_SNAPSHOTS)
    row = build_snapshot_row(manifest)
    rows = pa.Table.from_pylist([*load_head_rows(store, base, _SNAPSHOTS), row], schema=build_arrow_schema(table))
    path = build_carried_path(_SNAPSHOTS, manifest.snapshot_id, 0)
    return TableFiles(
        files=[write_table_file(store, path, table, [rows.sort_by(table.key[0])])], columns=get_stored_columns(table)
    )
