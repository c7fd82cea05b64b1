"""verify: read every committed byte, and report each problem with the rows that it affects.

Manifests must be canonical JSON, match their digest, and form a chain without gaps; those before an expire or erase
commit may be missing. Files must exist, have the size and SHA-256 of their manifest, and be Parquet with as many rows.
Contracts and kept parts must be what their digests say. Catalog and report must be unchanged since they were
written, and the catalog must not show a missing snapshot. Files that no manifest names are no problem: gc deletes them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from tempfile import NamedTemporaryFile

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from appstream_export.contracts import Contract
from appstream_export.errors import ExportError
from appstream_export.lake.catalog import compare_published_catalog
from appstream_export.lake.duckdb import lock_to_files, open_duckdb, quote_literal
from appstream_export.lake.snapshots import (
    KIND_SWEEP,
    PAST_KEY,
    FileEntry,
    Manifest,
    TableFiles,
    find_contract_problem,
    find_newest_rewrite_seq,
    is_canonical,
    read_manifest,
)
from appstream_export.lake.storage import (
    CATALOG_FILE,
    COMMITS_FOLDER,
    REPORT_FILE,
    Store,
    build_contract_path,
    build_manifest_path,
    has_valid_checksum,
    parse_kept_path,
    parse_manifest_seq,
    translate_storage_errors,
)

Progress = Callable[[int, int], None]
"""Callback after each file, with the number of files read and the total."""

_RESTORE = "restore it from a backup"
_REPUBLISH = "publish it again with: appstream-export catalog"
_REWRITE_REPORT = "write it again with: appstream-export report"
_SCOPES_SHOWN = 3
_VIEWS_SHOWN = 5
READERS = 8  # files read at once: on S3 a reader mostly waits, and hashing does not hold the GIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A difference from the committed state. `str()` returns one line for users."""

    path: str
    what: str
    table: str | None = None
    scopes: tuple[str, ...] = ()
    """Scopes whose rows are affected; empty means the whole table."""
    seq: int | None = None
    snapshot_id: str | None = None
    is_note: bool = False
    """True if nothing is lost."""

    def __str__(self) -> str:
        shown = ", ".join(self.scopes[:_SCOPES_SHOWN]) or "all scopes"
        more = f" and {len(self.scopes) - _SCOPES_SHOWN} more" if len(self.scopes) > _SCOPES_SHOWN else ""
        where = f" ({self.table} of {shown}{more} in snapshot {self.seq})" if self.table else ""
        return f"{self.path}: {self.what}{where}"


@dataclass(frozen=True, kw_only=True)
class VerifyResult:
    """The problems found, and the number of snapshots, files and bytes read."""

    problems: tuple[Problem, ...]
    head: Manifest | None
    """The newest intact manifest. Its digest covers all manifests before it."""
    snapshots: int
    files: int
    bytes: int

    @cached_property
    def is_sound(self) -> bool:
        """True if no committed byte has changed. Notes do not count: the files that they name can be written again."""
        return all(problem.is_note for problem in self.problems)


def verify_warehouse(
    store: Store,
    contracts: Sequence[Contract] | None = None,
    *,
    catalog_root: str | None = None,
    progress: Progress | None = None,
) -> VerifyResult:
    """Read and check everything that is committed; raises StorageFailed if the files cannot be listed.

    With `contracts`, the catalog's views are compared with the views rendered from them. `catalog_root` is the
    warehouse's address for readers, if they use a different one.
    """
    with translate_storage_errors(store):
        seqs = [seq for name in store.list_folder(COMMITS_FOLDER) if (seq := parse_manifest_seq(name)) is not None]
        found: dict[int, Manifest | Problem] = {seq: _check_manifest(store, seq) for seq in seqs}
        manifests = {seq: manifest for seq, manifest in found.items() if isinstance(manifest, Manifest)}
        retained = _list_retained_manifests(manifests)
        files = _collect_referenced_files(retained)
        problems = [problem for problem in found.values() if isinstance(problem, Problem)]
        # A damaged rewrite still contains its history, so that the manifests before it may rightly be missing.
        damaged_rewrites = [problem.seq or 0 for problem in problems if _is_rewrite(store, problem)]
        problems += _check_chain(
            found, manifests, max(find_newest_rewrite_seq(manifests.values()), *damaged_rewrites, 0)
        )
        problems += _check_files(store, files, progress or (lambda _done, _of: None))
        problems += _check_contracts(store, retained)
        problems += _check_head_hint(store, max(found, default=0))
        problems += _check_catalog(store, max(found, default=0))
        # Only if nothing else is wrong: damage would appear as altered views, which hides its cause.
        if contracts is not None and not problems and store.has_catalog_file and store.exists(CATALOG_FILE):
            problems += _check_views(store, contracts, catalog_root)
        problems += _check_report(store)
        problems += _check_kept_parts(store)
    return VerifyResult(
        problems=tuple(problems),
        head=manifests.get(max(manifests, default=0)),
        snapshots=len({m.seq for one in retained for m in (*(one.past or ()), one) if m.kind == KIND_SWEEP}),
        files=len(files),
        bytes=sum(file.bytes for file, *_ in files.values()),
    )


def _check_manifest(store: Store, seq: int) -> Manifest | Problem:
    path = build_manifest_path(seq)
    try:
        manifest = read_manifest(store, seq)
        if is_canonical(store.read_bytes(path)):
            return manifest
        return Problem(
            path=path, seq=seq, what=f"is not in canonical form, although its content is unchanged; {_RESTORE}"
        )
    except ExportError as error:
        return Problem(path=path, seq=seq, what=str(error).removeprefix(f"{store.resolve_uri(path)} "))


def _is_rewrite(store: Store, damaged: Problem) -> bool:
    """Return whether a damaged manifest seems to contain the whole history, so that older ones may be missing."""
    try:
        return PAST_KEY in store.read_bytes(damaged.path)
    except OSError:
        return False


def _check_chain(
    found: Mapping[int, Manifest | Problem], manifests: Mapping[int, Manifest], start: int
) -> Iterator[Problem]:
    """Yield missing manifests from `start` on, and manifests that do not follow from the one before."""
    for seq in range(start or 1, max(found, default=0) + 1):
        if seq not in found:
            yield Problem(path=build_manifest_path(seq), seq=seq, what=f"is missing from the chain; {_RESTORE}")
    for seq, manifest in manifests.items():
        before = manifests.get(seq - 1)
        if before and manifest.parent_digest != before.digest:
            what = f"does not follow from snapshot {seq - 1}: one of the two was replaced; {_RESTORE}"
            yield Problem(path=build_manifest_path(seq), seq=seq, snapshot_id=manifest.snapshot_id, what=what)


def _list_retained_manifests(manifests: Mapping[int, Manifest]) -> list[Manifest]:
    """Return the manifests from the newest expire or erase commit on: it contains the retained history before it."""
    start = find_newest_rewrite_seq(manifests.values())
    return [manifest for seq, manifest in sorted(manifests.items()) if seq >= start]


ReferencedFiles = Mapping[str, tuple[FileEntry, str, TableFiles, Manifest]]
"""Each file by its path, with its table and the oldest retained snapshot that it belongs to."""


def _collect_referenced_files(manifests: Iterable[Manifest]) -> ReferencedFiles:
    files: dict[str, tuple[FileEntry, str, TableFiles, Manifest]] = {}
    for manifest in manifests:
        for snapshot, name, table in _walk_tables(manifest):
            for file in table.files:
                files.setdefault(file.path, (file, name, table, snapshot))
    return files


def _check_contracts(store: Store, manifests: Sequence[Manifest]) -> Iterator[Problem]:
    """Yield a problem for each contract of a retained snapshot that is missing or changed; a run stores it again."""
    snapshots = [one for manifest in manifests for one in (*(manifest.past or ()), manifest)]
    every = {entry.sha256: (entry, one) for one in snapshots for entry in one.contracts.values()}
    for entry, manifest in every.values():
        if problem := find_contract_problem(store, entry):
            path = build_contract_path(entry.sha256)
            fix = (
                "remove it; the next run stores it again" if problem != "is missing" else "the next run stores it again"
            )
            yield Problem(path=path, what=f"{problem}; {fix}", seq=manifest.seq, is_note=True)


def _check_files(store: Store, files: ReferencedFiles, progress: Progress) -> Iterator[Problem]:
    """Yield a problem for each file that is missing, changed or unreadable."""
    pool = ThreadPoolExecutor(READERS)
    try:
        results = pool.map(lambda one: _check_file(store, one[0], one[2]), files.values())
        for done, (result, (file, name, _, snapshot)) in enumerate(zip(results, files.values(), strict=True), 1):
            if result:
                yield Problem(
                    path=file.path,
                    what=result[0],
                    table=name,
                    scopes=result[1],
                    seq=snapshot.seq,
                    snapshot_id=snapshot.snapshot_id,
                )
            progress(done, len(files))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for the remaining files


def _walk_tables(manifest: Manifest) -> Iterator[tuple[Manifest, str, TableFiles]]:
    """Yield the tables that a manifest names, with their snapshot; those of its history come first."""
    for past in manifest.past or ():
        yield from _walk_tables(past)
    for name, tables in manifest.kept.items():
        yield from ((manifest, name, table) for table in tables)
    yield from ((manifest, name, table) for name, table in manifest.tables.items())


def _check_file(store: Store, file: FileEntry, table: TableFiles) -> tuple[str, tuple[str, ...]] | None:
    """Return the problem of a file and the scopes of its rows, as far as readable; None if it is intact."""
    try:
        content = store.read_bytes(file.path)
    except FileNotFoundError:
        return f"is missing; {_RESTORE}", ()
    except OSError as error:
        return f"cannot be read: {error.strerror or error}", ()
    # The size first, because it shows whether a file was truncated or changed.
    if len(content) != file.bytes:
        return f"has {len(content)} bytes instead of {file.bytes}; {_RESTORE}", _read_scopes(content)
    if sha256(content).hexdigest() != file.sha256:
        return f"has changed since it was committed; {_RESTORE}", _read_scopes(content)
    return _check_parquet(content, file, table)


def _check_parquet(content: bytes, file: FileEntry, table: TableFiles) -> tuple[str, tuple[str, ...]] | None:
    """Compare an unchanged file with its manifest: a difference is a bug, or a forged manifest."""
    try:
        parquet = pq.ParquetFile(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        return f"is not readable as Parquet: {str(error).splitlines()[0]}", ()
    if parquet.metadata.num_rows != file.rows:
        return f"has {parquet.metadata.num_rows} rows, but its manifest says {file.rows}", _read_scopes(content)
    if missing := table.columns.keys() - set(parquet.schema_arrow.names):
        return f"lacks the column {min(missing)} that its manifest names", _read_scopes(content)
    return None


def _read_scopes(content: bytes) -> tuple[str, ...]:
    """Return the scopes with rows in a damaged file; none if they cannot be read."""
    try:
        source = pa.BufferReader(content)
        rows = pq.read_table(source, columns=["account_id", "region"], page_checksum_verification=True)
        pairs = rows.group_by(rows.column_names).aggregate([]).to_pylist()
    except (pa.ArrowException, OSError, KeyError):
        return ()
    return tuple(sorted("/".join(str(part) for part in pair.values()) for pair in pairs if len(pair) > 1))


def _check_head_hint(store: Store, newest: int) -> Iterator[Problem]:
    """Yield a problem if the manifest that the head hint on S3 names as the newest is missing."""
    hinted = parse_manifest_seq(store.read_head_hint(COMMITS_FOLDER)) or 0
    if hinted > newest:
        what = f"is missing, although it was committed: the newest manifest is {newest}; {_RESTORE}"
        yield Problem(path=build_manifest_path(hinted), seq=hinted, what=what)


def _check_catalog(store: Store, newest: int) -> Iterator[Problem]:
    """Yield problems of the catalog. If it is newer than all manifests, a manifest is missing."""
    if not store.has_catalog_file or not store.exists(CATALOG_FILE):
        return
    try:
        content = store.read_bytes(CATALOG_FILE)
        if not has_valid_checksum(content):
            yield Problem(path=CATALOG_FILE, what=f"has changed since it was published; {_REPUBLISH}")
            return
        shows = _read_catalog_seq(store, content)
    except duckdb.Error as error:
        what = f"cannot be opened ({str(error).splitlines()[0]}); {_REPUBLISH}"
        yield Problem(path=CATALOG_FILE, what=what)
    else:
        if shows > newest:
            what = f"is missing: the catalog shows snapshot {shows}, but the newest manifest is {newest}; {_RESTORE}"
            yield Problem(path=build_manifest_path(shows), seq=shows, what=what)
        if shows < newest:
            what = f"shows snapshot {shows}, but the newest is {newest}; {_REPUBLISH}"
            yield Problem(path=CATALOG_FILE, what=what, is_note=True)


def _check_views(store: Store, contracts: Sequence[Contract], root: str | None) -> Iterator[Problem]:
    """Yield differences of the catalog's views from those that this version renders; another version's are a note."""
    try:
        compared = compare_published_catalog(store, contracts, root=root)
    except (duckdb.Error, ExportError) as error:
        what = f"its views cannot be compared ({' '.join(str(error).split())[:200]}); {_REPUBLISH}"
        yield Problem(path=CATALOG_FILE, what=what)
        return
    if not compared.is_root_expected:
        what = f"names its files below {compared.root}; {_REPUBLISH}"
        yield Problem(path=CATALOG_FILE, what=what, is_note=True)
    if compared.altered:
        names = ", ".join(compared.altered[:_VIEWS_SHOWN])
        more = f" and {len(compared.altered) - _VIEWS_SHOWN} more" if len(compared.altered) > _VIEWS_SHOWN else ""
        who = "something else changed" if compared.is_alike else "another version or configuration published"
        what = f"has other views than this version renders: {who} {names}{more}; {_REPUBLISH}"
        yield Problem(path=CATALOG_FILE, what=what, is_note=not compared.is_alike)


def _check_report(store: Store) -> Iterator[Problem]:
    if store.exists(REPORT_FILE) and not has_valid_checksum(store.read_bytes(REPORT_FILE)):
        yield Problem(path=REPORT_FILE, what=f"has changed since it was written; {_REWRITE_REPORT}")


def _check_kept_parts(store: Store) -> Iterator[Problem]:
    """Yield a note for each damaged part: it is a cache, and the next publication writes what is missing."""
    for stored in store.list_all():
        name = parse_kept_path(stored.path)
        if name and sha256(store.read_bytes(stored.path)).hexdigest() != name.sha256:
            what = f"has changed since it was written; remove it, and the next run writes it again ({name.name})"
            yield Problem(path=stored.path, what=what, is_note=True)


def _read_catalog_seq(store: Store, catalog: bytes) -> int:
    """Return the newest seq of a catalog."""
    # A copy, because DuckDB 1.4 refuses a file that this process has open already.
    with NamedTemporaryFile(suffix=".duckdb") as copy, closing(open_duckdb(store)) as con:
        copy.write(catalog)
        copy.flush()
        con.execute(f"attach {quote_literal(copy.name)} as warehouse (read_only)")
        lock_to_files(con)
        return con.execute("select max(seq) from warehouse.lake.shows").fetchall()[0][0] or 0
