"""Parquet files: zstd, sorted rows, small row groups, column docs and page checksums."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from appstream_export.contracts import SNAPSHOT_ID, Table, build_arrow_schema
from appstream_export.errors import StorageFailed
from appstream_export.lake.snapshots.epoch import convert_epoch_us
from appstream_export.lake.snapshots.manifest import FileEntry
from appstream_export.lake.storage import Store, SupportsOutput

ROW_GROUP_ROWS = 10_240  # five DuckDB vectors; 8,000 to 16,000 measured best for readers of few scopes

BUFFER_BYTES = 256 * 1024
"""Size of the write buffer. Arrow writes page by page, and each write into Python may have to wait for the GIL."""

_ID_FIELD = pa.field(SNAPSHOT_ID.name, pa.string(), metadata={"comment": SNAPSHOT_ID.doc})


@dataclass(frozen=True, slots=True)
class HistoryFile:
    """A file of a history, the id of the snapshot of its rows (None if it is a column), and columns (None if all)."""

    snapshot_id: str | None
    path: str
    columns: tuple[str, ...] | None = None


def get_sort_columns(table: Table) -> tuple[str, ...]:
    """Return the columns by which a table's files are sorted: its key, or the scope if rows have no key."""
    leading = (c.name for c in table.columns if c.name in ("resource", "account_id", "region"))
    return table.key or tuple(leading)


def write_table_file(store: Store, path: str, table: Table, parts: Iterable[pa.Table]) -> FileEntry:
    """Write one file from sorted parts; without parts, the file has no rows."""
    return write_rows(store, path, build_arrow_schema(table), parts)


def write_rows(store: SupportsOutput, path: str, schema: pa.Schema, parts: Iterable[pa.Table]) -> FileEntry:
    """Write one file with this schema; each part begins a row group."""
    rows = 0
    with store.open_output(path) as output:
        with (
            pa.BufferedOutputStream(pa.PythonFile(output, "w"), BUFFER_BYTES) as buffer,
            pq.ParquetWriter(buffer, schema, compression="zstd", write_page_checksum=True) as writer,
        ):
            for part in parts:
                chosen = part.select(schema.names)
                is_expected = chosen.schema.equals(schema, check_metadata=True)
                writer.write_table(chosen if is_expected else chosen.cast(schema), row_group_size=ROW_GROUP_ROWS)
                rows += part.num_rows
                del part  # frees its memory before the next part is built
        return FileEntry(path=path, rows=rows, bytes=output.size, sha256=output.sha256)


def open_parquet_file(store: Store, path: str) -> pq.ParquetFile:
    """Open a file of the lake; reads verify page checksums."""
    return pq.ParquetFile(pa.BufferReader(store.read_bytes(path)), page_checksum_verification=True)


def read_rows(store: Store, path: str, schema: pa.Schema) -> pa.Table:
    """Return these columns of a whole file; missing ones (of older files) are null. Raises StorageFailed if damaged."""
    try:
        rows = open_parquet_file(store, path).read(schema.names)
        columns = [rows[f.name] if f.name in rows.column_names else pa.nulls(rows.num_rows, f.type) for f in schema]
        return pa.table(columns, names=schema.names).cast(schema)
    except pa.ArrowException as error:
        raise StorageFailed(f"{store.resolve_uri(path)}: {str(error).splitlines()[0]}") from error


def build_records(rows: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of a table as dicts, times in UTC. `to_pylist` alone takes six times as long for times."""
    times = [field.name for field in rows.schema if pa.types.is_timestamp(field.type)]
    fields = [pa.field(f.name, pa.int64()) if f.name in times else f for f in rows.schema]
    found = rows.cast(pa.schema(fields)).to_pylist()
    for row in found:
        for name in times:
            if (micros := row[name]) is not None:
                row[name] = convert_epoch_us(micros)
    return found


def read_row_groups(file: pq.ParquetFile, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of a file, one row group at a time, with all columns or with these."""
    return (file.read_row_group(n, columns) for n in range(file.num_row_groups))


def write_history_rows(
    store: Store, path: str, files: Iterable[HistoryFile], target: SupportsOutput | None = None
) -> FileEntry:
    """Write one file with the rows of files of several snapshots, which have the same columns, and their snapshot ids.

    It is written to `target` if that is another place. Raises OSError or pa.ArrowException if a file is damaged, or if
    no file has rows.
    """
    parts = combine_small_parts(part for file in files for part in _read_history_rows(store, file))
    first = next(parts, None)
    if first is None:
        raise pa.ArrowInvalid("its files have no rows")
    return write_rows(target or store, path, first.schema, _chain_parts(first, parts))


def _read_history_rows(store: Store, file: HistoryFile) -> Iterator[pa.Table]:
    """Yield the chosen columns of a file's rows, the id of the snapshot first."""
    for part in read_row_groups(open_parquet_file(store, file.path), file.columns):
        if file.snapshot_id is None:
            yield part
        else:
            ids = pa.repeat(pa.scalar(file.snapshot_id), part.num_rows)
            yield part.add_column(0, _ID_FIELD, ids)


def _chain_parts(first: pa.Table, rest: Iterator[pa.Table]) -> Iterator[pa.Table]:
    yield first
    for part in rest:
        yield part.select(first.schema.names).cast(first.schema)  # column docs may have changed since


def skip_empty_parts(parts: Iterable[pa.Table]) -> Iterator[pa.Table] | None:
    """Return the parts that have rows, or None if none has any. No part stays in memory while the next one is built."""
    found = filter(len, parts)  # not a generator, which would keep a reference to its last part
    for first in found:
        return chain(iter([first]), found)  # an iterator, because chain would keep a list and its part
    return None


def combine_small_parts(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows in parts of at least one full row group; the last may be smaller."""
    pending: list[pa.Table] = []
    for part in parts:
        pending.append(part)
        if sum(p.num_rows for p in pending) >= ROW_GROUP_ROWS:
            yield pa.concat_tables(pending)
            pending = []
    if pending:
        yield pa.concat_tables(pending)
