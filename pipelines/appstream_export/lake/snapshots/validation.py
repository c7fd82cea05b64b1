"""The last checks before a commit: rules that only a bug can break."""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by lake/duckdb.py

from collections.abc import Collection, Iterable, Mapping

from appstream_export.contracts import Contract, Table
from appstream_export.errors import CommitError
from appstream_export.lake.duckdb import join_identifiers, quote_identifier, quote_literal
from appstream_export.lake.snapshots import scan_sql
from appstream_export.lake.snapshots.manifest import TableFiles
from appstream_export.lake.snapshots.task_transitions import ScopeRunRow
from appstream_export.lake.snapshots.workspace import CommitWorkspace
from appstream_export.model import Outcome, Task

HASH_BATCH_ROWS = 250_000  # rows hashed at a time, in 15 MB of memory; fewer would need more passes over the same files


def check_outcomes(planned: Collection[Task], outcomes: Mapping[Task, Outcome], fresh: Mapping[Task, int]) -> None:
    """Raise CommitError unless an answer's items are rows, duplicates or in quarantine, and no other row is staged."""
    wanted = set(planned)
    for task, outcome in outcomes.items():
        if task not in wanted or outcome.task != task:
            _refuse_commit(f"{task} was requested, but the run had not planned it")
        counted = outcome.rows + outcome.duplicates + outcome.quarantined_items
        if outcome.status.is_answer and outcome.items != counted:
            _refuse_commit(f"{task} returned {outcome.items} items, but rows, duplicates and quarantine have {counted}")
        expected = outcome.rows if outcome.status.is_answer else 0
        if fresh.get(task, 0) != expected:
            _refuse_commit(
                f"{task} should have {expected} rows ({outcome.status}), but {fresh.get(task, 0)} are staged"
            )
    stray = fresh.keys() - outcomes.keys()
    if stray:
        _refuse_commit(f"rows of {min(stray)} are staged, which was not requested")


def check_scope_runs(planned: Iterable[Task], runs: Iterable[ScopeRunRow]) -> None:
    """Raise CommitError unless every planned task has exactly one row of scope_runs."""
    keys = [(run["resource"], run["account_id"], run["region"]) for run in runs]  # not Task: 20,000 objects take long
    if len(keys) != len(found := set(keys)):
        _refuse_commit("scope_runs has a task twice")
    if missing := [t for t in planned if (t.resource, t.scope.account_id, t.scope.region) not in found]:
        _refuse_commit(f"scope_runs lacks {min(missing)}")


def check_files(
    workspace: CommitWorkspace, contracts: Iterable[Contract], tables: Iterable[Table], files: Mapping[str, TableFiles]
) -> None:
    """Raise CommitError unless keys are unique and every child row has its item, in the files as stored.

    Compares 64-bit hashes, which take less time and memory than keys; keys are compared only if hashes are equal. The
    hashes of a large table are checked in parts.
    """
    # Queries of the files as stored, not of the rows that were meant to be in them.
    final = {
        table.name: f"({scan_sql.build_scan_query(table, [files[table.name]], workspace.store.resolve_uri)})"
        for table in tables
    }
    for table in tables:
        if table.key and files[table.name].rows:
            _check_key(workspace, table, final[table.name], files[table.name].rows)
    for contract in contracts:
        if children := [child for child in contract.child_tables if files[child.name].rows]:
            most = max(files[table.name].rows for table in contract.tables)
            _check_parents(workspace, contract, children, final, most)


def _check_key(workspace: CommitWorkspace, table: Table, rows: str, count: int) -> None:
    key = join_identifiers(table.key)
    bad = f"count(*) > 1 or bool_or({' or '.join(f'{quote_identifier(column)} is null' for column in table.key)})"
    for part in _render_hash_partitions(f"hash({key})", count):
        suspected = workspace.fetch_rows(f"select 1 from {rows} where {part} group by hash({key}) having {bad} limit 1")
        found = suspected and workspace.fetch_rows(f"select {key} from {rows} group by all having {bad} limit 1")
        if found:
            _refuse_commit(f"{table.name} has {'/'.join(map(str, found[0]))} twice, or a key with nulls")


def _check_parents(
    workspace: CommitWorkspace, contract: Contract, children: Iterable[Table], final: Mapping[str, str], count: int
) -> None:
    scope, items = ("account_id", "region"), contract.item_table.name
    own, item = (join_identifiers((*scope, *keys)) for keys in (contract.parent_key, contract.item_key))
    rows = " union all ".join(
        f"select {quote_literal(child.name)} as child, hash({own}) as parent, {own} from {final[child.name]}"
        for child in children
    )
    for part in _render_hash_partitions("parent", count):
        parents = f"from (select hash({item}) as parent from {final[items]}) where {part}"
        found = workspace.fetch_rows(f"from ({rows}) where {part} and parent not in ({parents}) limit 1")
        if found:
            child, _, *key = found[0]
            _refuse_commit(f"{child} has a row of {'/'.join(map(str, key))}, which is not in {items}")


def _render_hash_partitions(hashed: str, rows: int) -> list[str]:
    """Return SQL conditions that split so many rows into parts by their hash."""
    count = -(-rows // HASH_BATCH_ROWS)
    return [f"{hashed} % {count} = {part}" for part in range(count)] if count > 1 else ["true"]


def _refuse_commit(what: str) -> None:
    raise CommitError(f"nothing was committed, please report this bug: {what}")
