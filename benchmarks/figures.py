"""Figures: measured values, their budgets, and whether the budgets hold."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.findings import markdown


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number. `ok` is None where no budget is judged; `spread` is the least and the most of all rounds."""

    name: str
    value: float | None
    """None: its rival, or this exporter, did not end or lost rows."""
    unit: str = "x"
    budget: str | None = None
    ok: bool | None = None
    rounds: int = 1
    spread: tuple[float, float] | None = None

    def line(self) -> list[object]:
        """Return its row in a table."""
        spread = " - ".join(map(format_number, self.spread)) if self.spread else ""
        verdict = {True: "ok", False: "MISSED", None: ""}[self.ok]
        return [self.name, format_number(self.value), self.unit, spread, self.budget or "", verdict]


def make_figure(
    name: str, values: Sequence[float], unit: str = "x", at_most: float | None = None, *, is_judged: bool = True
) -> Figure:
    """Return the median of some rounds; a budget is shown even where it is not judged."""
    return _make(name, median(values), values, unit, at_most, is_judged=is_judged)


def make_ratio(
    name: str, over: Sequence[float], under: Sequence[float], at_most: float | None = None, *, is_judged: bool = True
) -> Figure:
    """Return the ratio of two medians, with the spread of the rounds' own ratios; a missed budget without values."""
    if not (over and under):
        return Figure(name=name, value=None, budget=_describe(at_most), ok=at_most is None and None, rounds=0)
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    return _make(name, median(over) / median(under), ratios, "x", at_most, is_judged=is_judged)


def _make(
    name: str, value: float, rounds: Sequence[float], unit: str, at_most: float | None, *, is_judged: bool
) -> Figure:
    return Figure(
        name=name,
        value=round(value, 4),
        unit=unit,
        budget=_describe(at_most),
        ok=value <= at_most if at_most is not None and is_judged else None,
        rounds=len(rounds),
        spread=(round(min(rounds), 4), round(max(rounds), 4)) if len(rounds) > 1 else None,
    )


def _describe(at_most: float | None) -> str | None:
    return None if at_most is None else f"<= {at_most:g}"


def format_number(value: float | None) -> str:
    """Return a figure's value as tables show it."""
    if value is None:
        return "none"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}".removesuffix(".00")


def render_table(figures: Iterable[Figure]) -> str:
    """Return all figures in columns."""
    return markdown(["figure", "value", "unit", "spread", "budget", ""], [each.line() for each in figures])


def write_figures(path: Path, figures: Iterable[Figure], environment: Mapping[str, Any]) -> None:
    """Write `{"figures": [...], "environment": {...}}`."""
    content = {"figures": [asdict(each) for each in figures], "environment": environment}
    path.write_text(json.dumps(content, indent=1) + "\n")
