"""Stores with something around them: rivals that are faster, answers that are lost, disks that fail."""

import errno
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

OPERATIONS = (
    "read_bytes", "read_all", "writing", "create", "list", "latest", "files", "replace", "remove", "exists", "point",
)  # fmt: skip


class Around:
    """A store that does what another one does."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """Everything that is not done differently."""
        return getattr(self._store, name)


class Raced(Around):
    """A store in which others commit just before we create our manifest; each of the rivals once, the last first."""

    def __init__(self, store: Any, rivals: list[Callable[[], object]]) -> None:
        super().__init__(store)
        self.rivals = rivals

    def create(self, path: str, content: bytes) -> bool:
        """Let a rival go first."""
        if self.rivals:
            self.rivals.pop()()
        return self._store.create(path, content)


class Deaf(Around):
    """A store that does not hear that its manifest was created."""

    def create(self, path: str, content: bytes) -> bool:
        """Create it, and say that it failed."""
        self._store.create(path, content)
        raise OSError(errno.EIO, "no answer", path)


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
            return _written(found) if name == "writing" else _done(found)
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
    def landed(path: str) -> Iterator[Any]:
        with operation(path) as sink:
            yield sink
        raise OSError(errno.EIO, "no answer", path)

    return landed
