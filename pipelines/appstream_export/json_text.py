"""Read JSON as AWS sent it, and keep items as text until they are needed."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from json import JSONDecodeError
from threading import Thread
from typing import Any, overload


class RepeatedKeys:
    """A JSON object with a repeated key. It is not a dict, because which value AWS means is unknown."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs

    @property
    def key(self) -> str:
        """The first repeated key."""
        names = [name for name, _ in self.pairs]
        return next(name for n, name in enumerate(names) if name in names[:n])


class RawItems(Sequence[Any]):
    """The items of one page as text. Access to any item parses all of them.

    `body` is the whole answer, a valid JSON object in UTF-8. Its member `field` is the list of items; `token_field` is
    the member that may hold the next page's token. `arns` has one Arn, or None, per item.
    """

    __slots__ = ("_arns", "body", "field", "token_field")

    def __init__(self, body: bytes, field: str, token_field: str | None, arns: list[str | None]) -> None:
        self.body, self.field, self.token_field, self._arns = body, field, token_field, arns

    def __len__(self) -> int:
        return len(self._arns)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.parse_items())

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        return self.parse_items()[place]

    def parse_items(self) -> list[Any]:
        """Return all items as parsed JSON."""
        root = read_json(self.body)
        if root is None:  # the text is proved to be JSON, so only the stack can be short: nested a thousand deep
            root = _run_in_new_thread(read_json, self.body)
        assert isinstance(root, dict)  # noqa: S101  proved before these items were built
        return root[self.field]

    def has_arn_prefix(self, prefix: str) -> bool:
        """Return whether every item has an Arn that begins with `prefix`."""
        try:
            return all(map(str.startswith, self._arns, repeat(prefix)))  # ty: ignore[invalid-argument-type]
        except TypeError:
            return False


def read_json(body: bytes) -> object | None:
    """Return parsed JSON, or None if it is not JSON. Odd values (NaN, a number of 5,000 digits) become text.

    An object with a repeated key becomes RepeatedKeys.
    """
    try:
        return _load_json(body, int)
    except (JSONDecodeError, UnicodeDecodeError, RecursionError):
        return None


def _load_json(body: bytes, parse_integer: Callable[[str], Any]) -> object:
    try:
        return json.loads(body, parse_constant=str, parse_int=parse_integer, object_pairs_hook=_build_object)
    except (JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:  # Python refuses integers of more than 4,300 digits
        return _load_json(body, _parse_long_integer)


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | RepeatedKeys:
    found = dict(pairs)
    return found if len(found) == len(pairs) else RepeatedKeys(pairs)


def _parse_long_integer(digits: str) -> int | str:
    return int(digits) if len(digits) < 100 else digits


def _run_in_new_thread(read: Callable[[bytes], object], body: bytes) -> object:
    found: list[object] = []
    thread = Thread(target=lambda: found.append(read(body)))
    thread.start()
    thread.join()
    return found[0]
