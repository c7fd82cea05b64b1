"""Rows for people: aligned columns where they fit the width, prose wrapped, else one block per row."""

import textwrap
from collections.abc import Iterator, Sequence

from appstream_export.cli import console

_GAP = "  "
_PROSE_MIN = 24
"""A column is wrapped at its spaces, but not narrower than this."""
_BOLD, _DIM = "1", "2"
_NULL = "-"

Cells = Sequence[Sequence[str | None]]


def print_table(names: Sequence[str], cells: Cells, right: Sequence[bool], *, count: bool = True) -> None:
    """Print rows under their column names; `right` aligns numbers. Null is a dim dash. Ends with the row count."""
    widths = _compute_column_widths(names, cells, console.get_terminal_width())
    lines = _render_grid(names, cells, right, widths) if widths else _render_blocks(names, cells)
    for line in lines:
        console.print_result(line.rstrip())
    if count:
        console.print_result(console.style(f"({len(cells):,} row{'' if len(cells) == 1 else 's'})", _DIM))


def _compute_column_widths(names: Sequence[str], cells: Cells, limit: int) -> list[int] | None:
    """How wide each column is drawn; None when the rows do not fit even with prose wrapped."""
    columns = [[name, *(row[n] or _NULL for row in cells)] for n, name in enumerate(names)]
    wanted = [max(map(_measure_text, column)) for column in columns]
    least = [_compute_min_width(column) for column in columns]
    spare = limit - len(_GAP) * (len(names) - 1) - sum(least)
    if not names or spare < 0:
        return None
    widths = least
    for n in sorted(range(len(names)), key=lambda n: wanted[n] - least[n]):  # the widest prose gets what remains
        more = min(spare, wanted[n] - widths[n])
        widths[n] += more
        spare -= more
    return widths


def _compute_min_width(column: Sequence[str]) -> int:
    """The narrowest width that breaks no word."""
    whole, word = max(map(_measure_text, column)), max(_measure_text(w) for text in column for w in text.split(" "))
    return min(whole, max(word, _PROSE_MIN))


def _render_grid(names: Sequence[str], cells: Cells, right: Sequence[bool], widths: Sequence[int]) -> Iterator[str]:
    yield _GAP.join(console.style(_pad_cell(n, w, r), _BOLD) for n, w, r in zip(names, widths, right, strict=True))
    yield console.style(_GAP.join("-" * w for w in widths), _DIM)
    for row in cells:
        wrapped = [_wrap_cell(text, width) for text, width in zip(row, widths, strict=True)]
        for n in range(max(map(len, wrapped))):
            parts = (lines[n] if n < len(lines) else "" for lines in wrapped)
            yield _GAP.join(_pad_cell(p, w, r) for p, w, r in zip(parts, widths, right, strict=True))


def _wrap_cell(text: str | None, width: int) -> list[str]:
    if not text or _measure_text(text) <= width:
        return [_NULL if text is None else text]
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _pad_cell(text: str, width: int, right: bool) -> str:
    space = " " * (width - _measure_text(text))
    return space + text if right else text + space


def _measure_text(text: str) -> int:
    """How wide a terminal draws it."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # loading it takes as long as a small query: for wide signs alone

    return cell_len(text)


def _render_blocks(names: Sequence[str], cells: Cells) -> Iterator[str]:
    """`name   value`, a line each, rows apart by a numbered line; long values go on under themselves."""
    margin = max(map(_measure_text, names), default=0)
    for number, row in enumerate(cells, 1):
        yield console.style(f"-- {number} ".ljust(margin + 12, "-"), _DIM)
        for name, text in zip(names, row, strict=True):
            first, *rest = _wrap_cell(text, max(_PROSE_MIN, console.get_terminal_width() - margin - len(_GAP)))
            yield console.style(_pad_cell(name, margin, False), _BOLD) + _GAP + first
            yield from (" " * (margin + len(_GAP)) + line for line in rest)
