"""erase: a commit that removes an account from every snapshot, and proof that it is gone.

Each file that holds rows of the account is written again without them, the history is rewritten with the new files, and
the old ones are deleted at once, whatever the grace is. Then every byte of the warehouse is searched. Killed at any
moment, an erase is completed by calling it again: before its commit nothing has happened, after it the superseded
manifests name what has to be deleted.
"""

import errno
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from appstream_export.contracts import Contract
from appstream_export.errors import CommitStateUnknown, ConfigurationError, ExportError, StorageFailed
from appstream_export.lake.maintenance.vacuum import GRACE, delete_garbage, find_garbage
from appstream_export.lake.snapshots import (
    KIND_ERASE,
    KIND_SWEEP,
    FileEntry,
    Manifest,
    RewrittenHistory,
    TableFiles,
    count_tasks,
    find_last_erase,
    get_retained_files,
    get_utc_now,
    load_head,
    load_head_rows,
    load_head_scope_runs,
    load_history,
    open_parquet_file,
    read_row_groups,
    remove_files_quietly,
    rewrite_history,
    write_rows,
)
from appstream_export.lake.storage import (
    CATALOG_FILE,
    HANDOVER_FOLDER,
    SCRATCH_FOLDER,
    Store,
    StoredObject,
    build_erased_path,
    is_unfinished,
    translate_storage_errors,
)
from appstream_export.model import ACCOUNT_ID

_ACCOUNT = "account_id"
_NEVER = datetime.min.replace(tzinfo=UTC)
READERS = 8  # files looked into at once
_UNLISTED_VERSIONS = "versions that the bucket may keep: allow s3:ListBucketVersions, so that they can be looked at"
_SNAPSHOT_ID = re.compile(rb'"snapshot_id":"(\w+)"')
_HANDOVER_NOTE = "of a sharded run that has not committed: erase again once it has, or is a day old"
_EXAMPLE = "example"  # of drift: AWS's own words, from no account in particular


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseResult:
    """What an erase did, or would do."""

    account_id: str
    snapshots: int
    """Snapshots that held rows of the account."""
    rows: int
    files: int
    """Files written again without it."""
    bytes_deleted: int
    mentions: tuple[str, ...]
    """Committed files in which rows of other accounts name this one, such as the owner of a shared image."""
    remaining: tuple[str, ...]
    """Other files that hold its id, or that cannot be looked into: attempts in progress, feeds not published since,
    versions that a bucket keeps of what was deleted."""
    dry_run: bool
    seq: int | None = None
    """The commit; None when no snapshot held the account, or when it was only a look."""

    @property
    def is_gone(self) -> bool:
        """Whether no byte of the account is left; other accounts' rows may still name it."""
        return not self.dry_run and not self.remaining


def erase_account(
    store: Store,
    contracts: Sequence[Contract],
    account_id: str,
    *,
    now: datetime,
    tool_version: str,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    catalog_root: str | None = None,
    republish: Callable[[], object] = lambda: None,
    clock: Callable[[], datetime] = get_utc_now,
) -> EraseResult:
    """Remove an account from all snapshots, delete the files that held it, and search whether it is gone.

    Remove it from the settings first: a later run would bring it back. Files of attempts that never committed are
    deleted too once they are older than `grace`. `republish` publishes again what is made of the history (feeds, the
    report) before the search. Raises ConfigurationError for an account that nothing here holds, CommitError where the
    history is as before, or where the old files could not all be deleted: calling again completes it.
    """
    if not ACCOUNT_ID.fullmatch(account_id):
        raise ConfigurationError(f'"{account_id}" is not an account: 12 digits, zeros in front included')
    eraser = _Eraser(store, contracts, account_id)
    if dry_run:
        return _preview_erase(eraser)
    committed = eraser.commit_rewrite(tool_version, clock)
    if committed is None:
        _refuse_unknown_account(store, account_id)
    try:
        deleted = _delete_account_files(store, contracts, account_id, now=now, grace=grace, catalog_root=catalog_root)
        republish()
        mentions, remaining = _find_account_files(store, account_id, now if committed else _get_last_erase_time(store))
    except ExportError as error:
        what = f"account {account_id} is in no snapshot any more, but what held it is not all deleted"
        raise StorageFailed(f"{what}: {error}", fix="erase it again to complete that") from error
    return eraser.build_result(
        dry_run=False, bytes_deleted=deleted, mentions=mentions, remaining=remaining, committed=committed
    )


def _preview_erase(eraser: "_Eraser") -> EraseResult:
    """Return what an erase would do; nothing is written."""
    eraser.count_rows()
    if not eraser.rows:
        _refuse_unknown_account(eraser.store, eraser.account_id)
    return eraser.build_result(dry_run=True)


def _delete_account_files(
    store: Store,
    contracts: Sequence[Contract],
    account_id: str,
    *,
    now: datetime,
    grace: timedelta,
    catalog_root: str | None,
) -> int:
    """Delete what no snapshot needs any more, and return its size in bytes."""
    garbage = find_garbage(store, now, grace)
    handed = _find_committed_handover_files(store, garbage.waiting, account_id)
    garbage = replace(garbage, due=[*garbage.due, *handed])
    if garbage.due:
        delete_garbage(store, contracts, garbage, catalog_root=catalog_root)
    return sum(stored.size_bytes for stored in garbage.due)


def _find_committed_handover_files(
    store: Store, waiting: Iterable[StoredObject], account_id: str
) -> Iterator[StoredObject]:
    """Yield messages between steps of a sharded run that hold the account, once the run's snapshot is committed."""
    newest = load_head(store)
    rows = load_head_rows(store, newest, "snapshots", ("snapshot_id",)) if newest else []
    committed = {row["snapshot_id"].encode() for row in rows}
    for stored in waiting:
        if not stored.path.startswith(f"{HANDOVER_FOLDER}/"):
            continue
        content = b""
        with translate_storage_errors(store), suppress(FileNotFoundError):  # another process tidied up
            content = store.read_bytes(stored.path)
        if account_id.encode() in content and not committed.isdisjoint(_SNAPSHOT_ID.findall(content)):
            yield stored


def _refuse_unknown_account(store: Store, account_id: str) -> None:
    """Raise ConfigurationError for an account that no file here holds: it is mistyped, or was erased before."""
    mentions, remaining = _find_account_files(store, account_id, _NEVER)
    if mentions or [path for path in remaining if path != _UNLISTED_VERSIONS]:
        return
    raise ConfigurationError(
        f"account {account_id} is nowhere in {store.root}: mistyped, or erased before; nothing was done"
    )


def _get_last_erase_time(store: Store) -> datetime:
    last = find_last_erase(store)
    return last["committed_at"] if last else _NEVER


@dataclass
class _Eraser:
    """Write files again without the account; where the history is rewritten twice, each file is written once."""

    store: Store
    contracts: Sequence[Contract]
    account_id: str
    entries: dict[str, FileEntry] = field(default_factory=dict)
    """What each file that was looked at becomes, by its path; itself where it holds nothing of the account."""
    rows: dict[str, int] = field(default_factory=dict)
    """Rows of the account in each file that holds any."""
    seqs: set[int] = field(default_factory=set)
    is_dry_run: bool = False

    def build_rewrite(self, manifests: list[Manifest], snapshot_id: str) -> RewrittenHistory | None:  # noqa: ARG002 - files are named beside the old ones
        past = [self._rewrite_manifest(manifest) for manifest in manifests if manifest.kind == KIND_SWEEP]
        retained = {
            name: [self._rewrite_table(name, table) for table in tables]
            for name, tables in get_retained_files(manifests).items()
        }
        if not self.rows:
            return None
        return RewrittenHistory(past=past, retained=retained, counts=self._build_counts(past[-1]))

    def count_rows(self) -> None:
        """Count the rows that would be removed; nothing is written."""
        self.is_dry_run = True
        with translate_storage_errors(self.store):
            self.build_rewrite(load_history(self.store), "")

    def commit_rewrite(self, tool_version: str, clock: Callable[[], datetime]) -> Manifest | None:
        """Commit the history without the account; None where it held none. A commit that fails leaves no files."""
        try:
            return rewrite_history(
                self.store, self.build_rewrite, kind=KIND_ERASE, tool_version=tool_version, clock=clock
            )
        except CommitStateUnknown:  # it may have landed
            raise
        except Exception:
            remove_files_quietly(self.store, [entry.path for old, entry in self.entries.items() if entry.path != old])
            raise

    def build_result(
        self,
        *,
        dry_run: bool,
        bytes_deleted: int = 0,
        mentions: Iterable[str] = (),
        remaining: Iterable[str] = (),
        committed: Manifest | None = None,
    ) -> EraseResult:
        """Return the result, with the counts so far."""
        return EraseResult(
            account_id=self.account_id,
            snapshots=len(self.seqs),
            rows=sum(self.rows.values()),
            files=len(self.rows),
            bytes_deleted=bytes_deleted,
            mentions=tuple(mentions),
            remaining=tuple(remaining),
            dry_run=dry_run,
            seq=committed.seq if committed else None,
        )

    def _rewrite_manifest(self, manifest: Manifest) -> Manifest:
        tables = {name: self._rewrite_table(name, table) for name, table in manifest.tables.items()}
        if tables == manifest.tables and not any(f.path in self.rows for f in manifest.files):
            return manifest
        self.seqs.add(manifest.seq)
        return msgspec.structs.replace(manifest, tables=tables).add_digest()

    def _rewrite_table(self, name: str, table: TableFiles) -> TableFiles:
        if _ACCOUNT not in table.columns and name != "drift":
            return table
        return msgspec.structs.replace(table, files=[self._get_rewritten_file(entry) for entry in table.files])

    def _get_rewritten_file(self, entry: FileEntry) -> FileEntry:
        if entry.path not in self.entries:
            self.entries[entry.path] = self._rewrite_file(entry)
        return self.entries[entry.path]

    def _rewrite_file(self, entry: FileEntry) -> FileEntry:
        file = open_parquet_file(self.store, entry.path)
        column = _ACCOUNT if _ACCOUNT in file.schema_arrow.names else _EXAMPLE
        found = sum(self._count_matches(file.read_row_group(n, [column])[column]) for n in range(file.num_row_groups))
        if not found:
            return entry
        self.rows[entry.path] = found
        if self.is_dry_run:
            return entry
        parts = (self._remove_account(part) for part in read_row_groups(file))
        return write_rows(self.store, build_erased_path(entry.path), file.schema_arrow, parts)

    def _count_matches(self, column: pa.ChunkedArray) -> int:
        return pc.sum(pc.match_substring(column, self.account_id)).as_py() or 0

    def _remove_account(self, part: pa.Table) -> pa.Table:
        """Return a part without the account's rows; of drift, whose rows are of all accounts, without its examples."""
        if _ACCOUNT in part.schema.names:
            return part.filter(pc.not_equal(part[_ACCOUNT], self.account_id))
        names = pc.match_substring(part[_EXAMPLE], self.account_id)
        place = part.schema.get_field_index(_EXAMPLE)
        return part.set_column(place, part.schema.field(place), pc.if_else(names, None, part[_EXAMPLE]))

    def _build_counts(self, newest: Manifest) -> Mapping[str, int]:
        if self.is_dry_run:
            return {}
        items = sum(newest.tables[c.item_table.name].rows for c in self.contracts if c.item_table.name in newest.tables)
        return count_tasks(load_head_scope_runs(self.store, newest)) | {"items": items, "items_carried": items}


def _find_account_files(store: Store, account_id: str, erased_at: datetime) -> tuple[list[str], list[str]]:
    """Return files that hold the account's id in any byte or page: committed ones, and others."""
    committed = {file.path for manifest in load_history(store) for file in manifest.files}
    with translate_storage_errors(store), ThreadPoolExecutor(READERS) as pool:
        versions = store.list_old_versions()
        objects = (*store.list_all(), *(versions or ()))
        results = pool.map(lambda stored: _has_account_id(store, stored, account_id, erased_at), objects)
        found = [stored for stored, has_id in zip(objects, results, strict=True) if has_id]
    mentions = [stored.path for stored in found if stored.path in committed and not stored.version]
    others = [_format_stored_path(stored) for stored in found if stored.path not in committed or stored.version]
    return mentions, [*others, *([_UNLISTED_VERSIONS] if versions is None else [])]


def _format_stored_path(stored: StoredObject) -> str:
    if stored.version:
        return f"{stored.path} (version {stored.version} that the bucket keeps)"
    return f"{stored.path} ({_HANDOVER_NOTE})" if stored.path.startswith(f"{HANDOVER_FOLDER}/") else stored.path


def _has_account_id(store: Store, stored: StoredObject, account_id: str, erased_at: datetime) -> bool:
    path = stored.path
    try:
        content = store.read_version(stored)
    except FileNotFoundError:  # another process tidied up
        return False
    if account_id.encode() in content:
        return True
    if is_unfinished(path) or path.startswith(f"{SCRATCH_FOLDER}/"):
        return bool(content)  # compressed, and half a file: it cannot be searched
    if path.endswith(".parquet"):
        return any(_has_matching_text(part, account_id) for part in read_row_groups(_open_parquet(content, path)))
    # A database compresses what it holds, so only its age counts; the catalog has views alone. S3 rounds to seconds.
    return path.endswith(".duckdb") and path != CATALOG_FILE and stored.changed_at + timedelta(seconds=1) < erased_at


def _open_parquet(content: bytes, path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise OSError(errno.EIO, f"not readable as Parquet ({str(error).splitlines()[0]})", path) from error


def _has_matching_text(part: pa.Table, account_id: str) -> bool:
    texts = (column for column in part.columns if pa.types.is_string(column.type))
    return any(pc.any(pc.match_substring(column, account_id)).as_py() for column in texts)
