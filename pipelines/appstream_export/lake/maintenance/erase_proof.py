"""The proof of an erase: every file is decoded and searched for the account's id and for values of its rows.

A value counts only if neither a row of another account nor a text of the product itself contains it.
"""
# ruff: noqa: S608 - names come from the searched file, and are quoted by lake/duckdb.py

import base64
import errno
import gzip
import html
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import appstream_export
from appstream_export.lake.duckdb import open_duckdb, quote_identifier, quote_literal, stream_batches
from appstream_export.lake.maintenance.erased_list import HashedTexts, TextMatcher
from appstream_export.lake.snapshots import load_history, read_row_groups
from appstream_export.lake.storage import (
    CATALOG_FILE,
    HANDOVER_FOLDER,
    SCRATCH_FOLDER,
    Store,
    StoredObject,
    is_unfinished,
    translate_storage_errors,
)
from appstream_export.resources import find_resource_folder

UNLISTED_VERSIONS = "old versions that the bucket may retain: allow s3:ListBucketVersions, so that they can be searched"
NEVER = datetime.min.replace(tzinfo=UTC)
READERS = 8  # files searched at once
_HANDOVER_NOTE = "of a sharded run that has not committed: erase again after its commit, or after a day"
_VALUE_NOTE = "contains a value of an erased row"
_DRIFT = "drift"
_BATCH_ROWS = 10_240
_CODE = re.compile(rb"<(script|style)>.*?</\1>", re.DOTALL)  # of a page: code of the product and its libraries
_BLOCK = re.compile(rb'<script type="application/gzip"[^>]*>(.*?)</script>', re.DOTALL)  # compressed data of a page
_JSON_LEVELS = 3  # an item's JSON text, inside a message, inside another message
_JSON_ESCAPES = re.compile(r'(?:\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt]))+')


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Committed files in which rows of other accounts name an account, and other files that contain data of it."""

    mentions: tuple[str, ...]
    remaining: tuple[str, ...]


def find_account_files(
    store: Store, account_id: str, erased_at: datetime = NEVER, values: HashedTexts | None = None
) -> Leftovers:
    """Search every file for the account's id, and for `values` of its rows that no other account has.

    A file that cannot be searched counts as containing them; so does a database that is older than `erased_at`.
    """
    with translate_storage_errors(store):
        search = _Search(store, account_id, erased_at, TextMatcher(values or HashedTexts()))
        versions = store.list_old_versions()
        objects = (*store.list_all(), *(versions or ()))
        rows = [stored for stored in objects if stored.path in search.row_files and not stored.version]
        others = [stored for stored in objects if stored not in rows]
        with ThreadPoolExecutor(READERS) as pool:
            looked = dict(zip(rows, pool.map(search.find_in_rows, rows), strict=True))
            looked |= zip(others, pool.map(search.find_in_file, others), strict=True)
        # A text that another account has too is no trace of this one. This second pass reads rows only after a hit.
        hits = search.select_unheld_values({value for stored in others for value in looked[stored][1]}, rows)
    mentions = [stored.path for stored in objects if stored.path in search.committed and looked[stored][0]]
    remaining = [
        _format_stored_path(stored, has_id=looked[stored][0])
        for stored in objects
        if (looked[stored][0] and (stored.version or stored.path not in search.committed))
        or (stored in others and not hits.isdisjoint(looked[stored][1]))
    ]
    return Leftovers(tuple(mentions), (*remaining, *([UNLISTED_VERSIONS] if versions is None else [])))


@dataclass
class _Search:
    """One search. It returns, per file, whether the account's id is in it, and the hashes of the values that are."""

    store: Store
    account_id: str
    erased_at: datetime
    values: TextMatcher

    def __post_init__(self) -> None:
        manifests = load_history(self.store)
        self.committed = {file.path for manifest in manifests for file in manifest.files}
        drift = {f.path for m in manifests if _DRIFT in m.tables for f in m.tables[_DRIFT].files}
        self.row_files = self.committed - drift

    def find_in_rows(self, stored: StoredObject) -> tuple[bool, set[str]]:
        """Search a committed table file for the id: its values are those of other accounts."""
        content = self._read(stored)
        texts = () if content is None else _extract_texts(self.store, stored.path, content)
        return any(self._has_id(cells) for cells in texts), set()

    def find_in_file(self, stored: StoredObject) -> tuple[bool, set[str]]:
        """Search any other file."""
        content, found = self._read(stored), set[str]()
        if content is None:
            return False, found
        if is_unfinished(stored.path) or stored.path.startswith(f"{SCRATCH_FOLDER}/"):
            return bool(content), found  # compressed and incomplete: it cannot be searched
        has_id = self._is_old_database(stored)
        try:
            for cells in _extract_texts(self.store, stored.path, content):
                has_id = has_id or self._has_id(cells)
                found |= self.values.find_in(cells)
        except duckdb.Error:
            return True, found
        return has_id, found

    def select_unheld_values(self, values: set[str], rows: Iterable[StoredObject]) -> set[str]:
        """Return the values that neither the product's texts nor other accounts' rows contain."""
        left = values - self.values.find_in(_wrap(_load_product_text().encode())) if values else values
        for stored in rows:
            content = self._read(stored) if left else None
            for part in self._read_other_rows(stored.path, content) if content else ():
                for cells in (cells for column in _select_text_columns(part) for cells in _decode_cells(column)):
                    left -= self.values.find_in(cells)
        return left

    def _has_id(self, cells: pa.Array) -> bool:
        return bool(pc.any(pc.match_substring(cells, self.account_id)).as_py())

    def _read(self, stored: StoredObject) -> bytes | None:
        try:
            return self.store.read_version(stored)
        except FileNotFoundError:  # another process removed it
            return None

    def _read_other_rows(self, path: str, content: bytes) -> Iterator[pa.Table]:
        for part in read_row_groups(open_parquet_bytes(content, path)):
            is_whole = "account_id" not in part.schema.names
            yield part if is_whole else part.filter(pc.not_equal(part["account_id"], self.account_id))

    def _is_old_database(self, stored: StoredObject) -> bool:
        """Return whether free blocks of a database may contain erased rows, compressed. S3 rounds times to seconds."""
        is_database = stored.path.endswith(".duckdb") and stored.path != CATALOG_FILE  # which has only views
        return is_database and stored.changed_at + timedelta(seconds=1) < self.erased_at


def open_parquet_bytes(content: bytes, path: str) -> pq.ParquetFile:
    """Open a Parquet file for a search; raises OSError if it is not Parquet."""
    try:
        return pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise OSError(errno.EIO, f"not readable as Parquet ({str(error).splitlines()[0]})", path) from error


def _format_stored_path(stored: StoredObject, *, has_id: bool) -> str:
    if stored.version:
        return f"{stored.path} (version {stored.version}, which the bucket retains)"
    if stored.path.startswith(f"{HANDOVER_FOLDER}/"):
        return f"{stored.path} ({_HANDOVER_NOTE})"
    return stored.path if has_id else f"{stored.path} ({_VALUE_NOTE})"


def _extract_texts(store: Store, path: str, content: bytes) -> Iterator[pa.Array]:
    """Yield everything in a file as text: its bytes, and its columns or members, decoded."""
    if path.endswith(".parquet"):
        yield from _extract_parquet_texts(path, content)
    elif path.endswith(".duckdb"):
        yield _wrap(content)
        yield from _extract_database_texts(store, content)
    elif path.endswith((".zip", ".xlsx")):
        with zipfile.ZipFile(io.BytesIO(content)) as folder:
            for name in folder.namelist():
                yield from _extract_texts(store, name, folder.read(name))
    elif path.endswith(".html"):
        yield from _extract_page_texts(content)
    else:
        yield from map(_wrap, _decode_escapes(content))


def _extract_page_texts(content: bytes) -> Iterator[pa.Array]:
    """Yield a page without the product's code, and the compressed data in it."""
    yield from map(_wrap, _decode_escapes(_BLOCK.sub(b"", _CODE.sub(b"", content))))
    for block in _BLOCK.finditer(content):
        yield from map(_wrap, _decode_escapes(gzip.decompress(base64.b64decode(block[1]))))


def _wrap(content: bytes) -> pa.Array:
    return pa.array([content], pa.large_binary())


def _decode_escapes(content: bytes) -> Iterator[bytes]:
    """Yield the bytes, and the bytes without the escapes of HTML, CSV and JSON."""
    yield content
    text = content.decode("utf-8", "replace")
    for decoded in (html.unescape(text), text.replace('""', '"')):
        if decoded != text:
            yield decoded.encode("utf-8", "replace")
    yield from _decode_json_escapes(text)


def _decode_json_escapes(text: str) -> Iterator[bytes]:
    """Yield the text without the escapes of JSON, and of JSON inside JSON."""
    for _ in range(_JSON_LEVELS):
        text, before = _JSON_ESCAPES.sub(_decode_json_escape, text), text
        if text == before:
            return
        yield text.encode("utf-8", "replace")


def _decode_cells(cells: pa.Array) -> Iterator[pa.Array]:
    """Yield the cells, and cells with JSON escapes in decoded form."""
    yield cells
    escaped = cells.filter(pc.fill_null(pc.match_substring(cells, "\\"), False)).to_pylist()
    if decoded := [text for cell in escaped for text in _decode_json_escapes(cell)]:
        yield pa.array(decoded, pa.large_binary())


def _decode_json_escape(found: re.Match[str]) -> str:
    return json.loads(f'"{found[0]}"')


def _extract_parquet_texts(path: str, content: bytes) -> Iterator[pa.Array]:
    """Yield the bytes (with the statistics), the metadata, and whole dictionaries, unused entries included."""
    yield _wrap(content)
    schema = open_parquet_bytes(content, path).schema_arrow
    metadata = [schema.metadata or {}, *(f.metadata or {} for f in schema)]
    yield pa.array([text for found in metadata for pair in found.items() for text in pair], pa.large_binary())
    # Read as dictionaries: an entry that no row uses any more is still in the file.
    names = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True, read_dictionary=names)
    for number in range(file.num_row_groups):
        for column in file.read_row_group(number, names).columns:
            for chunk in column.chunks:
                yield from _decode_cells(chunk.dictionary)


def _select_text_columns(part: pa.Table) -> Iterator[pa.Array]:
    return (pc.unique(column) for column in part.columns if pa.types.is_string(column.type))


def _extract_database_texts(store: Store, content: bytes) -> Iterator[pa.Array]:
    """Yield each text column of each table of a DuckDB file, and its views and comments; raises duckdb.Error."""
    # A copy: the content may come from S3 or a ZIP file, and DuckDB 1.4 refuses a file that this process has open.
    with NamedTemporaryFile(suffix=".duckdb") as copy, closing(open_duckdb(store)) as con:
        copy.write(content)
        copy.flush()
        con.execute(f"attach {quote_literal(copy.name)} as looked (read_only)")
        columns = con.execute(
            "select schema_name, table_name, column_name from duckdb_columns() join duckdb_tables()"
            " using (database_name, schema_name, table_name) where database_name = 'looked'"
            " and (data_type like '%VARCHAR%' or data_type = 'JSON')"
        ).fetchall()
        said = [
            f"select {text} from {function}() where database_name = 'looked' and {text} is not null"
            for function, text in (("duckdb_views", "sql"), ("duckdb_tables", "comment"), ("duckdb_columns", "comment"))
        ]
        for schema, table, column in columns:
            place = ".".join(quote_identifier(name) for name in ("looked", schema, table))
            said.append(f"select distinct {quote_identifier(column)}::varchar from {place}")
        for sql in said:
            for batch in stream_batches(con, sql, _BATCH_ROWS):
                yield from _decode_cells(batch.column(0))


@cache
def _load_product_text() -> str:
    """Return every text that the product ships: to find one of them in a page or a catalog proves nothing."""
    folders = (
        Path(next(iter(appstream_export.__path__))),
        find_resource_folder("schemas"),
        find_resource_folder("sql"),
    )
    kinds = (".py", ".sql", ".toml", ".html", ".css", ".js")
    return "\n".join(
        file.read_text("utf-8", "replace")
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.suffix in kinds
    )
