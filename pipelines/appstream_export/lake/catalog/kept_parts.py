"""Files that later publications need not write again: Parquet and DuckDB files in `kept/`, a cache.

The name of a file has the digest of what its rows derive from: names of files of snapshots, which never change and are
never used again. So an erase, snapshots that expire, or other SQL make another file, and the old one is removed. The
name also has the SHA-256 of the content: if a query fails, files that are damaged are removed and written again, as are
missing ones. `verify` reads them all. Nothing is lost without them.
"""

import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from hashlib import file_digest
from pathlib import Path
from typing import IO

from appstream_export.lake.snapshots import KIND_ERASE, Manifest, load_head
from appstream_export.lake.storage import KEPT_FOLDER, KeptName, Store, build_kept_path, parse_kept_path

PRUNE_GRACE = timedelta(hours=1)
"""How long files that an expire or a repair replaced stay, for publications that began before: far longer than these
take."""
_log = logging.getLogger(__name__)


class KeptParts:
    """The kept files of a warehouse, for a publisher that shows the commit `seq`."""

    def __init__(self, store: Store, seq: int = 0) -> None:
        self._store, self._seq = store, seq
        self._is_settled = True
        self._used: list[KeptName] = []

    def show_history(self, manifests: Sequence[Manifest]) -> None:
        """Begin to serve a publisher of this history, which uses no part yet."""
        newest, rewrite = manifests[-1], next((m for m in reversed(manifests) if m.past is not None), None)
        self._seq, self._used = newest.seq, []
        self._is_settled = (
            rewrite is None or rewrite.kind == KIND_ERASE or newest.committed_at - rewrite.committed_at >= PRUNE_GRACE
        )

    @property
    def store(self) -> Store:
        """The warehouse's store."""
        return self._store

    def find_parts(self, name: str, keys: Collection[str]) -> Mapping[str, KeptName]:
        """Return the files that derive from what `keys` are digests of, by key, without reading any of them.

        Reading all would take the longer the older a warehouse is; `remove_damaged` does so after an error.
        """
        found: dict[str, KeptName] = {}
        for kept in self._list_names(name):
            if kept.key in keys:
                found.setdefault(kept.key, kept)
        self._used += found.values()
        return found

    def remove_damaged(self) -> list[str]:
        """Remove the parts in use that are damaged; return their paths, and those of parts that are missing."""
        damaged = [kept for kept in self._used if not self._has_digest(kept)]
        for kept in damaged:
            self._remove_part(kept)
        return [build_kept_path(*kept) for kept in damaged]

    def fetch_file(self, name: str, month: str, key: str, file: Path, *, path: str | None) -> KeptName | None:
        """Copy the kept file of this path if it derives from what `key` is a digest of; remove all others.

        Return its name. Return None, without a file, if there is none, if it is damaged, or if another run removes it
        meanwhile.
        """
        fetched, others = None, list[KeptName]()
        for kept in self._list_names(name):
            is_wanted = kept[1:3] == (month, key) and build_kept_path(*kept) == path
            if is_wanted and self._fetch_whole(kept, file):
                fetched = kept
            else:
                others.append(kept)
        self._remove_listed(others)
        return fetched

    def remove_files(self, name: str) -> None:
        """Remove all kept files of a name: none of them is read any more."""
        self._remove_listed(self._list_names(name))

    def write_file(self, name: str, month: str, key: str, file: Path) -> KeptName | None:
        """Keep a copy of a file and return its name; None if another run has committed since.

        A failure is only logged.
        """
        with file.open("rb") as content:
            digest = file_digest(content, "sha256").hexdigest()
            content.seek(0)
            return self.write_content(KeptName(name, month, key, digest, file.suffix[1:]), content)

    def write_content(self, kept: KeptName, content: IO[bytes]) -> KeptName | None:
        """Keep a copy of a content that has the digest of the name, and return the name; None as `write_file` does."""
        if self._is_overtaken():
            return None
        path = build_kept_path(*kept)
        try:
            with self._store.open_output(path) as output:
                shutil.copyfileobj(content, output)
            # An erase during the copy did not see the file yet.
            if not self._is_overtaken():
                self._used.append(kept)
                return kept
            self._store.remove(path)
        except OSError as error:
            _log.warning("%s/%s: %s is not kept: %s", self._store.root, KEPT_FOLDER, kept.name, error)
        return None

    def prune_parts(self, name: str, keys: Collection[str]) -> None:
        """Remove the files that derive from anything else than what `keys` are digests of, after their grace period."""
        if self._is_settled:
            self._remove_listed([kept for kept in self._list_names(name) if kept.key not in keys])

    def _is_overtaken(self) -> bool:
        """Return whether another run has committed since: that commit may be an erase."""
        head = load_head(self._store)
        return head is None or head.seq != self._seq

    def _fetch_whole(self, kept: KeptName, file: Path) -> bool:
        """Copy a kept file and return whether the copy is what its name says; remove the copy if not."""
        with suppress(OSError):
            self._store.fetch(build_kept_path(*kept), str(file))
            with file.open("rb") as content:
                if file_digest(content, "sha256").hexdigest() == kept.sha256:
                    return True
        file.unlink(missing_ok=True)
        return False

    def _has_digest(self, kept: KeptName) -> bool:
        with suppress(OSError):
            return self._store.compute_digest(build_kept_path(*kept))[1] == kept.sha256
        return False

    def _list_names(self, name: str) -> list[KeptName]:
        folder = f"{KEPT_FOLDER}/{name}"
        with suppress(OSError):
            paths = [f"{folder}/{file}" for file in self._store.list_folder(folder)]
            return [kept for path in paths if (kept := parse_kept_path(path))]
        return []

    def _remove_listed(self, found: Sequence[KeptName]) -> None:
        """Remove files that were listed before, unless another run has committed since: it may have written them."""
        if found and not self._is_overtaken():
            for kept in found:
                self._remove_part(kept)

    def _remove_part(self, kept: KeptName) -> None:
        with suppress(OSError):
            self._store.remove(build_kept_path(*kept))
