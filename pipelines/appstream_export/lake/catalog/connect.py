"""The catalog: `warehouse.duckdb`, a file of views over committed files, and connections that read it.

The file is replaced whole, so a reader keeps the version that it opened. Its mode is read-only, because a program that
opened it for writing would lock out all others. A connection uses the catalog only if it shows this warehouse at the
head or a newer snapshot; otherwise the connection creates the same views in memory.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from appstream_export.errors import ConfigurationError, QueryError, StorageFailed, describe_error
from appstream_export.lake.duckdb import (
    QUERY_TIMEOUT_S,
    lock_connection,
    open_duckdb,
    quote_literal,
    translate_duckdb_errors,
)
from appstream_export.lake.snapshots import (
    KIND_SWEEP,
    Manifest,
    convert_epoch_us,
    load_head,
    load_history,
    select_history_until,
)
from appstream_export.lake.storage import (
    CATALOG_FILE,
    TABLES_FOLDER,
    LocalStore,
    Store,
    has_valid_checksum,
    open_store,
    translate_storage_errors,
)

if TYPE_CHECKING:
    from appstream_export.contracts import Contract
    from appstream_export.settings import S3Settings

_log = logging.getLogger(__name__)
SHOWS_TABLE = "create table lake.shows(seq bigint, digest varchar, root varchar, made_at timestamp with time zone)"
_PUBLISH_TRIES = 5  # a retry is needed each time another run commits meanwhile


def publish_catalog(store: Store, contracts: "Sequence[Contract]", *, root: str | None = None) -> Path | None:
    """Publish the catalog and return its path, or None on S3, where readers create the views in memory.

    `root` is the path at which readers see the warehouse, if it differs (a container's mount); it need not exist here.
    Raises StorageFailed, ConfigurationError.
    """
    from appstream_export.lake.catalog.file import (  # readers do not need it
        read_published_catalog,
        write_catalog,
    )

    if not store.has_catalog_file:
        return None
    with translate_storage_errors(store):
        for _ in range(_PUBLISH_TRIES):
            manifests = load_existing_history(store)
            write_catalog(store, store, CATALOG_FILE, contracts, manifests, root, earlier=read_published_catalog(store))
            newest = load_head(store)
            if newest is None or newest.seq == manifests[-1].seq:
                break
            # Another run committed meanwhile, and this catalog may have replaced its newer one: publish again.
    return Path(store.resolve_uri(CATALOG_FILE))


def refresh_catalog(store: Store, contracts: "Sequence[Contract]", *, root: str | None = None) -> str | None:
    """Publish the catalog after a commit; return the problem in one line, or None. The commit is valid either way."""
    try:
        publish_catalog(store, contracts, root=root)
    except Exception as error:  # noqa: BLE001  no error may undo the commit
        _log.debug("publishing failed", exc_info=True)
        return f"the snapshot is committed, but its catalog could not be published: {describe_error(error)}"
    return None


def export_catalog(file: Path, store: Store, contracts: "Sequence[Contract]", *, root: str | None = None) -> Path:
    """Write a catalog of the warehouse to another file, or replace an earlier one; raises ConfigurationError.

    Readers of a bucket's catalog need DuckDB's httpfs extension, and credentials.
    """
    from appstream_export.lake.catalog.file import read_published_catalog, write_catalog

    if file.is_dir() or (file.exists() and not has_valid_checksum(file.read_bytes())):
        raise ConfigurationError(f"{file}: exists, and is not a catalog of this program", fix="name another file")
    if not file.parent.is_dir():
        raise ConfigurationError(f"{file.parent}: no such folder", fix="create it first")
    place = LocalStore(file.parent.resolve(), file_mode=store.file_mode)
    with translate_storage_errors(place), translate_duckdb_errors():
        write_catalog(
            place,
            store,
            file.name,
            contracts,
            load_existing_history(store),
            root,
            earlier=read_published_catalog(place, file.name),
        )
    return file


def connect_warehouse(
    warehouse: str,
    *,
    s3: "S3Settings | None" = None,
    as_of: str | None = None,
    snapshot_id: str | None = None,
    timeout_s: float = QUERY_TIMEOUT_S,
    load_contracts: "Callable[[], Sequence[Contract]] | None" = None,
) -> duckdb.DuckDBPyConnection:
    """Connect to a warehouse for `run_query`, which checks each statement. Shows one snapshot until closed, in UTC.

    With `as_of`, tables show the newest snapshot retained from before that moment, and histories end there; with
    `snapshot_id`, they show that snapshot. `s3` is for `s3://bucket/prefix`; without it boto3 finds credentials, region
    and endpoint. `load_contracts` returns the reader's own contracts and SQL, and is called only if there is no catalog
    to use. Raises ConfigurationError if the warehouse does not exist or has no snapshot, QueryError if it has none from
    before `as_of`, or no longer has `snapshot_id`.
    """
    store = open_store(warehouse, s3=s3)
    con = open_catalog_connection(store, load_contracts, as_of=as_of, snapshot_id=snapshot_id)
    lock_connection(con, folder=store.resolve_uri(TABLES_FOLDER), timeout_s=timeout_s)
    return con


def connect_unchecked(
    warehouse: str,
    *,
    s3: "S3Settings | None" = None,
    as_of: str | None = None,
    snapshot_id: str | None = None,
    timeout_s: float = QUERY_TIMEOUT_S,
    load_contracts: "Callable[[], Sequence[Contract]] | None" = None,
) -> duckdb.DuckDBPyConnection:
    """Connect to a warehouse as `connect_warehouse` does, but for statements that are not checked.

    The views are in memory. They read only files that manifests name, through a filesystem that cannot write, because
    DuckDB can also write to files that it opens itself.
    """
    store = open_store(warehouse, s3=s3)
    # Again if a commit in between, such as an erase, has removed files of the history that was read.
    while True:
        newest, con = _load_existing_head(store), open_duckdb(store)
        root = store.resolve_uri()
        if store.get_filesystem() is None:
            from appstream_export.lake.storage import LocalFiles  # imports fsspec, which `run_query` does not need

            files = LocalFiles(Path(root))
            con.register_filesystem(files)
            root = files.root
        if shown := _create_views_in_memory(con, store, load_contracts, newest, root, as_of, snapshot_id):
            break
    paths = dict.fromkeys(file.path for manifest in shown for file in manifest.files)
    lock_connection(con, files=[f"{root}/{path}" for path in paths], timeout_s=timeout_s)
    return con


def open_catalog_connection(
    store: Store,
    load_contracts: "Callable[[], Sequence[Contract]] | None" = None,
    *,
    rebuild: bool = False,
    as_of: str | None = None,
    snapshot_id: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open an unlocked connection for this program's own use. The table `lake.shows` holds the snapshot's seq.

    With `rebuild` the views are always created, because a published catalog may come from an older version or from
    other contracts. `load_contracts` is called when needed; a snapshot's own contracts are added.
    """
    # Again if a commit in between, such as an erase, has removed files of the history that was read.
    while True:
        newest, con = _load_existing_head(store), open_duckdb(store)
        if not rebuild and as_of is None and _attach_published_catalog(con, store, newest, snapshot_id):
            return con
        if _create_views_in_memory(con, store, load_contracts, newest, store.resolve_uri(), as_of, snapshot_id):
            return con


def _load_existing_head(store: Store) -> Manifest:
    if (newest := load_head(store)) is None:
        raise build_no_snapshot_error(store)
    return newest


def _create_views_in_memory(
    con: duckdb.DuckDBPyConnection,
    store: Store,
    load_contracts: "Callable[[], Sequence[Contract]] | None",
    newest: Manifest,
    root: str,
    as_of: str | None,
    snapshot_id: str | None,
) -> list[Manifest]:
    """Create the views and return the history that they show; empty if files were removed meanwhile: try again."""
    from appstream_export.contracts import load_contract_set  # not needed if a published catalog is used
    from appstream_export.lake.catalog.file import create_views
    from appstream_export.lake.snapshots import add_stored_contracts

    manifests = load_existing_history(store)
    shown = manifests if as_of is None else _resolve_as_of(con, manifests, as_of)
    shown = shown if snapshot_id is None else _select_history_of(shown, snapshot_id)
    try:
        with translate_duckdb_errors():
            contracts = add_stored_contracts((load_contracts or load_contract_set)(), store, shown[-1])
            create_views(con, contracts, shown, root)
    except StorageFailed:
        con.close()
        if load_head(store) == newest:
            raise
        return []  # a new commit, such as an erase, has removed files of this history
    return shown


def load_existing_history(store: Store) -> list[Manifest]:
    """Return the history, oldest first; raises ConfigurationError before the first snapshot."""
    manifests = load_history(store, pass_damage=True)
    if not manifests:
        raise build_no_snapshot_error(store)
    return manifests


def build_no_snapshot_error(store: Store) -> ConfigurationError:
    """Return the error for a warehouse without a snapshot."""
    return ConfigurationError(f"no snapshot in {store.root} yet: make one with: appstream-export run")


def _resolve_as_of(con: duckdb.DuckDBPyConnection, manifests: Sequence[Manifest], as_of: str) -> list[Manifest]:
    """Return the history up to a moment that a user typed; raises QueryError if it is invalid or before the first."""
    from appstream_export.lake.catalog.views import MOMENT_SQL

    try:
        [(micros,)] = con.execute(f"select epoch_us({MOMENT_SQL}) from (select ? as t)", [as_of]).fetchall()  # noqa: S608
        moment = convert_epoch_us(micros)
    except (duckdb.Error, OverflowError, TypeError) as error:
        like = "2026-01-31 (its end, UTC) or 2026-01-31T12:00Z"
        raise QueryError(f'as of "{as_of}": not a time such as {like}') from error
    shown = select_history_until(manifests, moment)
    if not shown:
        first = min(manifest.committed_at for manifest in manifests)
        what = f"as of {moment:%Y-%m-%d %H:%M:%S}Z: there was no snapshot"
        raise QueryError(what, fix=f"the oldest snapshot is from {_format_iso(first)}")
    return shown


def _select_history_of(manifests: Sequence[Manifest], snapshot_id: str) -> list[Manifest]:
    """Return the history up to a snapshot; raises QueryError if the snapshot is not retained."""
    for manifest in manifests:
        if manifest.snapshot_id == snapshot_id and manifest.kind == KIND_SWEEP:
            return select_history_until(manifests, manifest.committed_at)
    raise QueryError(
        f"snapshot {snapshot_id} is no longer retained", fix="read the newest one, or raise [lake.retention]"
    )


def _format_iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def has_shows_table(con: duckdb.DuckDBPyConnection) -> bool:
    """Return whether `lake.shows` of the attached catalog is a table, which is safe to read before the lock.

    A planted view of that name would run its SQL, functions that write files included, on an unrestricted connection.
    Call this before `use`, because a planted macro can hide a function.
    """
    where = "database_name = 'warehouse' and schema_name = 'lake' and table_name = 'shows'"
    found = con.execute(f"select lower(sql) from system.main.duckdb_tables() where {where}").fetchall()  # noqa: S608
    return found == [(f"{SHOWS_TABLE};",)]


def _attach_published_catalog(
    con: duckdb.DuckDBPyConnection, store: Store, newest: Manifest, snapshot_id: str | None
) -> bool:
    """Attach the published catalog if it shows this warehouse at the head, or at a newer commit; return whether.

    With `snapshot_id`, the head must be that snapshot, and the catalog must show the head.
    """
    if snapshot_id is not None and newest.snapshot_id != snapshot_id:
        return False
    if not store.has_catalog_file or not store.exists(CATALOG_FILE):
        return False
    with suppress(duckdb.Error):
        con.execute(f"attach {quote_literal(store.resolve_uri(CATALOG_FILE))} as warehouse (read_only)")
        shows = []
        if has_shows_table(con):
            shows = con.execute("select root, seq, digest from warehouse.lake.shows").fetchall()
        # A higher seq than the head's: another run has committed since the head was read. The digest distinguishes
        # two histories with equal numbers.
        if any(
            root == store.resolve_uri()
            and ((seq > newest.seq and snapshot_id is None) or (seq, digest) == (newest.seq, newest.digest))
            for root, seq, digest in shows
        ):
            con.execute("use warehouse")
            return True
    with suppress(duckdb.Error):
        con.execute("detach warehouse")
    return False
