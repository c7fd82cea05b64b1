"""`status`, `sql`, `query`, `tables` and `describe`: read a warehouse, and describe its tables."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from appstream_export.cli import console
from appstream_export.cli.options import (
    Commands,
    UsageError,
    add_as_of_option,
    add_format_option,
    add_result_options,
    add_warehouse_command,
    parse_assignment,
    parse_grace_period,
    parse_path,
)
from appstream_export.cli.output_file import choose_format, redirect_result
from appstream_export.cli.results import draw_query, print_description, print_query, print_rows, print_tables
from appstream_export.cli.target import resolve_target
from appstream_export.errors import QueryError, SettingsError, suggest_path

if TYPE_CHECKING:
    from appstream_export.contracts import Contract, SqlFile


def add_parsers(commands: Commands) -> None:
    """Add the commands of this module."""
    doc = (
        "Show how fresh the warehouse is, what is missing, and what readers see. "
        "Exit 1 if the newest snapshot or a published output is late by [lake] freshness_interval."
    )
    status = add_warehouse_command(commands, "status", show_status, doc)
    add_format_option(status, ("table", "json"))
    _add_sql_parser(commands)
    _add_query_parser(commands)
    doc = "List every table and view."
    add_format_option(add_warehouse_command(commands, "tables", show_tables, doc))
    doc = "Describe a table: its key, its columns, its joins."
    describe = add_warehouse_command(commands, "describe", describe_table, doc)
    describe.add_argument("table", metavar="TABLE", help="such as image_builders")
    add_format_option(describe)


def _add_sql_parser(commands: Commands) -> None:
    doc = (
        "Query the warehouse in SQL. Read-only: SELECT and EXPLAIN. "
        "Without a statement, a prompt on a terminal; elsewhere the statement is read from stdin. "
        "In csv, text that looks like a formula gets a '."
    )
    sql = add_warehouse_command(commands, "sql", execute_sql, doc)
    sql.add_argument("sql", metavar="SQL", nargs="?", help="one statement, in quotes; - reads it from stdin")
    sql.add_argument("-f", "--file", type=parse_path, metavar="FILE", help="read the statement from a file")
    add_as_of_option(sql)
    _add_timeout_option(sql)
    add_result_options(sql)


def _add_query_parser(commands: Commands) -> None:
    doc = "Run a named query. Without a name, list all named queries and their parameters."
    query = add_warehouse_command(commands, "query", execute_named_query, doc)
    query.add_argument("name", metavar="NAME", nargs="?", help="such as running_over")
    query.add_argument("-p", "--param", type=parse_assignment, action="append", default=[], metavar="K=V",
                       help="a parameter of the query, such as hours=12; may be repeated")  # fmt: skip
    add_as_of_option(query)
    _add_timeout_option(query)
    query.add_argument("--sql", action="store_true", help="print its SQL instead of running it")
    query.add_argument("--chart", action="store_true", help="draw the rows on the terminal instead of printing them")
    doc = "write a page instead: a chart, the rows and the SQL in one file, which makes no requests"
    query.add_argument("--html", type=parse_path, metavar="FILE", help=doc)
    add_result_options(query)


def _add_timeout_option(parser: argparse.ArgumentParser) -> None:
    doc = "end a statement that takes longer, such as 90m; 0 for no limit (default: 10m)"
    parser.add_argument("--timeout", type=parse_grace_period, metavar="TIME", help=doc)


def show_status(args: argparse.Namespace) -> int:
    """Print the status of the warehouse; exit code 1 if it or an output is late."""
    from appstream_export.cli.output import print_json
    from appstream_export.cli.views import build_status_object, load_status, print_status
    from appstream_export.lake.storage import open_store

    target = resolve_target(args)
    store = open_store(target.warehouse, s3=target.s3)
    status = load_status(store, target.load_output_settings(store))
    if args.format == "json":
        print_json(build_status_object(status))
    else:
        print_status(status)
    return status.exit_code


def execute_sql(args: argparse.Namespace) -> int:
    """Run a statement, and print its rows; without one, start a prompt on a terminal, else read stdin."""
    args.format = choose_format(args.format, args.output)
    if args.sql is not None and args.file is not None:
        raise UsageError("--file and a statement are given", fix="give one of them")
    if args.sql is None and args.file is None and console.is_terminal(sys.stdin):
        return _start_prompt(args)
    return _print_query_result(args, _read_statement(args))


def _start_prompt(args: argparse.Namespace) -> int:
    if args.output is not None or not console.is_terminal(sys.stdout):
        raise UsageError("no statement", fix="give one in quotes, or in a file: -f FILE")
    from appstream_export.cli.sql_prompt import run_prompt  # slow to import

    return run_prompt(resolve_target(args), as_of=args.as_of, kind=args.format, limit=_get_timeout(args))


def _read_statement(args: argparse.Namespace) -> str:
    """Return the statement of the command line, of a file or of stdin; raises QueryError if it cannot be read."""
    if args.file is None or str(args.file) == "-":
        return args.sql if args.sql not in (None, "-") else _read_stdin()
    from appstream_export.user_text import read_user_text

    try:
        return read_user_text(args.file)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        near = suggest_path(args.file) if isinstance(error, FileNotFoundError) else None
        raise QueryError(f"{args.file}: {why}", fix=near or "name a file with one statement, in UTF-8") from error


def _read_stdin() -> str:
    """Return the statement from stdin; raises QueryError if it cannot be read."""
    from appstream_export.user_text import decode_text

    try:
        content = sys.stdin.buffer.read() if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()
        return decode_text(content)
    # Python sets sys.stdin to None if the descriptor is closed.
    except AttributeError:
        why = "it is closed"
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    raise QueryError(f"stdin: {why}", fix="pipe one statement in, in UTF-8")


def execute_named_query(args: argparse.Namespace) -> int:
    """Print the rows of a named query, its SQL, or the list of all named queries."""
    from appstream_export.cli.views import list_named_queries
    from appstream_export.lake.catalog import get_named_query, load_named_queries, parse_parameters

    _check_shapes(args)
    args.format = choose_format(args.format, args.output)
    contracts = load_described_contracts(args, must_exist=False)  # a typing error needs no warehouse
    if args.name is None:
        with redirect_result(args.output):
            found = list_named_queries(load_named_queries(contracts), is_brief=args.format == "table")
            return print_rows(found, args.format)
    named_query = get_named_query(args.name, contracts)
    parameters = parse_parameters(named_query, dict(args.param))
    if args.sql:
        with redirect_result(args.output):
            console.print_result(named_query.sql.rstrip())
        return 0
    return _print_query_result(args, named_query.sql, parameters, named_query)


def _check_shapes(args: argparse.Namespace) -> None:
    """Raise UsageError for two shapes of one answer, and for a picture of the list of queries."""
    shapes = {"--chart": args.chart, "--html": args.html, "--sql": args.sql}
    given = [flag for flag, value in shapes.items() if value]
    if args.chart or args.html:  # --sql goes with them: it prints into the file, in any format
        given += [getattr(args, "format_option", "--format")] if args.format else ["--output"] if args.output else []
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} do not go together", fix="run the query once for each")
    if args.name is None and (args.chart or args.html):
        raise UsageError(f"{given[0]} needs the name of a query", fix="list them with: appstream-export query")


def show_tables(args: argparse.Namespace) -> int:
    """Print every table and view."""
    return print_tables(load_described_contracts(args), args.format)


def describe_table(args: argparse.Namespace) -> int:
    """Print the columns of a table; for people also its description, key and joins."""
    return print_description(load_described_contracts(args), args.table, args.format)


def load_own_contracts(args: argparse.Namespace) -> "Sequence[Contract]":
    """Return the contracts and the SQL of the settings; the packaged ones if nothing names settings or a warehouse."""
    from appstream_export.contracts import load_contract_set

    try:
        return resolve_target(args).load_own_contracts()
    except SettingsError:
        if args.warehouse or args.config:
            raise
        return load_contract_set()


def load_described_contracts(args: argparse.Namespace, *, must_exist: bool = True) -> "Sequence[Contract]":
    """Return the contracts of the settings and of the warehouse; one that a flag names must exist if `must_exist`."""
    from appstream_export.errors import ConfigurationError, ContractError, StorageFailed

    try:
        target = resolve_target(args)
        return target.load_contracts(target.open_store())
    except ContractError:
        raise
    except (ConfigurationError, StorageFailed):
        if args.warehouse and must_exist:
            raise
        return load_own_contracts(args)


def _print_query_result(
    args: argparse.Namespace,
    sql: str,
    parameters: Mapping[str, Any] | None = None,
    named_query: "SqlFile | None" = None,
) -> int:
    from appstream_export.lake.catalog import connect_warehouse

    target = resolve_target(args)
    limit, own = _get_timeout(args), target.load_own_contracts
    with (
        connect_warehouse(target.warehouse, s3=target.s3, as_of=args.as_of, load_contracts=own, **limit) as con,
        redirect_result(args.output),
    ):
        if named_query is not None:
            from appstream_export.lake.catalog import check_values

            check_values(con, named_query, parameters or {})
        if named_query is not None and (args.chart or args.html):
            draw_query(con, named_query, parameters or {}, page=args.html)
        else:
            print_query(con, sql, parameters, kind=args.format)
    return 0


def _get_timeout(args: argparse.Namespace) -> dict[str, Any]:
    """Return the argument for the time limit of statements; empty for the default."""
    return {} if args.timeout is None else {"timeout_s": args.timeout.total_seconds()}
