"""A seal: the last line of a file that can be made anew, telling whether what stands before it is as it was written."""

import os
from hashlib import file_digest, sha256
from pathlib import Path

PLAIN = "sha256 {}\n"
"""After DuckDB's blocks, of which it reads as many as the file's header counts."""
HTML = "<!-- sha256 {} -->\n"


def seal(content: bytes, form: str = PLAIN) -> bytes:
    """What is to be appended to it."""
    return form.format(sha256(content).hexdigest()).encode()


def append_seal(file: Path) -> None:
    """Seal a file that is written to its end; it may be larger than memory."""
    with file.open("r+b") as opened:
        line = PLAIN.format(file_digest(opened, "sha256").hexdigest())
        opened.seek(0, os.SEEK_END)
        opened.write(line.encode())


def is_sealed(content: bytes, form: str = PLAIN) -> bool:
    """Whether not one byte has changed, of the seal neither."""
    length = len(seal(b"", form))
    return content[-length:] == seal(content[:-length], form)
