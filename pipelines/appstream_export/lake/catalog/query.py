"""SQL from users: one statement that reads, run on a locked connection; a failure is one line."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from appstream_export.errors import QueryError, suggest_correction
from appstream_export.lake.duckdb import extract_python_error, quote_literal

Params = Sequence[Any] | Mapping[str, Any] | None

# DuckDB 2 takes COPY, INSERT, UPDATE and DELETE inside WITH, in a statement that calls itself SELECT.
_READING = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+)?", re.IGNORECASE)
_UNKNOWN = re.compile(r"Table with name (\S+) does not exist")


def run_query(con: duckdb.DuckDBPyConnection, sql: str, params: Params = None) -> pa.Table:
    """The rows of one SELECT or EXPLAIN; raises QueryError for anything that writes, and for what DuckDB refuses."""
    _refuse_other_encodings(sql, params)
    try:
        _refuse_writes(con, sql)
        return con.sql(sql, params=params).to_arrow_table()
    except duckdb.Error as error:
        raise _build_query_error(con, extract_python_error(error) or str(error)) from error


def _refuse_other_encodings(sql: str, params: Params) -> None:
    """Raise QueryError for text from a command line in another encoding, which Python holds as lone surrogates."""
    values = params.values() if isinstance(params, Mapping) else params or ()
    try:
        for text in (sql, *(value for value in values if isinstance(value, str))):
            text.encode()
    except UnicodeEncodeError as error:
        raise QueryError("the statement or a parameter is not in UTF-8", fix="set the terminal to UTF-8") from error


def list_view_names(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names that a query may read, sorted."""
    sql = "select view_name from duckdb_views() where not internal and schema_name = 'main' order by all"
    return [name for (name,) in con.execute(sql).fetchall()]


def _refuse_writes(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = con.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"one statement at a time, please; this is {len(statements)}")
    kind = statements[0].type
    reading = sql if kind == duckdb.StatementType.SELECT else ""  # as it was typed: DuckDB 1.4 makes SELECT of PRAGMA
    if kind == duckdb.StatementType.EXPLAIN:
        explain = _EXPLAIN.match(sql)
        reading = sql[explain.end() :] if explain else ""
    tree = json.loads(con.execute(f"select json_serialize_sql({quote_literal(reading)})").fetchall()[0][0])
    if not reading or tree.get("error") or not _READING.issuperset(_walk_node_types(tree)):
        raise QueryError("only statements that read are allowed: SELECT, or EXPLAIN of a SELECT")


def _walk_node_types(tree: object) -> Iterator[str]:
    """The kinds of all query nodes in a parse tree, however deep."""
    if isinstance(tree, list):
        for branch in tree:
            yield from _walk_node_types(branch)
    elif isinstance(tree, dict):
        kind = tree.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE"):
            yield kind
        for branch in tree.values():
            yield from _walk_node_types(branch)


def _build_query_error(con: duckdb.DuckDBPyConnection, error: str) -> QueryError:
    """Build the error of DuckDB's message, without its kind and the excerpt; a missing table has one of its own."""
    if unknown := _UNKNOWN.search(error):
        name = unknown[1].strip('"').rstrip("!").rpartition(".")[2]
        known = [view for view in list_view_names(con) if not view.endswith("_history")]
        return QueryError(f'there is no table "{name}"', fix=suggest_correction(name, known))
    text = " ".join(error.split("\n\nLINE ")[0].split("\nLINE ")[0].split())
    return QueryError(re.sub(r"^[A-Z][A-Za-z ]* Error: ", "", text))
