"""Feeds as Excel files, one per feed: text stays text, times are times in UTC, and no cell is a formula.

A spreadsheet that opens a CSV turns the account 004815162342 into a number. Here, the type of each cell is written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from appstream_export.errors import SettingsError
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.installation import format_install_command
from appstream_export.settings import FeedsSettings

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.worksheet import Worksheet

SHEET_ROWS_MAX = 1_048_576
"""Rows of a sheet in Excel, its head included; a longer feed has several sheets."""
_CELL_CHARACTERS_MAX, _SHEET_NAME_MAX = 32_767, 31
_CUT = " [cut: Excel allows 32,767 characters]"
_FIRST_YEAR = 1900  # of Excel's calendar
_FORMATS = {"DATE": "yyyy-mm-dd", "TIMESTAMP": "yyyy-mm-dd hh:mm:ss"}


def check_feed_formats(settings: FeedsSettings) -> None:
    """Raise SettingsError if the settings want Excel files and the optional package that writes them is missing."""
    if settings.xlsx and find_spec("xlsxwriter") is None:
        raise SettingsError("[feeds] xlsx: xlsxwriter is not installed", fix=format_install_command("excel"))


def write_xlsx(feed: Feed, batches: Iterable[pa.RecordBatch], file: Path, *, sheet_rows: int = SHEET_ROWS_MAX) -> int:
    """Write a feed to an Excel file and return the number of its rows."""
    from xlsxwriter import Workbook  # optional, and imported only where it is used

    rows = 0
    with Workbook(str(file), {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        formats = {kind: book.add_format({"num_format": text}) for kind, text in _FORMATS.items()}
        sheet = _add_sheet(book, feed, 1)
        for batch in batches:
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number, place = divmod(rows, sheet_rows - 1)
                if place == 0 and number:
                    sheet = _add_sheet(book, feed, number + 1)
                _write_row(sheet, place + 1, feed, values, formats)
                rows += 1
    return rows


def _add_sheet(book: "Workbook", feed: Feed, number: int) -> "Worksheet":
    suffix = "" if number == 1 else f" {number}"
    sheet = book.add_worksheet(feed.name[: _SHEET_NAME_MAX - len(suffix)] + suffix)
    for place, column in enumerate(feed.columns):
        sheet.write_string(0, place, column.name)
    sheet.freeze_panes(1, 0)
    return sheet


def _write_row(sheet: "Worksheet", row: int, feed: Feed, values: Sequence[Any], formats: Mapping[str, Any]) -> None:
    for place, (column, value) in enumerate(zip(feed.columns, values, strict=True)):
        if value is not None:
            _WRITERS[type(value)](sheet, row, place, value, formats.get(column.type))


def _write_text(sheet: "Worksheet", row: int, place: int, value: str, _: object) -> None:
    kept = value if len(value) <= _CELL_CHARACTERS_MAX else value[: _CELL_CHARACTERS_MAX - len(_CUT)] + _CUT
    sheet.write_string(row, place, kept)


def _write_number(sheet: "Worksheet", row: int, place: int, value: float, _: object) -> None:
    sheet.write_number(row, place, value)


def _write_boolean(sheet: "Worksheet", row: int, place: int, value: bool, _: object) -> None:
    sheet.write_boolean(row, place, value)


def _write_time(sheet: "Worksheet", row: int, place: int, value: date, style: Any) -> None:
    if value.year < _FIRST_YEAR:
        sheet.write_string(row, place, value.isoformat())
    else:
        moment = value if isinstance(value, datetime) else datetime.combine(value, time())
        sheet.write_datetime(row, place, moment, style)


_WRITERS: Mapping[type, Callable[..., None]] = {
    str: _write_text,
    bool: _write_boolean,
    int: _write_number,
    float: _write_number,
    date: _write_time,
    datetime: _write_time,
}
