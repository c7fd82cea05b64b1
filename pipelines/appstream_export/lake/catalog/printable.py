"""Rows whose values print as DuckDB prints them.

Arrow and Python cannot hold every value of DuckDB: an interval, a time of 24:00, a date without end, a FLOAT in its
shortest form, the keys of most maps. DuckDB casts these to text itself, so that no second rule for them exists here.
"""

from collections.abc import Mapping
from typing import Any, Literal

import duckdb
import pyarrow as pa

from appstream_export.lake.duckdb import quote_identifier

PrintedAs = Literal["text", "bare text", "parquet"]
"""`bare text` is for results with a time outside the years 1 to 9999, which Python cannot hold."""
_NUMBERS = frozenset(
    {"boolean", "tinyint", "smallint", "integer", "bigint", "hugeint", "decimal", "double"}
    | {"utinyint", "usmallint", "uinteger", "ubigint"}
)
_TEXTS = frozenset({"varchar", "uuid", "enum", "json", "null", "sqlnull", '"null"'})
_TIMES = frozenset({"timestamp", "timestamp with time zone"})
# What each kind of output holds without a loss. All other types become text, those of later versions included.
_HELD: Mapping[PrintedAs, frozenset[str]] = {
    "text": _NUMBERS | _TEXTS | _TIMES,
    "bare text": _NUMBERS | _TEXTS,
    "parquet": _NUMBERS | _TEXTS | _TIMES | {"float", "date", "time", "blob", "timestamp_s", "timestamp_ms"},
}


def load_printable_rows(relation: duckdb.DuckDBPyRelation, printed_as: PrintedAs) -> pa.Table:
    """Return the rows under the same names, with text in the place of values that the output cannot hold.

    The metadata `duckdb_type` of such a column is its type.
    """
    columns = [_render_column(n, kind, _HELD[printed_as]) for n, kind in enumerate(relation.types, 1)]
    if all(column == f"#{n}" for n, column in enumerate(columns, 1)):
        return relation.to_arrow_table()  # such as EXPLAIN, which is no query that another one can read
    names = [f"{column} as {quote_identifier(name)}" for column, name in zip(columns, relation.columns, strict=True)]
    table = relation.project(", ".join(names)).to_arrow_table()
    fields = [
        field.with_metadata({"duckdb_type": str(kind)}) if pa.types.is_string(field.type) else field
        for field, kind in zip(table.schema, relation.types, strict=True)
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
