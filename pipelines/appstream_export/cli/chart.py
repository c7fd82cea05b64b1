"""The rows of an answer as bars on a terminal. Days, weeks and months have a line each, also those without a row."""

import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import dropwhile
from typing import TYPE_CHECKING, Any

from rich.bar import Bar
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from appstream_export.cli import console
from appstream_export.cli.arrow_output import convert_to_rows
from appstream_export.cli.output import format_value
from appstream_export.cli.pluralize import format_count

if TYPE_CHECKING:
    import pyarrow as pa

    from appstream_export.contracts import ChartColumns

BARS_MAX = 60  # more than a screen; the rows have the rest
_GAPS_MAX = 31  # lines for periods without a row; a longer gap is one line
_LABEL_MAX, _LABEL_MIN, _BAR_MIN = 32, 4, 8  # columns of the terminal
_DAY = timedelta(days=1)
_COLOUR = "green"
_BLOCKS = "█▉▊▋▌▐▍▎▏▕…"
_ASCII = str.maketrans(_BLOCKS, "######    .")


@dataclass(frozen=True, slots=True)
class _Line:
    labels: tuple[str, ...]
    value: Any = None
    is_gap: bool = False


def print_chart(answer: "pa.Table", chart: "ChartColumns") -> None:
    """Print one bar per row, in order of time if the first label is one."""
    lines = list(_list_lines(convert_to_rows(answer), chart))
    if not lines:
        console.print_result("no rows to draw")
        return
    console.print_sanitized_lines([f"{chart.value} by {', '.join(chart.labels)}"])
    console.print_lines(_draw_bars(lines[:BARS_MAX]))
    if len(lines) > BARS_MAX:
        left_out = format_count(len(lines) - BARS_MAX, "line")
        console.print_result(f"{left_out} left out; without --chart, all rows are printed")


def _list_lines(rows: Sequence[dict[str, Any]], chart: "ChartColumns") -> Iterator[_Line]:
    first = chart.labels[0]
    is_timed = any(isinstance(row[first], date) for row in rows)
    if is_timed:
        rows = sorted((row for row in rows if row[first] is not None), key=lambda row: row[first])
        rows = list(dropwhile(lambda row: row[chart.value] is None, rows))  # such as days before the first run
    step = _find_step([row[first] for row in rows]) if is_timed else None
    previous: Any = None
    for row in rows:
        at = row[first]
        if step and previous not in (None, at):
            yield from _list_gap(previous, at, step, len(chart.labels))
        shown = [row[name] for name in chart.labels]
        if is_timed and at == previous:
            shown[0] = ""
        previous = at
        yield _Line(tuple("-" if value is None else format_value(value) for value in shown), row[chart.value])


def _find_step(times: Sequence[date]) -> str | None:
    """Return month, week or day for days, or None for moments."""
    if any(isinstance(time, datetime) for time in times):
        return None
    if all(time.day == 1 for time in times):
        return "month"
    return "week" if all((time - times[0]).days % 7 == 0 for time in times) else "day"


def _list_gap(previous: date, at: date, step: str, labels: int) -> Iterator[_Line]:
    """Yield a line for each period between two rows, or one line that counts them."""
    missing = []
    time = _add_step(previous, step)
    while time < at:
        missing.append(time)
        time = _add_step(time, step)
    rest = ("",) * (labels - 1)
    if len(missing) > _GAPS_MAX:
        yield _Line((f"({format_count(len(missing), step)})", *rest), is_gap=True)
    else:
        yield from (_Line((time.isoformat(), *rest), is_gap=True) for time in missing)


def _add_step(time: date, step: str) -> date:
    if step == "month":
        return (time.replace(day=1) + 32 * _DAY).replace(day=1)
    return time + (7 * _DAY if step == "week" else _DAY)


def _draw_bars(lines: Sequence[_Line]) -> Iterator[str]:
    numbers = [float(line.value) for line in lines if line.value is not None]
    low, high = min([0.0, *numbers]), max([0.0, *numbers])
    values = ["" if line.is_gap else "-" if line.value is None else format_value(line.value) for line in lines]
    value_width = max(map(cell_len, values))
    grid = Table.grid(padding=(0, 1), expand=True)
    for width in _compute_label_widths(lines, value_width):
        grid.add_column(overflow="ellipsis", no_wrap=True, width=width)
    grid.add_column(ratio=1, min_width=_BAR_MIN)
    grid.add_column(justify="right", no_wrap=True, min_width=value_width)
    for line, value in zip(lines, values, strict=True):
        labels = [Text(console.strip_control_characters(label)) for label in line.labels]
        number = 0.0 if line.value is None else float(line.value)
        bar = Bar((high - low) or 1, min(number, 0) - low, max(number, 0) - low, color=_COLOUR)
        grid.add_row(*labels, bar, Text(value))
    yield from _render_lines(grid)


def _compute_label_widths(lines: Sequence[_Line], value_width: int) -> list[int]:
    """Return the width of each label's column: in a narrow terminal, the widest give way to bars and numbers."""
    columns = zip(*(line.labels for line in lines), strict=True)
    widths = [min(_LABEL_MAX, max(cell_len(console.strip_control_characters(label)) for label in c)) for c in columns]
    spaces = len(widths) + 1
    room = console.get_terminal_width() - value_width - _BAR_MIN - spaces
    while sum(widths) > room and max(widths) > _LABEL_MIN:
        widths[widths.index(max(widths))] -= 1
    return widths


def _render_lines(grid: Table) -> Iterator[str]:
    text = io.StringIO()
    has_colour = console.has_colour(sys.stdout)
    drawn = Console(
        file=text,
        width=console.get_terminal_width(),
        force_terminal=has_colour,
        no_color=not has_colour,
        highlight=False,
        legacy_windows=False,
    )
    drawn.print(grid)
    for line in text.getvalue().splitlines():
        yield (line if _has_blocks() else line.translate(_ASCII)).rstrip()


def _has_blocks() -> bool:
    """Return whether stdout can encode the characters that rich draws bars with."""
    try:
        _BLOCKS.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
