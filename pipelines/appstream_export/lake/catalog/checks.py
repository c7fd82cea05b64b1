"""Run checks, packaged ones and users' own: each selects rows of the newest snapshot that need attention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from appstream_export.contracts import (
    SEVERITIES,
    Contract,
    SqlFile,
    list_sql_files,
    load_contract_set,
    split_generated_check,
)
from appstream_export.errors import QueryError
from appstream_export.lake.catalog.query import list_view_names
from appstream_export.lake.duckdb import translate_duckdb_errors

SEVERITY_ERROR, SEVERITY_WARN = SEVERITIES
EXAMPLES_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """A check's result: the number of rows that it found, and the first of them as examples."""

    name: str
    doc: str
    severity: str
    rows: int
    examples: tuple[Mapping[str, Any], ...] = ()
    blocks_feeds: bool = True
    """True if feeds are not published when this check has severity error and found rows."""

    @property
    def is_passed(self) -> bool:
        """True if the check found no rows."""
        return not self.rows

    @property
    def is_error(self) -> bool:
        """True if the check found rows and has severity error, so that the run fails."""
        return bool(self.rows) and self.severity == SEVERITY_ERROR


def run_checks(
    con: duckdb.DuckDBPyConnection,
    contracts: Sequence[Contract] | None = None,
    inputs: Mapping[str, pa.Table] | None = None,
) -> list[CheckResult]:
    """Run the checks of the contracts on the connection's views, in order of their names; skip those of missing views.

    `inputs` are tables that checks read and no catalog has, such as the numbers of rows before. The connection has them
    afterwards.
    Raises StorageFailed if files cannot be read, QueryError with the check's name if DuckDB refuses a check.
    """
    for name, rows in (inputs or {}).items():
        con.register(name, rows)
    known = frozenset({*list_view_names(con), *(inputs or {})})
    checks = list_sql_files(load_contract_set() if contracts is None else contracts, "checks")
    return [_run_check(con, check) for check in checks if known.issuperset(check.reads)]


def _run_check(con: duckdb.DuckDBPyConnection, check: SqlFile) -> CheckResult:
    examples, found = list[dict[str, Any]](), 0
    try:
        with translate_duckdb_errors():
            for query in split_generated_check(check.sql):
                rows = _find_rows(con, query)
                examples += rows
                found += rows[0]["rows_found"] if rows else 0
    except duckdb.Error as error:
        raise QueryError(f"the check {check.name} cannot run: {' '.join(str(error).split())[:200]}") from error
    return CheckResult(
        name=check.name,
        doc=check.doc,
        severity=check.severity or SEVERITY_WARN,
        rows=found,
        blocks_feeds=check.blocks_feeds,
        examples=tuple({k: v for k, v in row.items() if k != "rows_found"} for row in examples[:EXAMPLES_MAX]),
    )


def _find_rows(con: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """Return some rows of a query as examples, each with the number of all its rows."""
    # A relation binds its views twice, which costs more than reading them, and most checks find nothing.
    if not con.execute(f"select 1 from ({query}\n) limit 1").fetchall():  # noqa: S608, our own files
        return []
    # The window counts all rows that the check found, although only some are returned as examples.
    sql = f"select *, count(*) over () as rows_found from ({query}\n) limit {EXAMPLES_MAX}"  # noqa: S608, our own files
    return con.sql(sql).to_arrow_table().to_pylist()
