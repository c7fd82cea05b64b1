"""Run the checks of sql/checks: each selects rows of the newest snapshot that are errors or need attention."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from appstream_export.contracts import SEVERITIES, SqlFile, load_sql_files
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


def run_checks(con: duckdb.DuckDBPyConnection) -> list[CheckResult]:
    """Run the checks on the connection's views, in order of their names; skip those that read a missing view.

    Raises StorageFailed if files cannot be read, QueryError with the check's name if DuckDB refuses a check.
    """
    known = frozenset(list_view_names(con))
    return [_run_check(con, check) for check in load_sql_files("checks") if known.issuperset(check.reads)]


def _run_check(con: duckdb.DuckDBPyConnection, check: SqlFile) -> CheckResult:
    # The window counts all rows that the check found, although only some are returned as examples.
    sql = f"select *, count(*) over () as rows_found from ({check.sql}\n) limit {EXAMPLES_MAX}"  # noqa: S608, our own files
    # A relation binds its views twice, which costs more than reading them, and most checks find nothing.
    probe = f"select 1 from ({check.sql}\n) limit 1"  # noqa: S608, our own files
    try:
        with translate_duckdb_errors():
            is_passed = not con.execute(probe).fetchall()
            rows = [] if is_passed else con.sql(sql).to_arrow_table().to_pylist()
    except duckdb.Error as error:
        raise QueryError(f"the check {check.name} cannot run: {' '.join(str(error).split())[:200]}") from error
    return CheckResult(
        name=check.name,
        doc=check.doc,
        severity=check.severity or SEVERITY_WARN,
        rows=rows[0]["rows_found"] if rows else 0,
        blocks_feeds=check.blocks_feeds,
        examples=tuple({column: value for column, value in row.items() if column != "rows_found"} for row in rows),
    )
