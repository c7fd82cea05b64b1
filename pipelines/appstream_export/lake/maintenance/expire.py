"""expire: a commit without the snapshots that [lake.retention] does not retain.

The last snapshot of each hour, day and month is retained for as long as the policy says. Of the expired snapshots, the
change rows are retained, and the scope_runs of each day's last snapshot, so that the scopes read on each day remain
known. These rows are written to separate files, which the histories of their tables include.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from appstream_export.contracts import CHANGE_COLUMNS
from appstream_export.lake.snapshots import (
    KIND_EXPIRE,
    KIND_SWEEP,
    FileEntry,
    HistoryFile,
    Manifest,
    RewrittenHistory,
    TableFiles,
    get_retained_files,
    get_utc_now,
    load_history,
    remove_files_quietly,
    rewrite_history,
    write_history_rows,
)
from appstream_export.lake.storage import Store, build_retained_path, translate_storage_errors
from appstream_export.settings import RetentionSettings

RETAINED_FILES_MAX = 12  # a table's retained rows are merged into one file before it has more files
_CHANGE_COLUMNS = frozenset(column.name for column in CHANGE_COLUMNS)
_ID = "snapshot_id"

Source = tuple[str | None, FileEntry]
"""The id of the snapshot that the rows belong to (None if it is a column of the file), and the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireResult:
    """The result of an expire, or of its dry run."""

    dropped: tuple[int, ...]
    """Seqs of the expired snapshots."""
    retained: int
    rows_kept: int
    """Number of retained rows of the expired snapshots: changes, and each day's last scope_runs."""
    bytes_freed: int
    """Size of the files that gc may delete after the commit."""
    dry_run: bool
    seq: int | None = None
    """Seq of the commit; None if there was nothing to do, or in a dry run."""


def expire_snapshots(
    store: Store,
    *,
    now: datetime,
    policy: RetentionSettings,
    tool_version: str,
    dry_run: bool = False,
    clock: Callable[[], datetime] = get_utc_now,
) -> ExpireResult:
    """Commit a history without the snapshots that `policy` does not retain at `now`; no commit if there are none.

    The newest snapshot is always retained. Files remain until gc. Raises CommitError; the history is then unchanged.
    """
    if dry_run:
        with translate_storage_errors(store):
            return _build_result(load_history(store), policy, now, dry_run=True, seq=None)
    found: list[Manifest] = []

    def build_rewrite(manifests: list[Manifest], snapshot_id: str) -> RewrittenHistory | None:
        found[:] = manifests
        return _build_rewrite(store, manifests, snapshot_id, policy, now)

    committed = rewrite_history(store, build_rewrite, kind=KIND_EXPIRE, tool_version=tool_version, clock=clock)
    return _build_result(found, policy, now, dry_run=False, seq=committed.seq if committed else None)


def select_retained_snapshots(sweeps: Sequence[Manifest], policy: RetentionSettings, now: datetime) -> list[Manifest]:
    """Return the last of each hour, day and month that the policy retains at `now`, and the newest."""
    # The sweeps are in order, so that the last of each bucket replaces the earlier ones.
    last = {bucket: sweep.seq for sweep in sweeps for bucket in _list_buckets(sweep.committed_at, policy, now)}
    # The newest one always stays, because the next commit builds on it.
    seqs = {*last.values(), *(sweep.seq for sweep in sweeps[-1:])}
    return [sweep for sweep in sweeps if sweep.seq in seqs]


def _list_buckets(moment: datetime, policy: RetentionSettings, now: datetime) -> Iterator[str]:
    age, months = now - moment, (now.year - moment.year) * 12 + now.month - moment.month
    if age <= timedelta(days=policy.hourly_days):
        yield f"{moment:%Y-%m-%dT%H}"
    if age <= timedelta(days=policy.daily_days):
        yield f"{moment:%Y-%m-%d}"
    if months < policy.monthly_months:
        yield f"{moment:%Y-%m}"


def _build_rewrite(
    store: Store, manifests: list[Manifest], snapshot_id: str, policy: RetentionSettings, now: datetime
) -> RewrittenHistory | None:
    retained, expired = _split_snapshots(manifests, policy, now)
    if not expired:
        return None
    files = {name: list(tables) for name, tables in get_retained_files(manifests).items()}
    written: list[FileEntry] = []
    try:
        for name, sources in _find_files_to_retain(manifests, expired).items():
            for number, (columns, group) in enumerate(_group_sources(sources)):
                path = build_retained_path(name, snapshot_id, number)
                files[name] = _add_retained_file(store, files.get(name, []), columns, group, path)
                written.append(files[name][-1].files[-1])
    except Exception:
        remove_files_quietly(store, [file.path for file in written])
        raise
    return RewrittenHistory(past=retained, retained=files, written_files=written)


def _build_result(
    manifests: Sequence[Manifest], policy: RetentionSettings, now: datetime, *, dry_run: bool, seq: int | None
) -> ExpireResult:
    retained, expired = _split_snapshots(manifests, policy, now)
    needed = {file.path for manifest in retained for file in manifest.files}
    freed = {file.path: file.bytes for manifest in expired for file in manifest.files if file.path not in needed}
    rows = sum(file.rows for sources in _find_files_to_retain(manifests, expired).values() for _, (_, file) in sources)
    return ExpireResult(
        dropped=tuple(manifest.seq for manifest in expired),
        retained=len(retained),
        rows_kept=rows,
        bytes_freed=sum(freed.values()),
        dry_run=dry_run,
        seq=seq,
    )


def _split_snapshots(
    manifests: Sequence[Manifest], policy: RetentionSettings, now: datetime
) -> tuple[list[Manifest], list[Manifest]]:
    sweeps = [manifest for manifest in manifests if manifest.kind == KIND_SWEEP]
    retained = select_retained_snapshots(sweeps, policy, now)
    seqs = {manifest.seq for manifest in retained}
    return retained, [manifest for manifest in sweeps if manifest.seq not in seqs]


def _find_files_to_retain(
    manifests: Sequence[Manifest], expired: Sequence[Manifest]
) -> dict[str, list[tuple[TableFiles, Source]]]:
    """Return files of the expired snapshots whose rows are retained, by table, oldest first."""
    last_of_day = {f"{m.committed_at:%Y-%m-%d}": m.seq for m in manifests if m.kind == KIND_SWEEP}.values()
    found: dict[str, list[tuple[TableFiles, Source]]] = {}
    for manifest in expired:
        for name, table in manifest.tables.items():
            if table.columns.keys() >= _CHANGE_COLUMNS or (name == "scope_runs" and manifest.seq in last_of_day):
                sources = [(table, (manifest.snapshot_id, file)) for file in table.files if file.rows]
                found.setdefault(name, []).extend(sources)
    return found


def _group_sources(sources: Iterable[tuple[TableFiles, Source]]) -> list[tuple[dict[str, str], list[Source]]]:
    """Return the sources by set of columns, because all rows of a file have the same columns."""
    found: list[tuple[dict[str, str], list[Source]]] = []
    for table, source in sources:
        columns = {_ID: "string", **table.columns}
        group = next((group for known, group in found if known == columns), None)
        if group is None:
            found.append((columns, group := []))
        group.append(source)
    return found


def _add_retained_file(
    store: Store, before: list[TableFiles], columns: dict[str, str], sources: list[Source], path: str
) -> list[TableFiles]:
    """Append a file with the rows of `sources`; if there are too many files with these columns, merge them into it."""
    same = next((files for files in before if files.columns == columns), TableFiles(files=[], columns=columns))
    others = [files for files in before if files is not same]
    files = same.files
    if len(files) >= RETAINED_FILES_MAX:
        sources, files = [*((None, file) for file in files), *sources], []
    rows = (HistoryFile(snapshot_id, file.path) for snapshot_id, file in sources)
    written = write_history_rows(store, path, rows)
    return [*others, msgspec.structs.replace(same, files=[*files, written])]
