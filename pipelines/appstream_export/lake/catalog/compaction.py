"""Compaction: read a history from few files, however many snapshots there are.

A history has a file per snapshot, and each query opens all of them. So a publisher copies the rows of past snapshots
into kept parts: one for each past month and, in the newest month, one for each 512, 64 or 8 snapshots in a row. Its
connection reads these parts, and the files of snapshots that no part has yet, which are seven at most. All others read
the files of the snapshots.

Two kinds of histories are compacted: change logs, and what a view with `-- kept: <columns>` in its header reads of its
history: these columns of the last snapshot of each day.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb
import pyarrow as pa

from appstream_export.contracts import (
    SNAPSHOT_ID,
    Contract,
    SqlFile,
    Table,
    list_snapshot_tables,
    list_sql_files,
    list_view_files,
)
from appstream_export.errors import StorageFailed
from appstream_export.lake.catalog.kept_parts import KeptParts
from appstream_export.lake.catalog.views import (
    AS_OF_SUFFIX,
    HISTORY_SUFFIX,
    render_history_query,
    render_history_select,
)
from appstream_export.lake.duckdb import quote_identifier
from appstream_export.lake.snapshots import (
    KIND_SWEEP,
    FileEntry,
    HistoryFile,
    Manifest,
    TableFiles,
    get_retained_files,
    write_history_rows,
)
from appstream_export.lake.storage import KeptName, LocalStore, build_kept_path

GROUP_SIZES = (512, 64, 8)
"""Snapshots in a part of the newest month: with powers of 8, each row is written four times at most."""
_OPEN_MONTHS = 2  # whose smaller parts stay, because a publisher of an older snapshot may read them
_PAST_NAME = re.compile(rf"\b\w+(?:{HISTORY_SUFFIX}|{AS_OF_SUFFIX})\b")
_JOINED = {"accounts", "scope_runs"}  # by the views of histories, except those of change logs
_log = logging.getLogger(__name__)


class _Source(NamedTuple):
    """The files of a table in a snapshot."""

    snapshot_id: str
    month: str
    day: str
    files: TableFiles


@dataclass(frozen=True, slots=True)
class _History:
    """A history to compact. `name` is that of its temporary view and of the folder of its parts."""

    name: str
    table: Table
    """The table, with the columns that are read."""
    sources: Sequence[_Source]
    """The snapshots that have rows, oldest first."""
    is_daily: bool = False
    """Whether only the last snapshot of each day is read: the newest day's may still be followed by another one."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that are read, without the snapshot's id."""
        return tuple(column.name for column in self.table.columns if column.name != SNAPSHOT_ID.name)


class _Group(NamedTuple):
    """Snapshots of a month in a row, with the same columns, and the digest of what their part derives from."""

    month: str
    sources: Sequence[_Source]
    key: str


def compact_histories(
    con: duckdb.DuckDBPyConnection, contracts: Sequence[Contract], manifests: Sequence[Manifest], kept: KeptParts
) -> dict[str, list[str]]:
    """Let the connection read histories from parts, which are written if they are missing.

    Temporary views hide the catalog's: `<item>_changes_history`, and `kept_<view>` for a view with `-- kept`. Return
    the paths that each of them reads.
    """
    found = {}
    for history in _list_histories(contracts, manifests):
        rest, parts = _replace_files(history, kept)
        collected = [*parts, *get_retained_files(manifests).get(history.table.name, [])]
        if not parts and not history.is_daily:
            continue
        root = kept.store.resolve_uri().rstrip("/")
        query = render_history_query(history.table, rest, collected, lambda path, at=root: f"{at}/{path}")
        select = render_history_select(history.table, f"({query})")
        con.execute(f"create temp view {quote_identifier(history.name)} as {select}")
        found[history.name] = [file.path for files in (*rest, *collected) for file in files.files]
    return found


def list_readable_files(
    contracts: Sequence[Contract], manifests: Sequence[Manifest], compacted: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the paths that a publisher's queries may read, each once: those of the newest tables and of histories.

    A history counts if a file of `sql/` has its name, or if it is a change log, of which feeds are made without a file.
    For one that is compacted, the paths are those of its parts, unless its macro `_as_of` is called, too.
    """
    logs = {contract.changes_table.name for contract in contracts}
    names = {f"{log}{HISTORY_SUFFIX}" for log in logs}
    for file in _list_files_of_publishers(contracts):
        if not (file.kept_columns and get_kept_view_name(file) in compacted):
            names.update(_PAST_NAME.findall(file.sql.lower()))
    tables = {name.removesuffix(HISTORY_SUFFIX).removesuffix(AS_OF_SUFFIX) for name in names - compacted.keys()}
    if tables - logs:
        tables |= _JOINED
    paths = [file.path for files in manifests[-1].tables.values() for file in files.files]
    for manifest in manifests:
        found = (*manifest.tables.items(), *((name, one) for name, many in manifest.kept.items() for one in many))
        paths += [file.path for name, files in found if name in tables for file in files.files]
    return [*dict.fromkeys([*paths, *(path for some in compacted.values() for path in some)])]


def _list_files_of_publishers(contracts: Sequence[Contract]) -> list[SqlFile]:
    """Return the files of `sql/` whose queries a publisher runs."""
    files = [file for folder in ("checks", "feeds", "feeds/v2", "report") for file in list_sql_files(contracts, folder)]
    return [*list_view_files(contracts), *files]


def get_kept_view_name(view: SqlFile) -> str:
    """Return the name of the temporary view that a view with `-- kept` reads instead of its history."""
    return f"kept_{view.name}"


def _list_histories(contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> Iterator[_History]:
    """Yield the histories to compact, with the snapshots that have rows."""
    for contract in contracts:
        table = contract.changes_table
        yield _History(f"{table.name}{HISTORY_SUFFIX}", table, _list_sources(table.name, manifests))
    tables = {f"{table.name}{HISTORY_SUFFIX}": table for table in list_snapshot_tables(contracts)}
    for view in list_view_files(contracts):
        if view.kept_columns and (table := tables.get(view.reads[0])):
            columns = tuple(c for c in table.columns if c.name in (SNAPSHOT_ID.name, *view.kept_columns))
            sources = _select_last_of_days(table.name, manifests)
            yield _History(get_kept_view_name(view), replace(table, columns=columns), sources, is_daily=True)


def _list_sources(table: str, manifests: Sequence[Manifest]) -> list[_Source]:
    sweeps = (manifest for manifest in manifests if manifest.kind == KIND_SWEEP)
    return [
        _Source(sweep.snapshot_id, f"{sweep.committed_at:%Y-%m}", f"{sweep.committed_at:%Y-%m-%d}", files)
        for sweep in sweeps
        if (files := sweep.tables.get(table)) and files.rows
    ]


def _select_last_of_days(table: str, manifests: Sequence[Manifest]) -> list[_Source]:
    """Return the snapshots with rows that were committed last on their day: several if at the same moment."""
    moments = {m.snapshot_id: m.committed_at for m in manifests if m.kind == KIND_SWEEP}
    sources = _list_sources(table, manifests)
    last = {}
    for source in sources:
        last[source.day] = max(moments[source.snapshot_id], last.get(source.day, moments[source.snapshot_id]))
    return [source for source in sources if moments[source.snapshot_id] == last[source.day]]


def _replace_files(history: _History, kept: KeptParts) -> tuple[list[TableFiles], list[TableFiles]]:
    """Return the files of snapshots that no part has, and the parts."""
    groups, possible = _group_sources(history)
    found = dict(kept.find_parts(history.name, {group.key for group in groups}))
    for group in groups:
        if group.key not in found and (written := _write_part(history, group, kept)):
            found[group.key] = written
    kept.prune_parts(history.name, possible)
    grouped = {source.snapshot_id for group in groups if group.key in found for source in group.sources}
    parts = [_describe_part(history, group, found[group.key]) for group in groups if group.key in found]
    return [source.files for source in history.sources if source.snapshot_id not in grouped], parts


def _group_sources(history: _History) -> tuple[list[_Group], set[str]]:
    """Return the parts that there should be, and the keys of all that may stay."""
    newest = history.sources[-1] if history.sources else None
    closed = [s for s in history.sources if not history.is_daily or (newest and s.day < newest.day)]
    months: dict[str, list[_Source]] = {}
    for source in closed:
        months.setdefault(source.month, []).append(source)
    last = max((source.month for source in history.sources), default="")
    groups, possible = list[_Group](), set[str]()
    for month, sources in months.items():
        # A release may add columns: all rows of a part have the same ones.
        for run in [list(run) for _, run in groupby(sources, lambda source: source.files.columns)]:
            whole = [run] if month < last and len(run) > 1 else []
            chosen = [_Group(month, some, _compute_key(history, some)) for some in whole or _split_run(run)]
            groups += chosen
            possible |= {group.key for group in chosen}
            if month in sorted(months)[-_OPEN_MONTHS:]:
                possible |= {_compute_key(history, some) for some in _list_aligned_groups(run)}
    return groups, possible


def _split_run(run: Sequence[_Source]) -> Iterator[Sequence[_Source]]:
    """Yield the largest groups that a run of snapshots has, from the oldest one on, as far as they reach."""
    start = 0
    for size in GROUP_SIZES:
        while len(run) - start >= size:
            yield run[start : start + size]
            start += size


def _list_aligned_groups(run: Sequence[_Source]) -> Iterator[Sequence[_Source]]:
    """Yield all groups that the run had at any time."""
    for size in GROUP_SIZES:
        yield from (run[start : start + size] for start in range(0, len(run) - size + 1, size))


def _compute_key(history: _History, sources: Sequence[_Source]) -> str:
    """Return a digest of what the rows of a part derive from: columns, snapshots, and their files."""
    lines = [f"{name} {kind}" for name, kind in _list_part_columns(history, sources[0].files).items()]
    lines += [f"{s.snapshot_id} {file.path} {file.sha256}" for s in sources for file in s.files.files]
    return sha256("\n".join(lines).encode()).hexdigest()


def _list_part_columns(history: _History, files: TableFiles) -> dict[str, str]:
    names = set(history.columns)
    return {SNAPSHOT_ID.name: "string", **{name: kind for name, kind in files.columns.items() if name in names}}


def _write_part(history: _History, group: _Group, kept: KeptParts) -> KeptName | None:
    """Write a part and return its name; None, and a line in the log, if that fails: then its snapshots are read."""
    columns = tuple(_list_part_columns(history, group.sources[0].files))[1:]
    files = [HistoryFile(s.snapshot_id, f.path, columns) for s in group.sources for f in s.files.files if f.rows]
    try:
        with TemporaryDirectory(prefix="appstream-export-") as folder:
            place = LocalStore(Path(folder), file_mode=0o600)
            written = write_history_rows(kept.store, "part.parquet", files, place)
            if written.rows != (expected := sum(source.files.rows for source in group.sources)):
                raise StorageFailed(f"its files have {written.rows} rows instead of {expected}")
            _log.debug("compacted: %d snapshots of %s of %s", len(group.sources), group.month, history.name)
            return kept.write_file(history.name, group.month, group.key, Path(folder, written.path))
    except (OSError, pa.ArrowException, StorageFailed) as error:
        what = " ".join(str(error).split())
        _log.warning("%s: %s of %s is not compacted: %s", kept.store.root, group.month, history.name, what)
    return None


def _describe_part(history: _History, group: _Group, part: KeptName) -> TableFiles:
    rows = sum(source.files.rows for source in group.sources)
    file = FileEntry(path=build_kept_path(*part), rows=rows, bytes=0, sha256=part.sha256)
    return TableFiles(files=[file], columns=_list_part_columns(history, group.sources[0].files))
