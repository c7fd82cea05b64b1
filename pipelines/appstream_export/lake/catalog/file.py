"""The catalog as a file: made aside, sealed with a digest, put in place of the one before.

Most of its views stand over a few that name files. While contracts and `sql/` stay as they are, the next catalog is the
published one with those few replaced, which takes a quarter of the time.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from appstream_export.contracts import Contract
from appstream_export.errors import ConfigurationError, StorageFailed
from appstream_export.lake.catalog.views import list_catalog_tables, render_file_views, render_table_views
from appstream_export.lake.duckdb import open_duckdb, quote_literal
from appstream_export.lake.snapshots import Manifest
from appstream_export.lake.storage import CATALOG_FILE, Store, append_file_checksum, strip_checksum, validate_root_path

STORAGE_VERSION = "v1.4.0"  # the oldest DuckDB that we support can open the file
_VIEWS_DIGEST = re.compile(rb"views ([0-9a-f]{64})\n\Z")  # before the seal: what was made over the files
_VIEWS_DIGEST_BYTES = 71


def read_published_catalog(place: Store, path: str = CATALOG_FILE) -> bytes:
    """The catalog that is there, without its seal; nothing where there is none that can be trusted."""
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
    """Make the catalog of `store` under `path` in `place`, which may be another one.

    It begins as the `earlier` one where that has the same views over other files.
    """
    form = _compute_views_digest(contracts, manifests)
    found = _VIEWS_DIGEST.search(earlier[-_VIEWS_DIGEST_BYTES:])
    begun = earlier[:-_VIEWS_DIGEST_BYTES] if found and found[1].decode() == form else b""

    def build_file(file: str) -> None:
        if begun:
            Path(file).write_bytes(begun)
        with closing(open_duckdb(store)) as con:
            seen = _resolve_reader_root(con, store, manifests, root)
            con.execute("set threads = 1")  # a thread more costs each of hundreds of statements a little
            con.execute("set checkpoint_threshold = '1TB'")  # one checkpoint, at the end: see _keep_blocks
            con.execute(f"attach {quote_literal(file)} as warehouse (storage_version {quote_literal(STORAGE_VERSION)})")
            con.execute("use warehouse")
            create_views(con, contracts, manifests, seen, is_prefilled=bool(begun))
            con.execute("checkpoint warehouse")
            con.execute("use memory")
            con.execute("detach warehouse")
        _restore_cut_blocks(Path(file), begun)
        _append_trailers(Path(file), form)

    try:
        place.replace(path, build_file, mode=place.file_mode & 0o444)
    except duckdb.Error as error:
        if begun:
            return write_catalog(place, store, path, contracts, manifests, root)
        raise StorageFailed(f"{place.resolve_uri(path)}: {str(error).splitlines()[0]}") from error
    # Of a root user who opened the old file for writing, whom no mode refuses: it must not be replayed on the new one.
    return place.remove(f"{path}.wal")


def _compute_views_digest(contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> str:
    """What all views of a catalog are made of, but for the files, and which DuckDB made them, as a digest."""
    parts = [duckdb.__version__, STORAGE_VERSION, *render_table_views(contracts, manifests)]
    parts += map(repr, list_catalog_tables(contracts, manifests))  # types of columns, which stand in no statement
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _restore_cut_blocks(file: Path, previous: bytes) -> None:
    """Put back the blocks of the catalog before that DuckDB has cut off at the end.

    A DuckDB that opens a file reads its header, then opens it again for the rest. So a reader may hold the header of
    the catalog before. It finds all of that one here, for our one checkpoint wrote beside the blocks in use.
    """
    with file.open("ab") as end:
        end.write(previous[end.tell() :])


def _append_trailers(file: Path, form: str) -> None:
    with file.open("ab") as end:
        end.write(f"views {form}\n".encode())
    append_file_checksum(file)


def _resolve_reader_root(
    con: duckdb.DuckDBPyConnection, store: Store, manifests: Sequence[Manifest], root: str | None
) -> str:
    """How the catalog's readers name the warehouse. DuckDB looks at a view's files while it makes it.

    So a root that is not visible here is written as a `file://` URL, which we answer meanwhile, and readers by
    themselves.
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
) -> None:
    """Run every statement; only those about files where the catalog has the others from an earlier one."""
    if not manifests:
        raise ConfigurationError("no snapshot yet: make one with: appstream-export run")
    con.execute("begin")
    statements: Iterable[str] = render_file_views(contracts, manifests, lambda path: f"{root.rstrip('/')}/{path}")
    for statement in statements if is_prefilled else (*statements, *render_table_views(contracts, manifests)):
        con.execute(statement)
    newest, now = manifests[-1], datetime.now(UTC).isoformat()
    con.execute("create or replace table lake.shows (seq bigint, digest varchar, root varchar, made_at timestamptz)")
    con.execute("insert into lake.shows values (?, ?, ?, ?::timestamptz)", [newest.seq, newest.digest, root, now])
    con.execute("commit")
