"""Figures: what was measured, what it may be, and whether it is."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.findings import markdown


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a figure may be; see docs/performance.md."""

    at_most: float | None = None
    at_least: float | None = None

    def holds(self, value: float) -> bool:
        """Whether the value is within it."""
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        return f"<= {self.at_most:g}" if self.at_least is None else f">= {self.at_least:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number. `ok` is None where nobody judges it; `spread` are the least and the most of all rounds."""

    name: str
    value: float
    unit: str = "x"
    budget: str | None = None
    ok: bool | None = None
    rounds: int = 1
    spread: tuple[float, float] | None = None

    @property
    def verdict(self) -> str:
        """One word."""
        return {True: "ok", False: "MISSED", None: ""}[self.ok]

    def line(self) -> list[object]:
        """Its row in a table."""
        spread = f"{self.spread[0]:.2f} - {self.spread[1]:.2f}" if self.spread else ""
        return [self.name, f"{self.value:,.6g}" if self.value >= 100 else f"{self.value:.2f}", self.unit, spread,
                self.budget or "", self.verdict]  # fmt: skip


def figure(
    name: str, values: Sequence[float], unit: str = "x", budget: Budget | None = None, *, is_judged: bool = True
) -> Figure:
    """The median of some rounds; a budget is shown even where it is not judged."""
    value = median(values)
    return Figure(
        name=name,
        value=value,
        unit=unit,
        budget=str(budget) if budget else None,
        ok=budget.holds(value) if budget and is_judged else None,
        rounds=len(values),
        spread=(min(values), max(values)) if len(values) > 1 else None,
    )


def ratio(
    name: str,
    over: Sequence[float],
    under: Sequence[float],
    budget: Budget | None = None,
    *,
    is_judged: bool = True,
) -> Figure:
    """The ratio of two medians; its spread is that of the rounds' own ratios."""
    value, each = median(over) / median(under), [a / b for a, b in zip(over, under, strict=True)]
    return Figure(
        name=name,
        value=value,
        budget=str(budget) if budget else None,
        ok=budget.holds(value) if budget and is_judged else None,
        rounds=len(each),
        spread=(min(each), max(each)) if len(each) > 1 else None,
    )


def missing(name: str, budget: Budget) -> Figure:
    """A budget that nothing was measured for, because its rival or we ourselves lost rows: missed."""
    return Figure(name=name, value=float("nan"), budget=str(budget), ok=False, rounds=0)


def table(figures: Iterable[Figure]) -> str:
    """All of them in columns."""
    return markdown(["figure", "value", "unit", "spread", "budget", ""], [each.line() for each in figures])


def record(each: Figure) -> dict[str, Any]:
    """As JSON has it; a figure that is missing has no value."""
    value = None if each.value != each.value else round(each.value, 4)  # NaN alone is unlike itself
    spread = [round(end, 4) for end in each.spread] if each.spread else None
    return {"name": each.name, "value": value, "unit": each.unit, "budget": each.budget, "ok": each.ok,
            "rounds": each.rounds, "spread": spread}  # fmt: skip


def write(path: Path, figures: Iterable[Figure], environment: Mapping[str, Any]) -> None:
    """`{"figures": [...], "environment": {...}}`."""
    told = {"figures": [record(each) for each in figures], "environment": environment}
    path.write_text(json.dumps(told, indent=1) + "\n")
