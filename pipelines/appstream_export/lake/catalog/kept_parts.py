"""Parts of marts that later snapshots need not compute again: Parquet files in `kept/`, one per mart and month.

A mart whose header says `kept: month` has rows for each snapshot that derive from this snapshot's files alone. The name
of a part has the digest of the mart's SQL and of the names of these files, which never change and are never used again.
So another SQL, an erase, or snapshots that expire make another part, and the old one is removed. The name also has the
SHA-256 of the content: a damaged part is removed and computed again, as is a missing one. Nothing is lost without them.
"""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from appstream_export.lake.snapshots import load_head
from appstream_export.lake.storage import KEPT_FOLDER, KeptName, Store, build_kept_path, parse_kept_path

_log = logging.getLogger(__name__)


class KeptParts:
    """The kept parts of a warehouse, for a publisher that shows the commit `seq`."""

    def __init__(self, store: Store, seq: int) -> None:
        self._store, self._seq = store, seq

    def load_parts(self, mart: str, keys: Mapping[str, str]) -> Iterator[tuple[str, pa.Table]]:
        """Yield months and their rows: the parts that derive from what `keys`, by month, are digests of.

        Each month occurs once at most. A damaged part is removed and left out.
        """
        found = set[str]()
        for name in self._list_names(mart):
            if keys.get(name.month) != name.key or name.month in found:
                continue
            rows = self._load_part(name)
            if rows is None:
                self._remove_part(name)
            else:
                found.add(name.month)
                yield name.month, rows

    def write_part(self, mart: str, month: str, key: str, rows: pa.Table) -> None:
        """Write a part, unless another run has committed since. A failure is only logged."""
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd", write_page_checksum=True)
        content = sink.getvalue().to_pybytes()
        if self._is_overtaken():
            return
        try:
            self._store.put_if_absent(build_kept_path(mart, month, key, sha256(content).hexdigest()), content)
        except OSError as error:
            _log.warning("%s/%s: %s of %s is not kept: %s", self._store.root, KEPT_FOLDER, month, mart, error)

    def fetch_file(self, name: str, month: str, key: str, file: Path) -> bool:
        """Copy the kept file that derives from what `key` is a digest of, and return True; remove all others.

        Return False, without a file, if there is none, if it is damaged, or if another run removes it meanwhile.
        """
        is_fetched = False
        for kept in self._list_names(name):
            is_wanted = kept[1:3] == (month, key) and not is_fetched
            if is_wanted and self._fetch_whole(kept, file):
                is_fetched = True
            else:
                self._remove_part(kept)
        return is_fetched

    def remove_files(self, name: str) -> None:
        """Remove all kept files of a name: none of them is read any more."""
        for kept in self._list_names(name):
            self._remove_part(kept)

    def write_file(self, name: str, month: str, key: str, file: Path) -> None:
        """Keep a copy of a DuckDB file, unless another run has committed since. A failure is only logged."""
        with file.open("rb") as content:
            digest = file_digest(content, "sha256").hexdigest()
            content.seek(0)
            if self._is_overtaken():
                return
            path = build_kept_path(name, month, key, digest, "duckdb")
            try:
                with self._store.open_output(path) as output:
                    shutil.copyfileobj(content, output)
                # An erase during the copy did not see the file yet.
                if self._is_overtaken():
                    self._store.remove(path)
            except OSError as error:
                _log.warning("%s/%s: %s is not kept: %s", self._store.root, KEPT_FOLDER, name, error)

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

    def prune_parts(self, mart: str, keys: Mapping[str, str]) -> None:
        """Remove the parts of a mart that derive from anything else than what `keys` are digests of."""
        for name in self._list_names(mart):
            if keys.get(name.month) != name.key:
                self._remove_part(name)

    def _load_part(self, name: KeptName) -> pa.Table | None:
        with suppress(OSError, pa.ArrowException):
            content = self._store.read_bytes(build_kept_path(*name))
            if sha256(content).hexdigest() == name.sha256:
                return pq.read_table(pa.BufferReader(content))
        return None

    def _list_names(self, mart: str) -> list[KeptName]:
        folder = f"{KEPT_FOLDER}/{mart}"
        with suppress(OSError):
            paths = [f"{folder}/{name}" for name in self._store.list_folder(folder)]
            return [name for path in paths if (name := parse_kept_path(path))]
        return []

    def _remove_part(self, name: KeptName) -> None:
        with suppress(OSError):
            self._store.remove(build_kept_path(*name))
