"""The named questions of sql/queries: their parameters are checked here, and bound by DuckDB, never pasted."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import duckdb
import pyarrow as pa

from appstream_export.contracts import sql_files
from appstream_export.contracts.sql_files import Param, SqlFile
from appstream_export.errors import BadQuery, did_you_mean
from appstream_export.lake.catalog.query import query

_INTEGER_MAX = 2**31 - 1
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def questions() -> tuple[SqlFile, ...]:
    """All of them, by name."""
    return sql_files.read("queries")


def question(name: str) -> SqlFile:
    """The one of that name; raises BadQuery with the nearest known one."""
    known = {q.name: q for q in questions()}
    if name not in known:
        near = did_you_mean(name, list(known)) or "; all of them: appstream-export query"
        raise BadQuery(f'there is no question "{name}"{near}')
    return known[name]


def ask(con: duckdb.DuckDBPyConnection, asked: SqlFile, given: Mapping[str, str]) -> pa.Table:
    """The answer, with parameters as typed and the defaults of the others; raises BadQuery."""
    return query(con, asked.sql, values(asked, given))


def values(asked: SqlFile, given: Mapping[str, str]) -> dict[str, Any]:
    """Every parameter's value; raises BadQuery for one that is unknown or of another type."""
    known = [param.name for param in asked.params]
    for name in given:
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "it has none"
            raise BadQuery(f'{asked.name} has no parameter "{name}"{did_you_mean(name, known) or f"; {there}"}')
    return {param.name: _value(asked, param, given.get(param.name, param.default)) for param in asked.params}


def _value(asked: SqlFile, param: Param, text: str) -> Any:
    try:
        return _READERS[param.type](text)
    except (ValueError, KeyError, InvalidOperation):
        like = f"{_KINDS[param.type]}, such as {param.default}"
        raise BadQuery(f'{asked.name}: {param.name} "{text}" is not {like}') from None


def _integer(text: str) -> int:
    number = int(text)
    if not text.isascii() or not 0 <= number <= _INTEGER_MAX:
        raise ValueError(text)
    return number


def _number(text: str) -> float:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return float(number)


_READERS: Mapping[str, Callable[[str], Any]] = {
    "integer": _integer,
    "number": _number,
    "text": lambda text: text,
    "boolean": lambda text: _BOOLEANS[text.lower()],
    "date": date.fromisoformat,
}
_KINDS = {
    "integer": "a whole number from 0",
    "number": "a number",
    "text": "text",
    "boolean": "true or false",
    "date": "a day",
}
