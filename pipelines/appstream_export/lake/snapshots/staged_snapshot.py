"""A staged snapshot: the new rows of one attempt, on disk but invisible until a manifest names them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import pyarrow as pa

from appstream_export.contracts import Table, build_arrow_schema
from appstream_export.errors import CommitError
from appstream_export.lake.snapshots.manifest import FileEntry
from appstream_export.lake.snapshots.parquet import get_sort_columns, write_table_file
from appstream_export.lake.storage import Store, build_fresh_path, translate_storage_errors


class StagedSnapshot:
    """Files of rows that AWS gave to one attempt. Not for several threads: one of them writes.

    Several processes may write files of one snapshot, each under a `writer` of its own; one of them commits all files.
    """

    def __init__(self, store: Store, tables: Sequence[Table], snapshot_id: str, writer: str = "") -> None:
        self.store, self.snapshot_id, self.writer = store, snapshot_id, writer
        self.files: dict[str, list[FileEntry]] = {table.name: [] for table in tables}
        self.is_possibly_committed = False
        """A manifest that names these files may exist: they must stay, whatever went wrong since."""
        self._tables = {table.name: table for table in tables}
        self._is_shared = False

    def add_files(self, files: Mapping[str, Sequence[FileEntry]]) -> None:
        """Add files that another process staged for the same snapshot; only gc removes them from then on."""
        self._is_shared = True
        for name, entries in files.items():
            if name not in self.files:
                raise CommitError(f'a draft was given files of "{name}", which is no table of this run')
            self.files[name] += entries

    def write(self, parts: Mapping[str, pa.Table]) -> None:
        """Add rows: a sorted file per table that has any; raises StorageFailed, or CommitError on wrong columns."""
        with translate_storage_errors(self.store):
            for name, rows in parts.items():
                if rows.num_rows:
                    self._write_table(self._resolve_table(name, rows), rows)

    def discard(self) -> None:
        """Remove every file, unless a manifest or another try may need them.

        Never raises: why the attempt failed is worth more than what could not be removed, which gc finds.
        """
        if self.is_possibly_committed or self._is_shared:
            return
        with suppress(OSError):
            for files in self.files.values():
                while files:
                    self.store.remove(files.pop().path)

    def _write_table(self, table: Table, rows: pa.Table) -> None:
        files = self.files[table.name]
        path = build_fresh_path(table.name, self.snapshot_id, len(files), self.writer)
        ordered = rows.sort_by([(column, "ascending") for column in get_sort_columns(table)])
        files.append(write_table_file(self.store, path, table, [ordered]))

    def _resolve_table(self, name: str, rows: pa.Table) -> Table:
        table = self._tables.get(name)
        if table is None:
            raise CommitError(f'a draft was given rows of "{name}", which is no table of this run')
        if not rows.schema.equals(build_arrow_schema(table)):
            raise CommitError(f"a draft was given rows of {name} with other columns than its contract has")
        return table
