"""The catalog: `warehouse.duckdb`, a file of views over committed files, and connections that read it.

Published by replacing the whole file, so a reader keeps the one it opened, and read-only by its mode, so that nobody
opens it for writing and locks the others out. A connection never trusts a catalog that shows another place or an
older snapshot than the head: it then makes the same views for itself, in memory.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from appstream_export.errors import BadQuery, ExportError, SetupError, StorageFailed
from appstream_export.lake import sql
from appstream_export.lake.catalog.query import query
from appstream_export.lake.duckdb import connection
from appstream_export.lake.snapshots.manifest import Manifest, head, history, until
from appstream_export.lake.sql import literal
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.base import LocalStore, Store, open_store, storage_errors
from appstream_export.lake.storage.checksum_trailer import is_sealed

if TYPE_CHECKING:
    from appstream_export.contracts import Contract
    from appstream_export.settings import S3Settings

__all__ = ["connect", "publish", "query", "refresh", "save_as"]

_log = logging.getLogger(__name__)
_REPUBLISHES = 5  # each means that yet another run committed while we built


def publish(store: Store, contracts: "Sequence[Contract]", *, root: str | None = None) -> Path | None:
    """Make the catalog anew and put it in place; returns its path. Raises StorageFailed, SetupError.

    Nothing happens where the store keeps none (S3): readers make the views for themselves. `root` is where readers
    see the warehouse, when that is another place than ours (a container's mount); it need not be visible here.
    """
    from appstream_export.lake.catalog.file import published, put  # what only reads loads none of it

    if not store.keeps_catalog:
        return None
    with storage_errors(store):
        for _ in range(_REPUBLISHES):
            manifests = history(store)
            put(store, store, paths.CATALOG, contracts, manifests, root, earlier=published(store))
            newest = head(store)
            if newest is None or newest.seq == manifests[-1].seq:
                break  # else another run committed meanwhile, and we may have replaced its newer catalog
    return Path(store.uri(paths.CATALOG))


def refresh(store: Store, contracts: "Sequence[Contract]", *, root: str | None = None) -> str | None:
    """Publish after a commit, which stands whatever comes of it: what went wrong, in one line."""
    try:
        publish(store, contracts, root=root)
    except (ExportError, OSError) as error:
        _log.debug("publishing failed", exc_info=True)
        return f"the snapshot is committed, but its catalog could not be published: {error}"
    return None


def save_as(file: Path, store: Store, contracts: "Sequence[Contract]", *, root: str | None = None) -> Path:
    """Write a catalog of the warehouse to a file of one's own, in place of an earlier one. Raises SetupError.

    With a bucket's its readers need DuckDB's httpfs extension, and credentials.
    """
    from appstream_export.lake.catalog.file import published, put

    if file.is_dir() or (file.exists() and not is_sealed(file.read_bytes())):
        raise SetupError(f"{file}: is there, and no catalog that was written here; name another file")
    if not file.parent.is_dir():
        raise SetupError(f"{file.parent}: no such folder; make it first")
    place = LocalStore(file.parent.resolve(), file_mode=store.file_mode)
    with storage_errors(place), sql.reading_errors():
        put(place, store, file.name, contracts, history(store), root, earlier=published(place, file.name))
    return file


def connect(warehouse: str, *, s3: "S3Settings | None" = None, as_of: str | None = None) -> duckdb.DuckDBPyConnection:
    """A read-only view of a warehouse: one snapshot for as long as it is open, times in UTC, nothing beyond its folder.

    With `as_of` everything is as it was at that moment: tables show the newest retained snapshot of then, histories
    end there. `s3` is for `s3://bucket/prefix`; without it boto3 finds credentials, region and endpoint by itself.
    Raises SetupError when there is no warehouse or no snapshot in it, or none of that time.
    """
    store = open_store(warehouse, s3=s3)
    con = reading(store, None, as_of=as_of)
    _lock(con, store)
    return con


def reading(
    store: Store, contracts: "Sequence[Contract] | None", *, anew: bool = False, as_of: str | None = None
) -> duckdb.DuckDBPyConnection:
    """The same for our own work: not locked. `lake.shows` tells which snapshot it is.

    `anew` makes the views even where a catalog has them, for it may be of an older version, or of other contracts.
    Without contracts they are read once they are needed.
    """
    newest = head(store)
    if newest is None:
        raise none_yet(store)
    con = connection(store)
    if anew or as_of is not None or not _attached(con, store, newest):
        from appstream_export.contracts import load_all  # none of it is needed where a catalog has the views
        from appstream_export.lake.catalog.file import make

        manifests = history(store)
        shown = manifests if as_of is None else _until(con, manifests, as_of)
        try:
            with sql.reading_errors():
                make(con, contracts or load_all(), shown, store.uri())
        except StorageFailed:
            con.close()
            if head(store) == newest:
                raise
            return reading(store, contracts, anew=anew, as_of=as_of)  # an erase took files away meanwhile
    return con


def none_yet(store: Store) -> SetupError:
    """Nothing was ever committed there."""
    return SetupError(f"no snapshot in {store.root} yet: make one with: appstream-export run")


def _until(con: duckdb.DuckDBPyConnection, manifests: Sequence[Manifest], as_of: str) -> list[Manifest]:
    """The history up to a moment as users write it; raises BadQuery for what is none, and before the first."""
    from appstream_export.lake.catalog.views import MOMENT

    try:
        [(micros,)] = con.execute(f"select epoch_us({MOMENT}) from (select ? as t)", [as_of]).fetchall()  # noqa: S608
        moment = sql.moment(micros)
    except (duckdb.Error, OverflowError, TypeError) as error:
        like = "2026-01-31 (its end, UTC) or 2026-01-31T12:00Z"
        raise BadQuery(f'as of "{as_of}": not a time such as {like}') from error
    shown = until(manifests, moment)
    if not shown:
        first = min(manifest.committed_at for manifest in manifests)
        raise BadQuery(f"as of {moment:%Y-%m-%d %H:%M:%S}Z: there was no snapshot; the oldest is of {_iso(first)}")
    return shown


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _attached(con: duckdb.DuckDBPyConnection, store: Store, newest: Manifest) -> bool:
    """Use the published catalog if it shows this place and the head (or a newer one, published meanwhile)."""
    if not store.keeps_catalog or not store.exists(paths.CATALOG):
        return False
    with suppress(duckdb.Error):
        con.execute(f"attach {literal(store.uri(paths.CATALOG))} as warehouse (read_only)")
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
