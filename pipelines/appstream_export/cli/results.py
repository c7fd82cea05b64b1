"""Print what a warehouse holds: the rows of a query, the list of tables, the description of one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appstream_export.cli import console
from appstream_export.cli.signals import run_interruptible_query

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from appstream_export.cli.result_rows import ResultRows
    from appstream_export.contracts import Contract, SqlFile
    from appstream_export.lake.catalog import PrintedAs, QueryRows


def print_query(
    con: "duckdb.DuckDBPyConnection", sql: str, parameters: Mapping[str, Any] | None = None, *, kind: str
) -> None:
    """Run a statement, and print its rows."""
    from appstream_export.cli.output import write_query_result
    from appstream_export.lake.catalog import build_row_loader

    load = build_row_loader(con, sql, parameters)

    def load_rows(printed_as: "PrintedAs") -> "pa.Table | QueryRows":
        return run_interruptible_query(lambda: load(printed_as), con.interrupt)

    write_query_result(load_rows, kind)


def draw_query(
    con: "duckdb.DuckDBPyConnection", named_query: "SqlFile", parameters: Mapping[str, Any], *, page: Path | None
) -> None:
    """Draw the rows of a named query on the terminal, or write its page; raises QueryError if it has no numbers."""
    from appstream_export.lake.catalog import choose_chart_columns, load_shown_time, run_query

    answer = run_interruptible_query(lambda: run_query(con, named_query.sql, parameters), con.interrupt)
    chart = choose_chart_columns(named_query, answer)
    if page is None:
        from appstream_export.cli.chart import print_chart  # slow to import

        print_chart(answer, chart)
        return
    from appstream_export.cli.output_file import open_output_file
    from appstream_export.feeds import render_query_page

    text = render_query_page(named_query, answer, chart, parameters, load_shown_time(con))
    with open_output_file(page) as stream:
        stream.write(text)
    console.print_result(str(page))


def print_tables(contracts: "Sequence[Contract]", kind: str) -> int:
    """Print every table and view, with its description."""
    from appstream_export.cli.views import build_tables_overview

    return print_rows(build_tables_overview(contracts, is_brief=kind == "table"), kind)


def print_description(contracts: "Sequence[Contract]", table: str, kind: str) -> int:
    """Print the columns of a table; as a table, also its description, key and joins."""
    from appstream_export.cli.views import find_entry, list_entry_columns

    entry = find_entry(contracts, table)
    if kind != "table":
        return print_rows(list_entry_columns(entry), kind)
    console.print_result(f"{console.style(entry.name, '1')}: {entry.doc}")
    if entry.key:
        console.print_result(f"Key within a snapshot: {', '.join(entry.key)}.")
    console.print_result()
    print_rows(list_entry_columns(entry), "table")
    if entry.join:
        console.print_result(f"\nJoined to its parent table:\n\n{entry.join}")
    if entry.joins:
        console.print_result(f"\nJoins to related tables:\n\n{entry.joins}")
    return 0


def print_rows(rows: "ResultRows", kind: str) -> int:
    """Print rows, and return the exit code 0."""
    from appstream_export.cli.output import write_result

    write_result(rows, kind)
    return 0
