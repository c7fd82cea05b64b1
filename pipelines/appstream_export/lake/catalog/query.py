"""Run SQL from users: one statement that reads the catalog, on a locked connection; an error is one line.

DuckDB parses the statement, and its tree may contain only what is listed here: nodes that read, tables of the catalog,
and table functions that build rows from their arguments. So a function that runs SQL given as text, or reads a file, is
refused because it is not listed, even if its arguments are computed.
"""

import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from appstream_export.errors import QueryError, suggest_correction
from appstream_export.lake.catalog.printable import (
    PrintableRelation,
    PrintedAs,
    load_printable_rows,
    materialize_printable_rows,
)
from appstream_export.lake.catalog.query_rows import QueryRows, load_query_rows
from appstream_export.lake.duckdb import extract_python_error, load_arrow_exception

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
Params = Sequence[Any] | Mapping[str, Any] | None

# Query nodes, row sources and modifiers. Checking the statement's type is not enough: DuckDB 2 allows COPY, INSERT,
# UPDATE and DELETE inside the WITH of a SELECT.
_READING_TYPES = frozenset(
    {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
    | {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT", "SHOW_REF"}
    | {"LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "ORDER_MODIFIER", "DISTINCT_MODIFIER"}
    | {"ORDER_DEFAULT", "ASCENDING", "DESCENDING"}
)
_TYPE_DETAILS = "_TYPE_INFO"  # suffix of nodes with details of a type, such as a decimal's width
_TABLE_FUNCTIONS = frozenset(
    {"range", "generate_series", "unnest", "repeat", "json_each", "json_tree"}
    | {"duckdb_columns", "duckdb_schemas", "duckdb_tables", "duckdb_types", "duckdb_views"}
)
# Scalar functions that plan SQL given as text, read the environment, write, or block a thread. All others are allowed.
_REFUSED_FUNCTIONS = frozenset(
    {"getenv", "json_serialize_plan", "write_log", "currval", "nextval", "setval", "pg_sleep", "sleep_ms"}
)
_AS_OF = "_as_of"  # suffix of the catalog's table macros; no function of DuckDB has it
_CATALOG_TABLES_SQL = """
    select lower(view_name) from duckdb_views() where not internal or schema_name = 'information_schema'
    union all select lower(table_name) from duckdb_tables()"""
_FILE_SIGNS = frozenset("./\\:*?[")  # DuckDB never reads a name without any of these as a file's
_READS_ONLY = "only statements that read are allowed: SELECT, or EXPLAIN of a SELECT"
_EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+)?", re.IGNORECASE)
_TOO_DEEP = "Max expression depth"
_TIMED_OUT = "exceeded maximum execution time"
_UNKNOWN = re.compile(r"Table with name (\S+) does not exist")


def run_query(con: duckdb.DuckDBPyConnection, sql: str, params: Params = None) -> "pa.Table":
    """Return the rows of one SELECT or EXPLAIN; raises QueryError for all other statements and for DuckDB's errors."""
    return _run_checked(con, sql, params, lambda relation: relation.to_arrow_table())


def build_row_loader(
    con: duckdb.DuckDBPyConnection, sql: str, params: Params = None
) -> "Callable[[PrintedAs], pa.Table | QueryRows]":
    """Return a function that loads rows as `run_query` does, with text for values that the output cannot hold.

    The statement runs at the first call. If its rows become text, they are held: large results and those with times out
    of range are read several times, and each run would have a time limit and random numbers of its own.
    """
    held: list[PrintableRelation] = []

    def load_rows(printed_as: PrintedAs) -> "pa.Table | QueryRows":
        if printed_as == "parquet":  # which is read once
            return _run_checked(
                con, sql, params, lambda r: load_printable_rows(PrintableRelation(r, r.columns), printed_as)
            )
        if not held:
            held.append(_run_checked(con, sql, params, materialize_printable_rows))
        with _translate_query_errors(con):
            return load_printable_rows(held[0], printed_as)

    return load_rows


def load_records(con: duckdb.DuckDBPyConnection, sql: str, params: Params = None) -> list[dict[str, Any]]:
    """Return the rows of `run_query` as Python values by column, times in UTC, without loading Arrow."""

    def load(relation: duckdb.DuckDBPyRelation) -> list[dict[str, Any]]:
        rows = load_query_rows(relation)
        return rows.to_records() if rows is not None else relation.to_arrow_table().to_pylist()

    return _run_checked(con, sql, params, load)


def _run_checked(
    con: duckdb.DuckDBPyConnection, sql: str, params: Params, load: Callable[[duckdb.DuckDBPyRelation], T]
) -> T:
    _refuse_other_encodings(sql, params)
    with _translate_query_errors(con):
        _refuse_writes(con, sql)
        return load(con.sql(sql, params=params))


@contextmanager
def _translate_query_errors(con: duckdb.DuckDBPyConnection) -> Generator[None]:
    """Translate errors of DuckDB and Arrow to QueryError."""
    try:
        yield
    except duckdb.Error as error:
        raise _build_query_error(con, extract_python_error(error) or str(error)) from error
    except load_arrow_exception() as error:  # such as a type that is nested too deeply for Arrow
        raise QueryError(f"the result cannot be read: {' '.join(str(error).split())}") from error


def split_statements(con: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """Return the statements of a text; raises QueryError if DuckDB cannot parse it."""
    try:
        return [statement.query for statement in con.extract_statements(sql)]
    except duckdb.Error as error:
        raise _build_query_error(con, str(error)) from error


def _refuse_other_encodings(sql: str, params: Params) -> None:
    """Raise QueryError for text that is not UTF-8 (Python holds it as lone surrogates), and for NUL characters."""
    values = params.values() if isinstance(params, Mapping) else params or ()
    try:
        for text in (sql, *(value for value in values if isinstance(value, str))):
            text.encode()
    except UnicodeEncodeError as error:
        raise QueryError("the statement or a parameter is not in UTF-8", fix="set the terminal to UTF-8") from error
    if "\0" in sql:
        raise QueryError("the statement contains a NUL character, which would cut it off", fix="remove it")


def list_view_names(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the sorted names of the views that a query may read."""
    sql = "select view_name from duckdb_views() where not internal and schema_name = 'main' order by all"
    return [name for (name,) in con.execute(sql).fetchall()]


def _refuse_writes(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = con.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"one statement at a time; the text has {len(statements)}")
    kind = _get_statement_kind(statements[0])
    reading = (
        sql if kind == duckdb.StatementType.SELECT else ""
    )  # the typed text, because DuckDB 1.4 rewrites PRAGMA to SELECT
    if kind == duckdb.StatementType.EXPLAIN:
        explain = _EXPLAIN.match(sql)
        reading = sql[explain.end() :] if explain else ""
    tree = _parse_statement(con, reading)
    if _TOO_DEEP in str(tree.get("error_message")):
        raise _build_depth_error()
    if not reading or tree.get("error"):
        raise QueryError(_READS_ONLY)
    for node in _walk_nodes(tree):
        _check_node(con, node)


def _get_statement_kind(statement: duckdb.Statement) -> duckdb.StatementType | None:
    try:
        return statement.type
    except ValueError:  # the Python package does not know the type, such as that of UPDATE EXTENSIONS
        return None


def _parse_statement(con: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    """Return DuckDB's parse tree; raises QueryError if it is nested more deeply than Python's JSON parser allows."""
    [(text,)] = con.execute("select json_serialize_sql(?)", [sql]).fetchall()
    try:
        return json.loads(text)
    except RecursionError:
        raise _build_depth_error() from None


def _build_depth_error() -> QueryError:
    return QueryError("the statement is nested too deeply", fix="split it into named parts: with a as (...)")


def _walk_nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Yield every object of a parse tree, without recursion: a long statement's tree is deeper than Python's stack."""
    branches = [tree]
    while branches:
        branch = branches.pop()
        if isinstance(branch, dict):
            yield branch
            branches.extend(branch.values())
        elif isinstance(branch, list):
            branches.extend(branch)


def _check_node(con: duckdb.DuckDBPyConnection, node: Mapping[str, Any]) -> None:
    """Raise QueryError for a node that the lists do not allow."""
    kind = node.get("type")
    is_expression = "class" in node
    if isinstance(kind, str) and not is_expression and kind not in _READING_TYPES and not kind.endswith(_TYPE_DETAILS):
        raise QueryError(_READS_ONLY)
    if kind == "TABLE_FUNCTION":
        _check_table_function(node["function"])
    elif kind == "BASE_TABLE" or (kind == "SHOW_REF" and node.get("show_type") != "SHOW_SPECIAL"):
        _check_table_name(con, node)
    elif is_expression and kind == "FUNCTION" and node["function_name"].lower() in _REFUSED_FUNCTIONS:
        raise QueryError(f"the function {node['function_name']} is not allowed here")


def _check_table_function(function: Mapping[str, Any]) -> None:
    """Raise QueryError unless a table function is listed or is a macro of the catalog."""
    name = str(function.get("function_name"))
    if name.lower() not in _TABLE_FUNCTIONS and not name.lower().endswith(_AS_OF):
        raise QueryError(f"the table function {name} is not allowed here", fix="read the tables of the warehouse")


def _check_table_name(con: duckdb.DuckDBPyConnection, node: Mapping[str, Any]) -> None:
    """Raise QueryError for a name that could be a file's, because DuckDB reads a file if no such table exists."""
    parts = (node.get("qualified_name") or {}).get("path")
    parts = parts or [node.get(part) for part in ("catalog_name", "schema_name", "table_name")]
    parts = [part for part in parts if part]
    is_plain = all(_FILE_SIGNS.isdisjoint(part) for part in parts)
    if is_plain and len(parts) < 2:
        return
    if not is_plain or (parts[-1].lower(),) not in con.execute(_CATALOG_TABLES_SQL).fetchall():
        raise QueryError(
            f'there is no table "{".".join(parts)}"', fix="queries read no files; list the tables with: show tables"
        )


def _build_query_error(con: duckdb.DuckDBPyConnection, error: str) -> QueryError:
    """Build the error for DuckDB's message, without its prefix and the excerpt; suggest a name for a missing table."""
    if unknown := _UNKNOWN.search(error):
        name = unknown[1].strip('"').rstrip("!").rpartition(".")[2]
        known = [view for view in list_view_names(con) if not view.endswith("_history")]
        return QueryError(f'there is no table "{name}"', fix=suggest_correction(name, known))
    if _TOO_DEEP in error:
        return _build_depth_error()
    if _TIMED_OUT in error:
        return QueryError(
            "the statement takes longer than its time limit", fix="narrow it, or raise the limit (--timeout)"
        )
    text = " ".join(error.split("\n\nLINE ")[0].split("\nLINE ")[0].split())
    return QueryError(re.sub(r"^[A-Z][A-Za-z ]* Error: ", "", text))
