"""Account labels: the user's own attributes (team, cost centre, ...) of accounts, from a CSV file."""

from collections.abc import Mapping

from appstream_export.errors import SettingsError
from appstream_export.inputs.csv import read_csv_rows
from appstream_export.model import ACCOUNT_ID

KEY = "account_id"
Labels = Mapping[str, str]


def read_labels(file: str | None) -> dict[str, Labels]:
    """Return the labels of each account id, in the file's column order, without empty cells.

    The file needs a column account_id; every other column is a label. Empty without a file. Raises SettingsError
    with the line.
    """
    found: dict[str, Labels] = {}
    for line, cells in read_csv_rows(file, "account_labels_file", [KEY]) if file else ():
        account_id = cells.pop(KEY)
        if not ACCOUNT_ID.fullmatch(account_id):
            fix = "spreadsheets drop zeros in front: format the column as text"
            raise SettingsError(f'{file} line {line}: {KEY} "{account_id}" is not 12 digits', fix=fix)
        if account_id in found:
            raise SettingsError(f"{file} line {line}: account {account_id} has a line already", fix="keep one")
        found[account_id] = {column: cell for column, cell in cells.items() if cell}
    return found
