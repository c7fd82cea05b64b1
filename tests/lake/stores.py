"""Stores with something around them: rivals that are faster, answers that are lost, disks and processes that fail."""

import errno
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ulid import ULID

from appstream_export.lake.storage import paths
from appstream_export.lake.storage.base import HashingWriter

OPERATIONS = (
    "read_bytes", "read_files", "compute_digest", "open_output", "put_if_absent", "list_folder", "list_tail",
    "list_all", "replace", "fetch", "copy", "remove", "exists", "symlink",
)  # fmt: skip


class Around:
    """A store that does what another one does."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """Everything that is not done differently."""
        return getattr(self._store, name)


class Raced(Around):
    """A store in which others act just before we create a file, by default a manifest; each once, the last first."""

    def __init__(self, store: Any, rivals: list[Callable[[], object]], before: str = "commits/") -> None:
        super().__init__(store)
        self.rivals, self.before = rivals, before

    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Let a rival go first."""
        if self.rivals and path.startswith(self.before):
            self.rivals.pop()()
        return self._store.put_if_absent(path, content)


class Deaf(Around):
    """A store that does not hear that its manifest was created."""

    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Create it, and say that it failed."""
        self._store.put_if_absent(path, content)
        raise OSError(errno.EIO, "no answer", path)


class Killed(BaseException):
    """The end of a process that cannot catch it."""


class Mode(StrEnum):
    """What goes wrong with an operation."""

    KILL = "kill"
    """Nothing happens after it, and a file that was being written stays under its unfinished name."""
    FULL = "disk full"
    """Nothing can be written from there on."""
    EIO = "I/O error"
    """It fails, the next one does not."""
    LOST = "answer lost"
    """It is done, and said to have failed."""


_WRITES = frozenset({Mode.KILL, Mode.FULL, Mode.EIO})
_OTHERS = frozenset({Mode.KILL, Mode.EIO})
_DONE = frozenset({Mode.LOST})


@dataclass(slots=True)
class _Fate:
    """Which operation goes wrong, how, and how many there have been."""

    at: int
    mode: Mode
    seen: int = 0
    struck: str | None = None

    def strikes(self) -> bool:
        """Count one more; a dead process and a full disk stay what they are."""
        self.seen += 1
        return self.seen == self.at or (self.struck is not None and self.mode in (Mode.KILL, Mode.FULL))


class Faulty(Around):
    """A store whose n-th operation goes wrong; operations that a mode cannot strike are not counted.

    Writing a file is three of them: to begin, to write its first bytes, to let it appear.
    """

    def __init__(self, store: Any, at: int, mode: Mode) -> None:
        super().__init__(store)
        self._fate = _Fate(at, mode)

    @property
    def struck(self) -> str | None:
        """The operation that went wrong, once one has."""
        return self._fate.struck

    def open_subfolder(self, folder: str, **how: Any) -> "Faulty":
        """A folder of it, whose operations count too."""
        found = Faulty(self._store.open_subfolder(folder, **how), 0, self._fate.mode)
        found._fate = self._fate
        return found

    def read_bytes(self, path: str) -> bytes:
        """Or fail."""
        self._strike("read", path, _OTHERS)
        return self._store.read_bytes(path)

    def compute_digest(self, path: str) -> tuple[int, str]:
        """Or fail."""
        self._strike("compare", path, _OTHERS)
        return self._store.compute_digest(path)

    def read_files(self, paths: Iterable[str]) -> Iterator[bytes]:
        """Or fail in the middle."""
        for content in self._store.read_files(paths):
            self._strike("read one of many", None, _OTHERS)
            yield content

    def exists(self, path: str) -> bool:
        """Or fail."""
        self._strike("look for", path, _OTHERS)
        return self._store.exists(path)

    def list_folder(self, folder: str) -> list[str]:
        """Or fail."""
        self._strike("list", folder, _OTHERS)
        return self._store.list_folder(folder)

    def list_tail(self, folder: str) -> Any:
        """Or fail."""
        self._strike("list the end of", folder, _OTHERS)
        return self._store.list_tail(folder)

    def list_all(self) -> Any:
        """Or fail."""
        self._strike("list", None, _OTHERS)
        return self._store.list_all()

    @contextmanager
    def open_output(self, path: str) -> Generator[HashingWriter]:
        """Or fail at the begin, with the first bytes, or when all are written."""
        self._strike("begin", path, _WRITES)
        with self._store.open_output(path) as sink:
            yield HashingWriter(_Half(sink, lambda content: self._strike("write", path, _WRITES, content)))
            self._strike("finish", path, _WRITES, b"PAR1")
        self._strike("finish", path, _DONE)

    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Or fail before or after."""
        self._strike("create", path, _WRITES, content)
        created = self._store.put_if_absent(path, content)
        self._strike("create", path, _DONE)
        return created

    def replace(self, path: str, build: Callable[[str], None], *, mode: int) -> None:
        """Or fail before, half way, or after."""

        def built(file: str) -> None:
            build(file)
            self._strike("replace", path, _WRITES, b"half a database")

        self._strike("begin to replace", path, _WRITES)
        self._store.replace(path, built, mode=mode)
        self._strike("replace", path, _DONE)

    def remove(self, path: str) -> None:
        """Or fail before or after."""
        self._strike("remove", path, _OTHERS)
        self._store.remove(path)
        self._strike("remove", path, _DONE)

    def fetch(self, path: str, file: str) -> None:
        """Or fail."""
        self._strike("fetch", path, _OTHERS)
        self._store.fetch(path, file)

    def copy(self, path: str, target: str) -> None:
        """Or fail before or after."""
        self._strike("copy", target, _WRITES)
        self._store.copy(path, target)
        self._strike("copy", target, _DONE)

    def abort_uploads(self, *args: Any, **more: Any) -> Any:
        """Or fail before or after."""
        self._strike("end uploads", None, _OTHERS)
        ended = self._store.abort_uploads(*args, **more)
        self._strike("end uploads", None, _DONE)
        return ended

    def symlink(self, path: str, target: str) -> None:
        """Or fail before or after."""
        self._strike("point", path, _WRITES)
        self._store.symlink(path, target)
        self._strike("point", path, _DONE)

    def _strike(self, what: str, path: str | None, modes: frozenset[Mode], half: bytes | None = None) -> None:
        fate = self._fate
        if fate.mode not in modes or not fate.strikes():
            return
        is_first, fate.struck = fate.struck is None, fate.struck or f"{what} {path}"
        if fate.mode is Mode.KILL:
            if is_first and path and half is not None:
                self._leave(path, half)
            raise Killed
        where = self._store.resolve_uri(path or "")
        if fate.mode is Mode.FULL:
            raise OSError(errno.ENOSPC, "No space left on device", where)
        raise OSError(errno.EIO, "no answer" if fate.mode is Mode.LOST else "Input/output error", where)

    def _leave(self, path: str, half: bytes) -> None:
        """What a killed writer leaves in a folder; of a small object on S3 there is nothing."""
        if isinstance(self._store.root, Path):
            place = self._store.root / path
            place.with_name(f"{paths.UNFINISHED_PREFIX}{ULID()}{place.suffix}").write_bytes(half[: len(half) // 2 + 1])


class _Half:
    """A file whose first bytes may not come through."""

    def __init__(self, sink: HashingWriter, first: Callable[[bytes], None]) -> None:
        self._sink, self._first = sink, first
        self._is_new = True

    def write(self, content: bytes | bytearray | memoryview, /) -> int:
        """Strike once, then take all."""
        if self._is_new:
            self._is_new = False
            self._first(bytes(content))
        return self._sink.write(content)


class Failing(Around):
    """A store whose n-th operation fails as a full disk would, and with it all later ones.

    With `landed` the n-th is done before it fails.
    """

    def __init__(self, store: Any, left: int, *, landed: bool = False) -> None:
        super().__init__(store)
        self.left, self.landed = left, landed

    def __getattr__(self, name: str) -> Any:
        """Count operations down."""
        found = super().__getattr__(name)
        if name not in OPERATIONS:
            return found
        self.left -= 1
        if self.left > 0:
            return found
        if self.left == 0 and self.landed:
            return _written(found) if name == "open_output" else _done(found)
        raise self._full()

    def _full(self) -> OSError:
        return OSError(errno.ENOSPC, "No space left on device", str(self._store.root))


def _done(operation: Callable[..., object]) -> Callable[..., object]:
    def landed(*args: Any, **more: Any) -> object:
        operation(*args, **more)
        raise OSError(errno.EIO, "no answer", *args[:1])

    return landed


def _written(operation: Callable[[str], AbstractContextManager[Any]]) -> Callable[[str], AbstractContextManager[Any]]:
    @contextmanager
    def landed(path: str) -> Generator[Any]:
        with operation(path) as sink:
            yield sink
        raise OSError(errno.EIO, "no answer", path)

    return landed
