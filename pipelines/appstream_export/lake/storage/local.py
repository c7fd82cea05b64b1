"""A warehouse in a folder: files are written under a temporary name, flushed, renamed, and their folder is flushed."""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from appstream_export.errors import StorageFailed
from appstream_export.lake.storage.base import HashingWriter, StoredObject
from appstream_export.lake.storage.folder_calls import (
    NO_LINKS,
    NO_MODES,
    NO_SYNC,
    FolderCalls,
    build_no_commit_error,
    create_exclusively,
    is_unsupported,
)
from appstream_export.lake.storage.paths import SCRATCH_FOLDER, UNFINISHED_PREFIX, generate_ulid

_READ_BITS = 0o444
_CALLS = FolderCalls()
_TRIAL = "trial"
_FOLDER_RETRIES = 20  # a retry is needed each time another process removes the folder just before a file is created


class LocalStore:
    """A warehouse in a folder. Folders get an x bit for each r bit of the files: 0600 gives 0700.

    Files are never changed after they appear, only replaced whole, so they have no write bits.
    """

    has_catalog_file = True

    def __init__(self, root: Path, *, file_mode: int = 0o600, calls: FolderCalls = _CALLS) -> None:
        self.root, self.file_mode, self._calls = root, file_mode, calls

    @property
    def scratch(self) -> str:
        """A folder in the warehouse, whose disk has room for data of the warehouse's size."""
        return str(self.root / SCRATCH_FOLDER)

    @property
    def folder_mode(self) -> int:
        """The mode of folders that matches `file_mode`."""
        # Shifted by two, each r bit becomes the x bit of the same class: who may read the files may enter their folder.
        return self.file_mode | (self.file_mode & 0o444) >> 2

    def resolve_uri(self, path: str = "") -> str:
        """Return the absolute path of a file; by default that of the root."""
        return str(self._resolve_path(path))

    def get_filesystem(self) -> None:
        """Return None: DuckDB reads folders itself."""

    def read_bytes(self, path: str) -> bytes:
        """Return the content of a file; raises FileNotFoundError."""
        return self._resolve_path(path).read_bytes()

    def read_tail(self, path: str, size: int) -> bytes:
        """Return the last bytes of a file, at most `size`; raises FileNotFoundError."""
        with self._resolve_path(path).open("rb") as file:
            # The inner seek returns the size: to seek before the start of a shorter file would raise.
            file.seek(-min(size, file.seek(0, os.SEEK_END)), os.SEEK_END)
            return file.read()

    def compute_digest(self, path: str) -> tuple[int, str]:
        """Return the size and the SHA-256 of a file, read in pieces; raises FileNotFoundError."""
        with self._resolve_path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), digest

    def read_files(self, paths: Iterable[str]) -> Iterator[bytes]:
        """Yield the contents of files in order, reading each on demand."""
        return map(self.read_bytes, paths)

    def exists(self, path: str) -> bool:
        """Return whether a file of that name exists."""
        return self._resolve_path(path).is_file()

    def list_folder(self, folder: str) -> list[str]:
        """Return the sorted names of the finished files in a folder; empty if the folder is missing."""
        try:
            with os.scandir(self._resolve_path(folder)) as entries:
                return sorted(e.name for e in entries if not e.name.startswith(UNFINISHED_PREFIX))
        except FileNotFoundError:
            return []

    def list_tail(self, folder: str) -> Sequence[str]:
        """Return all names: reading a part of a folder is not cheaper."""
        return self.list_folder(folder)

    def list_all(self) -> Sequence[StoredObject]:
        """Return all files below the root by path, also unfinished and foreign ones; for gc and erase, not readers."""
        found = []
        for folder, _, names in os.walk(self.root):
            for place in (Path(folder, name) for name in names):
                # Another process may rename its temporary file between the listing and this look.
                with suppress(FileNotFoundError):
                    status = place.lstat()
                    changed_at = datetime.fromtimestamp(status.st_mtime, UTC)
                    found.append(StoredObject(place.relative_to(self.root).as_posix(), status.st_size, changed_at))
        return sorted(found, key=lambda stored: stored.path)

    def read_head_hint(self, folder: str) -> str:
        """Return an empty hint: a folder is always listed whole."""
        del folder
        return ""

    def list_old_versions(self) -> Sequence[StoredObject]:
        """Return nothing: disk snapshots and backups cannot be listed."""
        return ()

    def read_version(self, stored: StoredObject) -> bytes:
        """Return the content of a file; raises FileNotFoundError."""
        return self.read_bytes(stored.path)

    @contextmanager
    def open_output(self, path: str) -> Generator[HashingWriter]:
        """Write a new file, which appears when the block succeeds; if the block fails, nothing appears."""
        with self._reserve_temporary_path(path) as temporary:
            with self._open_synced(temporary) as file:
                yield HashingWriter(file)
            # The content is synced before the rename, so that after a power cut no name leads to half a file.
            temporary.rename(self._resolve_path(path))
            self._sync_folder(temporary.parent)

    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Create a file if the name is free, and return whether it did. Atomic across processes."""
        with self._reserve_temporary_path(path) as temporary:
            with self._open_synced(temporary) as file:
                file.write(content)
            # A plain rename would replace a file that another process created meanwhile.
            created = create_exclusively(self._calls, temporary, self._resolve_path(path))
            if created:
                self._sync_folder(temporary.parent)
            return created

    def replace(self, path: str, build: Callable[[str], None], *, mode: int) -> None:
        """Call `build` with a temporary path, then put its file at `path`. Readers of the old file keep reading it."""
        with self._reserve_temporary_path(path) as temporary:
            build(str(temporary))
            self._set_mode(temporary, mode & _READ_BITS)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(self._resolve_path(path))
            self._sync_folder(temporary.parent)

    def fetch(self, path: str, file: str) -> None:
        """Copy a file to another path, where it may be written to; raises FileNotFoundError."""
        shutil.copyfile(self._resolve_path(path), file)

    def copy(self, path: str, target: str) -> None:
        """Give the content of a file a second name: a hard link, or where that is not possible a copy."""
        source = self._resolve_path(path)
        with self._reserve_temporary_path(target) as temporary:
            if not self._create_link(source, temporary):
                with self._open_synced(temporary) as file, source.open("rb") as content:
                    shutil.copyfileobj(content, file)
            temporary.rename(self._resolve_path(target))
            self._sync_folder(temporary.parent)

    def _create_link(self, source: Path, target: Path) -> bool:
        """Create a hard link; return whether the file may have another name, with the mode of this store."""
        if stat.S_IMODE(source.stat().st_mode) != self.file_mode & _READ_BITS:
            return False  # the setting has changed: the file that is there keeps its mode
        try:
            self._calls.create_link(source, target)
        except OSError as error:
            if error.errno != errno.EMLINK and not is_unsupported(error):
                raise
            return False
        return True

    def remove(self, path: str) -> None:
        """Remove a file, and its folder if that is empty then; do nothing if the file is missing."""
        place = self._resolve_path(path)
        place.unlink(missing_ok=True)
        # rmdir refuses a folder that is not empty, so that no look is needed, which another process could outdate.
        with suppress(OSError):
            place.parent.rmdir()

    def abort_uploads(self, before: datetime, *, dry_run: bool = False) -> Sequence[StoredObject]:
        """Return nothing: `list_all` lists unfinished files."""
        del before, dry_run
        return ()

    def symlink(self, path: str, target: str) -> None:
        """Create or replace a symbolic link to a sibling folder, atomically; do nothing if links are unsupported."""
        with self._reserve_temporary_path(path) as temporary:
            try:
                self._calls.symlink(temporary, target)
            except OSError as error:
                if is_unsupported(error):
                    return
                raise
            temporary.replace(self._resolve_path(path))
            self._sync_folder(temporary.parent)

    def open_subfolder(self, folder: str, *, file_mode: int, create: bool = False) -> "LocalStore":
        """Return a folder of this store as a store. Readers of it may pass through this folder, but not list it."""
        store = LocalStore(self._resolve_path(folder), file_mode=file_mode, calls=self._calls)
        if create and not store.root.is_dir():
            store._make_folder(store.root)
            with suppress(PermissionError):  # the folder has another owner, who decides
                self._set_mode(self.root, stat.S_IMODE(self.root.stat().st_mode) | store.folder_mode & 0o011)
        return store

    def probe_folder(self) -> list[str]:
        """Try the operations of a commit in the root, clean up, and return the optional features that it lacks.

        Raises OSError with a fix if no commit is possible.
        """
        with self._reserve_temporary_path(_TRIAL) as first, self._reserve_temporary_path(_TRIAL) as second:
            self._create_trial(first)
            self._create_trial(second)
            trial = first.with_name(f"{UNFINISHED_PREFIX}{generate_ulid()}")
            try:
                # The second creation must fail. In a folder where it succeeds, two runs could commit under one number.
                is_taken = create_exclusively(self._calls, first, trial)
                if not is_taken or create_exclusively(self._calls, second, trial):
                    raise build_no_commit_error(self.root)
            finally:
                trial.unlink(missing_ok=True)
            return list(self._find_missing_features(second))

    def _create_trial(self, place: Path) -> None:
        with os.fdopen(self._create_handle(place), "wb") as file:
            file.write(b"trial")

    def _find_missing_features(self, file: Path) -> Iterator[str]:
        """Yield a sentence for users for each optional feature that the folder lacks."""
        link = file.with_name(f"{UNFINISHED_PREFIX}{generate_ulid()}")
        trials: Mapping[str, Callable[[], object]] = {
            NO_MODES: lambda: self._calls.set_mode(file, self.file_mode),
            NO_SYNC: lambda: self._calls.sync_folder(self.root),
            NO_LINKS: lambda: self._calls.symlink(link, file.name),
        }
        for sentence, attempt in trials.items():
            try:
                attempt()
            except OSError as error:
                if not is_unsupported(error):
                    raise
                yield sentence
        link.unlink(missing_ok=True)

    def _resolve_path(self, path: str) -> Path:
        parts = PurePosixPath(path).parts
        if ".." in parts or path.startswith("/"):
            raise StorageFailed(f'{self.root}: "{path}" leads out of the warehouse; a manifest was tampered with')
        return self.root.joinpath(*parts)

    @contextmanager
    def _reserve_temporary_path(self, path: str) -> Generator[Path]:
        """Yield a new temporary path beside `path`; its file, if still there, is removed at the end."""
        folder = self._resolve_path(path).parent
        self._make_folder(folder)
        # In the target's folder, because a rename is atomic only within one file system.
        temporary = folder / f"{UNFINISHED_PREFIX}{generate_ulid()}{Path(path).suffix}"
        try:
            yield temporary
        finally:
            # DuckDB writes a .wal file beside a database, and leaves it if `build` fails.
            for leftover in (temporary, temporary.with_name(temporary.name + ".wal")):
                with suppress(OSError):
                    leftover.unlink(missing_ok=True)

    @contextmanager
    def _open_synced(self, temporary: Path) -> Generator[BinaryIO]:
        handle = self._create_handle(temporary)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            self._set_mode(handle, self.file_mode & _READ_BITS)  # the umask may have removed bits
            os.fsync(handle)

    def _create_handle(self, temporary: Path, tries: int = _FOLDER_RETRIES) -> int:
        """Create the file and return its handle."""
        try:
            return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.file_mode)
        except FileNotFoundError:
            if not tries:
                raise
            # `remove` of another process has removed the folder together with its last file.
            self._make_folder(temporary.parent)
            return self._create_handle(temporary, tries - 1)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder != self.root:
            self._make_folder(folder.parent)
        with suppress(FileExistsError, FileNotFoundError):  # another process made it, or removed it again
            folder.mkdir(mode=self.folder_mode, parents=folder == self.root)
            self._set_mode(folder, self.folder_mode)
        # The entry of a new folder must survive a power cut as well, or its files would be lost with it.
        self._sync_folder(folder.parent)

    def _set_mode(self, place: int | Path, mode: int) -> None:
        """Set a mode, unless the file system has none: then its mount decides who may read."""
        try:
            self._calls.set_mode(place, mode)
        except OSError as error:
            if not is_unsupported(error):
                raise

    def _sync_folder(self, folder: Path) -> None:
        """Flush a folder if its file system can: without this a power cut may undo a rename."""
        try:
            self._calls.sync_folder(folder)
        except OSError as error:
            if not is_unsupported(error):
                raise
