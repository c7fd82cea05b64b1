"""Count what a warehouse or a snapshot contains, so that other folders need no SQL."""
# ruff: noqa: S608 - names come from checked contracts and headers, and are quoted

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from appstream_export.errors import QueryError
from appstream_export.lake.catalog.query import load_records
from appstream_export.lake.duckdb import quote_identifier

if TYPE_CHECKING:
    from appstream_export.contracts import Contract

_log = logging.getLogger(__name__)
_SCOPES_SQL = """
    select status, is_expected, count(*) as scopes, min(observed_at) filter (is_stale and not is_expected) as oldest,
        count(*) filter (is_stale and not is_expected) as stale, resource
    from coverage group by all order by resource, scopes desc, status"""
_EXPECTED_SQL = """
    select region, status, count(*) as scopes, count(distinct account_id) as accounts, resource
    from coverage where is_expected group by all order by region, status, resource"""
_SWEEPS_SQL = """
    select snapshot_id, seq, committed_at, round(epoch(committed_at) - epoch(started_at), 1) as seconds,
        tasks_asked as asked, tasks_ok as ok, tasks_failed as failed, items, changes
    from snapshots where kind = 'sweep' order by seq desc"""


@dataclass(frozen=True, slots=True)
class SnapshotSummary:
    """Counts of one snapshot. `changes_by_resource` counts its change rows by resource and kind.

    Expected scopes are not stale: they have no rows, and none are due.
    """

    account_names: Mapping[str, str] = field(default_factory=dict)
    changes_by_resource: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    stale_scopes: int = 0
    stale_items: int = 0

    @property
    def changes(self) -> Mapping[str, int]:
        """The change rows of all resources by kind."""
        return sum((Counter(counts) for counts in self.changes_by_resource.values()), Counter())


def count_scopes_by_status(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return the number of scopes, of stale ones, and the oldest rows' time by resource, status and `is_expected`.

    Expected scopes are not stale: they have no rows, and none are due.
    """
    return load_records(con, _SCOPES_SQL)


def count_expected_scopes(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return the number of scopes whose failure is expected, and of their accounts, by region, status and resource."""
    return load_records(con, _EXPECTED_SQL)


def load_sweeps(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return id, seq, times and counts of each snapshot that a run committed, newest first."""
    return load_records(con, _SWEEPS_SQL)


def summarize_snapshot(
    con: duckdb.DuckDBPyConnection, contracts: "Sequence[Contract]", snapshot_id: str
) -> SnapshotSummary:
    """Return the changes by kind, the stale rows and the account names of a snapshot."""

    def select_rows(select: str, table: str, rest: str = "") -> list[dict[str, Any]]:
        sql = f"{select} from {table}_history where snapshot_id = ? {rest}"
        return load_records(con, sql, [snapshot_id])

    changes = {
        contract.name: {
            row["change"]: row["n"]
            for row in select_rows(
                "select change, count(*) as n", contract.changes_table.name, "group by all order by all"
            )
        }
        for contract in contracts
    }
    named = select_rows("select account_id, account_name", "accounts", "and account_name is not null")
    items = [select_rows("select count(*) as n", c.item_table.name, "and is_stale")[0]["n"] for c in contracts]
    return SnapshotSummary(
        account_names={row["account_id"]: row["account_name"] for row in named},
        changes_by_resource=changes,
        stale_scopes=select_rows("select count(*) as n", "scope_runs", "and is_stale and not is_expected")[0]["n"],
        stale_items=sum(items),
    )


def count_rows(con: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, int]:
    """Return the number of rows by table or view; log and leave out those that cannot be read, such as a user's."""
    found: dict[str, int] = {}
    for name in names:
        try:
            [row] = load_records(con, f"select count(*) as n from {quote_identifier(name)}")
            found[name] = row["n"]
        except QueryError as error:
            _log.warning("the rows of %s could not be counted: %s", name, error)
    return found


def count_items_by_state(
    con: duckdb.DuckDBPyConnection, contracts: "Sequence[Contract]"
) -> dict[str, Mapping[str, int]]:
    """Return the number of items by state, for each item table with a state; null counts as `unknown`."""
    tables = [contract.item_table for contract in contracts]
    names = [table.name for table in tables if "state" in {column.name for column in table.columns}]
    return {name: _count_states(con, name) for name in names}


def count_items_by_scope(con: duckdb.DuckDBPyConnection, contract: "Contract") -> dict[tuple[str, str], int]:
    """Return the number of items in the newest snapshot by account id and region, without scopes that have none."""
    table = quote_identifier(contract.item_table.name)
    rows = load_records(con, f"select account_id, region, count(*) as items from {table} group by all")
    return {(row["account_id"], row["region"]): row["items"] for row in rows}


def load_last_requests(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return one row per resource of the newest snapshot: its name, and when a task of it was last requested in full.

    A filtered request, or a skipped scope, does not count: the last full answer before it does.
    """
    sql = """
        select
            resource,
            max(case when status in ('filtered', 'skipped') then observed_at else attempted_at end) as requested_at
        from scope_runs group by resource order by resource"""
    return load_records(con, sql)


def _count_states(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, int]:
    query = f"""
        select coalesce(state, 'unknown') as state, count(*) as items
        from {quote_identifier(table)} group by all order by all"""
    rows: list[dict[str, Any]] = load_records(con, query)
    return {row["state"]: row["items"] for row in rows}
