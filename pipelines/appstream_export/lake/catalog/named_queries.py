"""Named queries: packaged ones and users' own.

Parameters are checked here and bound by DuckDB, never inserted into the SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import duckdb
import pyarrow as pa

from appstream_export.contracts import Contract, Param, SqlFile, list_sql_files, load_contract_set
from appstream_export.errors import QueryError, suggest_correction
from appstream_export.lake.catalog.query import run_query

_INTEGER_MAX = 2**31 - 1
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def load_named_queries(contracts: Sequence[Contract] | None = None) -> list[SqlFile]:
    """Return the named queries that the contracts allow, in order of their names."""
    return list_sql_files(load_contract_set() if contracts is None else contracts, "queries")


def get_named_query(name: str, contracts: Sequence[Contract] | None = None) -> SqlFile:
    """Return the query of that name; raises QueryError with the most similar name."""
    known = {q.name: q for q in load_named_queries(contracts)}
    if name not in known:
        near = suggest_correction(name, list(known)) or "list them with: appstream-export query"
        raise QueryError(f'there is no named query "{name}"', fix=near)
    return known[name]


def run_named_query(con: duckdb.DuckDBPyConnection, named_query: SqlFile, given: Mapping[str, str]) -> pa.Table:
    """Return a named query's rows, with the given parameters and defaults for the others; raises QueryError."""
    return run_query(con, named_query.sql, parse_parameters(named_query, given))


def parse_parameters(named_query: SqlFile, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the value of each parameter; raises QueryError for an unknown one or one of the wrong type."""
    known = [param.name for param in named_query.params]
    for name in given:
        if name not in known:
            there = f"its parameters are {', '.join(known)}" if known else "it has none"
            near = suggest_correction(name, known) or there
            raise QueryError(f'{named_query.name} has no parameter "{name}"', fix=near)
    return {
        param.name: _parse_parameter(named_query, param, given.get(param.name, param.default))
        for param in named_query.params
    }


def _parse_parameter(named_query: SqlFile, param: Param, text: str) -> Any:
    try:
        return _PARSERS[param.type](text)
    except (ValueError, KeyError, InvalidOperation):
        like = f"{_KINDS[param.type]}, such as {param.default}"
        raise QueryError(f'{named_query.name}: {param.name} "{text}" is not {like}') from None


def _parse_integer(text: str) -> int:
    number = int(text)
    if not text.isascii() or not 0 <= number <= _INTEGER_MAX:
        raise ValueError(text)
    return number


def _parse_number(text: str) -> float:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return float(number)


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "integer": _parse_integer,
    "number": _parse_number,
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
