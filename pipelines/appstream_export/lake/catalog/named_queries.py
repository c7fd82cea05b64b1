"""Named queries: packaged ones and users' own.

Parameters are checked here and bound by DuckDB, never inserted into the SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from appstream_export.contracts import (
    Contract,
    Param,
    SqlFile,
    list_missing_resources,
    list_sql_files,
    load_contract_set,
    load_sql_files,
)
from appstream_export.errors import QueryError, suggest_correction

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_INTEGER_MAX = 2**31 - 1
_VALUES_SHOWN = 20  # a line of text, not a page of it
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def load_named_queries(contracts: Sequence[Contract] | None = None) -> list[SqlFile]:
    """Return the named queries that the contracts allow, in order of their names."""
    return list_sql_files(load_contract_set() if contracts is None else contracts, "queries")


def get_named_query(name: str, contracts: Sequence[Contract] | None = None) -> SqlFile:
    """Return the query of that name; raises QueryError with the resources that it lacks, or a similar name."""
    known = {q.name: q for q in load_named_queries(contracts)}
    if name in known:
        return known[name]
    off = {q.name: q for q in load_sql_files("queries")}
    if name in off and (missing := list_missing_resources(contracts or load_contract_set(), off[name])):
        names = " and ".join(missing)
        what = f"the resource {names}, which is off" if len(missing) == 1 else f"the resources {names}, which are off"
        raise QueryError(f"{name} needs {what}", fix=f"add {names} to [contracts] resources, and run the export")
    near = suggest_correction(name, list(known)) or "list them with: appstream-export query"
    raise QueryError(f'there is no named query "{name}"', fix=near)


def run_named_query(con: "duckdb.DuckDBPyConnection", named_query: SqlFile, given: Mapping[str, str]) -> "pa.Table":
    """Return a named query's rows, with the given parameters and defaults for the others; raises QueryError."""
    from appstream_export.lake.catalog.query import run_query  # imports DuckDB, which a list of queries does not need

    parameters = parse_parameters(named_query, given)
    check_values(con, named_query, parameters)
    return run_query(con, named_query.sql, parameters)


def check_values(con: "duckdb.DuckDBPyConnection", named_query: SqlFile, parameters: Mapping[str, Any]) -> None:
    """Raise QueryError for a text that is not one of its parameter's values, with those that there are."""
    from appstream_export.lake.catalog.query import load_records

    for param in named_query.params:
        wanted = parameters[param.name]
        if param.values_sql is None or not wanted:
            continue
        values = sorted(filter(None, (value for row in load_records(con, param.values_sql) for value in row.values())))
        if wanted not in values:
            raise QueryError(
                f'{named_query.name}: there is no {param.name} "{wanted}"', fix=_describe_values(wanted, values)
            )


def load_shown_time(con: "duckdb.DuckDBPyConnection") -> datetime | None:
    """Return when the newest snapshot that queries show was committed, or None before the first."""
    from appstream_export.lake.catalog.query import load_records

    [newest] = load_records(con, "select max(committed_at) as at from snapshots where kind = 'sweep'")
    return newest["at"]


def _describe_values(wanted: str, values: Sequence[str]) -> str:
    if not values:
        return "there are none"
    near = suggest_correction(wanted, values)
    more = f" and {len(values) - _VALUES_SHOWN} more" if len(values) > _VALUES_SHOWN else ""
    listed = f"there are: {', '.join(values[:_VALUES_SHOWN])}{more}"
    return f"{near} {listed}" if near else listed


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
