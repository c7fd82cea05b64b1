"""gc: delete the files that no retained snapshot needs, and nothing else.

These are files of abandoned attempts, unfinished files, DuckDB's spill files, files and manifests of snapshots that an
expire or erase commit removed from the history, and kept parts that runs no longer read. They are
deleted only after a grace period, so that runs in progress and readers of an older catalog are safe. The period begins
when the file was last changed; for committed files, when they left the history. After an erase there is no grace
period. Contracts (`contracts/<sha256>.json`) are never deleted: a commit may name one that was stored long ago, and
each has a few kB.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from appstream_export.contracts import Contract
from appstream_export.lake.catalog import list_part_keys, publish_catalog
from appstream_export.lake.snapshots import (
    KIND_ERASE,
    Manifest,
    find_newest_rewrite_seq,
    load_head,
    load_history,
    load_superseded_manifests,
)
from appstream_export.lake.storage import (
    COMMITS_FOLDER,
    HANDOVER_FOLDER,
    SCRATCH_FOLDER,
    TABLES_FOLDER,
    Store,
    StoredObject,
    build_manifest_path,
    is_unfinished,
    parse_kept_path,
    translate_storage_errors,
)

GRACE = timedelta(hours=24)  # far longer than any run or any reader's connection
RECHECK_EVERY = 100  # deletions before the newest manifests are read again, as they may need some of the rest
_LAKE_FOLDERS = tuple(f"{folder}/" for folder in (TABLES_FOLDER, COMMITS_FOLDER, SCRATCH_FOLDER, HANDOVER_FOLDER))
_NO_GRACE = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class VacuumResult:
    """The result of a gc, or of its dry run."""

    files: int
    """Number of deleted files, incomplete uploads included."""
    bytes: int
    waiting: int
    """Number of files that no snapshot needs, still within the grace period."""
    waiting_bytes: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Garbage:
    """Files that no snapshot needs: after their grace period (`due`), or still within it (`waiting`)."""

    due: Sequence[StoredObject]
    waiting: Sequence[StoredObject]
    seq: int
    """Seq of the newest manifest that was read."""


def vacuum_warehouse(
    store: Store,
    contracts: Sequence[Contract],
    *,
    now: datetime,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    catalog_root: str | None = None,
) -> VacuumResult:
    """Publish the catalog without the files that no snapshot needs, then delete them.

    A damaged manifest stops it, because the files that it names are unknown. Runs that take less than `grace` are safe
    meanwhile. Raises StorageFailed, ConfigurationError.
    """
    garbage = find_garbage(store, now, grace, contracts)
    if garbage.due and not dry_run:
        delete_garbage(store, contracts, garbage, catalog_root=catalog_root)
    with translate_storage_errors(store):
        uploads = store.abort_uploads(now - grace, dry_run=dry_run)
    size = sum(stored.size_bytes for stored in garbage.due)
    return VacuumResult(
        files=len(garbage.due) + len(uploads),
        bytes=size,
        waiting=len(garbage.waiting),
        waiting_bytes=sum(stored.size_bytes for stored in garbage.waiting),
        dry_run=dry_run,
    )


def delete_garbage(store: Store, contracts: Sequence[Contract], garbage: Garbage, *, catalog_root: str | None) -> None:
    """Publish the catalog, then delete files before the manifests that name them, so that a killed gc can resume."""
    if load_head(store):
        publish_catalog(store, contracts, root=catalog_root)
    with translate_storage_errors(store):
        for stored in _select_unreferenced_files(store, garbage):
            store.remove(stored.path)


def _select_unreferenced_files(store: Store, garbage: Garbage) -> Iterator[StoredObject]:
    """Yield the due files, except files that a run longer than the grace period has committed meanwhile."""
    # False sorts before True, so manifests come last: while one exists, gc knows when its files expired.
    due = sorted(garbage.due, key=lambda stored: stored.path.startswith(COMMITS_FOLDER))
    for start in range(0, len(due), RECHECK_EVERY):
        newer = load_history(store, since_seq=garbage.seq + 1)
        committed = {file.path for manifest in newer for file in manifest.files}
        yield from (stored for stored in due[start : start + RECHECK_EVERY] if stored.path not in committed)


def find_garbage(store: Store, now: datetime, grace: timedelta, contracts: Sequence[Contract] | None = None) -> Garbage:
    """Return the lake's files that no snapshot needs. Files that are created from now on are not included.

    With `contracts`, kept parts are included that a run with these contracts does not read.
    """
    # The files are listed before the manifests: a file that is committed in between is needed, and is seen as needed.
    with translate_storage_errors(store):
        everything = store.list_all()
    found = [stored for stored in everything if _is_lake_file(stored.path)]
    manifests = load_history(store, with_lost=True)
    if contracts is not None:
        found += _find_unread_parts(everything, contracts, manifests)
    needed = {file.path for manifest in manifests for file in manifest.files}
    needed |= {build_manifest_path(m.seq) for m in manifests if m.seq >= find_newest_rewrite_seq(manifests)}
    expired_at = _compute_expiry_times(
        load_superseded_manifests(store), [manifest for manifest in manifests if manifest.past is not None]
    )
    garbage = [stored for stored in found if stored.path not in needed]
    due = [
        stored
        for stored in garbage
        if expired_at.get(stored.path, stored.changed_at) <= now - grace or expired_at.get(stored.path) == _NO_GRACE
    ]
    return Garbage(due, [g for g in garbage if g not in due], manifests[-1].seq if manifests else 0)


def _is_lake_file(path: str) -> bool:
    return path.startswith(_LAKE_FOLDERS) or is_unfinished(path)


def _find_unread_parts(
    found: Sequence[StoredObject], contracts: Sequence[Contract], manifests: Sequence[Manifest]
) -> Iterator[StoredObject]:
    """Yield the kept parts of histories that no run with these contracts reads."""
    keys = list_part_keys(contracts, manifests)
    for stored in found:
        part = parse_kept_path(stored.path)
        if part and part.suffix == "parquet" and part.key not in keys.get(part.name, ()):
            yield stored


def _compute_expiry_times(old: Sequence[Manifest], newest: Sequence[Manifest]) -> Mapping[str, datetime]:
    """Return when each path left the history: with the first expire or erase commit that does not name it."""
    expired_at: dict[str, datetime] = {}
    for rewrite in (manifest for manifest in (*old, *newest) if manifest.past is not None):
        since = _NO_GRACE if rewrite.kind == KIND_ERASE else rewrite.committed_at
        remaining = {file.path for file in rewrite.files}
        for manifest in old:
            if manifest.seq < rewrite.seq:
                removed = {file.path for file in manifest.files} - remaining
                for path in (*removed, build_manifest_path(manifest.seq)):
                    expired_at[path] = min(since, expired_at.get(path, since))
    return expired_at
