"""CSV files as spreadsheets leave them: read where they are clear, one line where they are not."""

from pathlib import Path

import pytest

from appstream_export.errors import SettingsError
from appstream_export.inputs import read_labels, read_prices

A, B = "111122223333", "444455556666"
TEXT = f"account_id,team\n{A},Zürich\n{B},b\n"
LABELS = {A: {"team": "Zürich"}, B: {"team": "b"}}


def labels(folder: Path, content: str | bytes) -> dict[str, dict[str, str]]:
    file = folder / "accounts.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return {account: dict(found) for account, found in read_labels(str(file)).items()}


SPREADSHEETS = {
    "empty rows at the end": TEXT + ",\n,\n",
    "an empty row between": TEXT.replace(f"{B}", f",\n{B}"),
    "rows of blanks": TEXT + " , \n",
    "an empty column at the end": "".join(f"{line},,\n" for line in TEXT.splitlines()),
    "a column that only rows have": TEXT.replace(",b\n", ",b,,\n"),
    "line ends of Windows": TEXT.replace("\n", "\r\n"),
    "line ends of an old Mac": TEXT.replace("\n", "\r"),
    "quotes": TEXT.replace("b\n", '"b"\n'),
    "a byte order mark": TEXT.encode("utf-8-sig"),
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16, the other way round": b"\xfe\xff" + TEXT.encode("utf-16-be"),
}


@pytest.mark.parametrize("kind", SPREADSHEETS)
def test_what_spreadsheets_add_is_no_mistake(kind: str, tmp_path: Path) -> None:
    assert labels(tmp_path, SPREADSHEETS[kind]) == LABELS


UNCLEAR = {
    "semicolons": (TEXT.replace(",", ";"), 'line 1: its columns are separated by semicolons, not by commas; save'),
    "tabs": (TEXT.replace(",", "\t").encode("utf-16"), "line 1: its columns are separated by tabs, not by commas"),
    "Windows' own encoding": (TEXT.encode("cp1252"), "not readable as CSV: line 2 is not in UTF-8: save it in UTF-8"),
    "UTF-16 without a mark": (TEXT.encode("utf-16-le"), "it holds binary data, or text in UTF-16 without a byte order"),
    "nothing": ("", "line 1: no column account_id"),
    "a column without a name": (TEXT.replace(",", ",,"), "line 1: column 2 has no name; give it one"),
    "a cell too many": (TEXT.replace("b\n", "b,c\n"), "line 3: line 1 has 2 columns, this one 3; put a text"),
    "a quote that never ends": (TEXT.replace("b\n", '"b\n'), "not readable as CSV: unexpected end of data"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNCLEAR)
def test_what_is_not_clear_is_one_line(kind: str, tmp_path: Path) -> None:
    content, complaint = UNCLEAR[kind]

    with pytest.raises(SettingsError) as refused:
        labels(tmp_path, content)

    assert complaint in str(refused.value)
    assert str(tmp_path / "accounts.csv") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_lines_of_complaints_count_empty_rows_too(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="line 5: account_id"):
        labels(tmp_path, f"account_id,team\n,\n{A},a\n,\n12,b\n")


def test_price_lists_are_read_as_leniently(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    head = "region,instance_type,platform,usd_per_hour,disk_usd_per_gb_month,valid_from"
    file.write_bytes(f"{head},\r\n*,small,*,0.5,,,\r\n,,,,,,\r\n".encode("utf-16"))

    assert [row["usd_per_hour"] for row in read_prices(str(file))] == [0.5]
