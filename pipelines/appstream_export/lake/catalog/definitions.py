"""Compare the definitions in a catalog's file with those that this version renders.

Any process that may write to the warehouse's folder can plant a catalog, and a checksum in it does not prove its
origin. So its objects are compared one by one. DuckDB stores the parsed SQL of a view and prints it in its own form.
Rendered SQL is converted to that form by parsing without binding, which is five times as fast. If a future DuckDB
prints the two differently, equal objects count as altered, and the views are created again.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import lru_cache
from typing import NamedTuple

import duckdb

from appstream_export.contracts import Contract
from appstream_export.lake.catalog.views import FILES_SCHEMA, render_file_views, render_table_views
from appstream_export.lake.snapshots import Manifest

_STATEMENT = re.compile(
    r'create (?:or replace )?(?P<kind>view|macro) (?:(?P<schema>\w+)\.)?"?(?P<name>\w+)"?'
    r"(?:\((?P<parameters>.*?)\))? as\s+(?P<table>table\s+)?(?P<sql>.*)",
    re.DOTALL,
)
_VIEW_PREFIX = re.compile(r'create view (?:\w+\.)?"?\w+"? as ')
_QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""")
# The catalog's tables, in DuckDB's form of the statements in views.py (lake.commits) and file.py (lake.shows).
_TABLES = frozenset(
    {
        (
            "lake",
            "commits",
            "seq bigint, snapshot_id varchar, committed_at timestamp with time zone, is_retained boolean",
        ),
        ("lake", "shows", "seq bigint, digest varchar, root varchar, made_at timestamp with time zone"),
    }
)
_OBJECTS_SQL = """
    select 'view', schema_name, view_name, '', sql from duckdb_views() where database_name = $database
    union all
    select function_type, schema_name, function_name, array_to_string(parameters, ', '), macro_definition
    from duckdb_functions() where database_name = $database
    union all
    select 'table', schema_name, table_name, '', sql from duckdb_tables() where database_name = $database
    union all
    select 'index', schema_name, index_name, '', sql from duckdb_indexes() where database_name = $database
    union all
    select 'sequence', schema_name, sequence_name, '', sql from duckdb_sequences() where database_name = $database
    union all
    select 'type', schema_name, type_name, '', logical_type from duckdb_types() where database_name = $database
    and (type_name, logical_type) not in (
        select (type_name, logical_type) from duckdb_types() where database_name = 'system'
    )"""


class Definition(NamedTuple):
    """An object of a catalog, with its SQL in DuckDB's form."""

    kind: str
    schema: str
    name: str
    parameters: str
    sql: str


def find_altered_objects(
    con: duckdb.DuckDBPyConnection,
    database: str,
    contracts: Sequence[Contract],
    manifests: Sequence[Manifest],
    root: str | None,
) -> list[str]:
    """Return the sorted names of objects in an attached database that differ from the rendered ones.

    Without `root`, only the names of views over files are compared. Call this before `use`, because a planted macro
    can hide a function.
    """
    statements = list(render_table_views(contracts, manifests))
    if root is not None:
        statements += render_file_views(contracts, manifests, lambda path: f"{root.rstrip('/')}/{path}")
    expected, found = _parse_definitions(statements), load_definitions(con, database)
    if root is None:
        replaced = _parse_definitions(render_file_views(contracts, manifests, str))
        names = {(one.kind, one.schema, one.name) for one in replaced}
        # Views over files are created again, so only their names count; one that is not created again would stay.
        found = {one for one in found if (one.kind, one.schema, one.name) not in names}
    return list_different_objects(expected, found)


def list_different_objects(one: set[Definition], other: set[Definition]) -> list[str]:
    """Return the sorted names of objects that differ between two catalogs or exist in only one of them."""
    return sorted({f"{each.schema}.{each.name}".removeprefix("main.") for each in one ^ other})


def load_definitions(con: duckdb.DuckDBPyConnection, database: str) -> set[Definition]:
    """Return all objects of an attached database except schemas, including those that DuckDB hides from listings."""
    rows = con.execute(_OBJECTS_SQL, {"database": database}).fetchall()
    return {
        Definition(kind, schema, name, parameters, _normalize_stored(sql))
        for kind, schema, name, parameters, sql in rows
    }


def _parse_definitions(statements: Iterable[str]) -> set[Definition]:
    found = [match for statement in statements if (match := _STATEMENT.fullmatch(statement))]
    queries = tuple(f"select {match['sql']}" if _is_scalar(match) else match["sql"] for match in found)
    definitions = {
        Definition(
            "view" if match["kind"] == "view" else "macro" if _is_scalar(match) else "table_macro",
            match["schema"] or "main",
            match["name"],
            match["parameters"] or "",
            sql.removeprefix("select ") if _is_scalar(match) else sql,
        )
        for match, sql in zip(found, _normalize_queries(queries), strict=True)
    }
    has_files = any(one.schema == FILES_SCHEMA for one in definitions)
    tables = {
        Definition("table", schema, name, "", f"create table {schema}.{name}({sql})") for schema, name, sql in _TABLES
    }
    return definitions | (tables if has_files else set())


def _is_scalar(match: re.Match[str]) -> bool:
    return match["kind"] == "macro" and not match["table"]


@lru_cache(maxsize=8)
def _normalize_queries(queries: tuple[str, ...]) -> list[str]:
    """Return the queries as DuckDB prints stored ones; cached, because a run compares the same queries repeatedly."""
    with closing(duckdb.connect()) as con:
        sql = "select json_deserialize_sql(json_serialize_sql(query)) from (select unnest($queries) as query)"
        return [_normalize_case(text) for (text,) in con.execute(sql, {"queries": list(queries)}).fetchall()]


def _normalize_stored(sql: str | None) -> str:
    return _VIEW_PREFIX.sub("", _normalize_case(sql or ""), count=1)


def _normalize_case(sql: str) -> str:
    """Return SQL in lower case outside quotes, because DuckDB prints unbound types as they were written."""
    parts = _QUOTED.split(sql.strip().rstrip(";"))
    folded = (
        re.sub(r"\btimestamp_us\b", "timestamp", part.lower()) if n % 2 == 0 else part for n, part in enumerate(parts)
    )
    return "".join(folded)
