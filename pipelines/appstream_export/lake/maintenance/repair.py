"""repair: do what a damaged warehouse leaves to do, and name what only a person can.

Runs go on without it: they name what is lost, and pass over a damaged newest manifest. But `verify` finds the damage
until the history is written without it. That is what a repair commits: nothing that can still be read is left out. A
damaged manifest is moved aside, not deleted. What an erase or expire commit removed never comes back: where the
manifest of the newest one is damaged, only a backup helps.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version

from appstream_export.contracts import Contract, list_snapshot_tables
from appstream_export.errors import ManifestDamaged, StorageFailed
from appstream_export.lake.catalog import load_catalog_seq
from appstream_export.lake.snapshots import (
    KIND_REPAIR,
    KIND_SWEEP,
    CommitRequest,
    Manifest,
    RewrittenHistory,
    RunFacts,
    StagedSnapshot,
    TableFiles,
    commit_snapshot,
    describe_loss,
    find_damaged_kind,
    get_retained_files,
    get_utc_now,
    load_head,
    load_last_known_rows,
    read_manifest,
    remove_lost_files,
    rewrite_history,
)
from appstream_export.lake.storage import (
    COMMITS_FOLDER,
    Store,
    build_manifest_path,
    generate_ulid,
    parse_manifest_seq,
    translate_storage_errors,
)

READERS = 8  # files read at once
ASIDE_FOLDER = "damaged"  # where damaged manifests are moved; nothing here reads or deletes what is in it
_BACKUP = "restore it from a backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairResult:
    """What a repair did, or would do."""

    losses: tuple[str, ...]
    """Files that are gone or changed, and what was in them: a line each. A backup of one is better than this repair."""
    actions: tuple[str, ...]
    remaining: tuple[str, ...]
    """What only a person can do."""
    dry_run: bool
    seq: int | None = None
    """The newest commit of the repair; None where there was nothing to commit, or it was only a look."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left for a person to do."""
        return not self.remaining


@dataclass(kw_only=True)
class _Damage:
    """What is wrong with a warehouse, and the history as far as it can be read, oldest first."""

    manifests: list[Manifest] = field(default_factory=list)
    aside: list[int] = field(default_factory=list)
    """Numbers of damaged manifests that can be done without."""
    remaining: list[str] = field(default_factory=list)
    lost: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with each damaged file of the history, by path."""

    @property
    def is_head_lost(self) -> bool:
        """Whether a file of the newest snapshot is lost."""
        tables = self.manifests[-1].tables.values() if self.manifests else ()
        return any(file.path in self.lost for table in tables for file in table.files)


def repair_warehouse(
    store: Store,
    contracts: Sequence[Contract],
    *,
    tool_version: str,
    dry_run: bool = False,
    clock: Callable[[], datetime] = get_utc_now,
) -> RepairResult:
    """Commit a history without lost files, and move damaged manifests aside; nothing where only a person can help.

    Publish catalog and feeds afterwards. Raises StorageFailed where the warehouse cannot be read or written, and
    CommitError where nothing was committed.
    """
    with translate_storage_errors(store):
        damage = _find_damage(store)
        if dry_run or damage.remaining or not (damage.lost or damage.aside):
            return _build_result(damage, dry_run=dry_run)
        if damage.is_head_lost:
            _commit_head_without_losses(store, contracts, tool_version, clock)
        committed = rewrite_history(
            store,
            lambda manifests, _id: _build_rewrite(manifests, damage.lost),
            kind=KIND_REPAIR,
            tool_version=tool_version,
            clock=clock,
            load=lambda store: _find_damage(store, with_files=False).manifests,
        )
        for seq in damage.aside:
            _move_aside(store, seq)
    return _build_result(damage, dry_run=False, seq=committed.seq if committed else None)


def _find_damage(store: Store, *, with_files: bool = True) -> _Damage:
    """Look at every manifest, and with `with_files` at every file of the history."""
    names = store.list_folder(COMMITS_FOLDER)
    seqs = sorted(seq for name in names if (seq := parse_manifest_seq(name)) is not None)
    damage = _Damage()
    damage.remaining += _find_missing_rewrite(store, seqs[-1] if seqs else 0)
    _collect_manifests(store, seqs, damage)
    if with_files:
        damage.lost = _find_lost_files(store, damage.manifests)
    return damage


def _collect_manifests(store: Store, seqs: Sequence[int], damage: _Damage) -> None:
    """Collect the manifests from the newest back to the one that holds the history before it."""
    parent_seq: int | None = None
    for seq in reversed(seqs):
        try:
            manifest = read_manifest(store, seq)
        except ManifestDamaged as error:
            is_passed = parent_seq is not None and seq > parent_seq
            if not is_passed and (kind := find_damaged_kind(store, seq)) != KIND_SWEEP:
                damage.remaining.append(_describe_damaged_rewrite(error, kind))
                return
            damage.aside.append(seq)
            continue
        if parent_seq is not None and seq > parent_seq:
            continue  # the next commit passed it over, for it was damaged then
        parent_seq = manifest.parent_seq
        damage.manifests[:0] = [*(manifest.past or ()), manifest]
        if manifest.past is not None:
            return
    if not damage.manifests and seqs:
        damage.remaining.append(f"no manifest can be read in {store.resolve_uri(COMMITS_FOLDER)}; {_BACKUP}")


def _describe_damaged_rewrite(error: ManifestDamaged, kind: str | None) -> str:
    what = f"it is a commit of kind {kind}" if kind else "whether it expired or erased anything cannot be known"
    return f"{error.message}; {what}, and the snapshots before it may hold what is to be gone: {_BACKUP}"


def _find_missing_rewrite(store: Store, newest: int) -> Iterator[str]:
    """Yield what is to do where a commit that catalog or bucket know is missing, and may be no sweep."""
    if (seq := find_announced_seq(store)) > newest and (kind := find_damaged_kind(store, seq)) != KIND_SWEEP:
        where = store.resolve_uri(build_manifest_path(seq))
        what = f"it was a commit of kind {kind}" if kind else "whether it expired or erased anything cannot be known"
        yield f"{where} is missing, though it was committed; {what}: {_BACKUP}"


def find_announced_seq(store: Store) -> int:
    """Return the newest commit that the catalog shows, or that the last writer named on S3; 0 where neither says."""
    hinted = parse_manifest_seq(store.read_head_hint(COMMITS_FOLDER)) or 0
    shown = None
    if store.has_catalog_file:
        with suppress(StorageFailed):  # a catalog that cannot be read is published again
            shown = load_catalog_seq(store)
    return max(hinted, shown or 0)


def _find_lost_files(store: Store, manifests: Iterable[Manifest]) -> dict[str, str]:
    """Return what is wrong with each file of the history that is not as it was committed, with its table and seq."""
    named = {
        file.path: (file, f"{file.rows} rows of {name} in snapshot {manifest.seq}")
        for manifest in manifests
        for name, tables in _list_tables(manifest)
        for table in tables
        for file in table.files
    }
    with ThreadPoolExecutor(READERS) as pool:
        whys = pool.map(lambda one: describe_loss(store, one[0]), named.values())
        return {
            path: f"{path} {why}: {content}"
            for (path, (_, content)), why in zip(named.items(), whys, strict=True)
            if why
        }


def _list_tables(manifest: Manifest) -> Iterator[tuple[str, Sequence[TableFiles]]]:
    yield from ((name, [table]) for name, table in manifest.tables.items())
    yield from manifest.kept.items()


def _build_rewrite(manifests: Sequence[Manifest], lost: Mapping[str, str]) -> RewrittenHistory:
    """Return the history without these files. What a run recorded as lost, and is back, is part of it again."""
    readable = [remove_lost_files(manifest, lost.keys()) for manifest in manifests]
    past = [manifest for manifest in readable if manifest.kind == KIND_SWEEP]
    return RewrittenHistory(past=past, retained=get_retained_files(readable))


def _commit_head_without_losses(
    store: Store, contracts: Sequence[Contract], tool_version: str, clock: Callable[[], datetime]
) -> None:
    """Commit what is left of the newest snapshot, as a sweep that requested nothing: lost scopes are named in it."""
    head, run_id = load_head(store), generate_ulid()
    if head is None:
        return
    prices = load_last_known_rows(store, head, "prices")
    commit_snapshot(
        CommitRequest(
            store=store,
            contracts=contracts,
            staged=StagedSnapshot(store, list_snapshot_tables(contracts), generate_ulid()),
            planned=None,
            outcomes={},
            accounts=(),
            prices=prices,
            clock=clock,
            facts=RunFacts(
                run_id=run_id,
                attempt_id=run_id,
                started_at=clock(),
                tool_version=tool_version,
                botocore_version=version("botocore"),
                endpoint_url=None,
                discovery="listed",
                forced=False,
            ),
        )
    )


def _move_aside(store: Store, seq: int) -> None:
    """Move a damaged manifest to where nothing reads it."""
    path = build_manifest_path(seq)
    with suppress(FileNotFoundError):  # another repair was first
        content = store.read_bytes(path)
        store.put_if_absent(f"{ASIDE_FOLDER}/{path}", content)
        store.remove(path)


def _build_result(damage: _Damage, *, dry_run: bool, seq: int | None = None) -> RepairResult:
    actions = []
    if not damage.remaining:
        if damage.is_head_lost:
            actions.append("commit what is left of the newest snapshot; scopes whose rows are lost are named in it")
        if damage.lost or damage.aside:
            actions.append("commit the history without what is lost, and publish what shows it")
        paths = map(build_manifest_path, damage.aside)
        actions += [f"move {path} aside, to {ASIDE_FOLDER}/{path}" for path in paths]
    return RepairResult(
        losses=tuple(damage.lost.values()),
        actions=tuple(actions),
        remaining=tuple(damage.remaining),
        dry_run=dry_run,
        seq=seq,
    )
