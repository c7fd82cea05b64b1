"""The catalog: `warehouse.duckdb`, a file of views over committed files, and connections that read it.

Published by replacing the whole file, so a reader keeps the one it opened, and read-only by its mode, so that nobody
opens it for writing and locks the others out. A connection never trusts a catalog that shows another place or an
older snapshot than the head: it then makes the same views for itself, in memory.
"""

from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from pipelines.contracts import Contract, load_all
from pipelines.errors import SetupError, StorageFailed
from pipelines.lake import layout, sql
from pipelines.lake.engine import connection
from pipelines.lake.manifest import Manifest, head, history
from pipelines.lake.query import query
from pipelines.lake.sql import literal
from pipelines.lake.store import Store, open_store, storage_errors
from pipelines.lake.views import statements
from pipelines.settings import S3Settings

__all__ = ["connect", "publish", "query"]

STORAGE_VERSION = "v1.4.0"  # the oldest DuckDB that we support can open the file

_REPUBLISHES = 5  # each means that yet another run committed while we built


def publish(store: Store, contracts: Sequence[Contract], *, root: str | None = None) -> Path | None:
    """Make the catalog anew and put it in place; returns its path. Raises StorageFailed, SetupError.

    Nothing happens where the store keeps none (S3): readers make the views for themselves.

    `root` is where readers see the warehouse, when that is another place than ours (a container's mount). DuckDB
    looks at the files while it makes a view, so they must be visible there.
    """
    if not store.keeps_catalog:
        return None
    _refuse_unseen(store, root)
    with storage_errors(store):
        for _ in range(_REPUBLISHES):
            manifests = history(store)
            _put(store, contracts, manifests, root or store.uri())
            newest = head(store)
            if newest is None or newest.seq == manifests[-1].seq:
                break  # else another run committed meanwhile, and we may have replaced its newer catalog
    return Path(store.uri(layout.CATALOG))


def connect(warehouse: str, *, s3: S3Settings | None = None) -> duckdb.DuckDBPyConnection:
    """A read-only view of a warehouse: one snapshot for as long as it is open, times in UTC, nothing beyond its folder.

    `s3` is for `s3://bucket/prefix`; without it boto3 finds credentials, region and endpoint by itself. Raises
    SetupError when there is no warehouse or no snapshot in it.
    """
    store = open_store(warehouse, s3=s3)
    con = reading(store, load_all())
    _lock(con, store)
    return con


def reading(store: Store, contracts: Sequence[Contract], *, anew: bool = False) -> duckdb.DuckDBPyConnection:
    """The same for our own work: not locked. `lake.shows` tells which snapshot it is.

    `anew` makes the views even where a catalog has them, for it may be of an older version, or of other contracts.
    """
    newest = head(store)
    if newest is None:
        raise SetupError(f"no snapshot in {store.root} yet: make one with: appstream-export run")
    con = connection(store)
    if anew or not _attached(con, store, newest):
        with sql.reading_errors():
            _make(con, contracts, history(store), store.uri())
    return con


def _put(store: Store, contracts: Sequence[Contract], manifests: Sequence[Manifest], root: str) -> None:
    def build(file: str) -> None:
        with closing(connection(store)) as con:
            con.execute("set threads = 1")  # a thread more costs each of hundreds of statements a little
            con.execute(f"attach {literal(file)} as warehouse (storage_version {literal(STORAGE_VERSION)})")
            con.execute("use warehouse")
            _make(con, contracts, manifests, root)
            con.execute("checkpoint warehouse")
            con.execute("use memory")
            con.execute("detach warehouse")

    try:
        store.replace(layout.CATALOG, build, mode=store.file_mode & 0o444)
    except duckdb.Error as error:
        raise StorageFailed(f"{store.uri(layout.CATALOG)}: {str(error).splitlines()[0]}") from error


def _make(
    con: duckdb.DuckDBPyConnection, contracts: Sequence[Contract], manifests: Sequence[Manifest], root: str
) -> None:
    if not manifests:
        raise SetupError("no snapshot yet: make one with: appstream-export run")
    con.execute("begin")
    for statement in statements(contracts, manifests, lambda path: f"{root.rstrip('/')}/{path}"):
        con.execute(statement)
    newest, now = manifests[-1], datetime.now(UTC).isoformat()
    con.execute("create table lake.shows (seq bigint, digest varchar, root varchar, made_at timestamptz)")
    con.execute("insert into lake.shows values (?, ?, ?, ?::timestamptz)", [newest.seq, newest.digest, root, now])
    con.execute("commit")


def _attached(con: duckdb.DuckDBPyConnection, store: Store, newest: Manifest) -> bool:
    """Use the published catalog if it shows this place and the head (or a newer one, published meanwhile)."""
    if not store.keeps_catalog or not store.exists(layout.CATALOG):
        return False
    with suppress(duckdb.Error):
        con.execute(f"attach {literal(store.uri(layout.CATALOG))} as warehouse (read_only)")
        shows = con.execute("select root, seq, digest from warehouse.lake.shows").fetchall()
        if [s for s in shows if s[0] == store.uri() and (s[1] > newest.seq or s[1:] == (newest.seq, newest.digest))]:
            con.execute("use warehouse")
            return True
    with suppress(duckdb.Error):
        con.execute("detach warehouse")
    return False


def _lock(con: duckdb.DuckDBPyConnection, store: Store) -> None:
    """From here on the connection reaches the warehouse's folder alone, and nobody can change that."""
    con.execute(f"set allowed_directories = [{literal(store.uri())}]")
    con.execute("set enable_external_access = false")
    con.execute("set lock_configuration = true")


def _refuse_unseen(store: Store, root: str | None) -> None:
    newest = head(store)
    if root is None or newest is None:
        return
    path = next(file.path for files in newest.tables.values() for file in files.files)
    if not Path(root, path).is_file():
        raise SetupError(f"catalog_root {root}: the warehouse's files are not visible there; mount or link it first")
