"""repair: fix a damaged warehouse as far as possible, and list what needs a backup.

Runs work without a repair: they report lost rows, and skip a damaged newest manifest. But `verify` reports the damage
until the history is rewritten without it. A repair commits such a history, with everything that is still readable. It
moves damaged manifests to another folder and deletes none. Rows that an erase or expire commit removed never come back:
if the manifest of the newest such commit is damaged, only a backup helps.
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
ASIDE_FOLDER = "damaged"  # folder for damaged manifests, which the product neither reads nor deletes
_BACKUP = "restore it from a backup"

_INPUT_LISTS = ("prices", "platform_support")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairResult:
    """The result of a repair, or of its dry run."""

    losses: tuple[str, ...]
    """Missing or changed files and their content, a line each. Restoring one from a backup is better than a repair."""
    actions: tuple[str, ...]
    remaining: tuple[str, ...]
    """Tasks for a person, such as restoring a manifest from a backup."""
    dry_run: bool
    seq: int | None = None
    """Seq of the repair's newest commit; None if there was nothing to commit, or in a dry run."""

    @property
    def is_whole(self) -> bool:
        """True if nothing is left for a person to do."""
        return not self.remaining


@dataclass(kw_only=True)
class _Damage:
    """The damage of a warehouse, and its readable history, oldest first."""

    manifests: list[Manifest] = field(default_factory=list)
    aside: list[int] = field(default_factory=list)
    """Seqs of damaged manifests that the history does not need."""
    remaining: list[str] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    """A line about each lost file of the history, by path; manifests of its sweeps included."""

    @property
    def is_head_lost(self) -> bool:
        """True if a file of the newest snapshot is lost."""
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
    """Commit a history without lost files, and move damaged manifests away; do nothing if a person must act first.

    Publish catalog and feeds afterwards. Raises StorageFailed if the warehouse cannot be read or written, and
    CommitError if nothing was committed.
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
    """Return the damage of every manifest, and with `with_files` of every file of the history."""
    names = store.list_folder(COMMITS_FOLDER)
    seqs = sorted(seq for name in names if (seq := parse_manifest_seq(name)) is not None)
    damage = _Damage()
    damage.remaining += _find_missing_rewrite(store, seqs[-1] if seqs else 0)
    _collect_manifests(store, seqs, damage)
    if with_files:
        damage.lost |= _find_lost_files(store, damage.manifests)
    return damage


def _collect_manifests(store: Store, seqs: Sequence[int], damage: _Damage) -> None:
    """Collect the manifests from the newest one back to one that contains the history before it."""
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
            continue  # the next commit skipped it, because it was damaged then
        if not _collect_missing(store, range(seq + 1, (parent_seq or 0) + 1), damage):
            return
        parent_seq = manifest.parent_seq
        damage.manifests[:0] = [*(manifest.past or ()), manifest]
        if manifest.past is not None:
            return
    _collect_missing(store, range(1, (parent_seq or 0) + 1), damage)
    if not damage.manifests and seqs:
        damage.remaining.append(f"no manifest in {store.resolve_uri(COMMITS_FOLDER)} can be read; {_BACKUP}")


def _collect_missing(store: Store, seqs: Iterable[int], damage: _Damage) -> bool:
    """Collect the missing manifests of a gap in the chain; return False if one of them may not be a sweep."""
    for seq in seqs:
        path = build_manifest_path(seq)
        if seq not in damage.aside and (kind := find_damaged_kind(store, seq)) != KIND_SWEEP:
            error = ManifestDamaged(f"{store.resolve_uri(path)} is missing, although a later commit follows it")
            damage.remaining.append(_describe_damaged_rewrite(error, kind))
            return False
        damage.lost |= {path: f"{path} is missing: snapshot {seq}"} if seq not in damage.aside else {}
    return True


def _describe_damaged_rewrite(error: ManifestDamaged, kind: str | None) -> str:
    what = f"it is a commit of kind {kind}" if kind else "it may be an expire or erase commit"
    return f"{error.message}; {what}, and the snapshots before it may contain rows that it removed: {_BACKUP}"


def _find_missing_rewrite(store: Store, newest: int) -> Iterator[str]:
    """Yield a problem if a commit that the catalog or the bucket names is missing, and may not be a sweep."""
    if (seq := find_announced_seq(store)) > newest and (kind := find_damaged_kind(store, seq)) != KIND_SWEEP:
        where = store.resolve_uri(build_manifest_path(seq))
        what = f"it was a commit of kind {kind}" if kind else "it may have been an expire or erase commit"
        yield f"{where} is missing, although it was committed; {what}: {_BACKUP}"


def find_announced_seq(store: Store) -> int:
    """Return the seq of the newest commit that the catalog, or the head hint on S3, names; 0 if neither names one."""
    hinted = parse_manifest_seq(store.read_head_hint(COMMITS_FOLDER)) or 0
    shown = None
    if store.has_catalog_file:
        with suppress(StorageFailed):  # a catalog that cannot be read is published again
            shown = load_catalog_seq(store)
    return max(hinted, shown or 0)


def _find_lost_files(store: Store, manifests: Iterable[Manifest]) -> dict[str, str]:
    """Return a line per missing or changed file of the history, by path, with its table and seq."""
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
    """Return the history without lost files. It contains files that a run recorded as lost, if they are back."""
    readable = [remove_lost_files(manifest, lost.keys()) for manifest in manifests]
    past = [manifest for manifest in readable if manifest.kind == KIND_SWEEP]
    return RewrittenHistory(past=past, retained=get_retained_files(readable))


def _commit_head_without_losses(
    store: Store, contracts: Sequence[Contract], tool_version: str, clock: Callable[[], datetime]
) -> None:
    """Commit the rest of the newest snapshot, as a sweep without requests; it names the scopes that lost rows."""
    head, run_id = load_head(store), generate_ulid()
    if head is None:
        return
    lists = {name: load_last_known_rows(store, head, name) for name in _INPUT_LISTS if name in head.tables}
    commit_snapshot(
        CommitRequest(
            store=store,
            contracts=contracts,
            staged=StagedSnapshot(store, list_snapshot_tables(contracts), generate_ulid()),
            planned=None,
            outcomes={},
            accounts=(),
            prices=lists.get("prices", ()),
            platform_support=lists.get("platform_support", ()),
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
    """Move a damaged manifest to a folder that no process reads."""
    path = build_manifest_path(seq)
    with suppress(FileNotFoundError):  # another repair was first
        content = store.read_bytes(path)
        # Copied before it is removed: a repair that is killed in between leaves both, and the next one continues.
        store.put_if_absent(f"{ASIDE_FOLDER}/{path}", content)
        store.remove(path)


def _build_result(damage: _Damage, *, dry_run: bool, seq: int | None = None) -> RepairResult:
    actions = []
    if not damage.remaining:
        if damage.is_head_lost:
            actions.append("commit the rest of the newest snapshot; it names the scopes that lost rows")
        if damage.lost or damage.aside:
            actions.append("commit the history without the lost files, and publish catalog, report and feeds")
        paths = map(build_manifest_path, damage.aside)
        actions += [f"move {path} to {ASIDE_FOLDER}/{path}" for path in paths]
    return RepairResult(
        losses=tuple(damage.lost.values()),
        actions=tuple(actions),
        remaining=tuple(damage.remaining),
        dry_run=dry_run,
        seq=seq,
    )
