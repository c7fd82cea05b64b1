"""The storage port: every file operation of the lake goes through one class, so that each can be failed or replaced.

Files appear whole or not at all. Here, in a folder: written under a temporary name, flushed to disk, renamed, and the
folder flushed too; store_s3.py does the same on S3. A manifest is created only if absent, which is what makes a commit.
"""

import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from appstream_export.errors import ConfigurationError, StorageFailed
from appstream_export.lake.storage import paths as layout

if TYPE_CHECKING:
    from appstream_export.settings import S3Settings

_FOLDER_RETRIES = 20  # each means that another process emptied the folder in which a file was to begin


class SupportsWrite(Protocol):
    """Where a sink's bytes go; takes all of what it is given."""

    def write(self, content: bytes | bytearray | memoryview, /) -> int:
        """Take it, and say how much that was."""
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
    """A file that lies in a warehouse, whoever put it there."""

    path: str
    size_bytes: int
    changed_at: datetime
    version: str | None = None
    """Which of several versions or uploads that a bucket keeps under this name; None where there is only one."""


class Store(Protocol):
    """What the lake asks of the place that keeps a warehouse. Paths are relative to its root, with `/`.

    Raises OSError when the place does not do what it should, and FileNotFoundError where a file is missing.
    """

    has_catalog_file: bool
    """Whether `warehouse.duckdb` lies beside the files; else each reader makes its views in memory."""
    file_mode: int

    @property
    def root(self) -> Path | str:
        """The place itself, as users name it."""
        ...

    @property
    def scratch(self) -> str:
        """A folder of this machine where DuckDB may spill."""
        ...

    def resolve_uri(self, path: str = "") -> str:
        """Where DuckDB finds a path; the root itself by default."""
        ...

    def get_filesystem(self) -> Any | None:
        """What DuckDB has to be given (register_filesystem) before it can read a `uri`; None where it can already."""
        ...

    def read_bytes(self, path: str) -> bytes:
        """The whole file."""
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
        """The end of `list`: the last name, and before it as many as were not worth leaving out."""
        ...

    def read_head_hint(self, folder: str) -> str:
        """The name that the last writer left as the newest, where writers leave any; else nothing."""
        ...

    def list_all(self) -> Sequence[StoredObject]:
        """Every file below the root, unfinished and foreign ones too, sorted: for gc and erase, never for readers."""
        ...

    def list_old_versions(self) -> Sequence[StoredObject] | None:
        """What the place still keeps of files that were removed or replaced; None where it does not tell us."""
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
        """Forget writes that began before a moment and never ended, where `files` does not show them."""
        ...

    def symlink(self, path: str, target: str) -> None:
        """Let a name lead to a folder beside it, in one step; nothing where the place knows no links."""
        ...

    def open_subfolder(self, folder: str, *, file_mode: int, create: bool = False) -> "Store":
        """One of its folders as a place of its own, whose files have another mode; paths begin there."""
        ...


class LocalStore:
    """A warehouse in a folder. Folders get the x bit wherever files get the r bit: 0600 makes 0700."""

    has_catalog_file = True

    def __init__(self, root: Path, *, file_mode: int = 0o600) -> None:
        self.root, self.file_mode = root, file_mode

    @property
    def scratch(self) -> str:
        """Inside the warehouse, where there is room for what comes out of it."""
        return str(self.root / layout.SCRATCH)

    @property
    def folder_mode(self) -> int:
        """The mode of folders that belongs to `file_mode`."""
        return self.file_mode | (self.file_mode & 0o444) >> 2

    def resolve_uri(self, path: str = "") -> str:
        """Where DuckDB finds a path; the root itself by default."""
        return str(self._resolve_path(path))

    def get_filesystem(self) -> None:
        """DuckDB reads folders by itself."""

    def read_bytes(self, path: str) -> bytes:
        """The whole file; raises FileNotFoundError."""
        return self._resolve_path(path).read_bytes()

    def read_files(self, paths: Iterable[str]) -> Iterator[bytes]:
        """Whole files, each when it is wanted."""
        return map(self.read_bytes, paths)

    def exists(self, path: str) -> bool:
        """Whether there is a file of that name."""
        return self._resolve_path(path).is_file()

    def list_folder(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted, unfinished ones left out; none where the folder is missing."""
        try:
            with os.scandir(self._resolve_path(folder)) as entries:
                return sorted(e.name for e in entries if not e.name.startswith(layout.UNFINISHED))
        except FileNotFoundError:
            return []

    def list_tail(self, folder: str) -> Sequence[str]:
        """All names: a folder is read as a whole anyway."""
        return self.list_folder(folder)

    def list_all(self) -> Sequence[StoredObject]:
        """Every file below the root, unfinished and foreign ones too, sorted: for gc and erase, never for readers."""
        found = []
        for folder, _, names in os.walk(self.root):
            for place in (Path(folder, name) for name in names):
                with suppress(FileNotFoundError):
                    status = place.lstat()
                    changed_at = datetime.fromtimestamp(status.st_mtime, UTC)
                    found.append(StoredObject(place.relative_to(self.root).as_posix(), status.st_size, changed_at))
        return sorted(found, key=lambda stored: stored.path)

    def read_head_hint(self, folder: str) -> str:
        """None: a folder tells all its names at once."""
        del folder
        return ""

    def list_old_versions(self) -> Sequence[StoredObject]:
        """None: what a snapshot of the disk or a backup holds is not ours to see."""
        return ()

    def read_version(self, stored: StoredObject) -> bytes:
        """The whole file; raises FileNotFoundError."""
        return self.read_bytes(stored.path)

    @contextmanager
    def open_output(self, path: str) -> Generator[HashingWriter]:
        """Write a new file; it appears under its name when the block ends well, and not at all otherwise."""
        with self._reserve_temporary_path(path) as temporary:
            with self._open_synced(temporary) as file:
                yield HashingWriter(file)
            temporary.rename(self._resolve_path(path))
            _sync_folder(temporary.parent)

    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Create a file only if there is none of that name; False when there is. Atomic against other processes."""
        with self._reserve_temporary_path(path) as temporary:
            with self._open_synced(temporary) as file:
                file.write(content)
            try:
                os.link(temporary, self._resolve_path(path))
            except FileExistsError:
                return False
            _sync_folder(temporary.parent)
            return True

    def replace(self, path: str, build: Callable[[str], None], *, mode: int) -> None:
        """Let `build` make a file at a place of its own, then put it where the old one was; readers keep the old."""
        with self._reserve_temporary_path(path) as temporary:
            build(str(temporary))
            temporary.chmod(mode)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(self._resolve_path(path))
            _sync_folder(temporary.parent)

    def remove(self, path: str) -> None:
        """Remove a file, and its folder once that is empty; no complaint when it is gone already."""
        place = self._resolve_path(path)
        place.unlink(missing_ok=True)
        with suppress(OSError):
            place.parent.rmdir()

    def abort_uploads(self, before: datetime, *, dry_run: bool = False) -> Sequence[StoredObject]:
        """None: unfinished files lie in their folders here."""
        del before, dry_run
        return ()

    def symlink(self, path: str, target: str) -> None:
        """Let a name lead to a folder beside it, in one step: a symbolic link."""
        with self._reserve_temporary_path(path) as temporary:
            temporary.symlink_to(target)
            temporary.replace(self._resolve_path(path))
            _sync_folder(temporary.parent)

    def open_subfolder(self, folder: str, *, file_mode: int, create: bool = False) -> "LocalStore":
        """One of its folders as a place of its own. Whoever may read there may pass through here, and see no more."""
        store = LocalStore(self._resolve_path(folder), file_mode=file_mode)
        if create and not store.root.is_dir():
            store._make_folder(store.root)
            with suppress(PermissionError):  # of another owner, who decides
                self.root.chmod(stat.S_IMODE(self.root.stat().st_mode) | store.folder_mode & 0o011)
        return store

    def _resolve_path(self, path: str) -> Path:
        parts = PurePosixPath(path).parts
        if ".." in parts or path.startswith("/"):
            raise StorageFailed(f'{self.root}: "{path}" leads out of the warehouse; a manifest was tampered with')
        return self.root.joinpath(*parts)

    @contextmanager
    def _reserve_temporary_path(self, path: str) -> Generator[Path]:
        """A fresh name beside `path`, gone afterwards whatever happened."""
        folder = self._resolve_path(path).parent
        self._make_folder(folder)
        temporary = folder / f"{layout.UNFINISHED}{layout.generate_id()}{Path(path).suffix}"
        try:
            yield temporary
        finally:
            for leftover in (temporary, temporary.with_name(temporary.name + ".wal")):
                with suppress(OSError):
                    leftover.unlink(missing_ok=True)

    @contextmanager
    def _open_synced(self, temporary: Path) -> Generator[BinaryIO]:
        handle = self._create_handle(temporary)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, self.file_mode)  # whatever the umask took away
            yield file
            file.flush()
            os.fsync(handle)

    def _create_handle(self, temporary: Path, tries: int = _FOLDER_RETRIES) -> int:
        """Its handle. Whoever removes the last other file of the folder meanwhile removes the folder too."""
        try:
            return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.file_mode)
        except FileNotFoundError:
            if not tries:
                raise
            self._make_folder(temporary.parent)
            return self._create_handle(temporary, tries - 1)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder != self.root:
            self._make_folder(folder.parent)
        with suppress(FileExistsError, FileNotFoundError):  # made, and even removed again, by others
            folder.mkdir(mode=self.folder_mode, parents=folder == self.root)
            folder.chmod(self.folder_mode)
        _sync_folder(folder.parent)


def open_store(
    warehouse: str, *, file_mode: int = 0o600, create: bool = False, s3: "S3Settings | None" = None
) -> Store:
    """The store of a warehouse, for writing (`create` makes the folder) or for reading; raises SetupError.

    A bucket is asked for: one that is not there, or not for us, is known before anything else happens.
    """
    if warehouse.startswith("s3://"):
        from appstream_export.lake.storage.s3 import open_s3  # botocore: a local warehouse needs none of it
        from appstream_export.settings import S3Settings

        return open_s3(warehouse, s3 or S3Settings(), create=create)
    return _open_folder(warehouse, file_mode=file_mode, create=create)


def _open_folder(warehouse: str, *, file_mode: int, create: bool) -> LocalStore:
    try:
        root = Path(warehouse).expanduser().resolve()
        _validate_folder(root, create=create)
        store = LocalStore(root, file_mode=file_mode)
        if create:
            store._make_folder(root)
    except OSError as error:
        raise ConfigurationError(
            f"warehouse {warehouse}: {error.strerror or error}; choose a folder that can be written"
        ) from error
    if create and not os.access(root, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"warehouse {root}: not writable for this user; change its owner or choose another folder"
        )
    return store


@contextmanager
def translate_storage_errors(store: Store) -> Generator[None]:
    """Turn an OSError of the block into StorageFailed: one line with the path and what the system said."""
    try:
        yield
    except OSError as error:
        where = error.filename or store.root
        raise StorageFailed(f"{where}: {_describe_error(error)}") from error


def _describe_error(error: OSError) -> str:
    return error.strerror or " ".join(str(error).split())


def _validate_folder(root: Path, *, create: bool) -> None:
    if root.exists() and not root.is_dir():
        raise ConfigurationError(f"warehouse {root}: is a file, not a folder; choose another place")
    if not root.exists() and not create:
        raise ConfigurationError(f"no warehouse at {root}: make one with: appstream-export run")
    validate_root_path(str(root))


def validate_root_path(root: str) -> None:
    """Refuse places in whose names DuckDB would see more than a place; raises SetupError."""
    if any(sign in root for sign in "*?["):
        raise ConfigurationError(f"warehouse {root}: *, ? and [ in its path would read as patterns; rename the folder")
    partition = next((part for part in root.split("/") if re.fullmatch(r"\w+=.*", part)), None)
    if partition:
        raise ConfigurationError(
            f'warehouse {root}: "{partition}" reads like a Hive partition, and would become a column; rename it'
        )


def _sync_folder(folder: Path) -> None:
    """Make names in a folder last: without it a power cut may forget a rename."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
