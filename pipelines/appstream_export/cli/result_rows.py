"""Rows to print, whatever read them: their columns, and their values in batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

    from appstream_export.lake.catalog import QueryRows

TEXT_NUMBERS = ("UHUGEINT", "BIGNUM")
TEXT_TIMES = ("INTERVAL", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
"""Types of DuckDB whose texts may begin with a minus, but are no formula of a spreadsheet."""

ResultRows: TypeAlias = "pa.Table | QueryRows | list[dict[str, Any]]"
"""Rows to print. Of a list, the first row names the columns."""


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
