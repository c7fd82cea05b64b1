"""Files of a remote store as DuckDB reads them: through fsspec, in large blocks, and none beyond the warehouse.

DuckDB asks for small pieces, from several threads, and each file's end first. So blocks are counted from the end: the
last one comes with a single request that gives the size too, and holds all of a small file. Committed files never
change, so what was read once is good for as long as it fits.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import fsspec

BLOCK_BYTES = 4 << 20  # at 20 ms and 100 MB/s a larger one takes longer to come than to ask for
CACHE_BYTES = 64 << 20  # beside DuckDB's own cache, which keeps what it decoded
_FIXED_MODIFIED_AT = datetime(
    2000, 1, 1, tzinfo=UTC
)  # files never change; a recent time would keep DuckDB from caching them

ReadEnd = Callable[[str, int], tuple[bytes, int]]
"""The last bytes of a file, at most as many as asked for, and the size of the whole."""
ReadRange = Callable[[str, int, int], bytes]
"""Bytes from a position up to another one."""


class BlockCache:
    """Blocks of files that never change, each read once however many threads want it; the oldest ones are evicted."""

    def __init__(self, read_end: ReadEnd, read_range: ReadRange) -> None:
        self._read_end, self._read_range = read_end, read_range
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._cached: OrderedDict[tuple[str, int], Future[bytes]] = OrderedDict()

    def get_size(self, path: str) -> int:
        """Bytes of the whole file."""
        if path not in self._sizes:
            self._get_block(path, 0)
        return self._sizes[path]

    def read(self, path: str, start: int, size: int) -> bytes:
        """`size` bytes from `start`, fewer where the file ends."""
        total = self.get_size(path)
        stop = min(start + size, total)
        if stop <= start:
            return b""
        first, last = (total - start - 1) // BLOCK_BYTES, (total - stop) // BLOCK_BYTES
        begin = max(0, total - (first + 1) * BLOCK_BYTES)
        blocks = [self._get_block(path, number) for number in range(first, last - 1, -1)]
        return b"".join(blocks)[start - begin : stop - begin]

    def _get_block(self, path: str, number: int) -> bytes:
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
                self._cached.pop((path, number), None)  # the next one asks again
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
            done = [(key, len(block.result())) for key, block in self._cached.items() if block.done()]
            cached_bytes = sum(size for _, size in done)
            for key, size in done[:-1]:
                if cached_bytes <= CACHE_BYTES:
                    return
                cached_bytes -= size
                del self._cached[key]


class RemoteFile:
    """One file, open for reading.

    DuckDB's threads share it, and read by a `seek` and then a `read`, between which another thread may come: so each
    thread's `seek` counts for its own next `read`.
    """

    def __init__(self, blocks: BlockCache, path: str) -> None:
        self._blocks, self._path = blocks, path
        self._position = 0
        self._thread_state = threading.local()

    def seek(self, position: int) -> int:
        """Go to a position from the start."""
        self._position = self._thread_state.position = position
        return position

    def tell(self) -> int:
        """Where the next `read` of a single reader begins."""
        return self._position

    def read(self, size: int) -> bytes:
        """From where this thread sought to, or else from where the last read ended."""
        start = self._thread_state.__dict__.pop("position", self._position)
        content = self._blocks.read(self._path, start, size)
        self._position = start + len(content)
        return content

    def close(self) -> None:
        """Nothing is held open."""


class RemoteFiles(fsspec.AbstractFileSystem):
    """The warehouse at `root` (such as `s3://bucket/prefix`), read only; every other place is refused."""

    protocol = "s3"
    cachable = False

    def __init__(self, root: str, read_end: ReadEnd, read_range: ReadRange) -> None:
        super().__init__()
        self._root, self._blocks = root, BlockCache(read_end, read_range)

    def open(self, path: str, mode: str = "rb", **_: Any) -> RemoteFile:  # ty: ignore[incompatible-method-override]
        """Open a file for reading; nothing is asked of the store before the first byte is wanted."""
        if mode != "rb":
            raise PermissionError(f"{path}: the warehouse is only read here")
        return RemoteFile(self._blocks, self._resolve_path(path))

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return self._blocks.get_size(self._resolve_path(path))

    def glob(self, path: str, **_: Any) -> list[str]:  # ty: ignore[incompatible-method-override]
        """Only the path itself, unasked: nothing here is found by listing."""
        return [] if any(sign in path for sign in "*?[") else [path]

    def exists(self, path: str, **_: Any) -> bool:
        """Whether there is such a file."""
        try:
            self.size(path)
        except FileNotFoundError:
            return False
        return True

    isfile = exists

    def isdir(self, path: str) -> bool:
        """Never: there are only files."""
        del path
        return False

    def modified(self, path: str) -> datetime:
        """Long ago: a committed file is never another one."""
        del path
        return _FIXED_MODIFIED_AT

    def ls(self, path: str, detail: bool = True, **_: Any) -> NoReturn:
        """Nothing is listed."""
        del detail
        raise PermissionError(f"{path}: a warehouse is not listed, its manifests name the files")

    def info(self, path: str, **_: Any) -> Mapping[str, Any]:
        """Name, size and kind."""
        return {"name": path, "size": self.size(path), "type": "file"}

    def _resolve_path(self, path: str) -> str:
        relative = path.removeprefix(f"{self._root}/")
        if relative == path or not {"", ".", ".."}.isdisjoint(relative.split("/")):
            raise PermissionError(f"{path}: is outside of the warehouse {self._root}")
        return relative


class RelocatedFiles(RemoteFiles):
    """A folder's files under the `file://` names that they have on another machine or in a container."""

    protocol = "file"

    def __init__(self, root: str, read: Callable[[str], bytes]) -> None:
        def read_end(path: str, size: int) -> tuple[bytes, int]:
            content = read(path)
            return content[-size:], len(content)

        super().__init__(root, read_end, lambda path, start, stop: read(path)[start:stop])


class LocalFiles(RemoteFiles):
    """A folder's files under names of their own, read only: what DuckDB opens by itself it may write as well."""

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
