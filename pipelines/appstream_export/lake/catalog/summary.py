"""What a warehouse or a snapshot holds, in numbers: rows for `status`, `run` and the demo."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from appstream_export.lake.catalog.query import run_query

if TYPE_CHECKING:
    from appstream_export.contracts import Contract

_NEWEST_RUN_SQL = """
    select snapshot_id, seq, committed_at, items from snapshots where kind = 'sweep' order by seq desc limit 1"""
_SCOPES_SQL = """
    select status, is_expected, count(*) as scopes, min(observed_at) filter (is_stale) as oldest,
        count(*) filter (is_stale and not is_expected) as stale
    from coverage group by all order by scopes desc, status"""
_EXPECTED_SQL = """
    select region, status, count(*) as scopes, count(distinct account_id) as accounts
    from coverage where is_expected group by all order by region, status"""
_SWEEPS_SQL = "select seq, snapshot_id, committed_at from snapshots where kind = 'sweep' order by seq desc"
_RECENT_RUNS_SQL = """
    select seq, committed_at, round(epoch(committed_at) - epoch(started_at), 1) as seconds,
        tasks_asked as asked, tasks_ok as ok, tasks_failed as failed, items, changes
    from snapshots where kind = 'sweep' order by seq desc limit 5"""


@dataclass(frozen=True, slots=True)
class SnapshotSummary:
    """What one snapshot holds. `changes` counts its change rows by kind."""

    account_names: Mapping[str, str]
    changes: Mapping[str, int]
    stale_scopes: int
    stale_items: int


def load_newest_run(con: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return one row: id, number, moment and items of the newest snapshot that a run made."""
    return run_query(con, _NEWEST_RUN_SQL)


def count_scopes_by_status(con: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return a row per status, expected or not: its scopes, how many are stale, and the moment of the oldest rows.

    Expected scopes are not stale: they have no rows, and none are due.
    """
    return run_query(con, _SCOPES_SQL)


def count_expected_scopes(con: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return a row per region and status of scopes whose failure is expected, with their number."""
    return run_query(con, _EXPECTED_SQL)


def load_recent_runs(con: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return the last five runs that committed, newest first."""
    return run_query(con, _RECENT_RUNS_SQL)


def load_sweeps(con: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return number, id and moment of each snapshot that a run made, newest first."""
    return run_query(con, _SWEEPS_SQL)


def summarize_snapshot(
    con: duckdb.DuckDBPyConnection, contracts: "Sequence[Contract]", snapshot_id: str
) -> SnapshotSummary:
    """Count the changes and the stale rows of a snapshot, and name its accounts."""

    def select_rows(select: str, table: str, rest: str = "") -> list[dict[str, Any]]:
        sql = f"{select} from {table}_history where snapshot_id = ? {rest}"
        return run_query(con, sql, [snapshot_id]).to_pylist()

    changes: Counter[str] = Counter()
    for contract in contracts:
        counts = select_rows("select change, count(*) as n", contract.changes_table.name, "group by all order by all")
        changes.update({row["change"]: row["n"] for row in counts})
    named = select_rows("select account_id, account_name", "accounts", "and account_name is not null")
    items = [select_rows("select count(*) as n", c.item_table.name, "and is_stale")[0]["n"] for c in contracts]
    return SnapshotSummary(
        account_names={row["account_id"]: row["account_name"] for row in named},
        changes=changes,
        stale_scopes=select_rows("select count(*) as n", "scope_runs", "and is_stale")[0]["n"],
        stale_items=sum(items),
    )


def count_table_rows(con: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> pa.Table:
    """Return a row per table with its number of rows, in the order given."""
    counts = (f"select '{name}' as table_name, count(*) as rows from {name}" for name in tables)  # noqa: S608
    return run_query(con, " union all ".join(counts))
