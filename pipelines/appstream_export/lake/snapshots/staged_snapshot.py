"""A staged snapshot: the new rows of one attempt, stored, but not committed until a manifest names their files."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import pyarrow as pa

from appstream_export.contracts import Table, build_arrow_schema
from appstream_export.errors import CommitError
from appstream_export.lake.snapshots.manifest import FileEntry
from appstream_export.lake.snapshots.parquet import get_sort_columns, write_table_file
from appstream_export.lake.storage import Store, build_fresh_path, translate_storage_errors


class StagedSnapshot:
    """Files with the rows that AWS returned to one attempt. Not safe for use by several threads.

    Several processes may write files of one snapshot, each with a different `writer`; one of them commits all files.
    """

    def __init__(self, store: Store, tables: Sequence[Table], snapshot_id: str, writer: str = "") -> None:
        self.store, self.snapshot_id, self.writer = store, snapshot_id, writer
        self.files: dict[str, list[FileEntry]] = {table.name: [] for table in tables}
        self.is_possibly_committed = False
        """True if a manifest that names these files may exist: after any error, they must stay."""
        self._tables = {table.name: table for table in tables}
        self._is_shared = False

    def add_files(self, files: Mapping[str, Sequence[FileEntry]]) -> None:
        """Add files that another process staged for the same snapshot; from then on, only gc removes files."""
        self._is_shared = True
        for name, entries in files.items():
            if name not in self.files:
                raise CommitError(f'the staged snapshot got files of "{name}", which is not a table of this run')
            self.files[name] += entries

    def write(self, parts: Mapping[str, pa.Table]) -> None:
        """Add rows: a sorted file per table that has any; raises StorageFailed, or CommitError on wrong columns."""
        with translate_storage_errors(self.store):
            for name, rows in parts.items():
                if rows.num_rows:
                    self._write_table(self._resolve_table(name, rows), rows)

    def discard(self) -> None:
        """Remove every file, unless a manifest or another process may need them.

        Never raises, because an error would hide why the attempt failed. gc deletes the files that remain.
        """
        if self.is_possibly_committed or self._is_shared:
            return
        with suppress(OSError):
            for files in self.files.values():
                # Popped one by one, so that another call continues after the last file that was removed.
                while files:
                    self.store.remove(files.pop().path)

    def _write_table(self, table: Table, rows: pa.Table) -> None:
        files = self.files[table.name]
        path = build_fresh_path(table.name, self.snapshot_id, len(files), self.writer)
        # Sorted, so that readers of few scopes skip most row groups.
        ordered = rows.sort_by([(column, "ascending") for column in get_sort_columns(table)])
        files.append(write_table_file(self.store, path, table, [ordered]))

    def _resolve_table(self, name: str, rows: pa.Table) -> Table:
        table = self._tables.get(name)
        if table is None:
            raise CommitError(f'the staged snapshot got rows of "{name}", which is not a table of this run')
        if not rows.schema.equals(build_arrow_schema(table)):
            raise CommitError(f"the staged snapshot got rows of {name} whose columns differ from its contract")
        return table
