"""A DuckDB connection that reads the head and the staged snapshot while a commit is built.

Each table T of a contract has named queries: `head_T` returns the head's rows, `fresh_T` the staged ones. Both read
Parquet files, so that DuckDB can spill what it holds in memory. `apply_decisions` stores the decision per task in the
table `tasks`. From then on, `new_T` returns the rows of `fresh_T` that are used, `dropped_T` those that are discarded,
and `carried_T` the rows of `head_T` that are carried forward.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by lake/duckdb.py

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import duckdb
import pyarrow as pa

from appstream_export.contracts import (
    Contract,
    Table,
    build_arrow_schema,
    get_operational_table,
    load_operational_tables,
)
from appstream_export.errors import StorageFailed
from appstream_export.lake.duckdb import join_identifiers, open_duckdb, quote_identifier, quote_literal, stream_batches
from appstream_export.lake.snapshots import parquet, scan_sql
from appstream_export.lake.snapshots.epoch import convert_epoch_us
from appstream_export.lake.snapshots.manifest import Manifest, TableFiles
from appstream_export.lake.snapshots.staged_snapshot import StagedSnapshot
from appstream_export.lake.snapshots.task_transitions import Decision, ExistingRows, RowAction
from appstream_export.lake.storage import Store
from appstream_export.model import Scope, Task

_TASK_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("resource", "account_id", "region", "status", "rows", "change_scope")),
        ("is_discarded", pa.bool_()),
        ("uses_fresh", pa.bool_()),
        ("answered_at", pa.timestamp("us", "UTC")),
        ("previous_at", pa.timestamp("us", "UTC")),
    ]
)
_SCOPE = "account_id, region"
MEMORY = "112MiB"  # DuckDB's limit while a commit is built; it spills the rest
FALLBACK_MEMORY = "1GiB"  # for commits that need more, because DuckDB cannot spill everything
# ISO 8601 in UTC like Python's isoformat: microseconds only if there are any.
_ISO = """
create macro iso(t) as case
    when epoch_us(t) % 1000000 = 0 then strftime(make_timestamp(epoch_us(t)), '%Y-%m-%dT%H:%M:%SZ')
    else strftime(make_timestamp(epoch_us(t)), '%Y-%m-%dT%H:%M:%S.%fZ')
end
"""


class CommitWorkspace(AbstractContextManager["CommitWorkspace"]):
    """The connection and queries of one commit, open in a `with` block. `base` is the head, None before the first."""

    def __init__(
        self, store: Store, contracts: Sequence[Contract], base: Manifest | None, staged: StagedSnapshot, memory: str
    ) -> None:
        self.store, self.contracts, self.base, self.staged = store, contracts, base, staged
        self._queries: dict[str, str] = {}
        self._has_merges = False
        pa.default_memory_pool().release_unused()  # the sweep's memory, which DuckDB cannot take from Arrow
        self.con = open_duckdb(store)
        self._memory = memory
        self.release_memory()
        self.con.execute("set threads = 1")  # more threads took more CPU and memory, but not less time
        self.con.execute("set preserve_insertion_order = false")  # queries that need an order have an `order by`
        self.con.execute(_ISO)
        own = [table for contract in contracts for table in contract.tables]
        for table in (*own, *load_operational_tables()):
            self._add_scan_query(f"head_{table.name}", table, base.tables.get(table.name) if base else None)
        for table in (*own, get_operational_table("quarantine")):
            self._add_scan_query(
                f"fresh_{table.name}",
                table,
                TableFiles(files=staged.files[table.name], columns=get_stored_columns(table)),
            )

    def __exit__(self, *_: object) -> None:
        self.con.close()

    def release_memory(self) -> None:
        """Set the memory limit again, which makes DuckDB return unused memory to the system."""
        self.con.execute(f"set memory_limit = {quote_literal(self._memory)}")

    def disable_file_cache(self) -> None:
        """Turn off DuckDB's file cache, so that later queries read every file as stored."""
        self.con.execute("set enable_external_file_cache = false")
        self.release_memory()

    def load_existing_rows(self, side: str) -> dict[Task, ExistingRows]:
        """Return the number of items per task in `head` or `fresh`, and when AWS returned the newest."""
        existing: dict[Task, ExistingRows] = {}
        for contract in self.contracts:
            rows = self.get_query(f"{side}_{contract.item_table.name}")
            found = self.fetch_rows(f"select {_SCOPE}, count(*), epoch_us(max(observed_at)) from {rows} group by all")
            try:
                existing |= {
                    Task(contract.name, Scope(account, region)): _build_existing_rows(n, at)
                    for account, region, n, at in found
                }
            except (TypeError, ValueError) as error:
                what = f"rows of {contract.item_table.name} in the {side} have no valid account and region"
                raise StorageFailed(what, fix="find the damage with: appstream-export verify") from error
        return existing

    def count_rows(self, contract: Contract, files: TableFiles) -> dict[Task, int]:
        """Return the number of items per task in some files of the contract's item table."""
        scan = scan_sql.build_scan_query(contract.item_table, [files], self.store.resolve_uri)
        found = self.fetch_rows(f"select {_SCOPE}, count(*) from ({scan}) group by all")
        return {Task(contract.name, Scope(account, region)): count for account, region, count in found}

    def apply_decisions(self, decisions: Sequence[Decision]) -> None:
        """Store the decisions in `tasks`, and build the queries that depend on them."""
        self.con.register("decided", _build_task_table(decisions))
        self.con.execute("create or replace table tasks as from decided")
        self._has_merges = any(decision.row_action is RowAction.MERGE for decision in decisions)
        for contract in self.contracts:
            for table_ in contract.tables:
                self._build_table_queries(contract, table_)
        self._build_quarantine_queries()

    def get_query(self, name: str) -> str:
        """Return the SQL of `head_T`, `fresh_T`, `new_T`, `dropped_T` or `carried_T`, in parentheses."""
        return f"({self._queries[name]})"

    def has_rows(self, table: Table) -> bool:
        """Return whether the head or the staged snapshot has any row of the table."""
        base = self.base.tables.get(table.name) if self.base else None
        return bool(base and base.rows) or any(file.rows for file in self.staged.files[table.name])

    def has_dropped_rows(self, table: Table) -> bool:
        """Return whether staged rows of the table are discarded, so that their files cannot be part of the snapshot."""
        return bool(self.fetch_rows(f"select 1 from {self.get_query(f'dropped_{table.name}')} limit 1"))

    def fetch_rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return all rows of a small result. DuckDB 2 requires reading a result to its end before the next query."""
        return self.con.execute(query).fetchall()

    def load_head_records(self, table: Table) -> list[dict[str, Any]]:
        """Return the head's rows of an operational table, with the columns of its files."""
        return fetch_records(self.con, table, f"from {self.get_query(f'head_{table.name}')}")

    def stream_row_groups(self, query: str) -> Iterable[pa.Table]:
        """Yield a large result in parts of one row group."""
        for batch in stream_batches(self.con, query, parquet.ROW_GROUP_ROWS):
            yield pa.Table.from_batches([batch])

    def _add_scan_query(self, name: str, table: Table, files: TableFiles | None) -> None:
        self._queries[name] = scan_sql.build_scan_query(table, [files] if files else [], self.store.resolve_uri)

    def _build_table_queries(self, contract: Contract, table: Table) -> None:
        name = table.name
        head, fresh = self.get_query(f"head_{name}"), self.get_query(f"fresh_{name}")
        own = f"from tasks where resource = {quote_literal(contract.name)}"
        self._queries |= {
            f"new_{name}": f"from {fresh} semi join ({own} and uses_fresh) using ({_SCOPE})",
            f"dropped_{name}": f"from {fresh} semi join ({own} and is_discarded) using ({_SCOPE})",
        }
        keys = contract.item_key if table is contract.item_table else contract.parent_key
        item_key = ", ".join(
            f"{quote_identifier(k)} as {quote_identifier(p)}" for k, p in zip(contract.item_key, keys, strict=True)
        )
        carried = f"from {head} semi join ({own} and rows = 'carry') using ({_SCOPE})"
        # The anti join scans the head a second time, which a commit without partial answers does not need.
        if self._has_merges:
            carried += f"""
                union all
                from (from {head} semi join ({own} and rows = 'merge') using ({_SCOPE}))
                anti join (select {_SCOPE}, {item_key} from {self.get_query(f"new_{contract.item_table.name}")})
                using ({_SCOPE}, {join_identifiers(keys)})
            """
        self._queries[f"carried_{name}"] = carried

    def _build_quarantine_queries(self) -> None:
        """Build the quarantine queries: quarantine rows are carried with their items, and replaced with them."""
        task = f"resource, {_SCOPE}"
        items = " union all ".join(
            f"select {quote_literal(c.name)} as resource, {_SCOPE}, {render_item_name_sql(c.item_key)} as item_name"
            f" from {self.get_query(f'new_{c.item_table.name}')}"
            for c in self.contracts
        )
        head, fresh = self.get_query("head_quarantine"), self.get_query("fresh_quarantine")
        discarded = f"(from tasks where is_discarded) using ({task})"
        self._queries |= {
            "new_quarantine": f"from {fresh} anti join {discarded}",
            "dropped_quarantine": f"from {fresh} semi join {discarded}",
        }
        new = f"select {task}, item_name from {self.get_query('new_quarantine')} where item_name is not null"
        # Rows without an item name belong to the answer as a whole: a partial (filtered) answer does not replace them.
        self._queries["carried_quarantine"] = f"""
            from {head} semi join (from tasks where rows = 'carry') using ({task})
            union all
            from (from {head} where item_name is not null)
            semi join (from tasks where rows = 'merge') using ({task})
            anti join ({items} union all {new})
            using ({task}, item_name)
            union all
            from (from {head} where item_name is null)
            semi join (from tasks where rows = 'merge' and status = 'filtered') using ({task})
        """


def fetch_records(con: duckdb.DuckDBPyConnection, table: Table, query: str) -> list[dict[str, Any]]:
    """Return a query's rows as dicts, with the columns that the table's files have."""
    stored = join_identifiers(build_arrow_schema(table).names)
    return parquet.build_records(con.sql(f"select {stored} from ({query})").to_arrow_table())


def get_stored_columns(table: Table) -> dict[str, str]:
    """Return name and contract type of the columns in a table's files, as manifests record them."""
    # Files of most tables do not store `snapshot_id`: readers take it from the name of their folder.
    stored = build_arrow_schema(table).names
    return {column.name: column.type for column in table.columns if column.name in stored}


def render_item_name_sql(keys: Sequence[str]) -> str:
    """Return SQL for an item's key as the table quarantine has it."""
    return f"concat_ws('/', {join_identifiers(keys)})"


def _build_existing_rows(rows: int, newest_us: int | None) -> ExistingRows:
    return ExistingRows(rows, None if newest_us is None else convert_epoch_us(newest_us))


def _build_task_table(decisions: Sequence[Decision]) -> pa.Table:
    """Return a row per decision. The table is built by column, because there may be 20,000 decisions."""
    columns = {
        "resource": [d.task.resource for d in decisions],
        "account_id": [d.task.scope.account_id for d in decisions],
        "region": [d.task.scope.region for d in decisions],
        "status": [d.scope_run["status"] if d.scope_run else None for d in decisions],
        "rows": [d.row_action.value for d in decisions],
        "change_scope": [d.change_scope.value for d in decisions],
        "is_discarded": [d.is_discarded for d in decisions],
        "uses_fresh": [d.should_use_fresh for d in decisions],
        "answered_at": [d.answered_at for d in decisions],
        "previous_at": [d.previous_at for d in decisions],
    }
    return pa.table(columns, schema=_TASK_SCHEMA)
