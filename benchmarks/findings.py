"""What a proof found: figures in tables, and the promises that were broken."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from appstream_export import __version__


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures as they were taken; prints in columns."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]

    def __str__(self) -> str:
        return markdown(self.header, self.rows)


@dataclass(slots=True)
class Findings:
    """One proof's result. Nothing in `broken`: every promise was kept."""

    title: str
    tables: list[Figures] = field(default_factory=list)
    figures: dict[str, float | str] = field(default_factory=dict)
    """The few that tell the proof in one line."""
    broken: list[str] = field(default_factory=list)

    def promise(self, kept: bool, otherwise: str) -> str:
        """The word for a table: kept, or broken, which is remembered with its reason."""
        if not kept:
            self.broken.append(f"{self.title}: {otherwise}")
        return "kept" if kept else "BROKEN"

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table; numbers are written as they are given."""
        self.tables.append(Figures(header, rows))

    @property
    def verdict(self) -> str:
        """One word for all promises."""
        return "BROKEN" if self.broken else "kept"

    def __str__(self) -> str:
        broken = [f"- BROKEN {what}" for what in self.broken]
        return "\n\n".join([f"## {self.title}", *map(str, self.tables), *(["\n".join(broken)] if broken else [])])


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table that reads well in a terminal too: columns padded, numbers to the right.

    >>> print(markdown(["kind", "n"], [["reset", 12]]))
    | kind  |  n |
    | ----- | -- |
    | reset | 12 |
    """
    lines = [list(header), *([text_of(cell) for cell in row] for row in rows)]
    widths = [max(2, *map(len, column)) for column in zip(*lines, strict=True)]
    right = [isinstance(cell, int | float) for cell in (rows[0] if rows else header)]
    ready = [[c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)] for line in lines]
    ready.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in ready)


def say(text: str) -> None:
    """Print, at once: whoever reads waits for the line."""
    print(text, flush=True)  # noqa: T201  the one place of all benchmarks


def surroundings() -> dict[str, Any]:
    """Where figures are taken: versions, cores, and how busy the machine is (the load of 1, 5 and 15 minutes)."""
    packages = {name: version(name) for name in ("botocore", "urllib3", "pyarrow", "duckdb")}
    ours = {"appstream-export": __version__, "Python": platform.python_version()}
    return {"versions": ours | packages, "cores": os.cpu_count(), "load": os.getloadavg()}


def environment() -> str:
    """The same in one line."""
    here = surroundings()
    versions = ", ".join(f"{name} {number}" for name, number in here["versions"].items())
    return f"{versions}; {here['cores']} cores, load {here['load'][0]:.1f} at the start"


def text_of(cell: object) -> str:
    """A cell of a table: fractions with two digits."""
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
