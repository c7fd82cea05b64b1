"""CSV files that users write: cells by column and line; each error gives file, line and fix.

And the characters that no text of a CSV file that we write may begin with.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from appstream_export.errors import SettingsError, suggest_correction

Cells = dict[str, str]
FORMULA = "=+-@＝＋－＠\t\r\n"  # noqa: RUF001  wide ones count too
"""A text that begins with one of these is run by some spreadsheet, unless a `'` goes before it."""


def read_csv_rows(file: str, setting: str, required: Sequence[str]) -> Iterator[tuple[int, Cells]]:
    """Yield the number and the cells of each line below the first, blanks around them taken off.

    `required` are the columns that must be there, `setting` is the key that names the file. Raises SettingsError.
    """
    try:
        with Path(file).open(encoding="utf-8-sig", newline="") as lines:  # spreadsheets begin with a mark
            yield from _parse_rows(csv.DictReader(lines, strict=True), file, required)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{setting} {file}: not readable as CSV: {why}") from error


def _parse_rows(rows: "csv.DictReader[str]", file: str, required: Sequence[str]) -> Iterator[tuple[int, Cells]]:
    columns = [column.strip() for column in rows.fieldnames or ()]
    rows.fieldnames = columns
    if missing := next((c for c in required if c not in columns), None):
        raise SettingsError(f"{file} line 1: no column {missing}", fix=suggest_correction(missing, columns))
    if duplicate := next((c for c in columns if columns.count(c) > 1 or not c), None):
        raise SettingsError(f'{file} line 1: the column "{duplicate}" comes twice', fix="give each its own name")
    for row in rows:
        if None in row or None in row.values():
            raise SettingsError(f"{file} line {rows.line_num}: not as many cells as line 1 has columns")
        yield rows.line_num, {column: cell.strip() for column, cell in row.items()}
