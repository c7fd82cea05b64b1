"""The list of an erase: salted hashes of the values that it removes, so that a later call can search for them too.

It is written before the erase's commit, because afterwards the values are nowhere, and removed with a clean proof. It
contains neither the account's id nor a value. A search finds values of any length inside longer texts: each window of 8
bytes with the same short fingerprint as the end of a value is a candidate, and its SHA-256 decides.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Self

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from appstream_export.lake.storage import Store, build_erased_list_path

_WINDOW_BYTES = 8  # at most as long as any value: see VALUE_CHARS_MIN
_SLICE_BYTES = 1 << 23  # hashed at once; each byte takes about 20 in memory
_SHIFT = 64 - 24  # leaves a fingerprint of 24 bits: far too few to show the end of a value
_ITERATIONS = 100_000  # there are only 10^12 account ids: this makes it slow to try them


class HashedTexts(msgspec.Struct):
    """Salted hashes of texts of at least 8 characters."""

    salt: str = msgspec.field(default_factory=lambda: os.urandom(16).hex())
    hashes: dict[str, tuple[int, int]] = {}
    """Length in bytes and fingerprint of the end of each text, by its salted SHA-256."""
    is_complete: bool = False
    """True if an erase added all values that it removed; False if only some of them are known."""

    def add_texts(self, texts: Iterable[str]) -> Self:
        """Add texts, and return the whole."""
        for content in (text.encode("utf-8", "replace") for text in texts):
            end = int.from_bytes(content[-_WINDOW_BYTES:], "little")
            fingerprint = (end * self.get_factor()) % (1 << 64) >> _SHIFT
            self.hashes[self.compute_hash(content)] = (len(content), fingerprint)
        return self

    def compute_hash(self, content: bytes) -> str:
        """Return the hash under which a text's bytes are in `hashes`."""
        return hashlib.sha256(self.salt.encode() + content).hexdigest()

    def get_factor(self) -> int:
        """Return the odd number that turns 8 bytes into a fingerprint: the top bits of their product."""
        return int.from_bytes(hashlib.sha256(self.salt.encode()).digest()[:8], "little") | 1


class TextMatcher:
    """A search for many hashed texts at once, in columns or bytes."""

    def __init__(self, texts: HashedTexts) -> None:
        self._texts, self._lengths = texts, defaultdict[int, set[int]](set)
        for length, fingerprint in texts.hashes.values():
            self._lengths[fingerprint].add(length)
        self._fingerprints = pa.array([*self._lengths], pa.uint64())
        self._factor, self._shift = pa.scalar(texts.get_factor(), pa.uint64()), pa.scalar(_SHIFT, pa.uint64())

    def find_in(self, cells: pa.Array) -> set[str]:
        """Return the hashes of the texts that occur in any of the cells."""
        if not self._lengths:
            return set()
        # Joined with NUL, so that no text is found across the border of two cells.
        content = b"\0".join(pc.drop_null(cells).cast(pa.large_binary()).to_pylist())
        candidates = {
            content[end - length : end]
            for fingerprint, end in self._iterate_ends(content)
            for length in self._lengths[fingerprint]
            if length <= end
        }
        return {digest for text in candidates if (digest := self._texts.compute_hash(text)) in self._texts.hashes}

    def _iterate_ends(self, content: bytes) -> Iterator[tuple[int, int]]:
        """Yield the fingerprint and the end of each window whose fingerprint is that of a text's end."""
        # A text may end at any byte, so the content is read as 64-bit numbers from each of eight offsets.
        for start in (at + n for at in range(0, len(content), _SLICE_BYTES) for n in range(_WINDOW_BYTES)):
            count = max(0, min(len(content) - start, _SLICE_BYTES)) // _WINDOW_BYTES
            part = content[start : start + count * _WINDOW_BYTES]  # a copy, because Arrow's numbers are aligned
            windows = pa.Array.from_buffers(pa.uint64(), count, [None, pa.py_buffer(part)])
            found = pc.shift_right(pc.multiply(windows, self._factor), self._shift)
            places = pc.indices_nonzero(pc.is_in(found, self._fingerprints))
            for place, fingerprint in zip(places.to_pylist(), found.take(places).to_pylist(), strict=True):
                yield fingerprint, start + (place + 1) * _WINDOW_BYTES


def load_erased_list(store: Store, account_id: str) -> HashedTexts | None:
    """Return the list that an erase of an account wrote; None if there is none. A damaged list is not complete."""
    try:
        return msgspec.json.decode(store.read_bytes(build_list_path(account_id)), type=HashedTexts)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        return HashedTexts()


def write_erased_list(store: Store, account_id: str, texts: HashedTexts) -> None:
    """Write the list, or replace it."""
    with store.open_output(build_list_path(account_id)) as file:
        file.write(msgspec.json.encode(texts))


def build_list_path(account_id: str) -> str:
    """Return the path of an account's list, which does not show the account."""
    key = hashlib.pbkdf2_hmac("sha256", account_id.encode(), b"appstream-export erase", _ITERATIONS)
    return build_erased_list_path(key.hex()[:32])
