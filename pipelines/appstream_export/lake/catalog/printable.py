"""Rows whose values print as DuckDB prints them.

Arrow and Python cannot hold every value of DuckDB: an interval, a time of 24:00, a date without end, a FLOAT in its
shortest form, the keys of most maps. DuckDB casts these to text itself, so that no second rule for them exists here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from appstream_export.lake.catalog.query_rows import EXPLAINED, ROWS_MAX, QueryRows, load_query_rows
from appstream_export.lake.duckdb import materialize_rows, quote_identifier

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

PrintedAs = Literal["text", "bare text", "parquet"]
"""`bare text` is for results with a time outside the years 1 to 9999, which Python cannot hold."""
_NUMBERS = frozenset(
    {"boolean", "tinyint", "smallint", "integer", "bigint", "hugeint", "decimal", "double"}
    | {"utinyint", "usmallint", "uinteger", "ubigint"}
)
_TEXTS = frozenset({"varchar", "uuid", "enum", "json", "null", "sqlnull", '"null"'})
_TIMES = frozenset({"timestamp", "timestamp with time zone"})
# What each kind of output holds without a loss. All other types become text, those of later versions included.
_EXACT: Mapping[PrintedAs, frozenset[str]] = {
    "text": _NUMBERS | _TEXTS | _TIMES,
    "bare text": _NUMBERS | _TEXTS,
    "parquet": _NUMBERS | _TEXTS | _TIMES | {"float", "date", "time", "blob", "timestamp_s", "timestamp_ms"},
}


@dataclass(frozen=True, slots=True)
class PrintableRelation:
    """A statement's rows. If they are held, they can be read several times, and the statement runs once."""

    relation: "duckdb.DuckDBPyRelation"
    columns: Sequence[str]
    """The names of the statement: DuckDB numbers those that repeat when it holds rows."""


def materialize_printable_rows(relation: "duckdb.DuckDBPyRelation") -> PrintableRelation:
    """Run a statement, unless it is EXPLAIN, which no other query can read."""
    is_held = relation.columns != EXPLAINED
    return PrintableRelation(materialize_rows(relation) if is_held else relation, relation.columns)


def load_printable_rows(printable: PrintableRelation, printed_as: PrintedAs) -> "pa.Table | QueryRows":
    """Return the rows under the same names, with text in the place of values that the output cannot hold.

    A small result without nested values is one of Python values, with the types of the statement. In an Arrow table,
    the metadata `duckdb_type` of such a column is its type.
    """
    relation, types = printable.relation, printable.relation.types
    columns = [_render_column(n, kind, _EXACT[printed_as]) for n, kind in enumerate(types, 1)]
    is_exact = all(column == f"#{n}" for n, column in enumerate(columns, 1))
    if not is_exact or relation.columns != printable.columns:
        names = zip(columns, printable.columns, strict=True)
        relation = relation.project(", ".join(f"{column} as {quote_identifier(name)}" for column, name in names))
    if printed_as == "text" and (rows := load_query_rows(relation, ROWS_MAX)) is not None:
        return replace(rows, types=[str(kind) for kind in types])
    return relation.to_arrow_table() if is_exact else _add_types(relation.to_arrow_table(), types)


def _add_types(table: "pa.Table", types: Sequence[Any]) -> "pa.Table":
    import pyarrow as pa

    fields = [
        field.with_metadata({"duckdb_type": str(kind)}) if pa.types.is_string(field.type) else field
        for field, kind in zip(table.schema, types, strict=True)
    ]
    return pa.table(table.columns, schema=pa.schema(fields))


def _render_column(number: int, kind: Any, held: frozenset[str]) -> str:
    """Return the expression of one column; a FLOAT becomes the DOUBLE that its shortest text names."""
    texts = _render_type(kind, held, of_float="VARCHAR")
    if texts == str(kind):
        return f"#{number}"
    numbers = _render_type(kind, held, of_float="DOUBLE")
    text = f"cast(#{number} as {texts})"
    return text if texts == numbers else f"cast({text} as {numbers})"


def _render_type(kind: Any, held: frozenset[str], *, of_float: str) -> str:
    """Return the type in which a value of `kind` is read: the same, or one with text in its parts."""
    name = kind.id.lower()
    if name in held:
        return str(kind)
    if name == "float":
        return of_float
    if name in ("list", "array"):
        (_, inner), *size = kind.children
        return f"{_render_type(inner, held, of_float=of_float)}[{size[0][1] if size else ''}]"
    if name == "map":
        # The keys of a JSON object are text.
        return f"MAP(VARCHAR, {_render_type(dict(kind.children)['value'], held, of_float=of_float)})"
    if name == "struct" and kind.children and all(part for part, _ in kind.children):
        parts = (f"{quote_identifier(part)} {_render_type(k, held, of_float=of_float)}" for part, k in kind.children)
        return f"STRUCT({', '.join(parts)})"
    return "VARCHAR"
