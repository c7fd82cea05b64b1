"""Files of the lake, read whole."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.errors import StorageFailed
from pipelines.lake.parquet import read_part, write_rows
from pipelines.lake.store import open_store

OLD = pa.schema([("name", pa.string()), ("gone", pa.string())])
NOW = pa.schema([("name", pa.string()), ("added_at", pa.timestamp("us", "UTC"))])


def test_a_column_that_an_older_file_lacks_is_null(tmp_path: Path) -> None:
    store = open_store(str(tmp_path), create=True)
    write_rows(store, "old.parquet", OLD, [pa.table({"name": ["a"], "gone": ["b"]}, schema=OLD)])

    assert read_part(store, "old.parquet", NOW).to_pylist() == [{"name": "a", "added_at": None}]


@pytest.mark.parametrize("kept", [0, 40, -1])
def test_a_file_that_was_cut_is_named_in_the_error(tmp_path: Path, kept: int) -> None:
    store = open_store(str(tmp_path), create=True)
    write_rows(store, "cut.parquet", OLD, [pa.table({"name": ["a"], "gone": ["b"]}, schema=OLD)])
    file = tmp_path / "cut.parquet"
    file.write_bytes(file.read_bytes()[:kept])

    with pytest.raises(StorageFailed, match=r"cut\.parquet: "):
        read_part(store, "cut.parquet", NOW)
