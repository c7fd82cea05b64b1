"""Checksum trailers: the last line of a file is the SHA-256 of all bytes before it.

An optional line before the trailer names the snapshot or the commit that the file shows. Trailers are for files that
are replaced whole and that no manifest lists: the catalog, `bi.duckdb` and `report.html`. DuckDB reads only the blocks
that the file's header counts, and a browser does not show comments, so neither is affected.
"""

import hashlib
import os
import re
from pathlib import Path

from appstream_export.errors import StorageFailed
from appstream_export.lake.storage.base import Store

HTML_TRAILER = b"<!-- sha256 %b -->\n"
_PLAIN_TRAILER = b"sha256 %b\n"
_TRAILER = re.compile(rb"(?:<!-- )?sha256 ([0-9a-f]{64})(?: -->)?\n\Z")
_TRAILER_MAX_BYTES = len(HTML_TRAILER) + 64
_SNAPSHOT_LINE = b"snapshot %b\n"
_SNAPSHOT = re.compile(rb"^(?:<!-- )?snapshot (\w{26})(?: -->)?\n\Z", re.MULTILINE | re.ASCII)
_COMMIT_LINE = b"commit %d\n"
_COMMIT = re.compile(rb"^commit (\d{1,12})\n\Z", re.MULTILINE)
TAIL_BYTES = 512
"""Enough of a file's end to hold its trailer."""
_PIECE_BYTES = 256 * 1024  # read at a time: a database of feeds may be larger than memory


def add_checksum(content: bytes, form: bytes = _PLAIN_TRAILER) -> bytes:
    """Return the content with its trailer; `form` is the trailer's template, such as HTML_TRAILER."""
    return content + form % hashlib.sha256(content).hexdigest().encode()


def append_file_checksum(file: Path, *, snapshot_id: str | None = None, seq: int | None = None) -> None:
    """Append the trailer to a file, after a line with `snapshot_id`, or with a commit's `seq`, if one is given."""
    with file.open("r+b") as content:
        if seq is not None:
            content.seek(0, os.SEEK_END)
            content.write(_COMMIT_LINE % seq)
            content.seek(0)
        if snapshot_id is not None:
            content.seek(0, os.SEEK_END)
            content.write(b"\n" + _SNAPSHOT_LINE % snapshot_id.encode())  # DuckDB's file does not end with a line
            content.seek(0)
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        content.write(_PLAIN_TRAILER % digest.encode())  # file_digest has read to the end of the file


def find_snapshot_id(tail: bytes) -> str | None:
    """Return the id of the snapshot that the trailer at the end of `tail` names, or None."""
    found = _TRAILER.search(tail)
    named = _SNAPSHOT.search(tail[: found.start()]) if found else None
    return named[1].decode() if named else None


def find_commit_seq(tail: bytes) -> int | None:
    """Return the seq of the commit that the trailer at the end of `tail` names, or None."""
    found = _TRAILER.search(tail)
    named = _COMMIT.search(tail[: found.start()]) if found else None
    return int(named[1]) if named else None


def strip_checksum(content: bytes) -> bytes | None:
    """Return the content without its trailer; None if a byte was changed or the trailer is missing."""
    found = _TRAILER.search(content, max(0, len(content) - _TRAILER_MAX_BYTES))
    if found is None:
        return None
    before = content[: found.start()]
    return before if hashlib.sha256(before).hexdigest().encode() == found[1] else None


def has_valid_checksum(content: bytes) -> bool:
    """Return whether a file's content matches its trailer."""
    return strip_checksum(content) is not None


def has_valid_file_checksum(file: Path) -> bool:
    """Return whether a file's content matches its trailer, read in pieces; raises FileNotFoundError."""
    with file.open("rb") as content:
        size = content.seek(0, os.SEEK_END)
        start = content.seek(max(0, size - _TRAILER_MAX_BYTES))
        found = _TRAILER.search(content.read())
        if found is None:
            return False
        left, digest = start + found.start(), hashlib.sha256()
        content.seek(0)
        while left and (piece := content.read(min(left, _PIECE_BYTES))):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest().encode() == found[1]


def read_checked_tail(store: Store, path: str) -> bytes:
    """Return the end of a file, which holds its trailer; raises StorageFailed if the file does not match the trailer.

    Of a bucket's object only the end is read: objects appear whole, and these may be large.
    """
    place, tail = store.resolve_uri(path), store.read_tail(path, TAIL_BYTES)
    if "://" not in place and _TRAILER.search(tail) and not has_valid_file_checksum(Path(place)):
        raise StorageFailed(f"{place} is damaged: it does not match its checksum")
    return tail
