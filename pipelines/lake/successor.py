"""Database files that follow one another under one name, whoever opens them meanwhile: the catalog, `bi.duckdb`.

A DuckDB that opens a file reads its header, then opens it again for the rest. So a reader may hold the header of one
file and have the next one before it. That does no harm where the next began as a copy: its single checkpoint wrote
beside the blocks in use, so that such a reader finds the whole of the file before.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import duckdb

from pipelines.lake.seal import seal, unsealed

STORAGE_VERSION = "v1.4.0"  # the oldest DuckDB that we support can open the file
_FORM = re.compile(rb"form ([0-9a-f]{64})\n\Z")  # before the seal
_FORM_BYTES = 70


def form_of(parts: Iterable[str]) -> str:
    """A digest of what a file is made of besides what changes each time, and of the DuckDB that makes it."""
    return hashlib.sha256("\n".join((duckdb.__version__, STORAGE_VERSION, *parts)).encode()).hexdigest()


def begun(earlier: bytes, form: str) -> bytes:
    """What the next file begins as: the earlier one, if it is whole and has that form; else nothing."""
    content = unsealed(earlier) or b""
    found = _FORM.search(content[-_FORM_BYTES:])
    return content[:-_FORM_BYTES] if found and found[1].decode() == form else b""


def finish(file: Path, beginning: bytes, form: str) -> None:
    """Put back the blocks that DuckDB cut off at the end, though an earlier header names them; tell the form; seal."""
    with file.open("ab") as end:
        end.write(beginning[end.tell() :])
        end.write(f"form {form}\n".encode())
    seal(file)
