"""Read which snapshot a published DuckDB file shows: the catalog, or the database of feeds."""

import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager

import duckdb

from appstream_export.errors import StorageFailed
from appstream_export.lake.duckdb import lock_to_files, open_duckdb, quote_literal
from appstream_export.lake.storage import CATALOG_FILE, Store, find_commit_seq, find_snapshot_id, read_checked_tail


def load_catalog_seq(store: Store) -> int | None:
    """Return the seq of the commit that the published catalog shows, or None if there is no catalog.

    Raises StorageFailed if it is damaged or cannot be read.
    """
    # Its last line names the commit: DuckDB would take 30 MB, which a sweep then holds besides its own.
    if store.exists(CATALOG_FILE) and (named := find_commit_seq(read_checked_tail(store, CATALOG_FILE))) is not None:
        return named
    value = _fetch_value(store, CATALOG_FILE, "select seq from published.lake.shows")
    return None if value is None else int(str(value))


def load_feeds_database_snapshot_id(store: Store, path: str) -> str | None:
    """Return the id of the snapshot that a database of feeds shows, or None if there is no such file.

    Raises StorageFailed if it is damaged or cannot be read.
    """
    # A query would download the whole file from a bucket, and take longer than the rest of `status` in a folder.
    if store.exists(path) and (named := find_snapshot_id(read_checked_tail(store, path))):
        return named
    value = _fetch_value(store, path, "select snapshot_id from published.feed_status limit 1")
    return None if value is None else str(value)


def _fetch_value(store: Store, path: str, query: str) -> object:
    """Return the single value of a query on a DuckDB file, or None if there is no such file."""
    if not store.exists(path):
        return None
    place = store.resolve_uri(path)
    with closing(open_duckdb(store)) as con, _provide_local_file(store, path) as file:
        try:
            con.execute(f"attach {quote_literal(file)} as published (read_only)")
            lock_to_files(con)
            [(value,)] = con.execute(query).fetchall()
        except (duckdb.Error, ValueError) as error:
            raise StorageFailed(f"{place} cannot be read: {str(error).splitlines()[0]}") from error
        finally:
            con.close()
    return value


@contextmanager
def _provide_local_file(store: Store, path: str) -> Generator[str]:
    """Yield the file's local path; for a bucket that of a copy, because DuckDB cannot attach s3:// without extensions.

    In a bucket only files published by version 0.3 are read this way: their trailers do not name the snapshot.
    """
    if "://" not in (place := store.resolve_uri(path)):
        yield place
        return
    with tempfile.NamedTemporaryFile(dir=store.scratch, suffix=".duckdb") as copy:
        copy.write(store.read_bytes(path))
        copy.flush()
        yield copy.name
