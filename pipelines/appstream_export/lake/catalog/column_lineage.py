"""Trace the columns of a query to the columns of the tables that it reads, from the parsed SQL.

A column comes from the columns of its expression: names that SQL changes, expressions, CTEs, stars, unions, subqueries
and macros are followed to the tables. Columns that only choose, group or order rows (`where`, `on`, `group by`, `over`)
are no sources. An expression without columns, such as `count(*)`, comes from the columns that group or order it.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import TypeAlias, cast

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope
from sqlglot.schema import Schema, ensure_schema

from appstream_export.contracts import load_operational_tables
from appstream_export.lake.catalog.views import MACROS, SNAPSHOT_AT

SourceColumn: TypeAlias = tuple[str, str]
"""A table of the catalog and its column."""
_HISTORY, _AS_OF = "_history", "_as_of"
_COMMITTED_AT = ("snapshots", "committed_at")
_DIALECT = "duckdb"
_log = logging.getLogger(__name__)


class _UntraceableColumn(Exception):
    """The table of a column is unknown."""


class ColumnTracer:
    """Tracer of columns, given the columns of each table and view of the catalog."""

    def __init__(self, schemas: Mapping[str, Collection[str]]) -> None:
        self._schema = _build_schema(schemas)

    def trace_query(self, name: str, sql: str) -> dict[str, frozenset[SourceColumn]]:
        """Return the source columns of each column that a query returns.

        Columns of `<table>_history` and `<table>_as_of(t)` count as columns of the table. Columns without sources, such
        as literals, are left out; so are columns that cannot be traced, which is logged once per query.
        """
        found, lost = dict[str, frozenset[SourceColumn]](), list[str]()
        try:
            scope = _build_query_scope(sqlglot.parse_one(sql, dialect=_DIALECT), self._schema)
            for column in _get_query(scope).named_selects:
                if (sources := _try_trace_output(scope, column)) is None:
                    lost.append(column)
                elif sources:
                    found[column] = sources
        except Exception as error:  # noqa: BLE001, any SQL that DuckDB accepts must be accepted here
            lost.append(f"any column: {' '.join(str(error).split())[:200]}")
        if lost:
            _log.warning("%s: no column lineage of %s", name, ", ".join(lost))
        return found


def _build_schema(columns: Mapping[str, Collection[str]]) -> Schema:
    """Return the columns of tables and of their histories; types do not matter here."""
    tables: dict[str, object] = {
        table: dict.fromkeys((*names, *extra), "unknown")
        for name, names in columns.items()
        if names
        for table, extra in ((name, ()), (f"{name}{_HISTORY}", (SNAPSHOT_AT.name,)))
    }
    return ensure_schema(tables, dialect=_DIALECT)


def _build_query_scope(query: exp.Expr, schema: Schema) -> Scope:
    qualified = qualify(
        query.transform(_replace_as_of),
        schema=schema,
        dialect=_DIALECT,
        allow_partial_qualification=True,
        validate_qualify_columns=False,
    )
    scope = build_scope(qualified)
    if scope is None:
        raise SqlglotError("it is not a query")
    return scope


def _try_trace_output(scope: Scope, column: str) -> frozenset[SourceColumn] | None:
    try:
        return frozenset(_resolve_source(*source) for source in _trace_output(scope, column, ()))
    except (_UntraceableColumn, RecursionError):
        return None


def _replace_as_of(node: exp.Expr) -> exp.Expr:
    """Return `<table>_history` for the table macro `<table>_as_of(t)`, and all other nodes as they are."""
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Anonymous) and node.this.name.endswith(_AS_OF):
        node.set("this", exp.to_identifier(f"{node.this.name.removesuffix(_AS_OF)}{_HISTORY}"))
    return node


def _resolve_source(table: str, column: str) -> SourceColumn:
    """Return the column of the table that a column of a history comes from."""
    is_history = table.endswith(_HISTORY)
    return _COMMITTED_AT if is_history and column == SNAPSHOT_AT.name else (table.removesuffix(_HISTORY), column)


def _trace_output(scope: Scope, name: str, path: tuple[str, ...]) -> set[SourceColumn]:
    """Return the sources of a column that a scope returns. `path` are the fields of it that are read, outermost first.

    Columns of a union are matched by position, as SQL does.
    """
    if parts := scope.set_operation_scopes:
        index = _get_query(scope).named_selects.index(name)
        names = [name if scope.expression.args.get("by_name") else _get_query(p).named_selects[index] for p in parts]
        return _unite(_trace_output(part, own, path) for part, own in zip(parts, names, strict=True))
    if scope.is_udtf:
        return _trace_children(scope.expression, scope.parent or scope, path)
    selected = next((node for node in _get_query(scope).selects if node.alias_or_name == name), None)
    if selected is None:
        raise _UntraceableColumn(name)
    return _trace_expression(selected.unalias(), scope, path)


def _trace_expression(node: exp.Expr, scope: Scope, path: tuple[str, ...]) -> set[SourceColumn]:
    match node:
        case exp.Column():
            return _trace_column(node, scope, path)
        case exp.Dot():
            return _trace_expression(node.this, scope, (node.expression.name, *path))
        case exp.Struct() if path:
            return _trace_field(node, scope, path)
        case exp.Query():
            return _trace_subquery(node, scope, path)
        case exp.Window():
            return _trace_expression(node.this, scope, path) or _trace_all(_list_window_nodes(node, scope), scope)
        case exp.Anonymous() if (macro := _parse_macros().get(node.name.lower())) is not None:
            return _trace_children(node, scope, ()) | _trace_output(macro, "result", path)
        case exp.AggFunc():
            return _trace_children(node, scope, path) or _trace_all(_list_group_nodes(scope), scope)
    return _trace_children(node, scope, path)


def _trace_column(column: exp.Column, scope: Scope, path: tuple[str, ...]) -> set[SourceColumn]:
    """Return the sources of a column; columns of an outer query are found in the scopes around."""
    at: Scope | None = scope
    while at is not None:
        if source := at.sources.get(column.table):
            return _trace_source(source, column.name, path)
        at = at.parent
    raise _UntraceableColumn(column.name)


def _trace_source(source: Scope | exp.Table, column: str, path: tuple[str, ...]) -> set[SourceColumn]:
    if isinstance(source, exp.Table):
        # Rows of a table function, such as range(10), come from no table.
        return {(source.name, column)} if isinstance(source.this, exp.Identifier) else set()
    # The scope of a recursive CTE in itself has no sources: the other branch of its union has them.
    is_recursive = source.is_cte and not source.sources and source.expression.find(exp.Table)
    return set() if is_recursive else _trace_output(source, column, path)


def _trace_field(struct: exp.Struct, scope: Scope, path: tuple[str, ...]) -> set[SourceColumn]:
    """Return the sources of one field of a struct, not of its other fields."""
    for field in struct.expressions:
        if isinstance(field, exp.PropertyEQ) and field.name == path[0]:
            return _trace_expression(field.expression, scope, path[1:])
    return _trace_children(struct, scope, path)


def _trace_subquery(query: exp.Query, scope: Scope, path: tuple[str, ...]) -> set[SourceColumn]:
    inner = query.unnest()
    found = next((part for part in scope.subquery_scopes if part.expression is inner), None)
    if found is None:
        raise _UntraceableColumn(query.sql(_DIALECT)[:80])
    return _unite(_trace_output(found, name, path) for name in _get_query(found).named_selects)


def _trace_children(node: exp.Expr, scope: Scope, path: tuple[str, ...]) -> set[SourceColumn]:
    return _trace_all(node.iter_expressions(), scope, path)


def _trace_all(nodes: Iterable[exp.Expr], scope: Scope, path: tuple[str, ...] = ()) -> set[SourceColumn]:
    return _unite(_trace_expression(node, scope, path) for node in nodes)


def _get_query(scope: Scope) -> exp.Query:
    return cast(exp.Query, scope.expression)


def _list_window_nodes(window: exp.Window, scope: Scope) -> Iterator[exp.Expr]:
    """Yield what partitions and orders a window, here or where the query names the window."""
    named = {part.name: part for part in scope.expression.args.get("windows") or ()}
    for part in (window, named.get(window.alias)):
        if part is not None:
            yield from part.args.get("partition_by") or ()
            yield from filter(None, [part.args.get("order")])


def _list_group_nodes(scope: Scope) -> list[exp.Expr]:
    group = scope.expression.args.get("group")
    if group is None:
        return []
    selected = [node.unalias() for node in _get_query(scope).selects if not node.find(exp.AggFunc)]
    return selected if group.args.get("all") else group.expressions


@cache
def _parse_macros() -> Mapping[str, Scope]:
    """Return the bodies of the catalog's macros, by name. Their parameters are null: the arguments are traced apart."""
    schema = _build_schema(
        {table.name: [column.name for column in table.columns] for table in load_operational_tables()}
    )
    found = dict[str, Scope]()
    for macro in MACROS:
        create = sqlglot.parse_one(f"create macro {macro}", dialect=_DIALECT)
        parameters = {parameter.name for parameter in create.this.expressions}
        body = exp.select(create.expression.transform(_replace_parameters, parameters).as_("result"))
        found[create.this.this.name] = _build_query_scope(body, schema)
    return found


def _replace_parameters(node: exp.Expr, parameters: Collection[str]) -> exp.Expr:
    return exp.null() if isinstance(node, exp.Column) and node.name in parameters else node


def _unite(parts: Iterable[set[SourceColumn]]) -> set[SourceColumn]:
    return set().union(*parts)
