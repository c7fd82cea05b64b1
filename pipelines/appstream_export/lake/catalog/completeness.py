"""How complete each table of a snapshot is: rows of scopes whose newest attempt failed are from an earlier one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.duckdb import quote_identifier
from appstream_export.status import Status

if TYPE_CHECKING:
    from appstream_export.contracts import Contract, Table

_SCOPES_SQL = "select account_id, region, status, reason, observed_at, is_expected from coverage where resource = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenScope:
    """A scope whose newest attempt failed. Its `rows` of the table are from `observed_at`, None if it has none."""

    account_id: str
    region: str
    status: str
    reason: str | None
    observed_at: datetime | None
    rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCompleteness:
    """The failed scopes of a table, without expected ones; `failed_ratio` is failed / (ok + failed) of its resource."""

    unseen: tuple[UnseenScope, ...] = ()
    scopes: int = 0
    answered: int = 0
    """The scopes that answered. The others failed, are expected to, are suspended or were never requested."""
    failed_ratio: float = 0.0

    @property
    def stale_rows(self) -> int:
        """The number of rows of failed scopes."""
        return sum(scope.rows for scope in self.unseen)


def load_completeness(con: duckdb.DuckDBPyConnection, contracts: "Sequence[Contract]") -> dict[str, TableCompleteness]:
    """Return the completeness of each table of the contracts, changes included, whose rows are never stale."""
    return {name: found for contract in contracts for name, found in _load_tables(con, contract)}


def _load_tables(con: duckdb.DuckDBPyConnection, contract: "Contract") -> Iterator[tuple[str, TableCompleteness]]:
    found = run_query(con, _SCOPES_SQL, [contract.name]).to_pylist()
    failed = [row for row in found if Status(row["status"]).is_failure and not row.pop("is_expected")]
    answered = sum(Status(row["status"]).is_answer for row in found)
    ratio = len(failed) / (len(failed) + answered) if failed else 0.0
    for table in (*contract.tables, contract.changes_table):
        rows = _count_stale_rows(con, table) if failed and table in contract.tables else {}
        unseen = [UnseenScope(**row, rows=rows.get((row["account_id"], row["region"]), 0)) for row in failed]
        unseen.sort(key=lambda scope: (scope.account_id, scope.region))
        yield (
            table.name,
            TableCompleteness(unseen=tuple(unseen), scopes=len(found), answered=answered, failed_ratio=ratio),
        )


def _count_stale_rows(con: duckdb.DuckDBPyConnection, table: "Table") -> Mapping[tuple[str, str], int]:
    select = "select account_id, region, count(*) as items"
    rows = run_query(con, f"{select} from {quote_identifier(table.name)} where is_stale group by all").to_pylist()
    return {(row["account_id"], row["region"]): row["items"] for row in rows}
