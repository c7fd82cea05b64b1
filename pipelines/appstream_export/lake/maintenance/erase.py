"""erase: a commit that removes an account from every snapshot, and the proof that it is gone.

Each file with rows of the account is rewritten without them. Rows of `drift` belong to no account: their examples are
retained only if a row of another account contains them. The history is rewritten with the new files, and the old files
are deleted at once, without a grace period. Then every file in the warehouse is decoded and searched (`erase_proof`).
If an erase is killed, running it again completes it: before its commit nothing has changed, and after the commit the
superseded manifests name the files to delete, and hashes of the removed values are searched for (`erased_list`).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from appstream_export.contracts import Contract
from appstream_export.errors import CommitStateUnknown, ConfigurationError, ExportError, StorageFailed
from appstream_export.lake.maintenance.erase_proof import (
    NEVER,
    UNLISTED_VERSIONS,
    Leftovers,
    find_account_files,
    open_parquet_bytes,
)
from appstream_export.lake.maintenance.erased_list import (
    HashedTexts,
    build_list_path,
    load_erased_list,
    write_erased_list,
)
from appstream_export.lake.maintenance.erased_values import collect_held_examples, collect_texts
from appstream_export.lake.maintenance.vacuum import GRACE, Garbage, delete_garbage, find_garbage
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
    HANDOVER_FOLDER,
    KEPT_FOLDER,
    TABLES_FOLDER,
    Store,
    StoredObject,
    build_erased_path,
    is_unfinished,
    translate_storage_errors,
)
from appstream_export.model import ACCOUNT_ID

_ACCOUNT = "account_id"
_SNAPSHOT_ID = re.compile(rb'"snapshot_id":"(\w+)"')
_DRIFT, _EXAMPLE = "drift", "example"  # quotes from AWS's answers, without an account


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseResult:
    """The result of an erase, or of its dry run."""

    account_id: str
    snapshots: int
    """Number of snapshots that had rows of the account."""
    rows: int
    files: int
    """Number of files rewritten without the account."""
    bytes_deleted: int
    mentions: tuple[str, ...]
    """Committed files in which rows of other accounts name this account, such as the owner of a shared image."""
    remaining: tuple[str, ...]
    """Other files that contain its id or a value that only its rows had, or that cannot be searched: attempts in
    progress, feeds not published since, and old versions of deleted files in a bucket."""
    dry_run: bool
    seq: int | None = None
    """Seq of the commit; None if no snapshot had the account, or in a dry run."""
    has_values: bool = True
    """False if no list of the removed values exists, so that only the id was searched for: the list is removed with a
    clean proof, and versions before 0.4 wrote none."""

    @property
    def is_gone(self) -> bool:
        """True if neither its id nor a value that only its rows had is left; other accounts' rows may name it."""
        return not self.dry_run and self.has_values and not self.remaining


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
    """Remove an account from all snapshots, delete its files, and search every file for what is left.

    Remove it from the settings first, or a later run adds it again. Files of attempts that never committed are deleted
    too, if they are older than `grace`. `republish` publishes feeds and report again before the search. Raises
    ConfigurationError if no file contains the account, CommitError if the history is unchanged, and StorageFailed if
    some of the old files are not deleted: another call completes the erase. Hashes of the removed values stay in the
    warehouse until a search finds nothing, so that any later call searches for them too.
    """
    if not ACCOUNT_ID.fullmatch(account_id):
        raise ConfigurationError(f'"{account_id}" is not an account id: write 12 digits, with leading zeros')
    with translate_storage_errors(store):
        eraser = _Eraser(store, contracts, account_id, load_erased_list(store, account_id))
    if dry_run:
        return _preview_erase(eraser)
    committed = eraser.commit_rewrite(tool_version, clock)
    if committed is None and eraser.stored is None:
        _refuse_unknown_account(store, account_id)
    try:
        deleted = _delete_account_files(eraser, now=now, grace=grace, catalog_root=catalog_root)
        republish()
        left = _find_leftovers(eraser, now if committed else _get_last_erase_time(store))
    except ExportError as error:
        what = f"account {account_id} is in no snapshot any more, but some of the files that contain it are not deleted"
        raise StorageFailed(f"{what}: {error}", fix="run the same erase again to complete it") from error
    return eraser.build_result(dry_run=False, bytes_deleted=deleted, left=left, committed=committed)


def _preview_erase(eraser: "_Eraser") -> EraseResult:
    """Return the result that an erase would have; write nothing."""
    eraser.count_rows()
    if not eraser.rows and eraser.stored is None:
        _refuse_unknown_account(eraser.store, eraser.account_id)
    return eraser.build_result(dry_run=True)


def _delete_account_files(eraser: "_Eraser", *, now: datetime, grace: timedelta, catalog_root: str | None) -> int:
    """Delete the files that no snapshot needs any more, and return their size in bytes."""
    garbage = find_garbage(eraser.store, now, grace)
    eraser.collect_garbage_values(garbage)
    handed = _find_committed_handover_files(eraser, garbage.waiting)
    garbage = replace(garbage, due=[*garbage.due, *handed])
    if garbage.due:
        delete_garbage(eraser.store, eraser.contracts, garbage, catalog_root=catalog_root)
    # Kept parts may hold its rows. They are written again without it.
    with translate_storage_errors(eraser.store):
        for stored in eraser.store.list_all():
            if stored.path.startswith(f"{KEPT_FOLDER}/"):
                eraser.store.remove(stored.path)
    return sum(stored.size_bytes for stored in garbage.due)


def _find_leftovers(eraser: "_Eraser", erased_at: datetime) -> Leftovers:
    """Search every file; if nothing is left, remove the list of values, which no later call needs."""
    store, account_id = eraser.store, eraser.account_id
    left = find_account_files(store, account_id, erased_at, eraser.hashed)
    if not left.remaining:
        with translate_storage_errors(store):
            store.remove(build_list_path(account_id))
    return left


def _find_committed_handover_files(eraser: "_Eraser", waiting: Iterable[StoredObject]) -> Iterator[StoredObject]:
    """Yield handover files of sharded runs that contain the account, if the run's snapshot is committed."""
    store = eraser.store
    newest = load_head(store)
    rows = load_head_rows(store, newest, "snapshots", ("snapshot_id",)) if newest else []
    committed = {row["snapshot_id"].encode() for row in rows}
    for stored in waiting:
        if not stored.path.startswith(f"{HANDOVER_FOLDER}/"):
            continue
        content = b""
        with translate_storage_errors(store), suppress(FileNotFoundError):  # another process removed it
            content = store.read_bytes(stored.path)
        if eraser.account_id.encode() in content and not committed.isdisjoint(_SNAPSHOT_ID.findall(content)):
            yield stored


def _refuse_unknown_account(store: Store, account_id: str) -> None:
    """Raise ConfigurationError if no file contains the account: the id is mistyped, or was erased before."""
    found = find_account_files(store, account_id)
    if found.mentions or [path for path in found.remaining if path != UNLISTED_VERSIONS]:
        return
    raise ConfigurationError(
        f"account {account_id} was not found in {store.root}: it is mistyped, or was erased before; nothing was changed"
        " (only its id was searched for: there is no list of values that an erase removed)"
    )


def _get_last_erase_time(store: Store) -> datetime:
    last = find_last_erase(store)
    return last["committed_at"] if last else NEVER


@dataclass
class _Eraser:
    """A rewriter of files without the account. It writes each file once, even if the history is rewritten twice."""

    store: Store
    contracts: Sequence[Contract]
    account_id: str
    stored: HashedTexts | None
    """The list that an earlier erase left; None if there is none."""
    entries: dict[str, FileEntry] = field(default_factory=dict)
    """New entry of each file that was read, by its old path; the old entry if the file has no rows of the account."""
    rows: dict[str, int] = field(default_factory=dict)
    """Number of rows of the account in each file that has any, by path."""
    seqs: set[int] = field(default_factory=set)
    values: set[str] = field(default_factory=set)
    """Texts of removed rows and removed examples of drift that are not in `hashed` yet."""
    is_dry_run: bool = False

    def __post_init__(self) -> None:
        self.hashed = self.stored or HashedTexts()

    def build_rewrite(self, manifests: list[Manifest], snapshot_id: str) -> RewrittenHistory | None:  # noqa: ARG002 - new files are named after the old ones
        past = [self._rewrite_manifest(manifest) for manifest in manifests if manifest.kind == KIND_SWEEP]
        retained = {
            name: [self._rewrite_table(table) for table in tables]
            for name, tables in get_retained_files(manifests).items()
        }
        if not self.rows:
            return None
        # Before the commit: afterwards, an erase that was killed could not find out which texts the rows had.
        if not self.is_dry_run:
            self._write_values(is_complete=self.stored is None or self.stored.is_complete)
        return RewrittenHistory(past=past, retained=retained, counts=self._build_counts(past[-1]))

    def count_rows(self) -> None:
        """Count the rows that an erase would remove; write nothing."""
        self.is_dry_run = True
        with translate_storage_errors(self.store):
            self.build_rewrite(load_history(self.store), "")

    def commit_rewrite(self, tool_version: str, clock: Callable[[], datetime]) -> Manifest | None:
        """Commit the history without the account; return None if it is not in it. A failed commit leaves no files."""
        try:
            return rewrite_history(
                self.store, self.build_rewrite, kind=KIND_ERASE, tool_version=tool_version, clock=clock
            )
        except CommitStateUnknown:  # the manifest may exist, so its files must stay
            raise
        except Exception:
            own_files = [entry.path for old, entry in self.entries.items() if entry.path != old]
            # The list of an earlier erase stays: its texts may still be in a file.
            own_list = [] if self.stored else [build_list_path(self.account_id)]
            remove_files_quietly(self.store, [*own_files, *own_list])
            raise

    def build_result(
        self,
        *,
        dry_run: bool,
        bytes_deleted: int = 0,
        left: Leftovers | None = None,
        committed: Manifest | None = None,
    ) -> EraseResult:
        """Return the result, with the counts so far."""
        return EraseResult(
            account_id=self.account_id,
            snapshots=len(self.seqs),
            rows=sum(self.rows.values()),
            files=len(self.rows),
            bytes_deleted=bytes_deleted,
            mentions=left.mentions if left else (),
            remaining=left.remaining if left else (),
            dry_run=dry_run,
            seq=committed.seq if committed else None,
            has_values=self.hashed.is_complete,
        )

    def collect_garbage_values(self, garbage: Garbage) -> None:
        """Collect texts of the account from files that gc deletes next, such as those of an erase that was killed."""
        for stored in (*garbage.due, *garbage.waiting):
            is_table = stored.path.startswith(f"{TABLES_FOLDER}/") and stored.path.endswith(".parquet")
            if not is_table or is_unfinished(stored.path) or stored.path in self.entries:
                continue
            with translate_storage_errors(self.store), suppress(OSError):  # removed, or incomplete: gc deletes it
                for part in read_row_groups(open_parquet_bytes(self.store.read_bytes(stored.path), stored.path)):
                    if _ACCOUNT in part.schema.names:
                        self.values |= collect_texts(part.filter(pc.equal(part[_ACCOUNT], self.account_id)))
        if self.values:
            with translate_storage_errors(self.store):
                self._write_values(is_complete=self.hashed.is_complete)

    def _write_values(self, *, is_complete: bool) -> None:
        """Add the values to the list in the warehouse, before the last file that contains them is deleted."""
        self.hashed.add_texts(self.values).is_complete = is_complete
        self.values.clear()
        write_erased_list(self.store, self.account_id, self.hashed)

    def _rewrite_manifest(self, manifest: Manifest) -> Manifest:
        # `drift` comes last: its examples need a proof only if another file of the snapshot had rows of the account.
        tables = {name: self._rewrite_table(table) for name, table in manifest.tables.items() if name != _DRIFT}
        if _DRIFT in manifest.tables:
            tables[_DRIFT] = self._rewrite_drift(manifest, manifest.tables[_DRIFT])
        tables = {name: tables[name] for name in manifest.tables}
        if tables == manifest.tables and not any(f.path in self.rows for f in manifest.files):
            return manifest
        self.seqs.add(manifest.seq)
        return msgspec.structs.replace(manifest, tables=tables).add_digest()

    def _rewrite_table(self, table: TableFiles) -> TableFiles:
        if _ACCOUNT not in table.columns:
            return table
        return msgspec.structs.replace(table, files=[self._get_rewritten_file(entry) for entry in table.files])

    def _get_rewritten_file(self, entry: FileEntry) -> FileEntry:
        if entry.path not in self.entries:
            self.entries[entry.path] = self._rewrite_file(entry)
        return self.entries[entry.path]

    def _rewrite_file(self, entry: FileEntry) -> FileEntry:
        file = open_parquet_file(self.store, entry.path)
        columns = (file.read_row_group(n, [_ACCOUNT])[_ACCOUNT] for n in range(file.num_row_groups))
        found = sum(pc.sum(pc.equal(column, self.account_id)).as_py() or 0 for column in columns)
        if not found:
            return entry
        self.rows[entry.path] = found
        if self.is_dry_run:
            return entry
        parts = (self._remove_account(part) for part in read_row_groups(file))
        return write_rows(self.store, build_erased_path(entry.path), file.schema_arrow, parts)

    def _remove_account(self, part: pa.Table) -> pa.Table:
        is_account = pc.equal(part[_ACCOUNT], self.account_id)
        self.values |= collect_texts(part.filter(is_account))
        return part.filter(pc.invert(is_account))

    def _rewrite_drift(self, manifest: Manifest, table: TableFiles) -> TableFiles:
        """Return `drift` without examples that may belong to the account: no row of another account contains them."""
        for entry in table.files:
            if entry.path not in self.entries:
                self.entries[entry.path] = self._rewrite_drift_file(manifest, entry)
        return msgspec.structs.replace(table, files=[self.entries[entry.path] for entry in table.files])

    def _rewrite_drift_file(self, manifest: Manifest, entry: FileEntry) -> FileEntry:
        rows = open_parquet_file(self.store, entry.path).read()
        doubtful = pc.match_substring(rows[_EXAMPLE], self.account_id)
        if any(file.path in self.rows for file in manifest.files):
            proved = pa.array(sorted(self._find_proved_examples(manifest, rows)), pa.string())
            unproved = pc.and_(pc.is_valid(rows[_EXAMPLE]), pc.invert(pc.is_in(rows[_EXAMPLE], proved)))
            doubtful = pc.or_(pc.fill_null(doubtful, False), unproved)
        if not (found := pc.sum(doubtful).as_py()):
            return entry
        self.rows[entry.path] = found
        if self.is_dry_run:
            return entry
        self.values |= collect_texts(rows.filter(doubtful).select([_EXAMPLE]))
        return write_rows(self.store, build_erased_path(entry.path), rows.schema, [_replace_examples(rows, doubtful)])

    def _find_proved_examples(self, manifest: Manifest, drift: pa.Table) -> set[str]:
        """Return the examples that rows of other accounts in the same snapshot contain."""
        examples = {example for example in drift[_EXAMPLE].to_pylist() if example is not None}
        found: set[str] = set()
        tables = [table for table in manifest.tables.values() if _ACCOUNT in table.columns]
        for entry in (entry for table in tables for entry in table.files):
            if found == examples:
                break
            for part in read_row_groups(open_parquet_file(self.store, entry.path)):
                others = part.filter(pc.not_equal(part[_ACCOUNT], self.account_id))
                found |= collect_held_examples(others, examples)
        return found

    def _build_counts(self, newest: Manifest) -> Mapping[str, int]:
        if self.is_dry_run:
            return {}
        items = sum(newest.tables[c.item_table.name].rows for c in self.contracts if c.item_table.name in newest.tables)
        return count_tasks(load_head_scope_runs(self.store, newest)) | {"items": items, "items_carried": items}


def _replace_examples(drift: pa.Table, doubtful: pa.ChunkedArray) -> pa.Table:
    """Return drift with null for these examples. Rows that are equal then become one, with the sum of their counts."""
    place, keys = drift.schema.get_field_index(_EXAMPLE), [name for name in drift.schema.names if name != "count"]
    bare = drift.set_column(place, drift.schema.field(place), pc.if_else(doubtful, None, drift[_EXAMPLE]))
    merged = bare.group_by(keys, use_threads=False).aggregate([("count", "sum")])
    return (
        merged.rename_columns([*keys, "count"])
        .select(drift.schema.names)
        .cast(drift.schema)
        .sort_by([(name, "ascending") for name in keys])
    )
