"""Rows as text: for people (table, md) and for programs (json, ndjson, csv, parquet).

Formats for programs hold the stored values, in UTF-8, with times in UTC; only csv marks text that a spreadsheet would
run as a formula. Formats for people omit control characters. Numbers that JSON does not have are the texts "nan", "inf"
and "-inf" there; all text formats write nan and inf as DuckDB does.
"""

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import repeat
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec

from appstream_export.cli import console
from appstream_export.cli.pluralize import format_count
from appstream_export.cli.result_rows import Result, ResultRows, TimeOutOfRange, build_result
from appstream_export.inputs import guard_formulas

if TYPE_CHECKING:
    import pyarrow as pa

    from appstream_export.lake.catalog import PrintedAs, QueryRows

_JSON = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
_EXPLAINED = ["explain_key", "explain_value"]
"""Columns of EXPLAIN, whose values are drawings of several lines."""
_MARKUP = re.compile(r"([\\`*\[\]|~!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


def write_query_result(load_rows: "Callable[[PrintedAs], pa.Table | QueryRows]", kind: str) -> None:
    """Print the rows of a query in one of FORMATS; DuckDB writes the values that Python cannot hold."""
    if kind == "parquet":
        return write_result(load_rows("parquet"), kind)
    try:
        return write_result(load_rows("text"), kind)
    except TimeOutOfRange:
        return write_result(load_rows("bare text"), kind)


def write_result(rows: ResultRows, kind: str) -> None:
    """Print rows in one of FORMATS; raises TimeOutOfRange before it prints anything."""
    if kind == "parquet":
        from appstream_export.cli.arrow_output import write_parquet

        return write_parquet(rows)
    if hasattr(rows, "to_batches"):
        from appstream_export.cli.arrow_output import build_arrow_result  # slow to import

        return WRITERS[kind](build_arrow_result(rows))
    return WRITERS[kind](build_result(rows))


def print_json(value: object) -> None:
    """Print one object as JSON."""
    console.print_result_bytes(encode_json(value) + b"\n")


def encode_json(value: object) -> bytes:
    """Return a value as JSON in UTF-8: times as ISO 8601 with Z, decimals as exact numbers, NaN as null."""
    return _JSON.encode(value)


def format_value(value: object) -> str:
    """Return a value as text: times as ISO 8601 with Z, nested values as JSON, null as an empty string."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)  # as DuckDB writes it: 1e+16, inf, nan
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = _JSON.encode(_replace_infinities(value)).decode()
    return "" if text == "null" else text.strip('"') if text.startswith('"') else text


def _replace_infinities(value: Any) -> Any:
    """Return a value with `"nan"`, `"inf"` and `"-inf"` for the numbers that JSON does not have."""
    if isinstance(value, float) and not isfinite(value):
        return repr(value)
    if isinstance(value, list):
        return [_replace_infinities(part) for part in value]
    if isinstance(value, dict):
        return {name: _replace_infinities(part) for name, part in value.items()}
    return value


def _encode_row(row: Mapping[str, Any]) -> bytes:
    return _JSON.encode(_replace_infinities(row))


def _write_table(result: Result) -> None:
    if result.names == _EXPLAINED:
        drawings = (str(row["explain_value"]) for row in result.iterate_rows())
        console.print_sanitized_lines(line for drawing in drawings for line in drawing.split("\n"))
        return
    cells = [
        [None if v is None else console.strip_control_characters(format_value(v)) for v in row.values()]
        for row in result.iterate_rows()
    ]
    names = [console.strip_control_characters(name) for name in result.names]
    print_table(names, cells, [column.is_number for column in result.columns], limit=console.get_result_width())


def _write_json(result: Result) -> None:
    between = b"[\n"
    for batch in filter(None, result.batches):
        console.print_result_bytes(between + b",\n".join(b"  " + _encode_row(row) for row in batch))
        between = b",\n"
    console.print_result_bytes(b"\n]\n" if result.count else b"[]\n")


def _write_ndjson(result: Result) -> None:
    for batch in result.batches:
        console.print_result_bytes(b"".join(_encode_row(row) + b"\n" for row in batch))


def _write_csv(result: Result) -> None:
    """Print CSV as in RFC 4180: lines end with CR LF; an empty string is `""`, null is an empty field."""
    are_texts = [column.is_text for column in result.columns]
    console.print_result_bytes(_encode_csv_line(result.names, repeat(True)))
    for batch in result.batches:
        console.print_result_bytes(b"".join(_encode_csv_line(row.values(), are_texts) for row in batch))


def _encode_csv_line(values: Iterable[object], are_texts: Iterable[bool]) -> bytes:
    return (",".join(map(_format_csv_field, values, are_texts)) + "\r\n").encode()


def _format_csv_field(value: object, is_text: bool) -> str:
    text = format_value(value)
    if is_text and isinstance(value, str | list | dict):
        text = guard_formulas(text)
        if not text:
            return '""'
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def _write_markdown(result: Result) -> None:
    console.print_result(_format_markdown_line(result.names))
    console.print_result("|" + " --- |" * len(result.columns))
    for row in result.iterate_rows():
        console.print_result(_format_markdown_line(row.values()))


def _format_markdown_line(values: Iterable[object]) -> str:
    return "| " + " | ".join(_escape_markdown(format_value(value)) for value in values) + " |"


def _escape_markdown(text: str) -> str:
    text = _MARKUP.sub(r"\\\1", console.strip_control_characters(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


WRITERS: Mapping[str, Callable[[Result], None]] = {
    "table": _write_table,
    "json": _write_json,
    "ndjson": _write_ndjson,
    "csv": _write_csv,
    "md": _write_markdown,
}


_GAP = "  "
_PROSE_MIN = 24
"""Minimum width of a column whose text is wrapped."""
_BOLD, _DIM = "1", "2"
_NULL = "-"

Cells = Sequence[Sequence[str | None]]


def print_table(
    names: Sequence[str], cells: Cells, right: Sequence[bool], *, count: bool = True, limit: int | None = None
) -> None:
    """Print rows under their column names; null is a dim dash.

    `right` marks the columns that are aligned to the right; `count` adds a line with the row count; `limit` is the
    width, by default the terminal's.
    """
    widths = _compute_column_widths(names, cells, limit or console.get_terminal_width())
    lines = _render_grid(names, cells, right, widths) if widths else _render_blocks(names, cells)
    for line in lines:
        console.print_result(line.rstrip())
    if count:
        console.print_result(console.style(f"({format_count(len(cells), 'row')})", _DIM))


def _compute_column_widths(names: Sequence[str], cells: Cells, limit: int) -> list[int] | None:
    """Return the width of each column; None if the rows do not fit even with wrapped text."""
    columns = [[name, *(row[n] or _NULL for row in cells)] for n, name in enumerate(names)]
    wanted = [max(map(_measure_text, column)) for column in columns]
    least = [_compute_min_width(column) for column in columns]
    spare = limit - len(_GAP) * (len(names) - 1) - sum(least)
    if not names or spare < 0:
        return None
    widths = least
    for n in sorted(range(len(names)), key=lambda n: wanted[n] - least[n]):  # the widest text gets the rest
        more = min(spare, wanted[n] - widths[n])
        widths[n] += more
        spare -= more
    return widths


def _compute_min_width(column: Sequence[str]) -> int:
    """Return the narrowest width that breaks no word."""
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
    """Return the width of a text on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # as slow as a small query: only for wide characters

    return cell_len(text)


def _render_blocks(names: Sequence[str], cells: Cells) -> Iterator[str]:
    """Yield each row as lines of `name   value` under a numbered line; long values continue on indented lines."""
    margin = max(map(_measure_text, names), default=0)
    for number, row in enumerate(cells, 1):
        yield console.style(f"-- {number} ".ljust(margin + 12, "-"), _DIM)
        for name, text in zip(names, row, strict=True):
            first, *rest = _wrap_cell(text, max(_PROSE_MIN, console.get_terminal_width() - margin - len(_GAP)))
            yield console.style(_pad_cell(name, margin, False), _BOLD) + _GAP + first
            yield from (" " * (margin + len(_GAP)) + line for line in rest)
