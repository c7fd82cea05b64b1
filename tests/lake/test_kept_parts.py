"""Kept parts of marts: whatever happens to a warehouse, with them and without them the rows are the same."""

import logging
import random
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from appstream_export.lake.catalog import SharedConnection
from appstream_export.lake.catalog.kept_parts import KeptParts
from appstream_export.lake.maintenance import erase_account, verify_warehouse
from appstream_export.lake.snapshots import load_head
from appstream_export.lake.storage import KEPT_FOLDER
from appstream_export.lake.storage.base import HashingWriter
from tests.lake.lakes import DAY, A, C, Lake, at, builder, live_randomly, ok
from tests.lake.stores import Around

MART = "image_builder_states"


def derive(lake: Lake, *, keeps_parts: bool) -> list[tuple[object, ...]]:
    """Rows of the mart as a publisher derives them."""
    shared = SharedConnection(lake.store, lake.contracts, keeps_parts=keeps_parts)
    with shared, shared.open_newest() as con:
        shared.derive_tables(con, [MART])
        return con.execute(f"select * from {MART} order by all").fetchall()


def list_parts(lake: Lake) -> list[str]:
    """Paths of all kept parts."""
    return [stored.path for stored in lake.store.list_all() if stored.path.startswith(f"{KEPT_FOLDER}/")]


def run_history(folder: Path, seed: int, steps: int) -> tuple[int, int]:
    """Let a random history happen over months, comparing after each step; return how many rows and parts there were."""
    lake, rows, parts = Lake(folder / f"{seed}"), 0, 0
    for hour in live_randomly(lake, random.Random(seed), steps=steps):  # noqa: S311
        lake.reopen()
        expected = lake.sql(f"select * from {MART} order by all")
        assert derive(lake, keeps_parts=True) == expected, (seed, hour)
        rows, parts = rows + len(expected), max(parts, len(list_parts(lake)))
    return rows, parts


def test_rows_are_the_same_with_kept_parts_after_any_history(tmp_path: Path) -> None:
    rows, parts = run_history(tmp_path, seed=21, steps=8)

    assert rows > 30
    assert parts > 0


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 42))
def test_rows_are_the_same_with_kept_parts_after_many_histories(tmp_path: Path, seed: int) -> None:
    run_history(tmp_path, seed, steps=30)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Snapshots of three months."""
    lake = Lake(tmp_path / "warehouse")
    for month in range(3):
        lake.commit_at(month * 31 * DAY, ok(A, builder("a", state="RUNNING")), ok(C, builder("secret-builder-name")))
    return lake


def test_a_day_on_which_nothing_changed_writes_no_part(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    rows, parts = derive(lake, keeps_parts=True), list_parts(lake)
    assert [path.split("/")[2][:7] for path in parts] == ["2026-01", "2026-02"]

    with caplog.at_level(logging.DEBUG, "appstream_export.lake.catalog.derived"):
        lake.commit_at(63 * DAY, ok(A, builder("a", state="RUNNING")), ok(C, builder("secret-builder-name")))
        assert len(derive(lake, keeps_parts=True)) == len(rows) + 2
    assert [record.getMessage() for record in caplog.records if "kept for later" in record.getMessage()] == []
    assert list_parts(lake) == parts


def test_a_reader_writes_no_part(lake: Lake) -> None:
    derive(lake, keeps_parts=False)

    assert list_parts(lake) == []


def test_a_damaged_part_is_noted_not_used_and_written_again(lake: Lake) -> None:
    rows, parts = derive(lake, keeps_parts=True), list_parts(lake)
    file = Path(lake.store.root) / parts[0]
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    (problem,) = verify_warehouse(lake.store).problems

    assert (problem.path, problem.is_note) == (parts[0], True)
    assert "has changed since it was written" in problem.what
    assert derive(lake, keeps_parts=True) == rows
    assert (list_parts(lake), verify_warehouse(lake.store).problems) == (parts, ())


def test_an_erase_removes_all_parts_and_later_ones_derive_from_what_is_left(lake: Lake) -> None:
    derive(lake, keeps_parts=True)
    before = {path: lake.store.read_bytes(path) for path in list_parts(lake)}
    now = at(round(63 * DAY * 60)) + timedelta(days=2)
    result = erase_account(lake.store, lake.contracts, C[:12], now=now, tool_version="0")
    assert (result.remaining, list_parts(lake)) == ((), [])

    for path, content in before.items():  # a publisher of the snapshot before was late
        lake.store.put_if_absent(path, content)
    rows = derive(lake, keeps_parts=True)
    assert {row[1:] for row in rows} == {("RUNNING", 1)}
    assert set(before).isdisjoint(list_parts(lake))


class Erasing(Around):
    """A store in which an erase lands just before a file is copied to it: the erase does not find the file."""

    def __init__(self, lake: Lake) -> None:
        super().__init__(lake.store)
        self._lake = lake

    @contextmanager
    def open_output(self, path: str) -> Generator[HashingWriter]:
        """Let the erase go first."""
        now = at(round(63 * DAY * 60)) + timedelta(days=2)
        erase_account(self._store, self._lake.contracts, C[:12], now=now, tool_version="0")
        with self._store.open_output(path) as output:
            yield output


def test_a_file_that_is_copied_after_an_erase_that_the_publisher_did_not_see_is_not_kept(
    lake: Lake, tmp_path: Path
) -> None:
    file, head = tmp_path / "bi.duckdb", load_head(lake.store)
    file.write_bytes(b"secret-builder-name")
    assert head is not None
    for store, kept in ((lake.store, 1), (Erasing(lake), 0)):
        KeptParts(store, head.seq).write_file("bi_duckdb", "2026-03", "0" * 64, file)
        assert len(list_parts(lake)) == kept
    newest = load_head(lake.store)
    assert newest is not None
    assert newest.seq > head.seq, "the erase has landed"


def test_a_mart_that_reads_what_its_files_lack_is_computed_and_not_kept(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from dataclasses import replace

    from appstream_export.lake.catalog import derived

    rows, known = derive(lake, keeps_parts=False), derived.list_view_files
    joined = "from image_builders_history where account_name is not null or true"
    monkeypatch.setattr(
        derived,
        "list_view_files",
        lambda c: [replace(v, sql=v.sql.replace("from image_builders_history", joined)) for v in known(c)],
    )

    assert derive(lake, keeps_parts=True) == rows
    assert list_parts(lake) == []
    assert "image_builder_states.sql: not kept" in caplog.text


def test_another_sql_makes_other_parts(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from appstream_export.lake.catalog import derived

    derive(lake, keeps_parts=True)
    before, known = list_parts(lake), derived.list_view_files
    monkeypatch.setattr(derived, "list_view_files", lambda c: [replace(v, sql=f"{v.sql} ") for v in known(c)])
    derive(lake, keeps_parts=True)

    assert len(list_parts(lake)) == len(before)
    assert set(before).isdisjoint(list_parts(lake))
