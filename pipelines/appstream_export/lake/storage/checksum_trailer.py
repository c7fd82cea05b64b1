"""Checksum trailers: the last line of a file is the SHA-256 of everything before it, the line before its snapshot.

For files that are replaced whole and that no manifest names: the catalog, `bi.duckdb`, `report.html`. DuckDB reads as
many blocks as a file's header counts, and a browser does not show comments, so the line disturbs neither.
"""

import hashlib
import os
import re
from pathlib import Path

HTML_TRAILER = b"<!-- sha256 %b -->\n"
_PLAIN_TRAILER = b"sha256 %b\n"
_TRAILER = re.compile(rb"(?:<!-- )?sha256 ([0-9a-f]{64})(?: -->)?\n\Z")
_TRAILER_MAX_BYTES = len(HTML_TRAILER) + 64
_SNAPSHOT_LINE = b"snapshot %b\n"
_SNAPSHOT = re.compile(rb"^(?:<!-- )?snapshot (\w{26})(?: -->)?\n\Z", re.MULTILINE | re.ASCII)
TAIL_BYTES = 512
"""Enough of a file's end to hold its trailer."""


def add_checksum(content: bytes, form: bytes = _PLAIN_TRAILER) -> bytes:
    """Return the content with its trailer; `form` is the trailer's form, for files in which a bare line is content."""
    return content + form % hashlib.sha256(content).hexdigest().encode()


def append_file_checksum(file: Path, *, snapshot_id: str | None = None) -> None:
    """Append the trailer to a file, with the snapshot that it shows where that is given."""
    with file.open("r+b") as content:
        if snapshot_id is not None:
            content.seek(0, os.SEEK_END)
            content.write(_SNAPSHOT_LINE % snapshot_id.encode())
            content.seek(0)
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        content.write(_PLAIN_TRAILER % digest.encode())


def find_snapshot_id(tail: bytes) -> str | None:
    """Return the snapshot that the trailer at the end of `tail` names; None where it names none."""
    found = _TRAILER.search(tail)
    named = _SNAPSHOT.search(tail[: found.start()]) if found else None
    return named[1].decode() if named else None


def strip_checksum(content: bytes) -> bytes | None:
    """Return the content without its trailer; None where any byte has changed since, or there is no trailer."""
    found = _TRAILER.search(content, max(0, len(content) - _TRAILER_MAX_BYTES))
    if found is None:
        return None
    before = content[: found.start()]
    return before if hashlib.sha256(before).hexdigest().encode() == found[1] else None


def has_valid_checksum(content: bytes) -> bool:
    """Return whether a file is as it was written, to the last byte."""
    return strip_checksum(content) is not None
