"""Counts and moments that other folders need of a warehouse, so that they need no SQL of their own."""
# ruff: noqa: S608 - names come from checked contracts and headers, and are quoted

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb

from appstream_export.contracts import Contract
from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.duckdb import quote_identifier, quote_literal
from appstream_export.lake.snapshots import KIND_SWEEP


def count_rows(con: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, int]:
    """Return the number of rows of each table or view, by its name; raises QueryError for an unknown one."""
    counts = ", ".join(f"(select count(*) from {name}) as {name}" for name in map(quote_identifier, names))
    return run_query(con, f"select {counts}").to_pylist()[0] if names else {}


def count_items_by_state(con: duckdb.DuckDBPyConnection, contracts: Sequence[Contract]) -> dict[str, Mapping[str, int]]:
    """Return the number of items in each state, by item table, where items have a state; null counts as `unknown`."""
    tables = [contract.item_table for contract in contracts]
    names = [table.name for table in tables if "state" in {column.name for column in table.columns}]
    return {name: _count_states(con, name) for name in names}


def count_items_by_scope(con: duckdb.DuckDBPyConnection, contract: Contract) -> dict[tuple[str, str], int]:
    """Return the number of items of the newest snapshot, by account id and region; scopes without items are absent."""
    table = quote_identifier(contract.item_table.name)
    rows = run_query(con, f"select account_id, region, count(*) as items from {table} group by all").to_pylist()
    return {(row["account_id"], row["region"]): row["items"] for row in rows}


def load_last_sweep_started_at(con: duckdb.DuckDBPyConnection) -> datetime:
    """Return when the newest sweep began, in UTC; each history has at least one."""
    sweeps = f"from snapshots where kind = {quote_literal(KIND_SWEEP)} order by seq desc limit 1"
    [row] = run_query(con, f"select started_at {sweeps}").to_pylist()
    return row["started_at"]


def _count_states(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, int]:
    query = f"""
        select coalesce(state, 'unknown') as state, count(*) as items
        from {quote_identifier(table)} group by all order by all"""
    rows: list[dict[str, Any]] = run_query(con, query).to_pylist()
    return {row["state"]: row["items"] for row in rows}
