"""Read CSV files that users write; each error names file, line and fix.

Also guards text in CSV files that we write against spreadsheets that run formulas.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from appstream_export.errors import SettingsError, suggest_correction, suggest_path
from appstream_export.user_text import read_user_text

Cells = dict[str, str]
SEPARATORS = {";": "semicolons", "\t": "tabs"}
"""What spreadsheets write between columns where the machine's language has a decimal comma, or as text."""
FORMULA_GUARDS: tuple[tuple[str, str], ...] = (
    # Quotes do not hold the text together where the spreadsheet takes another sign for the separator.
    (r"([;\t\r\n])(\"*[=+\-@＝＋－＠])", r"\1'\2"),  # noqa: RUF001
    (r"\A([=+\-@＝＋－＠\t\r\n])", r"'\1"),  # noqa: RUF001
)
"""Replacements, in this order, that keep spreadsheets from running a text: a `'` goes before what begins a formula.

At the start of the text, and behind each sign at which some spreadsheet begins another cell. Patterns are those of
Python and of RE2, so that DuckDB does the same.
"""


def guard_formulas(text: str) -> str:
    """Return the text with a `'` before each formula that some spreadsheet would run."""
    for pattern, replacement in FORMULA_GUARDS:
        text = re.sub(pattern, replacement, text)
    return text


def read_csv_rows(file: str, setting: str, required: Sequence[str]) -> Iterator[tuple[int, Cells]]:
    """Yield the line number and the stripped cells, by column, of each row below the header.

    Skips what spreadsheets add: empty rows, and empty columns at the end. `required` are the columns that must exist,
    `setting` is the key that names the file. Raises SettingsError.
    """
    try:
        rows = csv.reader(StringIO(read_user_text(Path(file)), newline=""), strict=True)
        yield from _parse_rows(rows, file, required)
    except (OSError, ValueError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        near = suggest_path(Path(file)) if isinstance(error, FileNotFoundError) else None
        raise SettingsError(f"{setting} {file}: not readable as CSV: {why}", fix=near) from error


def parse_csv_day(text: str, where: str) -> datetime | None:
    """Return midnight (UTC) of a day such as 2026-01-31, or None for an empty cell; raises SettingsError."""
    try:
        if text and not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            raise ValueError
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
    except ValueError:
        raise SettingsError(f'{where} "{text}" is not a day such as 2026-01-31') from None


def _parse_rows(rows: Any, file: str, required: Sequence[str]) -> Iterator[tuple[int, Cells]]:
    columns = _strip_cells(next(rows, []), 0)
    if missing := next((c for c in required if c not in columns), None):
        raise _build_missing_error(file, missing, columns)
    if "" in columns:
        raise SettingsError(f"{file} line 1: column {columns.index('') + 1} has no name", fix="give it one")
    if duplicate := next((c for c in columns if columns.count(c) > 1), None):
        raise SettingsError(f'{file} line 1: the column "{duplicate}" comes twice', fix="give each its own name")
    for row in rows:
        cells = _strip_cells(row, len(columns))
        if not any(cells):
            continue
        if len(cells) != len(columns):
            what = f"line 1 has {len(columns)} columns, this one {len(cells)}"
            raise SettingsError(f"{file} line {rows.line_num}: {what}", fix="put a text with commas in quotes")
        yield rows.line_num, dict(zip(columns, cells, strict=True))


def _strip_cells(row: Sequence[str], size: int) -> list[str]:
    """Return the stripped cells, without empty ones beyond `size` at the end."""
    cells = [cell.strip() for cell in row]
    while len(cells) > size and not cells[-1]:
        cells.pop()
    return cells


def _build_missing_error(file: str, missing: str, columns: Sequence[str]) -> SettingsError:
    head = columns[0] if columns else ""
    for separator, name in SEPARATORS.items():
        if separator in head:
            what = f"its columns are separated by {name}, not by commas"
            return SettingsError(f"{file} line 1: {what}", fix='save it with commas, as "CSV UTF-8"')
    return SettingsError(f"{file} line 1: no column {missing}", fix=suggest_correction(missing, list(columns)))
