"""Files of the lake, read whole."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from appstream_export.errors import StorageFailed
from appstream_export.lake.snapshots.parquet import read_rows, skip_empty_parts, write_rows
from appstream_export.lake.storage.factory import open_store

OLD = pa.schema([("name", pa.string()), ("gone", pa.string())])
NOW = pa.schema([("name", pa.string()), ("added_at", pa.timestamp("us", "UTC"))])


def test_a_column_that_an_older_file_lacks_is_null(tmp_path: Path) -> None:
    store = open_store(str(tmp_path), create=True)
    write_rows(store, "old.parquet", OLD, [pa.table({"name": ["a"], "gone": ["b"]}, schema=OLD)])

    assert read_rows(store, "old.parquet", NOW).to_pylist() == [{"name": "a", "added_at": None}]


@pytest.mark.parametrize("kept", [0, 40, -1])
def test_a_file_that_was_cut_is_named_in_the_error(tmp_path: Path, kept: int) -> None:
    store = open_store(str(tmp_path), create=True)
    write_rows(store, "cut.parquet", OLD, [pa.table({"name": ["a"], "gone": ["b"]}, schema=OLD)])
    file = tmp_path / "cut.parquet"
    file.write_bytes(file.read_bytes()[:kept])

    with pytest.raises(StorageFailed, match=r"cut\.parquet: "):
        read_rows(store, "cut.parquet", NOW)


def test_a_part_is_gone_before_the_next_is_made(tmp_path: Path) -> None:
    def parts() -> Iterator[pa.Table]:
        for name in ("a", "", "b", "c"):
            held.append(sum(part() is not None for part in made))
            part = pa.table({"name": [name] if name else [], "gone": ["x"] if name else []}, schema=OLD)
            made.append(weakref.ref(part))
            yield part
            del part

    made, held = list[weakref.ref[pa.Table]](), list[int]()
    entry = write_rows(open_store(str(tmp_path), create=True), "some.parquet", OLD, skip_empty_parts(parts()) or ())

    assert (entry.rows, held) == (3, [0, 0, 0, 0])


def test_parts_without_rows_are_none() -> None:
    assert skip_empty_parts([pa.table({"name": [], "gone": []}, schema=OLD)]) is None
