"""gc: deletes what no retained snapshot needs, and nothing else.

Abandoned attempts, unfinished files, files and manifests of snapshots that a thin or erase commit let go, and what
DuckDB spilled. Only after a grace, which is what keeps runs in progress and readers of an older catalog safe: by the
file's age, or for what was committed once by the time since it was let go. What an erase let go has no grace.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from appstream_export.contracts import Contract
from appstream_export.lake.catalog import publish_catalog
from appstream_export.lake.snapshots import ERASE, Manifest, load_head, load_history, load_superseded_manifests
from appstream_export.lake.storage import (
    COMMITS,
    HANDOVER,
    SCRATCH,
    TABLES,
    Store,
    StoredObject,
    build_manifest_path,
    is_unfinished,
    translate_storage_errors,
)

GRACE = timedelta(hours=24)  # far longer than any run and any reader's connection lasts
RECHECK_EVERY = 100  # files are deleted before it is looked again whether somebody needs them by now
_LAKE_FOLDERS = tuple(f"{folder}/" for folder in (TABLES, COMMITS, SCRATCH, HANDOVER))
_NO_GRACE = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class VacuumResult:
    """What a gc deleted, or would delete."""

    files: int
    """Uploads that were cut off included."""
    bytes: int
    waiting: int
    """Files that nothing needs, still within the grace."""
    waiting_bytes: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Garbage:
    """Files that nothing needs: those whose grace is over, and those that wait."""

    due: Sequence[StoredObject]
    waiting: Sequence[StoredObject]
    seq: int
    """Of the newest manifest that was looked at."""


def vacuum_warehouse(
    store: Store,
    contracts: Sequence[Contract],
    *,
    now: datetime,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    catalog_root: str | None = None,
) -> VacuumResult:
    """Publish the catalog, so that it names nothing that goes, then delete. Raises StorageFailed, ConfigurationError.

    A damaged manifest stops it: what that one needs cannot be known. Safe beside runs for as long as `grace` is longer
    than they are.
    """
    garbage = find_garbage(store, now, grace)
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
    """Files go before the manifests that named them, so that a killed gc can be taken up again."""
    if load_head(store):
        publish_catalog(store, contracts, root=catalog_root)
    with translate_storage_errors(store):
        for stored in _select_unreferenced_files(store, garbage):
            store.remove(stored.path)


def _select_unreferenced_files(store: Store, garbage: Garbage) -> Iterator[StoredObject]:
    """What is due, but for what a run has committed after all: one that took longer than the grace."""
    due = sorted(garbage.due, key=lambda stored: stored.path.startswith(COMMITS))
    for start in range(0, len(due), RECHECK_EVERY):
        named = {file.path for manifest in load_history(store, since_seq=garbage.seq + 1) for file in manifest.files}
        yield from (stored for stored in due[start : start + RECHECK_EVERY] if stored.path not in named)


def find_garbage(store: Store, now: datetime, grace: timedelta) -> Garbage:
    """What nothing needs, as far as it is ours. Files that appear from now on are not looked at."""
    with translate_storage_errors(store):
        lying = [stored for stored in store.list_all() if _is_lake_file(stored.path)]
    manifests = load_history(store)
    needed = {file.path for manifest in manifests for file in manifest.files}
    needed |= {build_manifest_path(m.seq) for m in manifests if m.seq >= _find_newest_rewrite_seq(manifests)}
    let_go = _compute_expiry_times(
        load_superseded_manifests(store), [manifest for manifest in manifests if manifest.past is not None]
    )
    garbage = [stored for stored in lying if stored.path not in needed]
    due = [g for g in garbage if let_go.get(g.path, g.changed_at) <= now - grace or let_go.get(g.path) == _NO_GRACE]
    return Garbage(due, [g for g in garbage if g not in due], manifests[-1].seq if manifests else 0)


def _is_lake_file(path: str) -> bool:
    return path.startswith(_LAKE_FOLDERS) or is_unfinished(path)


def _find_newest_rewrite_seq(manifests: Sequence[Manifest]) -> int:
    """Seq of the newest manifest that retells: its own file is the oldest that is needed."""
    return max((manifest.seq for manifest in manifests if manifest.past is not None), default=0)


def _compute_expiry_times(old: Sequence[Manifest], newest: Sequence[Manifest]) -> Mapping[str, datetime]:
    """When what was committed once went out of sight: with the first commit after it that retells without it."""
    let_go: dict[str, datetime] = {}
    for teller in (manifest for manifest in (*old, *newest) if manifest.past is not None):
        since = _NO_GRACE if teller.kind == ERASE else teller.committed_at
        still = {file.path for file in teller.files}
        for manifest in old:
            if manifest.seq < teller.seq:
                gone = {file.path for file in manifest.files} - still
                for path in (*gone, build_manifest_path(manifest.seq)):
                    let_go[path] = min(since, let_go.get(path, since))
    return let_go
