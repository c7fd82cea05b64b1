"""thin, gc and erase: what they let go, what they keep, and that nobody is disturbed by it."""

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from msgspec import structs
from ulid import ULID

from appstream_export.errors import CommitStateUnknown, ConfigurationError, StorageFailed
from appstream_export.lake.catalog.connect import connect_warehouse
from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.maintenance.erase import EraseResult, erase_account
from appstream_export.lake.maintenance.expire import (
    RETAINED_FILES_MAX,
    ExpireResult,
    expire_snapshots,
    select_retained_snapshots,
)
from appstream_export.lake.maintenance.vacuum import VacuumResult, find_garbage, vacuum_warehouse
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.snapshots.manifest import Manifest, find_attempt, load_head, load_history
from appstream_export.settings import RetentionSettings
from tests.lake.buckets import Bucket
from tests.lake.lakes import EVERYWHERE, EVERYWHERE_IN_CI, A, B, C, Lake, bare, builder, failed, ok
from tests.lake.stores import Around, Raced

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
POLICY = RetentionSettings(hourly_days=2, daily_days=10, monthly_months=24)
GONE = C.partition("/")[0]


def commit_at(lake: Lake, moment: datetime, *answers: Any, **more: Any) -> Manifest:
    return lake.commit(*answers, clock=lambda: moment, **more)


def thinned(lake: Lake, **more: Any) -> ExpireResult:
    return expire_snapshots(lake.store, now=NOW, policy=POLICY, tool_version="0", clock=lambda: NOW, **more)


def collected(lake: Lake, *, grace: timedelta = timedelta(), **more: Any) -> VacuumResult:
    return vacuum_warehouse(lake.store, lake.contracts, now=datetime.now(UTC) + HOUR, grace=grace, **more)


def erased(lake: Lake, account: str = GONE, **more: Any) -> EraseResult:
    return erase_account(lake.store, lake.contracts, account, now=datetime.now(UTC), tool_version="0", **more)


def told(lake: Lake, table: str) -> list[tuple[Any, ...]]:
    """Every row of a table or history, in an order of its own."""
    return lake.sql(f"select * from {table} order by all")


def sweeps(lake: Lake) -> list[int]:
    return [m.seq for m in load_history(lake.store) if m.kind == "sweep"]


@cache
def _five_moments() -> tuple[dict[str, bytes], Lake]:
    """Two snapshots of one hour, two of one day, one long ago, with changes in each: made once, poured where wanted."""
    with TemporaryDirectory() as folder:
        lake = Lake(folder)
        for number, moment in enumerate(
            (NOW - 400 * DAY, NOW - 5 * DAY - HOUR, NOW - 5 * DAY, NOW - HOUR / 2, NOW - HOUR / 3)
        ):
            state = "RUNNING" if number % 2 else "STOPPED"
            commit_at(lake, moment, ok(A, builder("a", state=state, subnets=["s"])), ok(C, builder("c", state=state)))
        return {stored.path: lake.store.read_bytes(stored.path) for stored in lake.store.list_all()}, lake


def aged(lake: Lake) -> Lake:
    """Snapshots of five moments, the newest last, so that its hint on S3 is the right one."""
    files, made = _five_moments()
    for path, content in sorted(files.items(), key=lambda file: (file[0].startswith("commits/"), file[0])):
        if path.startswith("commits/"):
            assert lake.store.put_if_absent(path, content)
        else:
            with lake.store.open_output(path) as sink:
                sink.write(content)
    lake.minute, lake.scopes = made.minute, made.scopes
    return lake


def leftovers(lake: Lake) -> list[str]:
    """Files in whose bytes the erased account is still named."""
    return [stored.path for stored in lake.store.list_all() if GONE.encode() in lake.store.read_bytes(stored.path)]


def test_a_snapshot_stays_to_the_last_moment_of_its_policy(lake: Lake) -> None:
    made = lake.commit(ok(A))
    cases: dict[str, tuple[dict[str, int], list[datetime]]] = {
        "hours": ({"hourly_days": 2}, [NOW - 2 * DAY - SECOND, NOW - 2 * DAY, NOW]),
        "days": ({"daily_days": 10}, [NOW - 10 * DAY - SECOND, NOW - 10 * DAY, NOW]),
        # Of March, the second month back is January.
        "months": ({"monthly_months": 2}, [datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC), NOW]),
        "nothing": ({}, [NOW - DAY, NOW - HOUR, NOW]),
    }
    retained = {}
    for case, (policy, moments) in cases.items():
        given = [structs.replace(made, seq=seq, committed_at=moment) for seq, moment in enumerate(moments)]
        settings = RetentionSettings(**{"hourly_days": 0, "daily_days": 0, "monthly_months": 0} | policy)
        retained[case] = [sweep.seq for sweep in select_retained_snapshots(given, settings, NOW)]

    assert retained == {"hours": [1, 2], "days": [1, 2], "months": [1, 2], "nothing": [2]}


@pytest.mark.slow
def test_the_grace_of_a_file_begins_with_the_first_commit_without_it(lake: Lake) -> None:
    nothing = RetentionSettings(hourly_days=0, daily_days=0, monthly_months=0)
    first, second = NOW, NOW + 20 * HOUR
    for moment in (first, second):
        commit_at(lake, moment - HOUR, ok(A, builder("a", state="RUNNING" if moment == first else "STOPPED")))
        commit_at(lake, moment - HOUR / 2, ok(A, builder("a", state="PENDING")))
        expire_snapshots(lake.store, now=moment, policy=nothing, tool_version="0", clock=lambda at=moment: at)
    found = find_garbage(lake.store, first + 24 * HOUR, 24 * HOUR)

    due, waiting = ({stored.path for stored in part} for part in (found.due, found.waiting))
    assert "commits/000000000001.json" in due
    assert "commits/000000000004.json" in waiting
    assert len([path for path in due if path.startswith("tables/")]) > 5


@pytest.mark.slow
def test_the_last_of_each_hour_day_and_month_stays(lake: Lake) -> None:
    policy = {"monthly_months": 2} | {"hourly_days": 1, "daily_days": 3}
    moments = {
        1: NOW - 100 * DAY,  # too old for any of them
        2: NOW - 27 * DAY,
        3: NOW - 26 * DAY,  # the last of February's first days, but not of February
        4: datetime(2026, 2, 27, 1, tzinfo=UTC),
        5: datetime(2026, 2, 27, 23, tzinfo=UTC),
        6: datetime(2026, 2, 28, 22, tzinfo=UTC),
        7: NOW - 3 * HOUR,
        8: NOW - 2.4 * HOUR,
        9: NOW - 2.3 * HOUR,
    }
    for moment in moments.values():
        commit_at(lake, moment, ok(A))
    expire_snapshots(lake.store, now=NOW, policy=RetentionSettings(**policy), tool_version="0", clock=lambda: NOW)

    assert sweeps(lake) == [5, 6, 7, 9]


def test_the_newest_snapshot_stays_whatever_its_age(lake: Lake) -> None:
    commit_at(lake, NOW - 9000 * DAY, ok(A, builder("old")))
    commit_at(lake, NOW - 8000 * DAY, ok(A, builder("a")))
    thinned(lake)

    assert (sweeps(lake), lake.names()) == ([2], ["a"])


@pytest.mark.slow
@EVERYWHERE
def test_thinning_changes_no_row_and_keeps_every_change(lake: Lake) -> None:
    aged(lake)
    tables = [name for name in load_head(lake.store).tables if name != "snapshots"]  # ty: ignore[unresolved-attribute]
    before = {table: told(lake, table) for table in tables}
    changes, snapshots = told(lake, "image_builder_changes_history"), told(lake, "snapshots")
    result = thinned(lake)

    assert {table: told(lake, table) for table in tables} == before
    assert told(lake, "image_builder_changes_history") == changes
    assert [row for row in told(lake, "snapshots") if row in snapshots] == snapshots
    assert lake.sql("select seq, kind, items, changes from snapshots where kind <> 'sweep'") == [(6, "thin", 2, 0)]
    assert (result.dropped, result.retained, result.seq, sweeps(lake)) == ((2, 4), 3, 6, [1, 3, 5])
    seen = "select distinct seq from image_builders_history join snapshots using (snapshot_id) order by 1"
    assert lake.sql(seen) == [1, 3, 5]
    assert verify_warehouse(lake.store).problems == ()


@EVERYWHERE
def test_as_of_shows_the_newest_snapshot_that_is_left(lake: Lake) -> None:
    aged(lake)
    thinned(lake)

    def state(moment: datetime) -> list[str]:
        return lake.sql(f"select state from image_builders_as_of('{moment.isoformat()}') where name = 'a'")

    assert [state(NOW - 400 * DAY), state(NOW - 5 * DAY - HOUR / 2), state(NOW - 4 * DAY), state(NOW + DAY)] == [
        ["STOPPED"], ["STOPPED"], ["STOPPED"], ["STOPPED"]
    ]  # fmt: skip
    assert lake.sql("select distinct snapshot_at from image_builders_as_of('2030-01-01')") == [NOW - HOUR / 3]
    assert state(NOW - 401 * DAY) == []


@pytest.mark.slow
def test_it_stays_known_for_ever_which_scopes_were_seen_on_which_day(lake: Lake) -> None:
    for day in (300, 299, 298):
        for hours in (5, 4):
            commit_at(lake, NOW - day * DAY - hours * HOUR, ok(A, builder("a")) if day != 299 else failed(A))
    figures = "select snapshot_at::date, max(observed_at), max(status) from scope_runs_history group by 1 order by 1"
    before = lake.sql(figures)
    thinned(lake)

    assert (len(sweeps(lake)), lake.sql(figures)) == (1, before)


def test_of_a_day_whose_snapshots_all_expire_only_the_last_scope_runs_outlive_them(lake: Lake) -> None:
    early, late = NOW - 300 * DAY - 5 * HOUR, NOW - 300 * DAY
    for moment in (early - DAY, early, late, NOW):
        commit_at(lake, moment, ok(A))
    expire_snapshots(
        lake.store,
        now=NOW,
        policy=RetentionSettings(hourly_days=0, daily_days=0, monthly_months=0),
        tool_version="0",
        clock=lambda: NOW,
    )

    assert sweeps(lake) == [4]
    kept = "select committed_at from scope_runs_history join snapshots using (snapshot_id) order by seq"
    assert lake.sql(kept) == [early - DAY, late, NOW]


@EVERYWHERE
def test_nothing_to_thin_is_no_commit(lake: Lake) -> None:
    aged(lake)
    thinned(lake)

    again = thinned(lake)
    assert (again.dropped, again.retained, again.seq, len(load_history(lake.store))) == ((), 3, None, 4)


def test_runs_go_on_after_a_thinning_as_if_there_had_been_none(lake: Lake) -> None:
    aged(lake)
    thinned(lake)
    lake.commit(ok(A, builder("a", state="DELETING", subnets=["s"])), failed(C))

    assert [c[:2] for c in lake.changes()] == [("a", "changed")]
    assert lake.sql("select name, is_stale from image_builders order by 1") == [("a", False), ("c", True)]
    assert [row[1:3] for row in lake.sql("select snapshot_id, seq, kind from snapshots order by seq")][-2:] == [
        (6, "thin"), (7, "sweep")
    ]  # fmt: skip
    assert verify_warehouse(lake.store).problems == ()


@pytest.mark.slow
def test_thinning_again_and_again_keeps_every_change(lake: Lake) -> None:
    often = RETAINED_FILES_MAX + 2
    newest_alone = RetentionSettings(hourly_days=0, daily_days=0, monthly_months=0)
    for day in range(often):
        moment = NOW - (often - day) * DAY
        commit_at(lake, moment, ok(A, builder("a", state=f"S{day}")))
        expire_snapshots(lake.store, now=moment, policy=newest_alone, tool_version="0", clock=lambda at=moment: at)
    kept = load_history(lake.store)[-1].kept["image_builder_changes"]

    states = "select count(distinct new_value) from image_builder_changes_history where change = 'changed'"
    assert (len(sweeps(lake)), lake.sql(states)) == (1, [often - 1])
    assert sum(len(table.files) for table in kept) < RETAINED_FILES_MAX, "files are merged where they would be many"
    assert verify_warehouse(lake.store).problems == ()
    collected(lake)
    assert lake.sql("select count(*) from image_builder_changes_history") == [often]


def test_a_look_at_thinning_says_the_same_and_does_nothing(lake: Lake) -> None:
    aged(lake)
    files = lake.files()
    looked = thinned(lake, dry_run=True)

    assert (lake.files(), len(load_history(lake.store))) == (files, 5)
    done = thinned(lake)
    assert (looked.dropped, looked.retained, looked.rows_kept) == (done.dropped, done.retained, done.rows_kept)
    assert (len(looked.dropped), looked.retained) == (2, 3)


@pytest.mark.slow
@EVERYWHERE
def test_gc_deletes_what_thinning_let_go_and_nothing_else(lake: Lake) -> None:
    aged(lake)
    lake.publish()
    thinned(lake)
    before, on_disk = told(lake, "image_builders_history"), lake.files()
    looked = collected(lake, dry_run=True)
    assert lake.files() == on_disk

    done = collected(lake)
    assert (done.files, done.bytes) == (looked.files, looked.bytes)
    needed = {file.path for manifest in load_history(lake.store) for file in manifest.files}
    assert lake.files() == needed
    assert lake.store.list_folder("commits") == ["000000000006.json"]
    assert (told(lake, "image_builders_history"), verify_warehouse(lake.store).problems) == (before, ())
    assert collected(lake).files == 0


def test_gc_waits_until_what_was_let_go_has_been_so_for_the_grace(lake: Lake) -> None:
    aged(lake)
    expire_snapshots(lake.store, now=NOW, policy=POLICY, tool_version="0")

    assert collected(lake, grace=2 * HOUR).files == 0
    assert collected(lake, grace=HOUR / 2).files > 0


def test_gc_leaves_runs_in_progress_alone(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    draft = lake.draft(ok(A, builder("b")))
    (lake.store.root / "tables/.tmp-unfinished.parquet").touch()

    assert (collected(lake, grace=2 * HOUR).files, collected(lake, grace=2 * HOUR).waiting) == (0, 2)
    lake.commit(ok(A, builder("b")), draft=draft)
    assert lake.names() == ["b"]


def test_gc_removes_what_killed_runs_left(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    needed = lake.files()
    lake.draft(ok(A, builder("never committed")))
    root = lake.store.root
    (root / ".scratch").mkdir()
    mine = f".tmp-{ULID()}"
    for name in (".scratch/spilled.tmp", f"{mine}.duckdb", f"{mine}.duckdb.wal", f"commits/{mine}.json", "notes.txt"):
        (root / name).touch()
    (root / ".tmp-editor").touch()
    for place in (p for p in root.rglob("*") if p.is_file() and "never" not in p.name):
        os.utime(place, (0, 0))
    collected(lake, grace=DAY)
    collected(lake)

    assert lake.files() == needed
    foreign = {".tmp-editor", "notes.txt"}
    assert {p.name for p in root.iterdir()} == {"commits", "contracts", "tables", "warehouse.duckdb"} | foreign


class Slow(Around):
    """A store that removes nothing before a run has committed."""

    def __init__(self, store: Any, run: Callable[[], object]) -> None:
        super().__init__(store)
        self.runs = [run]

    def replace(self, *args: Any, **more: Any) -> None:
        """Publish the catalog, which is the last that gc does before it deletes; then the run is through."""
        self._store.replace(*args, **more)
        while self.runs:
            self.runs.pop()()


def test_gc_spares_what_a_run_commits_meanwhile_however_long_it_took(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    abandoned, draft = lake.draft(ok(A, builder("never"))), lake.draft(ok(A, builder("slow")))
    slow = Slow(lake.store, lambda: lake.commit(ok(A, builder("slow")), draft=draft))

    vacuum_warehouse(slow, lake.contracts, now=datetime.now(UTC) + 2 * DAY, grace=DAY)

    assert [str(problem) for problem in verify_warehouse(lake.store).problems if not problem.is_note] == []
    assert lake.names() == ["slow"]
    assert lake.files().isdisjoint(file.path for files in abandoned.files.values() for file in files)


class Late(Around):
    """A store whose manifests arrive when nobody waits for them any more."""

    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Give up before it has arrived."""
        self.arrive = lambda: self._store.put_if_absent(path, content)
        raise TimeoutError(errno.ETIMEDOUT, "no answer", path)


@pytest.mark.parametrize("act", [thinned, erased], ids=["thin", "erase"])
def test_a_retold_history_that_arrives_late_has_all_of_its_files(
    lake: Lake, act: Callable[[Lake], ExpireResult | EraseResult]
) -> None:
    aged(lake)
    healthy, lake.store = lake.store, Late(lake.store)
    with pytest.raises(CommitStateUnknown, match=r"no answer.*before you run again"):
        act(lake)
    late, lake.store = lake.store, healthy
    assert verify_warehouse(healthy).problems == ()

    late.arrive()

    assert (verify_warehouse(healthy).problems, [m.seq for m in load_history(healthy)][-1]) == ((), 6)
    assert (len(rows(lake)) == 1) == (act is erased)


class Listed(Around):
    """A store in which somebody acts between the listing of a folder and the reading of its files."""

    def __init__(self, store: Any, act: Callable[[], object]) -> None:
        super().__init__(store)
        self.acts = [act]

    def list_folder(self, folder: str) -> list[str]:
        """Names, of which some are of the past by now."""
        names = self._store.list_folder(folder)
        while self.acts:
            self.acts.pop()()
        return names


def test_a_history_whose_manifests_are_collected_while_it_is_read_is_read_again(lake: Lake) -> None:
    aged(lake)
    thinned(lake)

    assert load_history(Listed(lake.store, lambda: collected(lake)))[-1].seq == 6
    assert lake.store.list_folder("commits") == ["000000000006.json"]


def test_a_damaged_manifest_stops_gc(lake: Lake) -> None:
    lake.commit(ok(A))
    lake.draft(ok(A, builder("b")))
    manifest = lake.store.root / "commits/000000000001.json"
    manifest.write_text(manifest.read_text().replace("sweep", "sweet"))

    with pytest.raises(StorageFailed, match="damaged"):
        collected(lake)


def test_an_attempt_is_found_in_a_history_that_was_retold(lake: Lake) -> None:
    aged(lake)
    thinned(lake)
    collected(lake)

    def found(name: str) -> int | None:
        manifest = find_attempt(lake.store, run_id=f"run-{name}", attempt_id=name)
        return manifest.seq if manifest else None

    assert [found("attempt-5"), found("attempt-1"), found("none")] == [5, 1, None]
    assert lake.commit(ok(A), attempt="attempt-5").seq == 5, "an attempt commits once"


def raced(lake: Lake, rival: Callable[[Lake], object]) -> Lake:
    """The same warehouse through a store in which the rival is faster than us once."""
    ours = Lake(lake.store.root, s3=lake.s3)
    ours.store = Raced(ours.store, [lambda: rival(lake)])
    ours.minute, ours.scopes, ours.who = lake.minute, lake.scopes, "ours"
    return ours


def rows(lake: Lake) -> list[tuple[str, str]]:
    return lake.sql("select name, state from image_builders order by 1")


@pytest.mark.slow
@pytest.mark.parametrize("act", [thinned, erased], ids=["thin", "erase"])
def test_a_commit_that_lands_while_the_history_is_retold_is_in_it(
    lake: Lake, act: Callable[[Lake], ExpireResult | EraseResult]
) -> None:
    aged(lake)
    ours = raced(lake, lambda other: other.commit(ok(A, builder("a", state="NEW")), failed(C)))

    assert act(ours).seq == 7
    assert rows(lake)[0] == ("a", "NEW")
    assert [m.seq for m in load_history(lake.store)][-2:] == [6, 7]
    assert [problem for problem in verify_warehouse(lake.store).problems if not problem.is_note] == []


@pytest.mark.slow
@pytest.mark.parametrize("act", [thinned, erased], ids=["thin", "erase"])
def test_a_run_that_commits_after_the_history_was_retold_builds_on_it(
    lake: Lake, act: Callable[[Lake], ExpireResult | EraseResult]
) -> None:
    aged(lake)

    def retell_and_collect(other: Lake) -> None:
        act(other)
        if act is thinned:
            vacuum_warehouse(other.store, other.contracts, now=datetime.now(UTC), grace=DAY)

    ours = raced(lake, retell_and_collect)
    manifest = ours.commit(ok(A, builder("a", state="NEW")), failed(C))

    assert (manifest.seq, rows(lake)[0]) == (7, ("a", "NEW"))
    assert (len(rows(lake)) == 1) == (act is erased), "what was erased is not carried back"
    assert [problem for problem in verify_warehouse(lake.store).problems if not problem.is_note] == []


class Known(Around):
    """A store in which somebody acts as soon as we know the head."""

    def __init__(self, store: Any, act: Callable[[], object]) -> None:
        super().__init__(store)
        self.acts = [act]

    def read_bytes(self, path: str) -> bytes:
        """A manifest that is no longer the newest."""
        content = self._store.read_bytes(path)
        while self.acts:
            self.acts.pop()()
        return content


@pytest.mark.slow
def test_a_run_whose_head_is_erased_while_it_builds_on_it_starts_over(lake: Lake) -> None:
    aged(lake)
    healthy, lake.store = lake.store, Known(lake.store, lambda: erased(Lake(lake.store.root)))

    manifest = lake.commit(failed(A), planned=[A])

    assert (manifest.seq, lake.names(), leftovers(lake)) == (7, ["a"], [])
    assert [problem for problem in verify_warehouse(healthy).problems if not problem.is_note] == []


@pytest.mark.slow
def test_a_manifest_in_the_place_of_one_that_was_retold_long_ago_does_not_count(lake: Lake) -> None:
    aged(lake)
    lagging = raced(lake, lambda other: (other.commit(ok(A, builder("b"))), erased(other)))

    manifest = lagging.commit(ok(A, builder("late"), minute=90), planned=[A])

    assert manifest.seq == 8
    assert (lake.names(), lake.store.list_folder("commits")) == (["late"], ["000000000007.json", "000000000008.json"])


class Stuck(Around):
    """A store whose manifests cannot be removed."""

    def remove(self, path: str) -> None:
        """Fail."""
        if path.startswith("commits/"):
            raise OSError(errno.EIO, "Input/output error", path)
        self._store.remove(path)


@pytest.mark.slow
def test_a_manifest_that_does_not_count_is_no_commit_where_it_cannot_be_removed_either(lake: Lake) -> None:
    aged(lake)
    lagging = raced(lake, lambda other: (other.commit(ok(A, builder("b"))), erased(other)))
    lagging.store = Stuck(lagging.store)

    with pytest.raises(StorageFailed, match="before you run again"):
        lagging.commit(ok(A, builder("late"), minute=90), planned=[A])
    assert lake.names() == ["b"]


@pytest.mark.slow
@EVERYWHERE_IN_CI
def test_an_erased_account_is_nowhere_and_nobody_else_has_changed(lake: Lake) -> None:
    aged(lake)
    lake.draft(ok(C, builder("in a draft of a killed run")))
    thinned(lake)
    lake.publish()
    others = [row for row in told(lake, "image_builders_history") if GONE not in row]
    changes = [row for row in told(lake, "image_builder_changes_history") if GONE not in row]
    before = lake.sql("select kind from snapshots order by seq")
    looked = erased(lake, dry_run=True)
    done = erased(lake, grace=timedelta())

    assert (looked.rows, looked.files, looked.snapshots) == (done.rows, done.files, done.snapshots)
    assert (done.is_gone, done.remaining, done.mentions, done.snapshots, done.seq) == (True, (), (), 3, 7)
    assert told(lake, "image_builders_history") == others
    assert told(lake, "image_builder_changes_history") == changes
    for table in ("scope_runs_history", "accounts_history", "image_builder_subnets_history"):
        assert not [row for row in told(lake, table) if GONE in row]
    assert lake.sql("select kind from snapshots order by seq") == [*before, "erase"]
    assert lake.sql("select tasks_total, items from snapshots where kind = 'erase'") == [(1, 1)]
    assert verify_warehouse(lake.store).problems == ()
    assert leftovers(lake) == []


@pytest.mark.slow
def test_readers_of_the_catalog_are_served_after_an_erase(lake: Lake) -> None:
    aged(lake)
    lake.publish()
    erased(lake)

    assert bare(run_query(connect_warehouse(str(lake.store.root)), "select count(*) from image_builders_history")) == [
        5
    ]


def test_what_other_accounts_say_of_an_erased_one_is_told(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", image_arn=f"arn:aws:appstream:eu-west-1:{GONE}:image/shared")), ok(C, builder("c")))
    done = erased(lake)

    assert (done.is_gone, len(done.mentions)) == (True, 2)


@pytest.mark.slow
def test_examples_of_unknown_fields_lose_what_no_row_of_another_account_holds(lake: Lake) -> None:
    import pyarrow as pa

    from appstream_export.contracts import arrow_schema
    from appstream_export.contracts.model import get_operational_table

    lake.commit(ok(A), ok(C, builder("c")))
    draft = lake.draft(ok(A), ok(C, builder("c")))
    schema = arrow_schema.build_arrow_schema(get_operational_table("drift"))
    examples = [f'"arn:aws:x::{GONE}:y"', '"z"']
    draft.write({"drift": pa.Table.from_pylist([
        {"resource": "image_builders", "path": "P", "kind": "field", "example": e, "count": 1} for e in examples
    ], schema=schema)})  # fmt: skip
    lake.minute -= 1
    lake.commit(ok(A), ok(C, builder("c")), draft=draft, attempt="second")

    assert erased(lake).is_gone
    assert lake.sql('select example, "count" from drift') == [(None, 2)]


@EVERYWHERE
def test_an_attempt_in_progress_that_holds_the_account_is_told(lake: Lake) -> None:
    lake.commit(ok(A), ok(C, builder("c")))
    lake.draft(ok(C, builder("asked a moment ago")))
    done = erased(lake)

    assert (done.is_gone, len(done.remaining)) == (False, 1)
    assert done.remaining[0].startswith("tables/image_builders/")


class Dies(BaseException):
    """As good as kill -9 for a process that cannot catch it."""


class Dying(Around):
    """A store whose process dies at the n-th removal."""

    def __init__(self, store: Any, left: int) -> None:
        super().__init__(store)
        self.left = left

    def remove(self, path: str) -> None:
        """Remove, or die."""
        self.left -= 1
        if self.left < 0:
            raise Dies
        self._store.remove(path)


@pytest.mark.slow
@pytest.mark.parametrize("removals", [pytest.param(0, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("finish", [erased, collected], ids=["erase", "gc"])
def test_an_erase_that_was_killed_is_completed_by_the_next_one_or_by_gc(
    lake: Lake, removals: int, finish: Callable[[Lake], EraseResult | VacuumResult]
) -> None:
    aged(lake)
    healthy, lake.store = lake.store, Dying(lake.store, removals)
    with pytest.raises(Dies):
        erased(lake)
    lake.store = healthy
    assert (lake.sql("select account_id from accounts"), verify_warehouse(healthy).problems) == (
        [A.partition("/")[0]],
        (),
    )
    if finish is collected:
        vacuum_warehouse(healthy, lake.contracts, now=datetime.now(UTC), grace=DAY)
    else:
        assert finish(lake).is_gone
    assert leftovers(lake) == []


@pytest.mark.slow
@EVERYWHERE
def test_an_account_that_nobody_knows_is_refused_and_nothing_happens(lake: Lake) -> None:
    aged(lake)
    erased(lake)
    files = lake.store.list_all()

    for dry_run in (True, False):
        with pytest.raises(
            ConfigurationError, match=f"account {GONE} was not found in .*: it is mistyped, or was erased before"
        ):
            erased(lake, dry_run=dry_run)
    assert lake.store.list_all() == files


def test_what_is_no_account_is_refused(lake: Lake) -> None:
    with pytest.raises(ConfigurationError, match="12 digits"):
        erased(lake, "1234")


def test_an_empty_warehouse_has_nothing_to_thin_or_collect(lake: Lake) -> None:
    assert (thinned(lake).dropped, thinned(lake).retained) == ((), 0)
    assert collected(lake).files == 0
    with pytest.raises(ConfigurationError, match="was not found in"):
        erased(lake)


@pytest.mark.slow
def test_what_is_published_again_after_an_erase_is_looked_at_too(lake: Lake) -> None:
    aged(lake)
    report = lake.store.root / "report.html"
    report.write_text(f"of {GONE}")

    assert erased(lake, republish=lambda: report.write_text("of nobody")).is_gone
    report.write_text(f"of {GONE}")
    again = erased(lake)
    assert (again.is_gone, again.remaining, again.seq) == (False, ("report.html",), None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        "tables/image_builders/snapshot_id=X/.tmp-{}.parquet",
        pytest.param(".scratch/spilled-{}.tmp", marks=pytest.mark.slow),
    ],
)
def test_half_a_file_that_nobody_can_look_into_is_not_taken_for_clean(lake: Lake, place: str) -> None:
    aged(lake)
    accounts = " ".join(str(int(GONE) + n) for n in range(-100, 100))
    half = lake.store.root / place.format(ULID())
    half.parent.mkdir(parents=True)
    half.write_bytes(pa.compress(accounts.encode(), codec="zstd", asbytes=True))
    assert GONE.encode() not in half.read_bytes(), "it is compressed"

    found = erased(lake)
    assert (found.is_gone, found.remaining) == (False, (half.relative_to(lake.store.root).as_posix(),))
    assert erased(lake, grace=timedelta()).is_gone


@pytest.mark.slow
def test_a_database_that_was_not_published_since_is_not_taken_for_clean(lake: Lake) -> None:
    aged(lake)
    feed = lake.store.root / "feeds/v1/bi.duckdb"
    feed.parent.mkdir(parents=True)
    feed.write_bytes(b"compressed, so nobody can tell")
    os.utime(feed, (0, 0))

    assert erased(lake).remaining == ("feeds/v1/bi.duckdb",)


@pytest.mark.slow
def test_an_erase_whose_deletions_fail_says_how_to_complete_it(lake: Lake) -> None:
    aged(lake)
    healthy, lake.store = lake.store, Keeping(lake.store)
    with pytest.raises(
        StorageFailed, match=f"account {GONE} is in no snapshot any more, but .*; run the same erase again"
    ):
        erased(lake)
    lake.store = healthy

    assert erased(lake).is_gone


class Keeping(Around):
    """A store that removes nothing."""

    def remove(self, path: str) -> None:
        """Refuse."""
        raise PermissionError(13, "Permission denied", path)


@pytest.mark.long
def test_versions_that_a_bucket_keeps_of_an_erased_account_are_told(bucket: Bucket) -> None:
    place = bucket.place()
    lake = aged(Lake(place, s3=bucket.settings))
    bucket.keep_versions()
    with lake.store.open_output("tables/t/x.bin") as sink:
        sink.write(GONE.encode())
    lake.store.remove("tables/t/x.bin")
    done = erased(lake)

    assert not done.is_gone
    assert [path for path in done.remaining if path.startswith("tables/t/x.bin (version ")]
    assert "which the bucket retains)" in done.remaining[0]
    bucket.forget_versions(place)
    assert leftovers(lake) == []


@pytest.mark.long
def test_spans_and_daily_figures_are_the_same_after_thinning(lake: Lake) -> None:
    """Thirty snapshots of ten days."""
    for number in range(30):
        builders = [builder(f"b{n}", state="RUNNING" if (number + n) // (n + 2) % 2 else "STOPPED") for n in range(3)]
        answer = ok(A, *builders) if number % 7 else failed(A)
        commit_at(lake, NOW - (30 - number) * 8 * HOUR + HOUR, answer, ok(B))
    before = [lake.sql(figure) for figure in FIGURES]
    result = thinned(lake)
    collected(lake)

    assert len(sweeps(lake)) == 30 - len(result.dropped) < 20
    assert [lake.sql(figure) for figure in FIGURES] == before
    assert min(map(len, before)) >= 10
    assert verify_warehouse(lake.store).problems == ()


FIGURES = (
    # spans: from each change to the next of the same item, and how far it was seen to last
    "select name, new_value, observed_at, lead(previous_observed_at) over w, lead(observed_at) over w"
    " from image_builder_changes_history where column_name = 'state' or change <> 'changed'"
    " window w as (partition by name order by observed_at) order by name, observed_at",
    # which scopes were seen on which day
    "select snapshot_at::date, region, max(observed_at) from scope_runs_history group by all"
    " having max(observed_at)::date >= '2000-01-01' order by all",
    "select observed_at, name, change, snapshot_at from image_builder_changes_history order by all",
)
