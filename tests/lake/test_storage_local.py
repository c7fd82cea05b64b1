"""The storage port: modes, whole files or none, and refusals before any write."""

import os
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import pyarrow.parquet as pq
import pytest

from appstream_export.errors import ConfigurationError, StorageFailed
from appstream_export.lake.storage.base import Store, translate_storage_errors
from appstream_export.lake.storage.factory import open_store
from tests.lake.lakes import EVERYWHERE, A, Lake, builder, ok


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "published_mode"),
    [(0o600, 0o700, 0o400), (0o640, 0o750, 0o440), (0o664, 0o775, 0o444)],
)
def test_files_have_the_mode_of_the_settings_without_write_bits_and_folders_the_matching_one(
    tmp_path: Path, file_mode: int, folder_mode: int, published_mode: int
) -> None:
    old = os.umask(0o077)
    try:
        lake = Lake(tmp_path / "w", file_mode=file_mode)
        lake.commit(ok(A, builder("a")))
        lake.publish()
    finally:
        os.umask(old)

    below = list(lake.store.root.rglob("*"))
    assert {mode(p) for p in below if p.is_file()} == {published_mode}
    assert {mode(p) for p in (lake.store.root, *below) if p.is_dir()} == {folder_mode}


@pytest.fixture
def no_file_is_synced() -> None:
    """Not here: this is about the order of calls."""


@contextmanager
def calls() -> Iterator[list[tuple[str, str]]]:
    """What the block asks of the system for files to last: each call, and the place that it is about."""
    made: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, called: Any) -> None:
        if event != "c_call" or called.__name__ not in ("fsync", "rename", "replace", "link"):
            return
        known = frame.f_locals
        place = known.get("folder") or known.get("temporary") or known.get("self")
        made.append((called.__name__, "folder" if Path(str(place)).is_dir() else "file"))

    sys.setprofile(note)
    try:
        yield made
    finally:
        sys.setprofile(None)


def test_bytes_last_before_their_name_and_the_name_before_anybody_is_told(tmp_path: Path) -> None:
    """A power cut cannot be tried here; the order of calls that outlasts one can be seen."""
    store = open_store(str(tmp_path), create=True)
    store.put_if_absent("there/is.json", b"already")

    with calls() as writing, store.open_output("there/a.parquet") as sink:
        sink.write(b"rows")
    with calls() as creating:
        store.put_if_absent("there/b.json", b"manifest")
    with calls() as replacing:
        store.replace("there/c.duckdb", lambda file: Path(file).touch(), mode=0o400)

    assert writing == [("fsync", "file"), ("rename", "file"), ("fsync", "folder")]
    assert creating == [("fsync", "file"), ("link", "file"), ("fsync", "folder")]
    assert replacing == [("fsync", "file"), ("replace", "file"), ("fsync", "folder")]


def test_a_new_folder_lasts_before_its_files(tmp_path: Path) -> None:
    store = open_store(str(tmp_path), create=True)

    with calls() as made, store.open_output("new/deep/a.parquet") as sink:
        sink.write(b"rows")

    assert made == [("fsync", "folder")] * 2 + [("fsync", "file"), ("rename", "file"), ("fsync", "folder")]


def paths(store: Store) -> list[str]:
    return [stored.path for stored in store.list_all()]


@EVERYWHERE
def test_a_file_that_fails_half_way_never_appears(lake: Lake) -> None:
    def write() -> None:
        with lake.store.open_output("a/b.bin") as sink:
            sink.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert paths(lake.store) == []


@EVERYWHERE
def test_create_happens_once(lake: Lake) -> None:
    store = lake.store

    assert [store.put_if_absent("c/1.json", b"mine"), store.put_if_absent("c/1.json", b"yours")] == [True, False]
    assert (store.read_bytes("c/1.json"), store.list_folder("c"), store.list_tail("c")) == (
        b"mine",
        ["1.json"],
        ["1.json"],
    )
    assert paths(store) == ["c/1.json"]


@EVERYWHERE
def test_files_come_back_as_they_were_written(lake: Lake) -> None:
    store = lake.store
    with store.open_output("a/1") as sink:
        sink.write(b"one")
    store.replace("a/2", lambda file: Path(file).write_bytes(b"two") and None, mode=0o400)

    assert list(store.read_files(["a/2", "a/1"])) == [b"two", b"one"]
    assert (sink.size, sink.sha256[:8]) == (3, "7692c3ad")
    assert [(f.path, f.size_bytes) for f in store.list_all()] == [("a/1", 3), ("a/2", 3)]
    assert (store.exists("a/1"), store.exists("a"), store.list_folder("b"), store.list_tail("b")) == (
        True,
        False,
        [],
        [],
    )
    with pytest.raises(FileNotFoundError):
        store.read_bytes("a/3")
    for _ in range(2):
        store.remove("a/1")
    assert store.list_folder("a") == ["2"]


def test_folders_that_empty_while_files_begin_in_them_stop_nobody(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "w"), create=True)

    def write_and_remove(number: int) -> None:
        for _ in range(100):
            with store.open_output(f"folder/{number}") as sink:
                sink.write(b"x")
            store.remove(f"folder/{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_and_remove, range(4)))

    assert store.list_all() == []


def test_removing_the_last_file_removes_its_folder(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "w"), create=True)
    store.put_if_absent("a/b", b"")
    store.remove("a/b")
    store.remove("a/b")

    assert not (tmp_path / "w/a").exists()


@EVERYWHERE
@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "tables/../../out"])
def test_no_path_leads_out_of_the_warehouse(lake: Lake, path: str) -> None:
    with pytest.raises(StorageFailed, match="leads out of the warehouse"), translate_storage_errors(lake.store):
        lake.store.read_bytes(path)


def test_a_warehouse_that_is_not_there_can_be_made_but_not_read(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"no warehouse at .*/w; make one with: appstream-export run"
    ) as refused:
        open_store(str(tmp_path / "w"))
    assert refused.value.exit_code == 2
    assert open_store(str(tmp_path / "w"), create=True).root == tmp_path / "w"
    with pytest.raises(ConfigurationError, match=r"not of the form s3://bucket/prefix"):
        open_store("s3://UPPER/w")


@pytest.mark.parametrize(
    ("place", "what"),
    [("file", "is a file"), ("file/below", "Not a directory"), ("env=prod", "Hive partition"), ("w[1]", "patterns")],
)
def test_places_that_cannot_be_warehouses_are_refused_in_one_line(tmp_path: Path, place: str, what: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match=what) as refused:
        open_store(str(tmp_path / place), create=True)
    assert "\n" not in str(refused.value)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


NOBODY = 65534


@contextmanager
def as_nobody(*owned: Path) -> Iterator[None]:
    """Root may write anywhere: become another user for a while, to whom these paths belong."""
    if os.geteuid() != 0:
        yield
        return
    for path in owned:
        os.chown(path, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_folder_without_the_right_to_write_is_refused() -> None:
    with TemporaryDirectory() as top:  # where another user may go, unlike pytest's own folders
        warehouse = Path(top) / "w"
        warehouse.mkdir(mode=0o500)

        with as_nobody(Path(top), warehouse):
            with pytest.raises(ConfigurationError, match=r"/w: not writable for this user; change its owner"):
                open_store(str(warehouse), create=True)
            with pytest.raises(ConfigurationError, match=r"/w/below: Permission denied"):
                open_store(str(warehouse / "below"), create=True)


def test_files_are_sorted_documented_and_checksummed(lake: Lake) -> None:
    manifest = lake.commit(ok(A, builder("b"), builder("a")))

    [entry] = manifest.tables["image_builders"].files
    parquet = pq.ParquetFile(lake.store.root / entry.path, page_checksum_verification=True)
    assert parquet.read()["name"].to_pylist() == ["a", "b"]
    assert parquet.metadata.row_group(0).column(0).compression == "ZSTD"
    assert parquet.schema_arrow.field("name").metadata[b"comment"] == b"Name, unique per account and region."
    assert "snapshot_id" not in parquet.schema_arrow.names
