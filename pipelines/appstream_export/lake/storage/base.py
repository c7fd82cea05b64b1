"""The storage port: every file operation of the lake goes through one class, so that each can be failed or replaced.

Files appear whole or not at all: local.py keeps that promise in a folder, s3.py in a bucket. A manifest is created
only if absent, which is what makes a commit.
"""

import hashlib
import io
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from appstream_export.errors import ConfigurationError, StorageFailed


class FixableOSError(OSError):
    """An OSError with a fix: apart in `message` and `fix`, and together in `strerror`.

    DuckDB passes on the text of an exception and nothing else, so the text has to be whole.
    """

    def __init__(self, number: int, message: str, where: str, *, fix: str) -> None:
        super().__init__(number, f"{message}; {fix}", where)
        self.message, self.fix = message, fix


def describe_os_error(error: OSError) -> tuple[str, str | None]:
    """Return what went wrong, in one line, and the fix where the storage knows one."""
    if isinstance(error, FixableOSError):
        return error.message, error.fix
    return error.strerror or " ".join(str(error).split()), None


class SupportsWrite(Protocol):
    """The target of a HashingWriter; it accepts all bytes that it is given."""

    def write(self, content: bytes | bytearray | memoryview, /) -> int:
        """Write the content and return its size."""
        ...


class HashingWriter(io.RawIOBase):
    """A file being written, which counts and hashes its bytes on the way."""

    def __init__(self, file: SupportsWrite) -> None:
        self._file, self._sha256, self.size = file, hashlib.sha256(), 0

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, content: bytes | bytearray | memoryview) -> int:  # ty: ignore[incompatible-method-override]
        """Take all of it."""
        self._sha256.update(content)
        self.size += len(content)
        return self._file.write(content)

    @property
    def sha256(self) -> str:
        """Of everything written so far, in hex."""
        return self._sha256.hexdigest()


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A file in a warehouse, of any origin."""

    path: str
    size_bytes: int
    changed_at: datetime
    version: str | None = None
    """Which of several versions or uploads that a bucket keeps under this name; None where there is only one."""


class Store(Protocol):
    """The operations that the lake needs of a warehouse's storage. Paths are relative to its root, with `/`.

    They raise OSError when the storage fails, and FileNotFoundError where a file is missing.
    """

    has_catalog_file: bool
    """Whether `warehouse.duckdb` lies beside the files; else each reader makes its views in memory."""
    file_mode: int
    """Mode of files; their write bits are dropped, for no file changes after it appeared."""

    @property
    def root(self) -> Path | str:
        """The place itself, as users name it."""
        ...

    @property
    def scratch(self) -> str:
        """A folder of this machine where DuckDB may spill."""
        ...

    def resolve_uri(self, path: str = "") -> str:
        """Return the name under which DuckDB finds a path; the root itself by default."""
        ...

    def get_filesystem(self) -> Any | None:
        """Return the filesystem that DuckDB must register to read a URI of the store; None if it needs none."""
        ...

    def read_bytes(self, path: str) -> bytes:
        """The whole file."""
        ...

    def read_tail(self, path: str, size: int) -> bytes:
        """The last bytes of a file, at most `size`, without the rest."""
        ...

    def compute_digest(self, path: str) -> tuple[int, str]:
        """Return the size and the SHA-256 in hex of a file as it lies there; raises FileNotFoundError."""
        ...

    def read_files(self, paths: Iterable[str]) -> Iterator[bytes]:
        """Whole files one after the other, where that is quicker than asking for each."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is a file of that name."""
        ...

    def list_folder(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted, unfinished ones left out; none where the folder is missing."""
        ...

    def list_tail(self, folder: str) -> Sequence[str]:
        """Return the end of `list_folder`: the last name, and before it those that came with the same request."""
        ...

    def read_head_hint(self, folder: str) -> str:
        """The name that the last writer left as the newest, where writers leave any; else nothing."""
        ...

    def list_all(self) -> Sequence[StoredObject]:
        """Every file below the root, unfinished and foreign ones too, sorted: for gc and erase, never for readers."""
        ...

    def list_old_versions(self) -> Sequence[StoredObject] | None:
        """List the old versions of files that were removed or replaced; None where listing them is not allowed."""
        ...

    def read_version(self, stored: StoredObject) -> bytes:
        """The whole file, in the version that was found; raises FileNotFoundError."""
        ...

    def open_output(self, path: str) -> AbstractContextManager[HashingWriter]:
        """Write a new file; it appears under its name when the block ends well, and not at all otherwise."""
        ...

    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Create a file only if there is none of that name; False when there is. Atomic against other processes."""
        ...

    def replace(self, path: str, build: Callable[[str], None], *, mode: int) -> None:
        """Let `build` make a file at a place of its own, then put it where the old one was; readers keep the old."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file; no complaint when it is gone already."""
        ...

    def abort_uploads(self, before: datetime, *, dry_run: bool = False) -> Sequence[StoredObject]:
        """Abort writes that began before a moment and never ended, where `list_all` does not show them."""
        ...

    def symlink(self, path: str, target: str) -> None:
        """Let a name lead to a folder beside it, in one step; nothing where the place knows no links."""
        ...

    def open_subfolder(self, folder: str, *, file_mode: int, create: bool = False) -> "Store":
        """One of its folders as a place of its own, whose files have another mode; paths begin there."""
        ...


@contextmanager
def translate_storage_errors(store: Store) -> Generator[None]:
    """Turn an OSError of the block into StorageFailed: one line with the path and what the system said."""
    try:
        yield
    except OSError as error:
        message, fix = describe_os_error(error)
        raise StorageFailed(f"{error.filename or store.root}: {message}", fix=fix) from error


def validate_root_path(root: str) -> None:
    """Refuse places in whose names DuckDB would see more than a place; raises ConfigurationError."""
    if any(sign in root for sign in "*?["):
        raise ConfigurationError(
            f"warehouse {root}: *, ? and [ in its path would read as patterns", fix="rename the folder"
        )
    if "\\" in root:
        raise ConfigurationError(f"warehouse {root}: a backslash in its path cannot be read by DuckDB", fix="rename it")
    partition = next((part for part in root.split("/") if re.fullmatch(r"\w+=.*", part)), None)
    if partition:
        raise ConfigurationError(
            f'warehouse {root}: "{partition}" reads like a Hive partition, and would become a column', fix="rename it"
        )
