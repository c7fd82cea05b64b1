"""The storage port: every file operation of the lake goes through one class, so that tests can fail each of them.

A file appears complete or not at all; local.py ensures that in a folder, s3.py in a bucket. Creating a manifest only
if it is absent is what commits a snapshot.
"""

import hashlib
import io
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from appstream_export.errors import ConfigurationError, StorageFailed


class FixableOSError(OSError):
    """An OSError with a fix: separate in `message` and `fix`, combined in `strerror`.

    DuckDB passes on only the text of an exception, so the text must include the fix.
    """

    def __init__(self, number: int, message: str, where: str, *, fix: str) -> None:
        super().__init__(number, f"{message}; {fix}", where)
        self.message, self.fix = message, fix


def describe_os_error(error: OSError) -> tuple[str, str | None]:
    """Return the problem in one line, and its fix if the storage knows one."""
    if isinstance(error, FixableOSError):
        return error.message, error.fix
    place = error.filename if isinstance(error, PermissionError) else None
    is_local = isinstance(place, str) and "://" not in place
    return error.strerror or " ".join(str(error).split()), _suggest_permission(place) if is_local else None


def _suggest_permission(place: str) -> str:
    """Return the permission that this user lacks on a path, or on the folder above it that blocks the way."""
    path = Path(place)
    for folder in reversed(path.absolute().parents):
        if folder.exists() and not os.access(folder, os.X_OK):
            return f"give this user execute permission on the folder {folder}"
    if path.exists() and not os.access(path, os.R_OK):
        return f"give this user read permission on {path}"
    return f"give this user write permission on {path if path.exists() else path.absolute().parent}"


class SupportsWrite(Protocol):
    """The target of a HashingWriter; each `write` accepts all bytes."""

    def write(self, content: bytes | bytearray | memoryview, /) -> int:
        """Write the content and return its size."""
        ...


class HashingWriter(io.RawIOBase):
    """A file being written, with the count and the hash of its bytes so far."""

    def __init__(self, file: SupportsWrite) -> None:
        self._file, self._sha256, self.size = file, hashlib.sha256(), 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, content: bytes | bytearray | memoryview) -> int:  # ty: ignore[incompatible-method-override]
        """Write all of the content, count and hash it, and return its size."""
        self._sha256.update(content)
        self.size += len(content)
        return self._file.write(content)

    @property
    def sha256(self) -> str:
        """SHA-256 of everything written so far, in hex."""
        return self._sha256.hexdigest()


class SupportsOutput(Protocol):
    """A place in which files can be written; a store is one."""

    def open_output(self, path: str) -> AbstractContextManager[HashingWriter]:
        """Write a new file."""
        ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A file found in a warehouse, whatever wrote it."""

    path: str
    size_bytes: int
    changed_at: datetime
    version: str | None = None
    """The version or upload id, if the bucket has several under this name."""


class Store(Protocol):
    """The storage operations that the lake needs. Paths are relative to the warehouse's root, with `/`.

    They raise OSError if the storage fails, and FileNotFoundError if a file is missing.
    """

    has_catalog_file: bool
    """True if the warehouse has a file `warehouse.duckdb`; without it each reader creates the views in memory."""
    file_mode: int
    """Mode of files; the write bits are dropped, because no file changes after it appears."""

    @property
    def root(self) -> Path | str:
        """The location of the warehouse, as users write it."""
        ...

    @property
    def scratch(self) -> str:
        """A folder on this machine where DuckDB may spill."""
        ...

    def resolve_uri(self, path: str = "") -> str:
        """Return the name under which DuckDB finds a path; by default that of the root."""
        ...

    def get_filesystem(self) -> Any | None:
        """Return the filesystem that DuckDB must register to read a URI of the store; None if it needs none."""
        ...

    def read_bytes(self, path: str) -> bytes:
        """Return the content of a file."""
        ...

    def read_tail(self, path: str, size: int) -> bytes:
        """Return the last bytes of a file, at most `size`, without reading the rest."""
        ...

    def compute_digest(self, path: str) -> tuple[int, str]:
        """Return the size and the SHA-256 (hex) of a stored file; raises FileNotFoundError."""
        ...

    def read_files(self, paths: Iterable[str]) -> Iterator[bytes]:
        """Yield the contents of files in order, concurrently if that is faster than one by one."""
        ...

    def exists(self, path: str) -> bool:
        """Return whether a file of that name exists."""
        ...

    def list_folder(self, folder: str) -> list[str]:
        """Return the sorted names of the finished files in a folder; empty if the folder is missing."""
        ...

    def list_tail(self, folder: str) -> Sequence[str]:
        """Return the end of `list_folder`: at least its last name; any others precede it in order."""
        ...

    def read_head_hint(self, folder: str) -> str:
        """Return the name that the last writer recorded as the newest; empty if there is none."""
        ...

    def list_all(self) -> Sequence[StoredObject]:
        """Return all files below the root by path, also unfinished and foreign ones; for gc and erase, not readers."""
        ...

    def list_old_versions(self) -> Sequence[StoredObject] | None:
        """Return the old versions of removed or replaced files; None if listing them is not allowed."""
        ...

    def read_version(self, stored: StoredObject) -> bytes:
        """Return the content of a file in the listed version; raises FileNotFoundError."""
        ...

    def open_output(self, path: str) -> AbstractContextManager[HashingWriter]:
        """Write a new file, which appears when the block succeeds; if the block fails, nothing appears."""
        ...

    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Create a file if the name is free, and return whether it did. Atomic across processes."""
        ...

    def replace(self, path: str, build: Callable[[str], None], *, mode: int) -> None:
        """Call `build` with a temporary path, then put its file at `path`. Readers of the old file keep reading it."""
        ...

    def fetch(self, path: str, file: str) -> None:
        """Copy a stored file to a path on this machine; raises FileNotFoundError."""
        ...

    def copy(self, path: str, target: str) -> None:
        """Give the content of a stored file a second name, which must be free; raises FileNotFoundError."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file; do nothing if it is missing."""
        ...

    def abort_uploads(self, before: datetime, *, dry_run: bool = False) -> Sequence[StoredObject]:
        """Abort and return unfinished uploads begun before a moment, if `list_all` does not list them."""
        ...

    def symlink(self, path: str, target: str) -> None:
        """Point a name at a sibling folder, atomically; do nothing if the storage has no links."""
        ...

    def open_subfolder(self, folder: str, *, file_mode: int, create: bool = False) -> "Store":
        """Return a folder of this store as a store, with another file mode; paths are relative to it."""
        ...


@contextmanager
def translate_storage_errors(store: Store) -> Generator[None]:
    """Translate an OSError of the block to StorageFailed: one line with the path and the system's message."""
    try:
        yield
    except OSError as error:
        message, fix = describe_os_error(error)
        raise StorageFailed(f"{error.filename or store.root}: {message}", fix=fix) from error


def validate_root_path(root: str) -> None:
    """Raise ConfigurationError if DuckDB would read a root's path as a pattern or as a Hive partition."""
    if any(sign in root for sign in "*?["):
        raise ConfigurationError(
            f"warehouse {root}: *, ? and [ in its path would be read as patterns", fix="rename the folder"
        )
    if "\\" in root:
        raise ConfigurationError(f"warehouse {root}: a backslash in its path cannot be read by DuckDB", fix="rename it")
    partition = next((part for part in root.split("/") if re.fullmatch(r"\w+=.*", part)), None)
    if partition:
        raise ConfigurationError(
            f'warehouse {root}: "{partition}" looks like a Hive partition and would become a column', fix="rename it"
        )
