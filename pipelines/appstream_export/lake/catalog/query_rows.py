"""Results as Python values, without Arrow, whose import takes as long as a small query."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from appstream_export.lake.duckdb import quote_identifier

if TYPE_CHECKING:
    import duckdb

ROWS_MAX = 5_000
"""Larger results are read with Arrow, which takes less memory for them."""
EXPLAINED = ["explain_key", "explain_value"]  # EXPLAIN is no query that another one can read


@dataclass(frozen=True, slots=True)
class QueryRows:
    """The rows of a small result: columns with DuckDB's types, values of Python, times in UTC."""

    names: Sequence[str]
    types: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def to_records(self) -> list[dict[str, Any]]:
        """Return each row by the names of its columns."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]


class _NotExact(ValueError):
    """A value that Python cannot represent."""


def load_query_rows(relation: "duckdb.DuckDBPyRelation", rows_max: int | None = None) -> QueryRows | None:
    """Return the rows of a relation; None if there are more than `rows_max`, or some are not exact in Python."""
    types = [str(kind) for kind in relation.types]
    ids = [kind.id for kind in relation.types]
    if relation.columns == EXPLAINED or not _CONVERTERS.keys() >= set(ids):
        return None
    rows = _limit_rows(_remove_time_zones(relation, ids), rows_max).fetchall()
    if rows_max is not None and len(rows) > rows_max:
        return None
    try:
        return QueryRows(relation.columns, types, _convert_columns(rows, [_CONVERTERS[name] for name in ids]))
    except _NotExact:
        return None


def _remove_time_zones(relation: "duckdb.DuckDBPyRelation", ids: Sequence[str]) -> "duckdb.DuckDBPyRelation":
    """Return a relation without zones, which are UTC: DuckDB's Python package needs pytz for them."""
    if _ZONED not in ids:
        return relation
    casts = (f"#{n}::timestamp" if name == _ZONED else f"#{n}" for n, name in enumerate(ids, 1))
    names = map(quote_identifier, relation.columns)
    return relation.project(", ".join(f"{cast} as {name}" for cast, name in zip(casts, names, strict=True)))


def _limit_rows(relation: "duckdb.DuckDBPyRelation", rows_max: int | None) -> "duckdb.DuckDBPyRelation":
    return relation if rows_max is None else relation.limit(rows_max + 1)


def _convert_columns(
    rows: Sequence[Sequence[Any]], converters: Sequence[Callable[[Any], Any] | None]
) -> Sequence[Sequence[Any]]:
    if not any(converters):
        return rows
    whole = [convert or _get_value for convert in converters]
    return [
        [None if value is None else convert(value) for value, convert in zip(row, whole, strict=True)] for row in rows
    ]


def _get_value(value: object) -> object:
    return value


def _mark_as_utc(value: object) -> datetime:
    # DuckDB has times that Python lacks: text of other years, and the first and the last time for those without end.
    if not isinstance(value, datetime) or value in (datetime.min, datetime.max):  # noqa: DTZ901
        raise _NotExact(str(value))
    return value.replace(tzinfo=UTC)


_ZONED = "timestamp with time zone"
_EXACT = (
    *("boolean", "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint"),
    *("decimal", "double", "varchar", "json", "enum", "null", "sqlnull", '"null"'),
)
_CONVERTERS: Mapping[str, Callable[[Any], Any] | None] = {
    **dict.fromkeys(_EXACT), "uuid": str, "timestamp": _mark_as_utc, _ZONED: _mark_as_utc
}  # fmt: skip
