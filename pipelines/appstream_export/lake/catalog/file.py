"""Write the catalog's file: build it at a temporary path, add a checksum trailer, and replace the previous one.

Most of its views read a few views that name files. If contracts and `sql/` are unchanged, the published catalog is
reused and only those few views are replaced, which takes a quarter of the time.
"""

import hashlib
import re
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import duckdb

from appstream_export.contracts import Contract, Table
from appstream_export.errors import ConfigurationError, StorageFailed
from appstream_export.lake.catalog.definitions import find_altered_objects
from appstream_export.lake.catalog.stored_form import STORAGE_VERSION, attach_for_writing
from appstream_export.lake.catalog.views import (
    list_catalog_tables,
    render_file_views,
    render_table_views,
    render_table_views_for_creation,
)
from appstream_export.lake.duckdb import open_duckdb, translate_duckdb_errors
from appstream_export.lake.snapshots import Manifest
from appstream_export.lake.storage import CATALOG_FILE, Store, append_file_checksum, strip_checksum, validate_root_path

# Lines before the checksum trailer: a digest of the catalog's views over the files, and the commit that it shows.
_LINES = re.compile(rb"views ([0-9a-f]{64})\n(?:commit \d+\n)?\Z")
_LINES_BYTES_MAX = 100


def read_published_catalog(place: Store, path: str = CATALOG_FILE) -> bytes:
    """Return the published catalog without its checksum trailer; empty if it is missing or damaged."""
    try:
        return strip_checksum(place.read_bytes(path)) or b""
    except FileNotFoundError:
        return b""


def write_catalog(
    place: Store,
    store: Store,
    path: str,
    contracts: Sequence[Contract],
    manifests: Sequence[Manifest],
    root: str | None,
    *,
    earlier: bytes = b"",
) -> None:
    """Write the catalog of `store` to `path` in `place`, which may be another store.

    The `earlier` catalog is reused if it has the same views over other files. `root` is the path at which readers see
    the warehouse, if it differs. Raises StorageFailed, ConfigurationError.
    """
    reused = strip_views_digest(earlier, contracts, manifests)

    def build_file(file: str) -> None:
        if reused:
            Path(file).write_bytes(reused)
        with closing(open_duckdb(store)) as con:
            seen = resolve_reader_root(con, store, manifests, root)
            with attach_for_writing(con, file):
                if reused and not has_compared_views(reused, contracts, manifests):
                    _reject_altered_catalog(con, contracts, manifests)
                con.execute("use warehouse")
                create_views(con, contracts, manifests, seen, is_prefilled=bool(reused))
        _restore_cut_blocks(Path(file), reused)
        # All its objects were created here, or compared above: the stages that follow need not compare them again.
        record_compared_catalog(Path(file).read_bytes(), contracts, manifests, seen)
        _append_trailers(Path(file), _compute_views_digest(contracts, manifests), manifests[-1].seq)

    try:
        place.replace(path, build_file, mode=place.file_mode)
    except (duckdb.Error, StorageFailed) as error:
        if reused:  # the earlier catalog may be planted or damaged: build a new one
            return write_catalog(place, store, path, contracts, manifests, root)
        if isinstance(error, StorageFailed):
            raise
        raise StorageFailed(f"{place.resolve_uri(path)}: {str(error).splitlines()[0]}") from error
    # A process of the root user, which ignores modes, may have left the old file's WAL: it must not be replayed here.
    return place.remove(f"{path}.wal")


def strip_views_digest(earlier: bytes, contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> bytes:
    """Return an earlier catalog as DuckDB wrote it if its digest says that it has the same views, else empty.

    The digest does not prove who wrote the catalog: compare its views before you use them.
    """
    found = _LINES.search(earlier, max(0, len(earlier) - _LINES_BYTES_MAX))
    is_alike = found and found[1].decode() == _compute_views_digest(contracts, manifests)
    return earlier[: found.start()] if found and is_alike else b""


# By the SHA-256 of a catalog that this process compared with what it renders: its views, and all that it shows.
_compared: dict[bytes, tuple[str, str]] = {}
_COMPARED_MAX = 100


def record_compared_catalog(
    content: bytes, contracts: Sequence[Contract], manifests: Sequence[Manifest], root: str
) -> None:
    """Record that all objects of a catalog's content were found equal, so that no stage compares it again."""
    if len(_compared) >= _COMPARED_MAX:
        _compared.clear()
    views = _compute_views_digest(contracts, manifests)
    _compared[hashlib.sha256(content).digest()] = views, _compute_history_digest(manifests, root)


def has_compared_views(content: bytes, contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> bool:
    """Return whether the views of exactly this content, except those over files, were found equal."""
    views, _ = _compared.get(hashlib.sha256(content).digest(), ("", ""))
    return views == _compute_views_digest(contracts, manifests)


def is_compared_catalog(
    content: bytes, contracts: Sequence[Contract], manifests: Sequence[Manifest], root: str
) -> bool:
    """Return whether all objects of exactly this content were found equal."""
    found = _compared.get(hashlib.sha256(content).digest())
    return found == (_compute_views_digest(contracts, manifests), _compute_history_digest(manifests, root))


def _compute_history_digest(manifests: Sequence[Manifest], root: str) -> str:
    return hashlib.sha256("\n".join((root, *(manifest.digest for manifest in manifests))).encode()).hexdigest()


def _reject_altered_catalog(
    con: duckdb.DuckDBPyConnection, contracts: Sequence[Contract], manifests: Sequence[Manifest]
) -> None:
    """Raise StorageFailed if an earlier catalog's objects, except those that name files, differ from a new one's."""
    if altered := find_altered_objects(con, "warehouse", contracts, manifests, None):
        raise StorageFailed(f"{CATALOG_FILE}: {altered[0]} was changed by another program")


def _compute_views_digest(contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> str:
    """Return a digest of what a catalog's views depend on besides files: SQL, column types, DuckDB's version."""
    tables = tuple(list_catalog_tables(contracts, manifests))  # the statements do not contain the columns' types
    return _compute_statements_digest(duckdb.__version__, render_table_views(contracts, manifests), tables)


@lru_cache(maxsize=4)
def _compute_statements_digest(version: str, statements: tuple[str, ...], tables: tuple[Table, ...]) -> str:
    parts = [version, STORAGE_VERSION, *statements, *map(repr, tables)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _restore_cut_blocks(file: Path, previous: bytes) -> None:
    """Append the previous catalog's last blocks again, which DuckDB cut off.

    DuckDB opens a file twice: it reads the header, then opens the file again for the blocks. If the catalog is replaced
    in between, a reader has the header of the previous catalog and reads the blocks of this one. It finds all blocks of
    the previous catalog unchanged, because the only checkpoint writes to unused blocks.
    """
    with file.open("ab") as end:
        end.write(previous[end.tell() :])


def _append_trailers(file: Path, digest: str, seq: int) -> None:
    with file.open("ab") as end:
        end.write(f"views {digest}\n".encode())
    append_file_checksum(file, seq=seq)


def resolve_reader_root(
    con: duckdb.DuckDBPyConnection, store: Store, manifests: Sequence[Manifest], root: str | None
) -> str:
    """Return the name under which the catalog's readers see the warehouse.

    DuckDB opens a view's files when it creates the view. So a root that does not exist here is written as a `file://`
    URL: a registered filesystem serves it from the store now, and readers resolve it as a path.
    """
    if root is None:
        return store.resolve_uri()
    validate_root_path(root)
    if not root.startswith("/"):
        raise ConfigurationError(f"{root}: the root must be an absolute path, as readers see it")
    root = root.rstrip("/")
    if any(Path(root, file.path).is_file() for manifest in manifests[-1:] for file in manifest.files[:1]):
        return root
    from appstream_export.lake.storage import RelocatedFiles  # imports fsspec, which other local catalogs do not need

    con.register_filesystem(RelocatedFiles(f"file://{root}", store.read_bytes))
    return f"file://{root}"


def create_views(
    con: duckdb.DuckDBPyConnection,
    contracts: Sequence[Contract],
    manifests: Sequence[Manifest],
    root: str,
    *,
    is_prefilled: bool = False,
    is_commented: bool = True,
) -> None:
    """Create all views, or only those that name files if an earlier catalog is reused. Needs at least one manifest.

    Raises StorageFailed if files cannot be read or do not match their manifest.
    """
    statements: Iterable[str] = render_file_views(contracts, manifests, lambda path: f"{root.rstrip('/')}/{path}")
    comments = list[str]()
    if not is_prefilled:
        created = render_table_views_for_creation(contracts, manifests)
        comments = [statement for statement in created if statement.startswith("comment on ")]
        statements = (*statements, *created[: len(created) - len(comments)])
    newest, now = manifests[-1], datetime.now(UTC).isoformat()
    with translate_duckdb_errors(), _translate_definition_errors():
        con.execute("begin")
        for statement in statements:
            con.execute(statement)
        if is_commented and comments:
            con.execute(";\n".join(comments))  # at once, because a call of its own takes as long as a comment
        con.execute(
            "create or replace table lake.shows (seq bigint, digest varchar, root varchar, made_at timestamptz)"
        )
        con.execute("insert into lake.shows values (?, ?, ?, ?::timestamptz)", [newest.seq, newest.digest, root, now])
        con.execute("commit")


@contextmanager
def _translate_definition_errors() -> Generator[None]:
    """Translate DuckDB's errors about a view to StorageFailed: a manifest does not match its files."""
    try:
        yield
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as error:
        what = f"the views cannot be created: {' '.join(str(error).split())[:200]}"
        raise StorageFailed(what, fix="find the damage with: appstream-export verify") from error
