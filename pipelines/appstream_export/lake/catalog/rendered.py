"""Connections for publishing and checking: they use only rendered views, and files that manifests name.

A planted view shows a reader a wrong table. In a publisher it would do more harm: it could read any file with the
rights of the export, and the result would be published. So a published catalog is used only after each of its objects
was compared, and only as a private copy that cannot change meanwhile; otherwise the views are created in memory. The
checks, feeds and report of a run open the same catalog: by its SHA-256, this process compares it only once.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from tempfile import NamedTemporaryFile, TemporaryDirectory

import duckdb

from appstream_export.contracts import Contract
from appstream_export.errors import StorageFailed
from appstream_export.lake.catalog.compaction import compact_histories, list_readable_files
from appstream_export.lake.catalog.connect import has_shows_table, load_existing_history
from appstream_export.lake.catalog.definitions import (
    Definition,
    find_altered_objects,
    list_different_objects,
    load_definitions,
)
from appstream_export.lake.catalog.file import (
    create_views,
    is_compared_catalog,
    read_published_catalog,
    record_compared_catalog,
    resolve_reader_root,
    strip_views_digest,
)
from appstream_export.lake.catalog.kept_parts import KeptParts
from appstream_export.lake.catalog.stored_form import attach_for_writing
from appstream_export.lake.catalog.views import build_commits_query
from appstream_export.lake.duckdb import lock_to_files, open_duckdb, quote_literal
from appstream_export.lake.snapshots import Manifest, load_head
from appstream_export.lake.storage import Store


def connect_as_rendered(
    store: Store,
    contracts: Sequence[Contract],
    *,
    folders: Iterable[str] = (),
    options: Iterable[str] = (),
    kept: KeptParts | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open a locked connection to the head, with views equal to those that this version renders.

    It may read the files that queries of publishers need, and may read and write below `folders`. `options` are
    settings of DuckDB, such as `threads = 1`. With `kept`, it reads histories from these parts (compaction.py), which
    are written if they are missing. Raises ConfigurationError before the first snapshot.
    """
    while True:
        manifests, con = load_existing_history(store), open_duckdb(store)
        if _attach_equal_catalog(con, store, contracts, manifests):
            break
        try:
            create_views(con, contracts, manifests, store.resolve_uri(), is_commented=False)
            break
        except StorageFailed:
            con.close()
            newest = load_head(store)
            if newest is None or newest.seq == manifests[-1].seq:
                raise
            # A new commit, such as an erase, has removed files meanwhile: try again with its history.
    for option in options:
        con.execute(f"set {option}")
    compacted: Mapping[str, list[str]] = {}
    if kept is not None:
        kept.show_history(manifests)
        compacted = compact_histories(con, contracts, manifests, kept)
    paths = list_readable_files(contracts, manifests, compacted)
    root = store.resolve_uri().rstrip("/")
    lock_to_files(con, (f"{root}/{path}" for path in paths), folders=folders)
    return con


@dataclass(frozen=True, slots=True)
class CatalogComparison:
    """The differences between a published catalog and the one that this version renders."""

    altered: tuple[str, ...]
    """Names of objects that differ, are missing, or should not exist."""
    is_alike: bool
    """True if its digest says that this version of the program, with these contracts and this DuckDB, published it."""
    root: str
    """The location at which its views read files."""
    is_root_expected: bool


def compare_published_catalog(
    store: Store, contracts: Sequence[Contract], *, root: str | None = None
) -> CatalogComparison:
    """Compare the published catalog, which must show the head, with the views of this version.

    `root` is the path at which readers see the warehouse, if it differs. Raises duckdb.Error if it is unreadable.
    """
    manifests, content = load_existing_history(store), read_published_catalog(store)
    is_alike = bool(strip_views_digest(content, contracts, manifests))
    with closing(open_duckdb(store)) as con, closing(open_duckdb(store)) as rendered:
        _attach_copy(con, content)
        if not has_shows_table(con):
            return CatalogComparison(("lake.shows",), is_alike=is_alike, root="", is_root_expected=True)
        [(shown,)] = con.execute("select root from warehouse.lake.shows").fetchall()
        expected_root = resolve_reader_root(rendered, store, manifests, root)
        altered = find_altered_objects(con, "warehouse", contracts, manifests, shown)
        if altered and shown == expected_root:
            # Binding changes some SQL, too: only objects that differ from created ones were altered.
            created = _create_definitions(rendered, contracts, manifests, shown)
            altered = list_different_objects(load_definitions(con, "warehouse"), created)
        if not altered and not _has_equal_tables(con, store, manifests, shown):
            altered = ["lake.commits"]
    return CatalogComparison(tuple(altered), is_alike, shown, shown == expected_root)


def _create_definitions(
    con: duckdb.DuckDBPyConnection, contracts: Sequence[Contract], manifests: Sequence[Manifest], root: str
) -> set[Definition]:
    """Return all objects of a catalog that is created now, as DuckDB prints them from its file."""
    with TemporaryDirectory() as folder:
        file = f"{folder}/warehouse.duckdb"
        with attach_for_writing(con, file):
            con.execute("use warehouse")
            create_views(con, contracts, manifests, root, is_commented=False)
        con.execute(f"attach {quote_literal(file)} as warehouse (read_only)")
        return load_definitions(con, "warehouse")


def _has_equal_tables(con: duckdb.DuckDBPyConnection, store: Store, manifests: Sequence[Manifest], root: str) -> bool:
    """Return whether the catalog's two tables match the manifests."""
    shows = con.execute("select seq, digest, root from warehouse.lake.shows").fetchall()
    table, query = "from warehouse.lake.commits", build_commits_query(manifests, store.resolve_uri)
    different = f"({table} except all {query}) union all ({query} except all {table})"
    [(count,)] = con.execute(f"select count(*) from ({different})").fetchall()  # noqa: S608  of views.py
    return shows == [(manifests[-1].seq, manifests[-1].digest, root)] and not count


def _attach_copy(con: duckdb.DuckDBPyConnection, content: bytes) -> None:
    # A private copy, because another process could change the published file after the comparison. DuckDB holds the
    # file open, so that it may be removed at once.
    with NamedTemporaryFile(suffix=".duckdb") as copy:
        copy.write(content)
        copy.flush()
        con.execute(f"attach {quote_literal(copy.name)} as warehouse (read_only)")


def _attach_equal_catalog(
    con: duckdb.DuckDBPyConnection, store: Store, contracts: Sequence[Contract], manifests: Sequence[Manifest]
) -> bool:
    """Attach a copy of the published catalog if all its objects equal the rendered ones; return whether."""
    content = strip_views_digest(read_published_catalog(store), contracts, manifests) if store.has_catalog_file else b""
    if not content:
        return False
    root = store.resolve_uri()
    with suppress(duckdb.Error, OSError):
        _attach_copy(con, content)
        if is_compared_catalog(content, contracts, manifests, root) or (
            not find_altered_objects(con, "warehouse", contracts, manifests, root)
            and _has_equal_tables(con, store, manifests, root)
        ):
            record_compared_catalog(content, contracts, manifests, root)
            con.execute("use warehouse")
            return True
    with suppress(duckdb.Error):
        con.execute("detach warehouse")
    return False
