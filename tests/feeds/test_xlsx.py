"""Excel files: what a spreadsheet may take for a number, a formula or another time is none."""

import sys
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from appstream_export.contracts import Column
from appstream_export.errors import SettingsError
from appstream_export.feeds import check_feed_formats, publish_feeds, verify_feeds
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.xlsx import write_xlsx
from appstream_export.settings import FeedsSettings
from tests.feeds.stars import folder
from tests.lake.lakes import A, Lake, builder, ok

TYPES = ("VARCHAR", "BOOLEAN", "BIGINT", "DOUBLE", "DATE", "TIMESTAMP")
THINGS = Feed("things", "", tuple(Column(kind.lower(), kind, "") for kind in TYPES), "varchar", "")
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
ROW = ["004815162342", True, 7, 0.25, date(2026, 1, 2), datetime(2026, 1, 2, 12, tzinfo=UTC)]


def write(path: Path, *rows: list[object], **more: int) -> int:
    """Write rows of things."""
    kinds = (pa.string(), pa.bool_(), pa.int64(), pa.float64(), pa.date32(), pa.timestamp("us"))
    columns = [pa.array([row[n] for row in rows], kind) for n, kind in enumerate(kinds)]
    return write_xlsx(THINGS, pa.table(columns, [c.name for c in THINGS.columns]).to_batches(), path, **more)


def cells(path: Path, sheet: int = 1) -> list[list[tuple[str, str]]]:
    """Type and text of each cell; a number has the type n."""
    tree = ElementTree.fromstring(zipfile.ZipFile(path).read(f"xl/worksheets/sheet{sheet}.xml"))  # noqa: S314  ours
    return [[(c.get("t", "n"), "".join(c.itertext())) for c in row] for row in tree.iter(f"{SHEET}row")]


def test_ids_are_text_and_times_are_times(tmp_path: Path) -> None:
    assert write(tmp_path / "x.xlsx", ROW, [None] * 6) == 2
    head, row = cells(tmp_path / "x.xlsx")

    assert [text for _, text in head] == [kind.lower() for kind in TYPES]
    assert row == [
        ("inlineStr", "004815162342"), ("b", "1"), ("n", "7"), ("n", "0.25"), ("n", "46024"), ("n", "46024.5"),
    ]  # fmt: skip
    styles = zipfile.ZipFile(tmp_path / "x.xlsx").read("xl/styles.xml").decode()
    assert 'formatCode="yyyy-mm-dd hh:mm:ss"' in styles


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@x", "{=1}", "http://x", "\t=1", "1\n=2", "\x01"])
def test_no_text_is_a_formula_or_a_link(text: str, tmp_path: Path) -> None:
    write(tmp_path / "x.xlsx", [text, *ROW[1:]])
    sheet = zipfile.ZipFile(tmp_path / "x.xlsx").read("xl/worksheets/sheet1.xml").decode()

    assert cells(tmp_path / "x.xlsx")[1][0][0] == "inlineStr"
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet


def test_rows_beyond_a_sheet_are_on_the_next_one_and_long_texts_say_that_they_are_cut(tmp_path: Path) -> None:
    rows = [[f"{n:03}", *ROW[1:]] for n in range(6)] + [["x" * 40_000, *ROW[1:]]]
    write(tmp_path / "x.xlsx", *rows, sheet_rows=4)
    book = zipfile.ZipFile(tmp_path / "x.xlsx").read("xl/workbook.xml").decode()

    assert [[r[0][1][:9] for r in cells(tmp_path / "x.xlsx", n)] for n in (1, 2, 3)] == [
        ["varchar", "000", "001", "002"], ["varchar", "003", "004", "005"], ["varchar", "x" * 9],
    ]  # fmt: skip
    assert all(f'name="{name}"' in book for name in ("things", "things 2", "things 3"))
    assert cells(tmp_path / "x.xlsx", 3)[1][0][1].endswith("[cut: Excel allows 32,767 characters]")


def test_days_before_the_calendar_of_excel_are_text(tmp_path: Path) -> None:
    write(tmp_path / "x.xlsx", [*ROW[:4], date(1899, 1, 2), datetime(1, 1, 2, tzinfo=UTC)])

    assert cells(tmp_path / "x.xlsx")[1][4] == ("inlineStr", "1899-01-02")


@pytest.mark.slow
def test_the_feeds_of_v2_have_excel_files_that_are_verified(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a", state="RUNNING")))
    published = publish_feeds(lake.store, lake.contracts, FeedsSettings(xlsx=True))
    file = folder(lake) / "image_builder_latest.xlsx"

    assert published.star is not None
    assert {path.stem for path in folder(lake).glob("*.xlsx")} == {*published.star.rows}
    assert cells(file)[1][3] == ("inlineStr", "111122223333")
    assert verify_feeds(lake.store) == []
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1])
    assert any("image_builder_latest.xlsx" in line for line in verify_feeds(lake.store))


def test_without_the_extra_the_command_that_adds_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)

    with pytest.raises(SettingsError, match="xlsxwriter is not installed") as refused:
        check_feed_formats(FeedsSettings(xlsx=True))
    assert "excel" in str(refused.value.fix)
