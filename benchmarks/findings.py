"""Findings of a proof: figures in tables, and the promises that were broken."""

import argparse
import os
import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from appstream_export import __version__


@dataclass(frozen=True, slots=True)
class Table:
    """Values as they were measured; prints in columns."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]

    def __str__(self) -> str:
        return markdown(self.header, self.rows)


@dataclass(slots=True)
class Findings:
    """One proof's result. Nothing in `broken`: every promise was kept."""

    title: str
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, float | str] = field(default_factory=dict)
    """The few that summarize the proof in one line."""
    broken: list[str] = field(default_factory=list)

    def promise(self, kept: bool, otherwise: str) -> str:
        """Return the word for a table, kept or broken, and note the reason of a broken promise."""
        if not kept:
            self.broken.append(f"{self.title}: {otherwise}")
        return "kept" if kept else "BROKEN"

    def judge(self, name: str, values: Sequence[object], wanted: str, kept: bool) -> list[object]:
        """Return a table's row: values, the promise about them, and whether it is kept."""
        return [name, *values, wanted, self.promise(kept, f"{name} {[*values]}, not {wanted}")]

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table; numbers are written as they are given."""
        self.tables.append(Table(header, rows))

    @property
    def verdict(self) -> str:
        """`kept` or `BROKEN`."""
        return "BROKEN" if self.broken else "kept"

    def __str__(self) -> str:
        broken = [f"- BROKEN {what}" for what in self.broken]
        return "\n\n".join([f"## {self.title}", *map(str, self.tables), *(["\n".join(broken)] if broken else [])])


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Render a table that reads well in a terminal too: columns padded, numbers to the right.

    >>> print(markdown(["kind", "n"], [["reset", 12]]))
    | kind  |  n |
    | ----- | -- |
    | reset | 12 |
    """
    lines = [[*header], *([text_of(cell) for cell in row] for row in rows)]
    widths = [max(2, *map(len, column)) for column in zip(*lines, strict=True)]
    right = [isinstance(cell, int | float) for cell in (rows[0] if rows else header)]
    ready = [[c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)] for line in lines]
    ready.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in ready)


def say(text: str) -> None:
    """Print at once: the reader of a pipe waits for the line."""
    print(text, flush=True)  # noqa: T201  the one place of all benchmarks


def load_environment() -> dict[str, Any]:
    """Return versions, cores, and how busy the machine is (the load of 1, 5 and 15 minutes)."""
    packages = {name: version(name) for name in ("botocore", "urllib3", "pyarrow", "duckdb")}
    ours = {"appstream-export": __version__, "Python": platform.python_version()}
    return {"versions": ours | packages, "cores": os.cpu_count(), "load": os.getloadavg()}


def describe_environment() -> str:
    """Return the environment in one line."""
    here = load_environment()
    versions = ", ".join(f"{name} {number}" for name, number in here["versions"].items())
    return f"{versions}; {here['cores']} cores, load {here['load'][0]:.1f} at the start"


def text_of(cell: object) -> str:
    """Return a cell of a table as text, fractions with two digits."""
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)


def check_names(parser: argparse.ArgumentParser, names: Collection[str], known: Collection[str]) -> None:
    """End with a usage error where a name is not known."""
    if unknown := set(names) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
