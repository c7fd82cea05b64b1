"""An fsspec filesystem through which DuckDB reads a remote store: in large blocks, and only below the warehouse.

DuckDB requests small pieces, from several threads, and the end of each file first. So blocks are counted from the end:
one request returns the last block together with the file's size, and is enough for a small file. Committed files never
change, so a cached block never becomes outdated.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import fsspec

BLOCK_BYTES = 4 << 20  # at 20 ms latency and 100 MB/s, the transfer of a larger one dominates
CACHE_BYTES = 64 << 20  # besides DuckDB's own cache, which holds decoded data
# Files never change, and DuckDB does not cache files with a recent modification time.
_FIXED_MODIFIED_AT = datetime(2000, 1, 1, tzinfo=UTC)

ReadEnd = Callable[[str, int], tuple[bytes, int]]
"""Function from a path and a number to the last bytes of the file, at most that many, and the file's size."""
ReadRange = Callable[[str, int, int], bytes]
"""Function from a path, a start and a stop to the bytes between them."""


class BlockCache:
    """A cache of blocks of immutable files. Threads that need the same block share one read; the oldest are evicted."""

    def __init__(self, read_end: ReadEnd, read_range: ReadRange) -> None:
        self._read_end, self._read_range = read_end, read_range
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._cached: OrderedDict[tuple[str, int], Future[bytes]] = OrderedDict()

    def get_size(self, path: str) -> int:
        """Return the size of a file in bytes."""
        # The request for the last block returns the size too, so that no separate request is needed.
        if path not in self._sizes:
            self._get_block(path, 0)
        return self._sizes[path]

    def read(self, path: str, start: int, size: int) -> bytes:
        """Return `size` bytes from `start`, fewer at the end of the file."""
        total = self.get_size(path)
        stop = min(start + size, total)
        if stop <= start:
            return b""
        # Blocks are numbered from the end of the file: block 0 is the last one. The one at the start may be shorter.
        first, last = (total - start - 1) // BLOCK_BYTES, (total - stop) // BLOCK_BYTES
        begin = max(0, total - (first + 1) * BLOCK_BYTES)
        blocks = [self._get_block(path, number) for number in range(first, last - 1, -1)]
        return b"".join(blocks)[start - begin : stop - begin]

    def _get_block(self, path: str, number: int) -> bytes:
        # The first thread that needs a block reads it, without the lock; the others wait for its future.
        with self._lock:
            known = self._cached.get((path, number))
            block = self._cached.setdefault((path, number), Future())
            self._cached.move_to_end((path, number))
        if known is None:
            self._fill_block(block, path, number)
        return block.result()

    def _fill_block(self, block: Future[bytes], path: str, number: int) -> None:
        try:
            content = self._fetch_block(path, number)
        except BaseException as error:
            with self._lock:
                self._cached.pop((path, number), None)  # the next reader tries again
            block.set_exception(error)
            raise
        block.set_result(content)
        self._evict_blocks()

    def _fetch_block(self, path: str, number: int) -> bytes:
        if number == 0:
            content, self._sizes[path] = self._read_end(path, BLOCK_BYTES)
            return content
        stop = self._sizes[path] - number * BLOCK_BYTES
        return self._read_range(path, max(0, stop - BLOCK_BYTES), stop)

    def _evict_blocks(self) -> None:
        with self._lock:
            # A block that is still being read has waiting threads and no size yet, so it stays.
            done = [(key, len(block.result())) for key, block in self._cached.items() if block.done()]
            cached_bytes = sum(size for _, size in done)
            for key, size in done[:-1]:  # the newest block stays, whatever its size
                if cached_bytes <= CACHE_BYTES:
                    return
                cached_bytes -= size
                del self._cached[key]


class RemoteFile:
    """One file, open for reading.

    DuckDB's threads share it, and each calls `seek` and then `read`. Another thread may run in between, so the position
    of a `seek` is stored per thread, for that thread's next `read`.
    """

    def __init__(self, blocks: BlockCache, path: str) -> None:
        self._blocks, self._path = blocks, path
        self._position = 0
        self._thread_state = threading.local()

    def seek(self, position: int) -> int:
        """Set the position, counted from the start, and return it."""
        self._position = self._thread_state.position = position
        return position

    def tell(self) -> int:
        """Return the position at which a single reader's next `read` begins."""
        return self._position

    def read(self, size: int) -> bytes:
        """Return bytes from this thread's `seek`, or from the end of the last read if it did not seek."""
        start = self._thread_state.__dict__.pop("position", self._position)
        content = self._blocks.read(self._path, start, size)
        self._position = start + len(content)
        return content

    def close(self) -> None:
        """Do nothing: no file is held open."""


class RemoteFiles(fsspec.AbstractFileSystem):
    """The warehouse at `root` (such as `s3://bucket/prefix`), read only; all other paths are refused."""

    protocol = "s3"
    cachable = False

    def __init__(self, root: str, read_end: ReadEnd, read_range: ReadRange) -> None:
        super().__init__()
        self._root, self._blocks = root, BlockCache(read_end, read_range)

    def open(self, path: str, mode: str = "rb", **_: Any) -> RemoteFile:  # ty: ignore[incompatible-method-override]
        """Open a file for reading; the first request to the store is made by the first `read`."""
        if mode != "rb":
            raise PermissionError(f"{path}: the warehouse is read-only here")
        return RemoteFile(self._blocks, self._resolve_path(path))

    def size(self, path: str) -> int:
        """Return the size of a file in bytes."""
        return self._blocks.get_size(self._resolve_path(path))

    def glob(self, path: str, **_: Any) -> list[str]:  # ty: ignore[incompatible-method-override]
        """Return the path itself, without a request, or nothing for a pattern: the warehouse is never listed."""
        return [] if any(sign in path for sign in "*?[") else [path]

    def exists(self, path: str, **_: Any) -> bool:
        """Return whether the file exists."""
        try:
            self.size(path)
        except FileNotFoundError:
            return False
        return True

    isfile = exists

    def isdir(self, path: str) -> bool:
        """Return False: DuckDB requests only files."""
        del path
        return False

    def modified(self, path: str) -> datetime:
        """Return a fixed time in the past: a committed file never changes."""
        del path
        return _FIXED_MODIFIED_AT

    def ls(self, path: str, detail: bool = True, **_: Any) -> NoReturn:
        """Refuse to list a folder; raises PermissionError."""
        del detail
        raise PermissionError(f"{path}: a warehouse is not listed; its manifests name the files")

    def info(self, path: str, **_: Any) -> Mapping[str, Any]:
        """Return name, size and type of a file."""
        return {"name": path, "size": self.size(path), "type": "file"}

    def _resolve_path(self, path: str) -> str:
        relative = path.removeprefix(f"{self._root}/")
        if relative == path or not {"", ".", ".."}.isdisjoint(relative.split("/")):
            raise PermissionError(f"{path}: is outside the warehouse {self._root}")
        return relative


class RelocatedFiles(RemoteFiles):
    """A folder's files, under the `file://` names that they have on another machine or in a container."""

    protocol = "file"

    def __init__(self, root: str, read: Callable[[str], bytes]) -> None:
        def read_end(path: str, size: int) -> tuple[bytes, int]:
            content = read(path)
            return content[-size:], len(content)

        super().__init__(root, read_end, lambda path, start, stop: read(path)[start:stop])


class LocalFiles(RemoteFiles):
    """A folder's files under `warehouse://` names, read only. DuckDB could also write to files that it opens itself."""

    protocol = "warehouse"
    root = "warehouse://committed"

    def __init__(self, folder: Path) -> None:
        def read_end(path: str, size: int) -> tuple[bytes, int]:
            total = (folder / path).stat().st_size
            return read_range(path, max(0, total - size), total), total

        def read_range(path: str, start: int, stop: int) -> bytes:
            with (folder / path).open("rb") as file:
                file.seek(start)
                return file.read(stop - start)

        super().__init__(self.root, read_end, read_range)
