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


def lay_out(names: Sequence[str], cells: Cells, right: Sequence[bool], *, count: bool = True) -> None:
    """Print rows under their column names; `right` aligns numbers. Null is a dim dash. Ends with the row count."""
    widths = _widths(names, cells, console.width())
    lines = _grid(names, cells, right, widths) if widths else _blocks(names, cells)
    for line in lines:
        console.say(line.rstrip())
    if count:
        console.say(console.styled(f"({len(cells):,} row{'' if len(cells) == 1 else 's'})", _DIM))


def _widths(names: Sequence[str], cells: Cells, limit: int) -> list[int] | None:
    """How wide each column is drawn; None when the rows do not fit even with prose wrapped."""
    columns = [[name, *(row[n] or _NULL for row in cells)] for n, name in enumerate(names)]
    wanted = [max(map(_terminal_width, column)) for column in columns]
    least = [_least(column) for column in columns]
    spare = limit - len(_GAP) * (len(names) - 1) - sum(least)
    if not names or spare < 0:
        return None
    widths = least
    for n in sorted(range(len(names)), key=lambda n: wanted[n] - least[n]):  # the widest prose gets what remains
        more = min(spare, wanted[n] - widths[n])
        widths[n] += more
        spare -= more
    return widths


def _least(column: Sequence[str]) -> int:
    """The narrowest width that breaks no word."""
    whole, word = max(map(_terminal_width, column)), max(_terminal_width(w) for text in column for w in text.split(" "))
    return min(whole, max(word, _PROSE_MIN))


def _grid(names: Sequence[str], cells: Cells, right: Sequence[bool], widths: Sequence[int]) -> Iterator[str]:
    yield _GAP.join(console.styled(_pad(n, w, r), _BOLD) for n, w, r in zip(names, widths, right, strict=True))
    yield console.styled(_GAP.join("-" * w for w in widths), _DIM)
    for row in cells:
        wrapped = [_wrap(text, width) for text, width in zip(row, widths, strict=True)]
        for n in range(max(map(len, wrapped))):
            parts = (lines[n] if n < len(lines) else "" for lines in wrapped)
            yield _GAP.join(_pad(p, w, r) for p, w, r in zip(parts, widths, right, strict=True))


def _wrap(text: str | None, width: int) -> list[str]:
    if not text or _terminal_width(text) <= width:
        return [_NULL if text is None else text]
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - _terminal_width(text))
    return space + text if right else text + space


def _terminal_width(text: str) -> int:
    """How wide a terminal draws it."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # loading it takes as long as a small query: for wide signs alone

    return cell_len(text)


def _blocks(names: Sequence[str], cells: Cells) -> Iterator[str]:
    """`name   value`, a line each, rows apart by a numbered line; long values go on under themselves."""
    margin = max(map(_terminal_width, names), default=0)
    for number, row in enumerate(cells, 1):
        yield console.styled(f"-- {number} ".ljust(margin + 12, "-"), _DIM)
        for name, text in zip(names, row, strict=True):
            first, *rest = _wrap(text, max(_PROSE_MIN, console.width() - margin - len(_GAP)))
            yield console.styled(_pad(name, margin, False), _BOLD) + _GAP + first
            yield from (" " * (margin + len(_GAP)) + line for line in rest)
