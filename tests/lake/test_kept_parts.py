"""Histories in kept parts: whatever happens to a warehouse, with them and without them the rows are the same."""

import logging
import random
import tempfile
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appstream_export.errors import ConfigurationError, ContractError, KeptPartsLost
from appstream_export.lake.catalog import SharedConnection, compaction, derived
from appstream_export.lake.catalog.kept_parts import KeptParts
from appstream_export.lake.maintenance import (
    ExpireResult,
    erase_account,
    expire_snapshots,
    vacuum_warehouse,
    verify_warehouse,
)
from appstream_export.lake.snapshots import load_head, load_history
from appstream_export.lake.storage import KEPT_FOLDER
from appstream_export.lake.storage.base import HashingWriter
from appstream_export.settings import RetentionSettings
from tests.lake.lakes import DAY, EVERYWHERE_IN_CI, OTHER, A, C, Lake, at, builder, live_randomly, ok
from tests.lake.stores import Around

CHANGES, DAYS = "image_builder_changes_history", "scope_days"
TABLES = (CHANGES, DAYS, "image_builder_state_spans", "image_builder_lives")
TABLES_OF_OTHER = ("app_block_builder_changes_history", "app_block_builder_state_spans")
FOLDERS = (CHANGES, "kept_scope_days")
POLICY = RetentionSettings(hourly_days=1, daily_days=20, monthly_months=3)
Rows = dict[str, list[tuple[object, ...]]]


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "GROUP_SIZES", (4, 2))


def expire(lake: Lake, hours: float) -> ExpireResult:
    """Expire snapshots so many hours after noon."""
    now = at(round(hours * 60))
    return expire_snapshots(lake.store, now=now, policy=POLICY, tool_version="0", clock=lambda: now)


def erase(lake: Lake) -> None:
    """Erase account C, or do nothing if it is erased."""
    with suppress(ConfigurationError):
        erase_account(lake.store, lake.contracts, C[:12], now=at(round(65 * DAY * 60)), tool_version="0")


def list_tables(lake: Lake) -> list[str]:
    """The tables to compare, with those of a resource that random releases add."""
    has_other = OTHER in {contract.name for contract in lake.contracts}
    return [*TABLES, *(TABLES_OF_OTHER if has_other else ())]


def derive(lake: Lake, *, keeps_parts: bool) -> Rows:
    """Rows as a publisher reads and derives them."""

    def load() -> Rows:
        with shared.open_newest() as con:
            tables = list_tables(lake)
            shared.derive_tables(con, tables)
            return {name: con.execute(f"select * from {name} order by all").fetchall() for name in tables}

    with SharedConnection(lake.store, lake.contracts, keeps_parts=keeps_parts) as shared:
        return shared.call_with_retry(load)


def read(lake: Lake) -> Rows:
    """Rows as a reader of the catalog reads them, from the files of all snapshots."""
    lake.reopen()
    return {name: lake.sql(f"select * from {name} order by all") for name in list_tables(lake)}


def list_parts(lake: Lake, folder: str = "") -> list[str]:
    """Paths of all kept parts, or of those in a folder."""
    return [stored.path for stored in lake.store.list_all() if stored.path.startswith(f"{KEPT_FOLDER}/{folder}")]


def run_history(folder: Path, seed: int, steps: int) -> tuple[int, int]:
    """Let a random history happen over months, comparing after each step; return how many rows and parts there were."""
    lake, rows, parts = Lake(folder / f"{seed}"), 0, 0
    for hour in live_randomly(lake, random.Random(seed), steps=steps):  # noqa: S311
        expected = read(lake)
        assert derive(lake, keeps_parts=True) == expected, (seed, hour)
        rows, parts = rows + sum(map(len, expected.values())), max(parts, len(list_parts(lake)))
    assert derive(lake, keeps_parts=True) == read(lake), "parts that are there are read"
    return rows, parts


@pytest.mark.slow
def test_rows_are_the_same_with_kept_parts_after_any_history(tmp_path: Path) -> None:
    rows, parts = run_history(tmp_path, seed=21, steps=10)

    assert rows > 200
    assert parts > 1


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 42))
def test_rows_are_the_same_with_kept_parts_after_many_histories(tmp_path: Path, seed: int) -> None:
    rows, parts = run_history(tmp_path, seed, steps=30)
    logging.getLogger(__name__).info("seed %d: %d rows compared, at most %d parts", seed, rows, parts)


def answers(number: int) -> tuple[Any, ...]:
    """A builder whose state changes each time, and one of the account that an erase removes."""
    state = ("RUNNING", "STOPPED")[number % 2]
    return ok(A, builder("a", state=state)), ok(C, builder("secret-builder-name", state=state))


@pytest.fixture
def lake(lake: Lake) -> Lake:
    """Two snapshots in each of three months."""
    for number, day in enumerate((0, 1, 31, 32, 62, 63)):
        lake.commit_at(day * DAY, *answers(number))
    return lake


def test_past_months_and_groups_of_the_newest_one_are_kept(lake: Lake) -> None:
    assert derive(lake, keeps_parts=True) == read(lake)

    months = {folder: [path.split("/")[2][:7] for path in list_parts(lake, folder)] for folder in FOLDERS}
    # The newest day may still be followed by another snapshot.
    assert months == {CHANGES: ["2026-01", "2026-02", "2026-03"], "kept_scope_days": ["2026-01", "2026-02"]}


@pytest.mark.slow
def test_parts_in_a_bucket_are_read_too(bucket: Any) -> None:
    lake = Lake(bucket.place(), s3=bucket.settings)
    for number, day in enumerate((0, 1, 31, 32)):
        lake.commit_at(day * DAY, *answers(number))
    rows = read(lake)

    assert [derive(lake, keeps_parts=True) for _ in range(2)] == [rows, rows]
    assert [path.split("/")[1] for path in list_parts(lake)] == [CHANGES, CHANGES, "kept_scope_days"]


def test_a_day_on_which_nothing_changed_writes_no_part(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    derive(lake, keeps_parts=True)
    before = {folder: list_parts(lake, folder) for folder in FOLDERS}
    lake.commit_at(63.2 * DAY, *answers(5))

    with caplog.at_level(logging.DEBUG, "appstream_export.lake.catalog.compaction"):
        assert derive(lake, keeps_parts=True) == read(lake)
    assert [record.getMessage() for record in caplog.records if "compacted" in record.getMessage()] == []
    assert {folder: list_parts(lake, folder) for folder in FOLDERS} == before


def test_a_reader_writes_no_part(lake: Lake) -> None:
    derive(lake, keeps_parts=False)

    assert list_parts(lake) == []


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize(
    "damage",
    [lambda c: c[:-1] + b"x", lambda c: c[:-100], lambda c: c[:4] + bytes(8) + c[12:]],
    ids=["end", "cut", "page"],
)
def test_a_damaged_part_is_noted_not_used_and_written_again(
    lake: Lake, place: int, damage: Callable[[bytes], bytes]
) -> None:
    rows, parts = derive(lake, keeps_parts=True), list_parts(lake)
    part = parts[place]
    file = Path(lake.store.root) / part
    file.chmod(0o600)
    file.write_bytes(damage(file.read_bytes()))
    (problem,) = verify_warehouse(lake.store).problems

    assert (problem.path, problem.is_note) == (part, True)
    assert "has changed since it was written" in problem.what
    assert derive(lake, keeps_parts=True) == rows
    assert (list_parts(lake), verify_warehouse(lake.store).problems) == (parts, ())


def test_an_erase_removes_all_parts_and_later_ones_derive_from_what_is_left(lake: Lake) -> None:
    derive(lake, keeps_parts=True)
    before = {path: lake.store.read_bytes(path) for path in list_parts(lake)}
    assert find_name(lake) == {path for path in before if CHANGES in path}
    now = at(round(63 * DAY * 60)) + timedelta(days=2)
    result = erase_account(lake.store, lake.contracts, C[:12], now=now, tool_version="0")
    assert (result.remaining, list_parts(lake)) == ((), [])

    for path, content in before.items():  # a publisher of the snapshot before was late
        lake.store.put_if_absent(path, content)
    rows = derive(lake, keeps_parts=True)
    assert rows == read(lake)
    assert set(before).isdisjoint(list_parts(lake))
    assert find_name(lake) == set()


def find_name(lake: Lake) -> set[str]:
    """Paths of parts with the erased builder's name in a row."""
    read_part = lambda path: pq.read_table(pa.BufferReader(lake.store.read_bytes(path))).to_pylist()  # noqa: E731
    return {path for path in list_parts(lake) if "secret-builder-name" in str(read_part(path))}


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


def test_parts_of_expired_snapshots_are_removed_and_their_retained_rows_are_read(lake: Lake) -> None:
    rows, before = derive(lake, keeps_parts=True), list_parts(lake)
    expired = expire(lake, 63 * DAY)
    assert derive(lake, keeps_parts=True) == read(lake) == rows
    lake.commit_at(63.1 * DAY, *answers(5))

    assert derive(lake, keeps_parts=True) == read(lake)
    assert len(expired.dropped) == 2
    assert set(before).difference(list_parts(lake)) == {
        path for path in before if "/2026-01" in path or "/2026-02" in path
    }


def test_gc_removes_parts_that_no_run_reads_any_more_after_its_grace_period(lake: Lake) -> None:
    derive(lake, keeps_parts=True)
    parts, left = list_parts(lake), KEPT_FOLDER + "/fleet_changes_history/" + list_parts(lake)[0].rpartition("/")[2]
    assert lake.store.put_if_absent(left, b"of a resource that was switched off")

    def collect(days: int) -> int:
        now = datetime.now(UTC) + timedelta(days=days)
        return vacuum_warehouse(lake.store, lake.contracts, now=now).files

    assert (collect(0), left in list_parts(lake)) == (0, True)
    assert (collect(2), list_parts(lake)) == (1, parts)
    expire(lake, 63.5 * DAY)
    assert collect(2) > 4
    assert list_parts(lake) == [path for path in parts if "/2026-03." in path]
    assert derive(lake, keeps_parts=True) == read(lake)


class Racing(Around):
    """A store in which others act just before it lists a folder for the second time."""

    def __init__(self, store: Any, folder: str, act: Callable[[], object]) -> None:
        super().__init__(store)
        self._folder, self._act, self._listed = folder, act, 0

    def list_folder(self, folder: str) -> list[str]:
        """Let the others go first."""
        if folder == self._folder:
            self._listed += 1
            if self._listed == 2:
                self._act()
        return self._store.list_folder(folder)


@EVERYWHERE_IN_CI
def test_an_older_publisher_removes_no_part_of_a_newer_one(lake: Lake) -> None:
    newer = SharedConnection(lake.store, lake.contracts, keeps_parts=True)
    parts = list[str]()

    def overtake() -> None:
        lake.commit_at(64 * DAY, *answers(6))
        lake.commit_at(65 * DAY, *answers(7))  # a group of four, which no older snapshot has
        newer._connect()
        parts.extend(list_parts(lake))

    older = SharedConnection(Racing(lake.store, f"{KEPT_FOLDER}/{CHANGES}", overtake), lake.contracts, keeps_parts=True)
    with older, older.open_newest():
        pass
    with newer, newer.open_newest() as con:
        newer.derive_tables(con, TABLES)
    assert len(parts) > 4
    assert set(parts) <= set(list_parts(lake))


@EVERYWHERE_IN_CI
def test_parts_that_an_expiry_replaces_stay_as_long_as_a_run_may_read_them(lake: Lake) -> None:
    rows, before = derive(lake, keeps_parts=True), list_parts(lake)
    run = SharedConnection(lake.store, lake.contracts, keeps_parts=True)
    with run, run.open_newest() as con:
        expire(lake, 63.5 * DAY)
        assert derive(lake, keeps_parts=True) == rows, "expire publishes again"
        assert set(before) <= set(list_parts(lake))
        run.derive_tables(con, TABLES)
        assert con.execute(f"select * from {CHANGES} order by all").fetchall() == rows[CHANGES]


@pytest.mark.slow
@EVERYWHERE_IN_CI
def test_rows_are_those_of_the_publishers_snapshot_whatever_others_do_meanwhile(lake: Lake) -> None:
    chance, hour = random.Random(7), 64 * DAY  # noqa: S311
    for number in range(1, 4):
        rows, hour = read(lake), hour + chance.choice((1, DAY, 9 * DAY, 25 * DAY))
        run = SharedConnection(lake.store, lake.contracts, keeps_parts=True)
        with run, run.open_newest() as con:
            for _ in range(chance.choice((1, 2))):
                lake.commit_at(hour, *answers(number))
                derive(lake, keeps_parts=True)
                hour += 0.01
            if number % 2 == 0:
                expire(lake, hour)
                derive(lake, keeps_parts=True)
            run.derive_tables(con, TABLES)
            found = {name: con.execute(f"select * from {name} order by all").fetchall() for name in TABLES}
        assert found == rows, number
        assert derive(lake, keeps_parts=True) == read(lake), number
    assert list_parts(lake)


@pytest.mark.slow
def test_parts_that_are_removed_while_a_run_reads_them_cost_it_only_time(lake: Lake) -> None:
    lost = list[int]()

    def publish(times: int) -> Rows:
        with shared.open_newest() as con:
            if len(lost) < times:
                lost.append(len(list_parts(lake)))
                erase(lake)
                for path in list_parts(lake):
                    lake.store.remove(path)
            shared.derive_tables(con, TABLES)
            return {name: con.execute(f"select * from {name} order by all").fetchall() for name in TABLES}

    for times, expected in ((1, [5]), (2, [5, 5])):
        lost.clear()
        derive(lake, keeps_parts=True)
        with SharedConnection(lake.store, lake.contracts, keeps_parts=True) as shared:
            found = shared.call_with_retry(lambda times=times: publish(times))
        assert (found, lost) == (read(lake), expected)


def test_a_part_that_is_removed_is_named_in_one_line(lake: Lake) -> None:
    def publish() -> None:
        with SharedConnection(lake.store, lake.contracts, keeps_parts=True) as shared, shared.open_newest() as con:
            for path in list_parts(lake):
                lake.store.remove(path)
            shared.derive_tables(con, TABLES)

    with pytest.raises(KeptPartsLost, match=r"kept/image_builder_changes_history/2026-\d\d\..*removed it"):
        publish()


def test_a_part_that_cannot_be_written_is_left_out(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    rows = derive(lake, keeps_parts=False)
    folder = Path(lake.store.root, KEPT_FOLDER)
    folder.write_text("no folder can be made here")

    assert derive(lake, keeps_parts=True) == rows
    assert "kept: image_builder_changes_history is not kept" in caplog.text


def test_snapshots_whose_files_lost_their_rows_are_not_compacted(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    first, second = load_history(lake.store)[:2]
    for file in (*first.tables["scope_runs"].files, *second.tables["scope_runs"].files):
        path = Path(lake.store.root, file.path)
        path.chmod(0o600)
        with pq.ParquetWriter(path, pq.read_schema(path)):
            pass

    assert derive(lake, keeps_parts=True) == derive(lake, keeps_parts=False)
    assert "2026-01 of kept_scope_days is not compacted: its files have no rows" in caplog.text


def test_a_part_leaves_no_file_in_the_temporary_folder_even_if_its_run_is_killed(lake: Lake, tmp_path: Path) -> None:
    seen = list[list[Path]]()
    folder = tmp_path / "temporary"
    folder.mkdir()

    class Watching(Around):
        """A store that lists the temporary folder when a file is begun, for which the rows are ready."""

        def open_output(self, path: str) -> AbstractContextManager[HashingWriter]:
            """List it, then begin."""
            seen.append([file for file in folder.rglob("*") if file.is_file()])
            return self._store.open_output(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        shared = SharedConnection(Watching(lake.store), lake.contracts, keeps_parts=True)
        with shared, shared.open_newest():
            pass
    assert seen == [[]] * 5
    assert len(list_parts(lake)) == 5


def test_a_view_that_reads_more_than_it_keeps_is_refused(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    known, more = derived.list_view_files, "from scope_runs_history where status is not null"
    monkeypatch.setattr(
        derived,
        "list_view_files",
        lambda c: [replace(v, sql=v.sql.replace("from scope_runs_history", more)) for v in known(c)],
    )

    with pytest.raises(ContractError, match=r'scope_days\.sql: kept: it reads more than that: .*"status"'):
        derive(lake, keeps_parts=True)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"kept_columns": ("region", "observed_on")}, 'kept: "observed_on" is no column of scope_runs'),
        ({"reads": ("lost_runs_history",)}, "kept: lost_runs_history is no history of a table"),
    ],
)
def test_a_view_that_keeps_what_there_is_not_is_refused(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], problem: str
) -> None:
    known = compaction.list_view_files
    monkeypatch.setattr(
        compaction, "list_view_files", lambda c: [replace(v, **changed) if v.kept_columns else v for v in known(c)]
    )

    with pytest.raises(ContractError, match=rf"scope_days\.sql: {problem}"):
        derive(lake, keeps_parts=True)


@pytest.mark.parametrize("query", ["from image_builders_history", "from image_builder_changes_as_of('2026-02-10')"])
@pytest.mark.parametrize("keeps_parts", [True, False])
def test_a_publisher_reads_only_histories_that_files_of_sql_name(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, query: str, keeps_parts: bool
) -> None:
    def run() -> list[Any]:
        shared = SharedConnection(lake.store, lake.contracts, keeps_parts=keeps_parts)
        with shared, shared.open_newest() as con:
            return con.execute(f"{query} order by all").fetchall()

    known = compaction.list_sql_files
    mine = replace(known(lake.contracts, "checks")[0], sql=f"SELECT count(*) {query.upper()}")
    if "_history" in query:
        with pytest.raises(duckdb.PermissionException):
            run()
    monkeypatch.setattr(
        compaction, "list_sql_files", lambda c, folder: [*known(c, folder), *([mine] if folder == "checks" else [])]
    )
    assert run() == lake.sql(f"{query} order by all")
