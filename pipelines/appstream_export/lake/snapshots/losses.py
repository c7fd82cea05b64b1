"""Data files of the head that are missing or changed, and the tasks whose rows are lost with them.

A commit carries rows forward from the head's files, so it compares each file with its manifest first: otherwise rows of
a replaced file would enter the new snapshot with a valid digest. The rows of a lost file are unknown. A task therefore
counts as lost unless something proves that its rows are in other files.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import msgspec

from appstream_export.contracts import Contract, Table
from appstream_export.lake.snapshots.manifest import FileEntry, Manifest, TableFiles, remove_lost_files
from appstream_export.lake.snapshots.task_transitions import ScopeRunRow
from appstream_export.lake.snapshots.workspace import CommitWorkspace
from appstream_export.lake.storage import Store
from appstream_export.model import Task
from appstream_export.status import Status

READERS = 4  # files read at once: on S3, a reader mostly waits
_FRESH, _CARRIED, _REWRITTEN = "fresh", "carried", "erased"  # prefixes of file names, by writer
_QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class LostFile:
    """A file that is missing or differs from its manifest. `str()` returns one line for users."""

    table: str
    entry: FileEntry
    why: str

    def __str__(self) -> str:
        return f"{self.entry.path} {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFiles:
    """The head's manifest without its lost files (`base`), and the lost files."""

    base: Manifest | None
    lost: Sequence[LostFile] = ()

    @property
    def lost_tables(self) -> frozenset[str]:
        """Names of tables that lack a file with rows."""
        return frozenset(file.table for file in self.lost if file.entry.rows)


@dataclass(frozen=True, slots=True)
class LostTasks:
    """Tasks whose rows are lost, with the reason, and tasks that may have lost only quarantine rows (`doubtful`)."""

    reasons: Mapping[Task, str] = field(default_factory=dict)
    doubtful: frozenset[Task] = frozenset()


def check_head_files(store: Store, base: Manifest | None) -> HeadFiles:
    """Compare size and SHA-256 of each file of the head with its manifest; raises OSError if one cannot be read."""
    if base is None:
        return HeadFiles(base=None)
    named = [(name, entry) for name, table in base.tables.items() for entry in table.files]
    with ThreadPoolExecutor(READERS) as pool:
        whys = pool.map(lambda one: describe_loss(store, one[1]), named)
        lost = [LostFile(name, entry, why) for (name, entry), why in zip(named, whys, strict=True) if why]
    return HeadFiles(base=remove_lost_files(base, {file.entry.path for file in lost}), lost=lost)


def describe_loss(store: Store, entry: FileEntry) -> str | None:
    """Return the problem of a committed file, or None if every byte is unchanged."""
    try:
        found = store.compute_digest(entry.path)
    except FileNotFoundError:
        return "is missing"
    return None if found == (entry.bytes, entry.sha256) else "has changed since it was committed"


def find_lost_tasks(
    workspace: CommitWorkspace, head: HeadFiles, runs: Mapping[Task, ScopeRunRow], contracts: Iterable[Contract]
) -> LostTasks:
    """Return the tasks of the head (`runs`) whose rows may have been in a lost file."""
    if not head.lost_tables:
        return LostTasks()
    reasons: dict[Task, str] = {}
    for contract in contracts:
        finder = _LossFinder(workspace, head, contract)
        own = {task: run for task, run in runs.items() if task.resource == contract.name}
        reasons |= {task: why for task, run in own.items() if (why := finder.describe_task_loss(task, run))}
    is_doubtful = _QUARANTINE in head.lost_tables
    return LostTasks(
        reasons, frozenset(task for task, run in runs.items() if is_doubtful and not _has_clean_answer(run))
    )


class _LossFinder:
    """Proof, for the tasks of one resource, that none of their rows were in a lost file."""

    def __init__(self, workspace: CommitWorkspace, head: HeadFiles, contract: Contract) -> None:
        self._contract = contract
        self._lost = {table.name: [f for f in head.lost if f.table == table.name and f.entry.rows]
                      for table in contract.tables}  # fmt: skip
        item = contract.item_table
        self._rows: dict[str, Mapping[Task, int]] = {}
        """Number of items that each task has left, by the kind of file that contains them."""
        if head.base and any(self._lost.values()) and (files := head.base.tables.get(item.name)):
            kinds = {_classify_file(file) for file in files.files}
            self._rows = {kind: workspace.count_rows(contract, _select_files(files, kind)) for kind in kinds}

    def describe_task_loss(self, task: Task, run: ScopeRunRow) -> str | None:
        """Return why rows of the task are lost, or None if none are."""
        lost = [file for table in self._contract.tables for file in self._find_lost_files(table, task, run)]
        if not lost:
            return None
        more = f" and {len(lost) - 1} more files" if len(lost) > 1 else ""
        return f"its previous rows are lost: {lost[0]}{more}"

    def _find_lost_files(self, table: Table, task: Task, run: ScopeRunRow) -> list[LostFile]:
        if not self._lost[table.name]:
            return []
        if table is not self._contract.item_table:  # child rows are in a file of the same kind as their items
            kinds = {kind for kind, rows in self._rows.items() if task in rows}
            kinds |= {_REWRITTEN} if kinds else set()
        elif self._has_all_items(task, run):
            kinds = set()
        else:
            # Only tasks that AWS answered in that run have rows in its fresh files.
            kinds = {_FRESH, _CARRIED, _REWRITTEN} if Status(run["status"]).is_answer else {_CARRIED, _REWRITTEN}
        return [file for file in self._lost[table.name] if _classify_file(file.entry) in kinds]

    def _has_all_items(self, task: Task, run: ScopeRunRow) -> bool:
        """Return whether as many items are left as the last answer had, or the task never had any."""
        left = sum(rows.get(task, 0) for rows in self._rows.values())
        if run["observed_at"] is None and run["status"] != Status.FILTERED:
            return not left
        return _has_clean_answer(run) and left == run["rows"]


def _has_clean_answer(run: ScopeRunRow) -> bool:
    """Return whether the last attempt got a complete answer without quarantined values."""
    return run["status"] == Status.OK and not run["quarantined"]


def _classify_file(entry: FileEntry) -> str:
    name = entry.path.rpartition("/")[2]
    return next((kind for kind in (_FRESH, _CARRIED) if name.startswith(kind)), _REWRITTEN)


def _select_files(files: TableFiles, kind: str) -> TableFiles:
    return msgspec.structs.replace(files, files=[file for file in files.files if _classify_file(file) == kind])
