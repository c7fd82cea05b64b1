"""Sweeps in one file, for programs that read the whole history: in this form, a manifest is read five times as fast.

All manifests of a release have the same columns, which are most of their text. Here they are written once.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec
from msgspec import Struct

from appstream_export.lake.snapshots.manifest import (
    ColumnName,
    ColumnType,
    FileEntry,
    Manifest,
    RowCount,
    Sha256,
    TableFiles,
    find_flaws,
)


class _EncodedSweep(Struct, frozen=True, array_like=True, gc=False):
    """A manifest without its tables, and these: name, place of the columns, and files (path, rows, bytes, SHA-256)."""

    bare: Manifest
    tables: list[tuple[ColumnName, RowCount, list[tuple[str, RowCount, RowCount, Sha256]]]]


class _EncodedHistory(Struct, frozen=True, array_like=True):
    columns: list[dict[ColumnName, ColumnType]]
    sweeps: list[_EncodedSweep]


def encode_history(sweeps: Sequence[Manifest]) -> bytes:
    """Return manifests in one document, for `decode_history`."""
    columns, encoded = list[dict[str, str]](), list[_EncodedSweep]()
    for sweep in sweeps:
        tables = []
        for name, table in sweep.tables.items():
            if table.columns not in columns:
                columns.append(table.columns)
            files = [(file.path, file.rows, file.bytes, file.sha256) for file in table.files]
            tables.append((name, columns.index(table.columns), files))
        encoded.append(_EncodedSweep(msgspec.structs.replace(sweep, tables={}), tables))
    return msgspec.msgpack.encode(_EncodedHistory(columns, encoded))


@lru_cache(maxsize=1)  # the stages of a run read the same
def decode_history(content: bytes) -> tuple[Manifest, ...]:
    """Return the manifests that `encode_history` encoded; none if any value has not the form that manifests have."""
    try:
        history = msgspec.msgpack.decode(content, type=_EncodedHistory)
        found = tuple(_build_manifest(encoded, history.columns) for encoded in history.sweeps)
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError):
        return ()
    return () if any(True for sweep in found for _ in find_flaws(sweep)) else found


def _build_manifest(encoded: _EncodedSweep, columns: Sequence[dict[str, str]]) -> Manifest:
    tables = {
        name: TableFiles(
            files=[FileEntry(path=path, rows=rows, bytes=size, sha256=digest) for path, rows, size, digest in files],
            columns=columns[place],
        )
        for name, place, files in encoded.tables
    }
    return msgspec.structs.replace(encoded.bare, tables=tables)
