"""Labels of accounts: the user's own words for them (team, cost centre, ...), from a CSV file."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipelines.errors import BadSettings, did_you_mean
from pipelines.scope import ACCOUNT_ID

KEY = "account_id"
Labels = Mapping[str, str]


def read_labels(file: str | None) -> dict[str, Labels]:
    """Labels per account id, empty cells left out, columns in the file's order; raises BadSettings with the line.

    The file needs a column account_id; every other column is a label. Without a file there are none.
    """
    if file is None:
        return {}
    try:
        with Path(file).open(encoding="utf-8-sig", newline="") as lines:  # spreadsheets begin with a mark
            return _read(csv.DictReader(lines, strict=True), file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise BadSettings(f"accounts_file {file}: not readable as CSV: {why}") from error


def _read(rows: "csv.DictReader[str]", file: str) -> dict[str, Labels]:
    columns = [column.strip() for column in rows.fieldnames or ()]
    rows.fieldnames = columns
    if KEY not in columns:
        raise BadSettings(f"{file} line 1: no column {KEY}{did_you_mean(KEY, columns)}")
    if twice := next((c for c in columns if columns.count(c) > 1 or not c), None):
        raise BadSettings(f'{file} line 1: the column "{twice}" comes twice; give each its own name')
    found: dict[str, Labels] = {}
    for line, account_id, labels in _labelled(rows, file):
        if account_id in found:
            raise BadSettings(f"{file} line {line}: account {account_id} has a line already; keep one")
        found[account_id] = labels
    return found


def _labelled(rows: "csv.DictReader[str]", file: str) -> Iterator[tuple[int, str, Labels]]:
    for row in rows:
        if None in row or None in row.values():
            raise BadSettings(f"{file} line {rows.line_num}: not as many cells as line 1 has columns")
        cells = {column: cell.strip() for column, cell in row.items()}
        account_id = cells.pop(KEY)
        if not ACCOUNT_ID.fullmatch(account_id):
            fix = "spreadsheets drop zeros in front: format the column as text"
            raise BadSettings(f'{file} line {rows.line_num}: {KEY} "{account_id}" is not 12 digits; {fix}')
        yield rows.line_num, account_id, {column: cell for column, cell in cells.items() if cell}
