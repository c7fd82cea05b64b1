"""Seals: the last line of a file is the SHA-256 of what stands before it.

For what is replaced whole and no manifest names: the catalog, `bi.duckdb`, `report.html`. DuckDB reads as many blocks
as a file's header counts, and a browser no comment, so that the line is in nobody's way.
"""

import hashlib
import re
from pathlib import Path

COMMENT = b"<!-- sha256 %b -->\n"
_LINE = b"sha256 %b\n"
_TRAILER = re.compile(rb"(?:<!-- )?sha256 ([0-9a-f]{64})(?: -->)?\n\Z")
_TRAILER_MAX_BYTES = len(COMMENT) + 64


def add_checksum(content: bytes, form: bytes = _LINE) -> bytes:
    """The content with its seal; `form` is for files that read a bare line as something else."""
    return content + form % hashlib.sha256(content).hexdigest().encode()


def append_file_checksum(file: Path) -> None:
    """Put the seal at the end of a file."""
    with file.open("r+b") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        content.write(_LINE % digest.encode())


def strip_checksum(content: bytes) -> bytes | None:
    """What was sealed; None where any byte has changed since, or none was."""
    found = _TRAILER.search(content, max(0, len(content) - _TRAILER_MAX_BYTES))
    if found is None:
        return None
    before = content[: found.start()]
    return before if hashlib.sha256(before).hexdigest().encode() == found[1] else None


def has_valid_checksum(content: bytes) -> bool:
    """Whether a file is as it was written, to the last byte."""
    return strip_checksum(content) is not None
