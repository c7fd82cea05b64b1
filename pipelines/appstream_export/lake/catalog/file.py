"""The catalog as a file: built aside, with a checksum trailer, then put in place of the one before.

Most of its views are over a few that name files. While contracts and `sql/` stay as they are, the next catalog is the
published one with those few replaced, which takes a quarter of the time.
"""

import hashlib
import re
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from appstream_export.contracts import Contract
from appstream_export.errors import ConfigurationError, StorageFailed
from appstream_export.lake.catalog.definitions import find_altered_objects
from appstream_export.lake.catalog.views import list_catalog_tables, render_file_views, render_table_views
from appstream_export.lake.duckdb import open_duckdb, quote_literal, translate_duckdb_errors
from appstream_export.lake.snapshots import Manifest
from appstream_export.lake.storage import CATALOG_FILE, Store, append_file_checksum, strip_checksum, validate_root_path

STORAGE_VERSION = "v1.4.0"  # the oldest DuckDB that we support can open the file
_VIEWS_DIGEST = re.compile(
    rb"views ([0-9a-f]{64})\n\Z"
)  # before the checksum trailer: which views it has over the files
_VIEWS_DIGEST_BYTES = 71


def read_published_catalog(place: Store, path: str = CATALOG_FILE) -> bytes:
    """Return the published catalog without its checksum trailer; nothing where there is none or it is damaged."""
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
    """Write the catalog of `store` under `path` in `place`, which may be another store.

    It begins as the `earlier` one where that has the same views over other files. `root` is where readers see the
    warehouse, if that is another place.
    """
    reused = strip_views_digest(earlier, contracts, manifests)

    def build_file(file: str) -> None:
        if reused:
            Path(file).write_bytes(reused)
        with closing(open_duckdb(store)) as con:
            seen = resolve_reader_root(con, store, manifests, root)
            with _attach_for_writing(con, file):
                if reused:
                    _reject_altered_catalog(con, contracts, manifests)
                con.execute("use warehouse")
                create_views(con, contracts, manifests, seen, is_prefilled=bool(reused))
        _restore_cut_blocks(Path(file), reused)
        _append_trailers(Path(file), _compute_views_digest(contracts, manifests))

    try:
        place.replace(path, build_file, mode=place.file_mode)
    except (duckdb.Error, StorageFailed) as error:
        if reused:
            return write_catalog(place, store, path, contracts, manifests, root)
        if isinstance(error, StorageFailed):
            raise
        raise StorageFailed(f"{place.resolve_uri(path)}: {str(error).splitlines()[0]}") from error
    # Of a root user who opened the old file for writing, whom no mode refuses: it must not be replayed on the new one.
    return place.remove(f"{path}.wal")


def strip_views_digest(earlier: bytes, contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> bytes:
    """Return an earlier catalog as DuckDB wrote it, if it says that its views are these; else nothing.

    That proves nothing about who wrote it: compare its views before they are used.
    """
    found = _VIEWS_DIGEST.search(earlier[-_VIEWS_DIGEST_BYTES:])
    is_alike = found and found[1].decode() == _compute_views_digest(contracts, manifests)
    return earlier[:-_VIEWS_DIGEST_BYTES] if is_alike else b""


def _reject_altered_catalog(
    con: duckdb.DuckDBPyConnection, contracts: Sequence[Contract], manifests: Sequence[Manifest]
) -> None:
    """Raise StorageFailed if an earlier catalog has other objects than a new one would, but for those about files."""
    if altered := find_altered_objects(con, "warehouse", contracts, manifests, None):
        raise StorageFailed(f"{CATALOG_FILE}: {altered[0]} was changed by something else")


@contextmanager
def _attach_for_writing(con: duckdb.DuckDBPyConnection, file: str) -> Generator[None]:
    """Attach a catalog's file as `warehouse`; it is complete and detached when the block ends."""
    con.execute("set threads = 1")  # a thread more costs each of hundreds of statements a little
    con.execute("set checkpoint_threshold = '1TB'")  # one checkpoint, at the end: see _restore_cut_blocks
    con.execute(f"attach {quote_literal(file)} as warehouse (storage_version {quote_literal(STORAGE_VERSION)})")
    yield
    con.execute("checkpoint warehouse")
    con.execute("use memory")
    con.execute("detach warehouse")


def _compute_views_digest(contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> str:
    """Return a digest of all that a catalog's views depend on but the files: their SQL, their types, and DuckDB."""
    parts = [duckdb.__version__, STORAGE_VERSION, *render_table_views(contracts, manifests)]
    parts += map(repr, list_catalog_tables(contracts, manifests))  # types of columns, which are in no statement
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _restore_cut_blocks(file: Path, previous: bytes) -> None:
    """Put back the blocks of the catalog before that DuckDB has cut off at the end.

    A DuckDB that opens a file reads its header, then opens it again for the rest. So a reader may hold the header of
    the catalog before. It finds all of that one here, for our one checkpoint wrote beside the blocks in use.
    """
    with file.open("ab") as end:
        end.write(previous[end.tell() :])


def _append_trailers(file: Path, digest: str) -> None:
    with file.open("ab") as end:
        end.write(f"views {digest}\n".encode())
    append_file_checksum(file)


def resolve_reader_root(
    con: duckdb.DuckDBPyConnection, store: Store, manifests: Sequence[Manifest], root: str | None
) -> str:
    """Return how the catalog's readers name the warehouse.

    DuckDB opens a view's files when it creates the view. So a root that is not visible here is written as a `file://`
    URL, which is served from the store meanwhile, and which readers resolve by themselves.
    """
    if root is None:
        return store.resolve_uri()
    validate_root_path(root)
    if not root.startswith("/"):
        raise ConfigurationError(f"{root}: a root begins with /, as readers see it")
    root = root.rstrip("/")
    if any(Path(root, file.path).is_file() for manifest in manifests[-1:] for file in manifest.files[:1]):
        return root
    from appstream_export.lake.storage import RelocatedFiles  # fsspec: no other local catalog needs it

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
    """Create all views; only those about files where an earlier catalog was reused. Needs at least one manifest.

    Raises StorageFailed where a manifest's files do not fit what it says of them, or cannot be read.
    """
    statements: Iterable[str] = render_file_views(contracts, manifests, lambda path: f"{root.rstrip('/')}/{path}")
    if not is_prefilled:
        statements = (*statements, *render_table_views(contracts, manifests))
    newest, now = manifests[-1], datetime.now(UTC).isoformat()
    with translate_duckdb_errors(), _translate_definition_errors():
        con.execute("begin")
        for statement in statements:
            if is_commented or not statement.startswith("comment on "):
                con.execute(statement)
        con.execute(
            "create or replace table lake.shows (seq bigint, digest varchar, root varchar, made_at timestamptz)"
        )
        con.execute("insert into lake.shows values (?, ?, ?, ?::timestamptz)", [newest.seq, newest.digest, root, now])
        con.execute("commit")


@contextmanager
def _translate_definition_errors() -> Generator[None]:
    """Translate what DuckDB says of a view that it cannot create: a manifest does not fit its files."""
    try:
        yield
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as error:
        what = f"the views cannot be created: {' '.join(str(error).split())[:200]}"
        raise StorageFailed(what, fix="find the damage with: appstream-export verify") from error
