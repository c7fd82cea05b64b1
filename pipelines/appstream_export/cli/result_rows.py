"""Rows to print, whatever read them: their columns, and their values in batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

    from appstream_export.lake.catalog import QueryRows

# Types of DuckDB whose texts may begin with a minus, but are no formula of a spreadsheet.
_TEXT_NUMBERS = ("UHUGEINT", "BIGNUM")
_TEXT_TIMES = ("INTERVAL", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
_NUMBERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
    *("FLOAT", "DOUBLE", *_TEXT_NUMBERS),
)

ResultRows: TypeAlias = "pa.Table | QueryRows | ListedRows"
"""Rows to print."""


@dataclass(frozen=True, slots=True)
class ListedRows:
    """Rows that no query returns, such as the list of tables: texts and lists, under the names of their columns."""

    names: Sequence[str]
    rows: Sequence[Sequence[Any]]

    @property
    def types(self) -> Sequence[str]:
        """The types of DuckDB that texts have."""
        return ["VARCHAR"] * len(self.names)


class TimeOutOfRange(ValueError):
    """A result holds a time that Python cannot hold."""


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a printed result."""

    name: str
    is_number: bool = False
    """True if it is aligned to the right."""
    is_text: bool = True
    """False if its texts are DuckDB's numbers or times, which may begin with a minus, but are no formulas."""


@dataclass(frozen=True, slots=True)
class Result:
    """The rows of a result as Python values, times in UTC. They can be read once."""

    columns: Sequence[ResultColumn]
    count: int
    batches: Iterator[Sequence[Mapping[str, Any]]]

    @property
    def names(self) -> list[str]:
        """The names of the columns, which are unique."""
        return [column.name for column in self.columns]

    def iterate_rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of all batches."""
        for batch in self.batches:
            yield from batch


def build_result(rows: "QueryRows | ListedRows") -> Result:
    """Return rows of Python values with their columns."""
    columns = [describe_column(*column) for column in zip(make_unique(rows.names), rows.types, strict=True)]
    records = [dict(zip((column.name for column in columns), row, strict=True)) for row in rows.rows]
    return Result(columns, len(records), iter([records]))


def describe_column(name: str, duckdb_type: str, *, is_number: bool = False) -> ResultColumn:
    """Return a column of a type of DuckDB; `is_number` if something else shows that it has numbers."""
    is_number = is_number or duckdb_type in _NUMBERS or duckdb_type.startswith("DECIMAL")
    return ResultColumn(name, is_number, is_text=duckdb_type not in (*_TEXT_NUMBERS, *_TEXT_TIMES))


def make_unique(names: Iterable[str]) -> list[str]:
    """Return names of columns with a number after those that repeat, as joins do: `name`, `name_1`."""
    found: list[str] = []
    for name in names:
        found.append(next(n for n in _generate_column_names(name) if n not in found))
    return found


def _generate_column_names(name: str) -> Iterator[str]:
    yield name
    number = 1
    while True:
        yield f"{name}_{number}"
        number += 1
