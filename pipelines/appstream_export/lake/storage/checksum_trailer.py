"""Checksum trailers: the last line of a file is the SHA-256 of everything before it.

For files that are replaced whole and that no manifest names: the catalog, `bi.duckdb`, `report.html`. DuckDB reads as
many blocks as a file's header counts, and a browser does not show comments, so the line disturbs neither.
"""

import hashlib
import re
from pathlib import Path

HTML_TRAILER = b"<!-- sha256 %b -->\n"
_PLAIN_TRAILER = b"sha256 %b\n"
_TRAILER = re.compile(rb"(?:<!-- )?sha256 ([0-9a-f]{64})(?: -->)?\n\Z")
_TRAILER_MAX_BYTES = len(HTML_TRAILER) + 64


def add_checksum(content: bytes, form: bytes = _PLAIN_TRAILER) -> bytes:
    """Return the content with its trailer; `form` is the trailer's form, for files in which a bare line is content."""
    return content + form % hashlib.sha256(content).hexdigest().encode()


def append_file_checksum(file: Path) -> None:
    """Append the trailer to a file."""
    with file.open("r+b") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        content.write(_PLAIN_TRAILER % digest.encode())


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
