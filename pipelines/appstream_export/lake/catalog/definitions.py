"""Compare the definitions in a catalog's file with those that this version renders.

Any process that may write to the warehouse's folder can plant a catalog, and a checksum in it does not prove its
origin. So its objects are compared one by one. DuckDB stores the parsed SQL of a view and prints it in its own form.
Rendered SQL is converted to that form by parsing without binding, which is five times as fast. DuckDB prints some of it
differently once it is stored: views that differ are compared in the form of a catalog's file (stored_form.py), too. If
they differ only because DuckDB before 2.0 cannot print that form, they count as altered, and are created again.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import lru_cache
from typing import NamedTuple

import duckdb

from appstream_export.contracts import Contract
from appstream_export.lake.catalog.stored_form import print_stored_views
from appstream_export.lake.catalog.views import (
    FILES_SCHEMA,
    list_file_views,
    render_file_views,
    render_table_views,
)
from appstream_export.lake.snapshots import Manifest

_STATEMENT = re.compile(
    r'create (?:or replace )?(?P<kind>view|macro) (?:(?P<schema>\w+)\.)?"?(?P<name>\w+)"?'
    r"(?:\((?P<parameters>.*?)\))? as\s+(?P<table>table\s+)?(?P<sql>.*)",
    re.DOTALL,
)
_VIEW_PREFIX = re.compile(r'create view (?:\w+\.)?"?\w+"? as ')
_QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""")
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


# The catalog's tables, in DuckDB's form of the statements in views.py (lake.commits) and file.py (lake.shows).
_TABLES = frozenset(
    Definition("table", "lake", name, "", f"create table lake.{name}({columns})")
    for name, columns in (
        ("commits", "seq bigint, snapshot_id varchar, committed_at timestamp with time zone, is_retained boolean"),
        ("shows", "seq bigint, digest varchar, root varchar, made_at timestamp with time zone"),
    )
)


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
    views = _match_statements(render_table_views(contracts, manifests))
    expected = _build_definitions(views, _normalize_cached_queries(tuple(map(_get_query, views))))
    found = load_definitions(con, database, with_files=root is not None)
    if root is not None:
        statements = render_file_views(contracts, manifests, lambda path: f"{root.rstrip('/')}/{path}")
        over_files = _match_statements(statements)
        expected |= _TABLES | _build_definitions(over_files, _normalize_queries(con, map(_get_query, over_files)))
        return list_different_objects(_print_differing_as_stored(expected, found, (*views, *over_files)), found)
    # Views over files are created again, so only their names count; one that is not created again would stay.
    names = {one[:3] for one in _TABLES}
    names |= {("view", FILES_SCHEMA, name) for name in list_file_views(contracts, manifests)}
    found = {one for one in found if one[:3] not in names}
    return list_different_objects(_print_differing_as_stored(expected, found, views), found)


def list_different_objects(one: set[Definition], other: set[Definition]) -> list[str]:
    """Return the sorted names of objects that differ between two catalogs or exist in only one of them."""
    return sorted({f"{each.schema}.{each.name}".removeprefix("main.") for each in one ^ other})


def load_definitions(con: duckdb.DuckDBPyConnection, database: str, *, with_files: bool = True) -> set[Definition]:
    """Return all objects of an attached database except schemas, including those that DuckDB hides from listings.

    Without files, views over files have no SQL: it is long.
    """
    hidden = "" if with_files else f"case when schema_name = '{FILES_SCHEMA}' then '' else sql end"
    query = _OBJECTS_SQL.replace("sql from duckdb_views", f"{hidden or 'sql'} from duckdb_views")
    rows = con.execute(query, {"database": database}).fetchall()
    return {
        Definition(kind, schema, name, parameters, _normalize_stored(sql))
        for kind, schema, name, parameters, sql in rows
    }


def _match_statements(statements: Iterable[str]) -> list[re.Match[str]]:
    return [match for statement in statements if (match := _STATEMENT.fullmatch(statement))]


def _get_query(match: re.Match[str]) -> str:
    return f"select {match['sql']}" if _is_scalar(match) else match["sql"]


def _build_definitions(matches: Sequence[re.Match[str]], queries: Iterable[str]) -> set[Definition]:
    return {
        Definition(
            "view" if match["kind"] == "view" else "macro" if _is_scalar(match) else "table_macro",
            match["schema"] or "main",
            match["name"],
            match["parameters"] or "",
            query.removeprefix("select ") if _is_scalar(match) else query,
        )
        for match, query in zip(matches, queries, strict=True)
    }


def _print_differing_as_stored(
    expected: set[Definition], found: set[Definition], matches: Sequence[re.Match[str]]
) -> set[Definition]:
    """Return the expected objects; the views that were not found have the form of a catalog's file."""
    missing = {one[:3] for one in expected - found}
    differing = [match for match in matches if ("view", match["schema"] or "main", match["name"]) in missing]
    printed = print_stored_views(tuple(match["sql"] for match in differing)) if differing else None
    if printed is None:
        return expected
    stored = _build_definitions(differing, map(_normalize_stored, printed))
    names = {one[:3] for one in stored}
    return stored | {one for one in expected if one[:3] not in names}


def _is_scalar(match: re.Match[str]) -> bool:
    return match["kind"] == "macro" and not match["table"]


@lru_cache(maxsize=4)
def _normalize_cached_queries(queries: tuple[str, ...]) -> list[str]:
    with closing(duckdb.connect()) as con:
        return _normalize_queries(con, queries)


def _normalize_queries(con: duckdb.DuckDBPyConnection, queries: Iterable[str]) -> list[str]:
    """Return the queries as DuckDB prints stored ones."""
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
