"""Atomic, once per attempt, in one order: the commit itself."""

import errno
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from appstream_export.contracts.model import list_snapshot_tables
from appstream_export.errors import CommitConflict, CommitError, OutOfMemory, StorageFailed
from appstream_export.lake.duckdb import open_duckdb, stream_batches, translate_duckdb_errors
from appstream_export.lake.snapshots import task_transitions
from appstream_export.lake.snapshots.manifest import Manifest, find_attempt, load_head, load_history
from appstream_export.lake.snapshots.staged_snapshot import StagedSnapshot
from appstream_export.lake.snapshots.workspace import MEMORY, CommitWorkspace
from appstream_export.model import Outcome
from appstream_export.status import Status
from tests.lake.lakes import (
    EVERYWHERE,
    EVERYWHERE_IN_CI,
    A,
    Answer,
    B,
    C,
    Lake,
    at,
    builder,
    failed,
    filtered,
    ok,
    task,
)
from tests.lake.stores import Around, Deaf, Faulty, Mode, Raced
from tests.slices import long_but


@EVERYWHERE
def test_every_table_has_a_file_even_when_nobody_has_rows(lake: Lake) -> None:
    manifest = lake.commit(ok(A))

    assert all(table.files for table in manifest.tables.values())
    assert {f.path for t in manifest.tables.values() for f in t.files} == lake.files()
    for table in manifest.tables:
        lake.sql(f"select * from {table}")


@EVERYWHERE
def test_the_manifest_says_what_lies_in_the_files(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", subnets=["s1", "s2"])), ok(B))
    manifest = lake.commit(failed(A), ok(B, builder("b")))

    sizes = {stored.path: stored.size_bytes for stored in lake.store.list_all()}
    assert {f.path: f.bytes for t in manifest.tables.values() for f in t.files}.items() <= sizes.items()
    assert {
        n: manifest.tables[n].rows for n in ("image_builders", "image_builder_subnets", "scope_runs", "snapshots")
    } == {
        "image_builders": 2,
        "image_builder_subnets": 2,
        "scope_runs": 2,
        "snapshots": 2,
    }
    assert manifest.counts | {"tasks_total": 2, "items": 2, "items_fresh": 1, "items_carried": 1} == manifest.counts


def test_the_history_is_a_chain(lake: Lake) -> None:
    for _ in range(3):
        lake.commit(ok(A))

    first, second, third = load_history(lake.store)
    assert [m.seq for m in (first, second, third)] == [1, 2, 3]
    assert (third.parent_digest, second.parent_digest, first.parent_seq) == (second.digest, first.digest, None)
    assert first.committed_at < second.committed_at < third.committed_at
    assert lake.sql("select seq, committed_at from snapshots order by 1") == [
        (m.seq, m.committed_at) for m in load_history(lake.store)
    ]
    assert [m.seq for m in load_history(lake.store, since_seq=2)] == [2, 3]


@EVERYWHERE
def test_the_same_attempt_commits_once(lake: Lake) -> None:
    first = lake.commit(ok(A, builder("a")), attempt="x")
    again = lake.commit(ok(A, builder("b")), attempt="x")

    assert (again, lake.names()) == (first, ["a"])
    assert lake.files() == {f.path for t in first.tables.values() for f in t.files}, "the second draft is gone"


def test_an_attempt_commits_once_also_where_its_twins_clock_is_slow(lake: Lake) -> None:
    twin = lake.commit_at(1, ok(A, builder("a")), attempt="x")
    lake.minute = 600

    assert lake.commit(ok(A, builder("b")), attempt="x") == twin


@EVERYWHERE
def test_an_earlier_attempt_of_a_run_is_found(lake: Lake) -> None:
    one = lake.commit(ok(A), attempt="one")
    two = lake.commit(ok(A), attempt="two")
    lake.commit(ok(A), attempt="three")

    def found(run: str, attempt: str) -> Manifest | None:
        return find_attempt(lake.store, run_id=run, attempt_id=attempt)

    assert (found("run-one", "one"), found("run-two", "other"), found("none", "none")) == (one, two, None)


def raced(lake: Lake, *rivals: Callable[[Lake], object]) -> Lake:
    """The same warehouse through a store in which each of the rivals is faster than us once."""
    ours = Lake(lake.store.root, s3=lake.s3)
    ours.store = Raced(ours.store, [lambda rival=rival: rival(lake) for rival in rivals])
    ours.minute, ours.scopes, ours.who = lake.minute, lake.scopes, "ours"
    return ours


@pytest.mark.slow
@EVERYWHERE
def test_who_comes_second_builds_on_the_first(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(B, builder("b")))
    ours = raced(lake, lambda other: other.commit(ok(B, builder("b2"))))

    manifest = ours.commit(ok(A, builder("a2")), max_rebases=1)

    assert (manifest.seq, lake.names(A), lake.names(B)) == (3, ["a2"], ["b2"])
    assert {f.path for m in load_history(lake.store) for t in m.tables.values() for f in t.files} == lake.files()


@pytest.mark.slow
def test_an_older_answer_never_replaces_a_newer_one(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(B, builder("b")))
    ours = raced(lake, lambda other: other.commit(ok(A, builder("newer"), minute=50)))

    ours.commit(ok(A, builder("older")), ok(B, builder("b2")))

    assert (lake.names(A), lake.names(B), lake.run(A)["observed_at"]) == (["newer"], ["b2"], at(50))
    assert [c[:3] for c in lake.changes()] == [("b", "deleted", None), ("b2", "created", None)]


def test_an_answer_that_an_earlier_run_beats_fails_for_a_clock_is_wrong(lake: Lake) -> None:
    lake.commit(ok(A, builder("ahead"), minute=50), ok(B))
    lake.commit(ok(A, builder("now")), ok(B, builder("b")), head_seq=1)

    run = lake.run(A)
    assert (lake.names(A), lake.names(B)) == (["ahead"], ["b"])
    assert (run["status"], run["error_code"], run["is_stale"], run["observed_at"]) == (
        "error", "AnswerDiscarded", True, at(50)
    )  # fmt: skip
    assert run["discarded_at"] == at(2)
    assert "an earlier run has an answer of 2026-" in run["reason"]
    assert (lake.run(B)["status"], lake.run(B)["discarded_at"]) == ("ok", None)
    lake.commit(ok(A, builder("later"), minute=60), head_seq=2)
    assert (lake.names(A), lake.run(A)["status"], lake.run(A)["discarded_at"]) == (["later"], "ok", None)


@pytest.mark.slow
@pytest.mark.parametrize("clock_skew_s", long_but([None, 0.0, 3600.0], None))
def test_an_answer_that_a_concurrent_run_overtook_is_no_failure(lake: Lake, clock_skew_s: float | None) -> None:
    lake.commit(ok(A, builder("a")))
    ours = raced(lake, lambda other: other.commit(ok(A, builder("newer"), minute=50)))

    ours.commit(ok(A, builder("older"), counts={"clock_skew_s": clock_skew_s}), head_seq=1, clock=lambda: at(51))

    assert (lake.names(A), lake.run(A)["status"], lake.run(A)["discarded_at"]) == (["newer"], "ok", at(2))


@pytest.mark.slow
def test_unless_the_answer_that_beat_it_lies_in_the_future_of_awss_clock(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    ours = raced(lake, lambda other: other.commit(ok(A, builder("ahead"), minute=50)))

    ours.commit(ok(A, builder("now"), counts={"clock_skew_s": 60.0}), head_seq=1, clock=lambda: at(48))

    run = lake.run(A)
    assert (lake.names(A), run["status"], run["error_code"]) == (["ahead"], "error", "AnswerDiscarded")
    assert "lies in the future by AWS's clock, so a clock is wrong; our clock and AWS's differ by 60 s" in run["reason"]


def test_a_commit_is_later_than_what_it_builds_on_whatever_the_clock_says(lake: Lake) -> None:
    first = lake.commit_at(5, ok(A))

    assert lake.commit_at(1, ok(A)).committed_at == first.committed_at + timedelta(microseconds=1)


@pytest.mark.slow
def test_answers_that_do_not_count_leave_no_file(lake: Lake) -> None:
    lake.commit(ok(A, *many(60)))
    lake.commit(ok(A, builder("few")))
    assert lake.run()["status"] == "guarded"

    ours = raced(lake, lambda other: other.commit(ok(A, *many(60), minute=50)))
    ours.commit(ok(A, *many(59)))

    assert lake.files() == {file.path for manifest in load_history(lake.store) for file in manifest.files}


@pytest.mark.slow
def test_an_older_answer_takes_nothing_from_a_newer_one_that_was_only_a_part(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="STOPPED")))
    part = filtered(A, builder("a", state="RUNNING"), builder("new"), minute=50)
    ours = raced(lake, lambda other: other.commit(part))

    ours.commit(ok(A, builder("a", state="STOPPED")))

    assert lake.sql("select name, state from image_builders order by 1") == [("a", "RUNNING"), ("new", None)]
    assert (lake.changes(), lake.run()["status"]) == ([], "filtered")
    lake.commit(ok(A, builder("a", state="RUNNING"), minute=60))
    assert [change[:2] for change in lake.changes()] == [("new", "deleted")], "a newer one takes what is gone"


@pytest.mark.slow
def test_nor_where_a_failure_came_after_that_part(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="STOPPED")))

    def rivals(other: Lake) -> None:
        other.commit(filtered(A, builder("a", state="RUNNING"), builder("new"), minute=50))
        other.commit(failed(A, minute=55))

    raced(lake, rivals).commit(ok(A, builder("a", state="STOPPED"), minute=40))

    assert lake.sql("select name, state from image_builders order by 1") == [("a", "RUNNING"), ("new", None)]
    assert (lake.changes(), lake.run()["status"], lake.run()["is_stale"]) == ([], "denied", True)


@pytest.mark.slow
def test_a_newer_answer_replaces_a_rivals_older_one(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(B, builder("b")))
    ours = raced(lake, lambda other: other.commit(ok(A, builder("older")), failed(B), planned=[A, B]))

    ours.commit(ok(A, builder("newer"), minute=60), planned=[A, B])

    assert (lake.names(A), lake.run(A)["observed_at"], lake.run(B)["status"]) == (["newer"], at(60), "denied")


def test_a_scope_that_a_later_run_has_just_asked_does_not_end(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    ours = raced(lake, lambda other: other.commit(ok(C, builder("c"), minute=40), planned=[A, C]))

    ours.commit(ok(A, builder("a")), planned=[A])

    assert (lake.names(C), lake.sql("select count(*) from accounts")) == (["c"], [2])


@pytest.mark.slow
def test_rivals_without_end_are_a_conflict_that_leaves_nothing(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    ours = raced(lake, *[lambda other: other.commit(ok(B))] * 3)

    with pytest.raises(CommitConflict, match="3 other commits came first"):
        ours.commit(ok(A, builder("z")), max_rebases=2)
    assert lake.names(A) == ["a"]
    assert {f.path for m in load_history(lake.store) for t in m.tables.values() for f in t.files} == lake.files()


@EVERYWHERE_IN_CI
def test_our_own_manifest_that_came_through_in_spite_of_an_error_is_a_success(lake: Lake) -> None:
    lake.store = Deaf(lake.store)
    manifest = lake.commit(ok(A, builder("a")))

    assert (load_head(lake.store), lake.names()) == (manifest, ["a"])


@pytest.mark.slow
@EVERYWHERE
def test_who_did_not_hear_that_another_was_first_builds_on_it(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(B, builder("b")))
    ours = raced(lake, lambda other: other.commit(ok(B, builder("b2"))))
    ours.store = Deaf(ours.store)

    manifest = ours.commit(ok(A, builder("a2")))

    assert (manifest.seq, lake.names(A), lake.names(B)) == (3, ["a2"], ["b2"])


@pytest.mark.slow
@EVERYWHERE_IN_CI
def test_runs_at_once_give_one_line_and_lose_nothing(lake: Lake) -> None:
    scopes = [f"{n:012}/eu-west-1" for n in range(4)]
    lake.commit(*(ok(s) for s in scopes))

    def commit(number: int) -> None:
        mine = Lake(lake.store.root, s3=lake.s3)
        mine.minute, mine.scopes = 10 * (number + 1), scopes
        mine.commit(ok(scopes[number], builder(f"b{number}")), attempt=str(number))

    threads = [threading.Thread(target=commit, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [m.seq for m in load_history(lake.store)] == [1, 2, 3, 4, 5]
    assert lake.sql("select name from image_builders order by 1") == ["b0", "b1", "b2", "b3"]


class Sealed(Around):
    """A store of which nothing can be removed."""

    def remove(self, path: str) -> None:
        """Refuse."""
        raise OSError(errno.EROFS, "Read-only file system", path)


def test_a_draft_that_cannot_be_removed_does_not_hide_why_it_has_to_go(lake: Lake) -> None:
    draft = lake.draft(ok(A, builder("a")))
    draft.store = Sealed(lake.store)

    draft.discard()  # run() does so on its way out: a second failure would be told in place of the first

    assert lake.files(), "gc finds it"


def test_a_commit_that_lacks_memory_is_made_with_more(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("appstream_export.lake.snapshots.commit.MEMORY", "1MiB")
    with caplog.at_level("INFO", "appstream_export"):
        lake.commit(ok(A, *(builder(f"b{n}", subnets=["s"]) for n in range(50))), ok(B))

    assert "trying again with 1GiB" in caplog.text
    assert len(lake.names(A)) == 50


def test_a_commit_that_lacks_memory_with_more_too_fails_and_leaves_nothing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.commit(ok(A, builder("a")))
    before = lake.files()
    for limit in ("MEMORY", "FALLBACK_MEMORY"):
        monkeypatch.setattr(f"appstream_export.lake.snapshots.commit.{limit}", "1MiB")

    with pytest.raises(OutOfMemory, match=r"^Out of Memory Error: "):
        lake.commit(ok(A, builder("b")))

    assert (lake.files(), lake.names(A)) == (before, ["a"])


def test_a_lack_of_memory_in_the_middle_of_a_streamed_result_is_one(lake: Lake) -> None:
    grows = "select repeat('x', case when i < 900000 then 1 else 1000000 end) from range(1000000) t(i)"
    with closing(open_duckdb(lake.store)) as con:
        con.execute("set memory_limit = '20MB'; set threads = 1")
        batches = stream_batches(con, grows, 10_240)
        assert batches.read_next_batch().num_rows

        with pytest.raises(OutOfMemory, match=r"^Out of Memory Error: [^\n]+$"), translate_duckdb_errors():
            batches.read_all()


def test_a_failing_disk_is_told_in_one_line(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    lake.store = Faulty(lake.store, 6, Mode.FULL)

    with pytest.raises(StorageFailed, match=r"^/\S+: No space left on device$"):
        lake.commit(ok(A, builder("b")))


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (ok(A, builder("a"), counts={"items": 2}), "returned 2 items, but rows, duplicates and quarantine have 1"),
        (ok(A, builder("a"), counts={"rows": 2, "items": 2}), r"should have 2 rows \(ok\), but 1 are staged"),
        (Answer(A, [builder("a")], Status.DENIED), r"should have 0 rows \(denied\), but 1 are staged"),
        (ok(A, builder("a"), builder("a")), "image_builders has .*/a twice"),
    ],
)
def test_a_broken_rule_stops_the_commit(lake: Lake, answer: Answer, what: str) -> None:
    lake.commit(ok(A, builder("old")))

    with pytest.raises(CommitError, match=what) as refused:
        lake.commit(answer)
    assert refused.value.exit_code == 4
    assert "\n" not in str(refused.value)
    assert (lake.names(), len(load_history(lake.store))) == (["old"], 1)
    assert lake.files() == {f.path for m in load_history(lake.store) for t in m.tables.values() for f in t.files}


def test_rows_of_a_scope_that_was_not_asked_stop_the_commit(lake: Lake) -> None:
    with pytest.raises(CommitError, match="which was not requested"):
        lake.commit(ok(A), draft=lake.draft(ok(B, builder("b"))))


def test_a_child_without_its_item_stops_the_commit(lake: Lake) -> None:
    orphan = lake.draft(ok(A, builder("a", subnets=["s"])))
    orphan.files["image_builders"].clear()

    with pytest.raises(CommitError, match=r"image_builder_subnets has a row of .*/a, which is not in image_builders"):
        lake.commit(ok(A), draft=orphan)


@pytest.mark.slow
def test_files_of_many_rows_are_checked_part_by_part_and_no_row_escapes(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appstream_export.lake.snapshots.validation.HASH_BATCH_ROWS", 2)
    many = [builder(f"b{n}", subnets=["s", "t"]) for n in range(9)]
    lake.commit(ok(A, *many))

    for name in ("b0", "b4", "b8"):
        with pytest.raises(CommitError, match=f"image_builders has .*/{name} twice"):
            lake.commit(ok(A, *many, builder(name)))
        others = [one for one in many if one["name"] != name]
        orphaned = lake.draft(ok(A, *many))
        orphaned.files["image_builders"] = lake.draft(ok(A, *others)).files["image_builders"]
        with pytest.raises(CommitError, match=rf"has a row of .*/{name}, which is not in image_builders"):
            lake.commit(ok(A, *others), draft=orphaned)


def test_an_answer_that_nobody_planned_stops_the_commit(lake: Lake) -> None:
    with pytest.raises(CommitError, match="had not planned it"):
        lake.commit(ok(A), planned=[B])


def test_a_draft_takes_only_rows_of_its_contract(lake: Lake) -> None:
    draft: StagedSnapshot = lake.draft()
    table = lake.contracts[0].item_table

    with pytest.raises(CommitError, match="not a table of this run"):
        draft.write({"builders": pa.table({"a": [1]})})
    with pytest.raises(CommitError, match="whose columns differ from its contract"):
        draft.write({table.name: pa.table({"a": [1]})})


def many(count: int, prefix: str = "b") -> list[dict[str, object]]:
    return [builder(f"{prefix}{n:03}", subnets=["s"]) for n in range(count)]


def test_a_great_fall_is_guarded_and_the_rest_commits(lake: Lake) -> None:
    lake.commit(ok(A, *many(60)), ok(B, *many(5)))
    manifest = lake.commit(ok(A, *many(3)), ok(B, *many(5), builder("new")))

    assert (len(lake.names(A)), len(lake.names(B))) == (60, 6)
    run = lake.run(A)
    assert (run["status"], run["is_stale"], run["items"], run["observed_at"]) == ("guarded", True, 0, at(1))
    assert "dropped from 65 to 9" in run["reason"]
    assert "this scope retains its 60 (3 now): accept with --accept-drop" in run["reason"]
    assert [c[0] for c in lake.changes()] == ["new"]
    assert lake.sql("select count(*) from image_builder_subnets") == [65]
    assert manifest.counts["tasks_failed"] == 1
    assert (manifest.counts["items_fresh"], manifest.counts["items_carried"]) == (6, 60)


def test_force_accepts_a_great_fall(lake: Lake) -> None:
    lake.commit(ok(A, *many(60)))
    lake.commit(ok(A), forced=True)

    assert (lake.names(), lake.run()["status"]) == ([], "ok")


@pytest.mark.parametrize(("before", "after"), long_but([(20, 0), (60, 30), (60, 40)], (60, 30)))
def test_a_small_fall_or_a_half_is_believed(lake: Lake, before: int, after: int) -> None:
    lake.commit(ok(A, *many(before)))
    lake.commit(ok(A, *many(after)))

    assert len(lake.names()) == after


def test_a_new_scope_does_not_hide_a_fall(lake: Lake) -> None:
    lake.commit(ok(A, *many(60)))
    lake.commit(ok(A), ok(B, *many(60)))

    assert (len(lake.names(A)), lake.run(A)["status"], len(lake.names(B))) == (60, "guarded", 60)


def test_scopes_that_end_with_many_rows_are_guarded_too(lake: Lake) -> None:
    lake.commit(ok(C, *many(30)), ok(A))
    lake.commit(ok(A), planned=[A])

    assert (len(lake.names(C)), lake.run(C)["status"], lake.run(C)["is_stale"]) == (30, "guarded", True)
    assert lake.sql("select count(*) from accounts") == [2]

    lake.commit(ok(A), planned=[A], forced=True)
    assert lake.sql("select count(*) from image_builders") == [0]


def test_a_filtered_answer_never_trips_the_guard(lake: Lake) -> None:
    lake.commit(ok(A, *many(60)))
    lake.commit(filtered(A, *many(1)))

    assert (len(lake.names()), lake.run()["status"]) == (60, "filtered")


def test_a_first_run_and_a_first_answer_never_trip_the_guard(lake: Lake) -> None:
    lake.commit(ok(A), failed(B))
    lake.commit(ok(A, *many(60)), ok(B))

    assert [lake.run(scope)["status"] for scope in (A, B)] == ["ok", "ok"]


def test_a_scope_that_ends_with_few_rows_ends(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(C, *many(20)))
    lake.commit(ok(A, builder("a")), planned=[A])

    assert lake.sql("select account_id || '/' || region from scope_runs") == [A]
    assert [change[1] for change in lake.changes()] == ["ended"] * 20


def test_what_the_guard_held_back_heals_with_the_next_answer(lake: Lake) -> None:
    lake.commit(ok(A, *many(60)))
    lake.commit(ok(A))
    lake.commit(ok(A, *many(59)))

    assert (lake.run()["status"], lake.run()["is_stale"], len(lake.names())) == ("ok", False, 59)
    assert [change[:2] for change in lake.changes()] == [("b059", "deleted")]


def test_the_guard_looks_at_each_resource_by_itself() -> None:
    """A hundred fleets that stay must not hide that all image builders went, nor be held back for them."""
    tasks = {name: task(A, name) for name in ("fleets", "image_builders")}
    answers = {"fleets": 100, "image_builders": 0}
    before = {t: {"status": "ok", "observed_at": at(0), "is_stale": False} for t in tasks.values()}
    outcomes = {
        t: Outcome(task=t, status=Status.OK, reason=None, attempted_at=at(1), finished_at=at(1), items=n, rows=n)
        for t, n in zip(tasks.values(), answers.values(), strict=True)
    }
    items = {tasks["fleets"]: 100, tasks["image_builders"]: 60}
    held = {t: task_transitions.ExistingRows(n) for t, n in items.items()}

    decided = task_transitions.apply_drop_guard(
        task_transitions.decide_tasks([*outcomes], outcomes, before, held, at(1)), items, 50
    )
    assert {d.task.resource: (d.scope_run or {})["status"] for d in decided} == {
        "fleets": "ok",
        "image_builders": "guarded",
    }


@pytest.mark.long
def test_what_does_not_fit_into_the_memory_of_a_commit_is_spilled_and_leaves_nothing(lake: Lake) -> None:
    """300 MB to be sorted in 112."""
    lake.commit(ok(A))
    scratch, draft = Path(lake.store.scratch), StagedSnapshot(lake.store, list_snapshot_tables(lake.contracts), "X")
    with CommitWorkspace(lake.store, lake.contracts, load_head(lake.store), draft, MEMORY) as made:
        made.con.execute("create table big as select hash(i) as h, md5(i::varchar) as m from range(6_000_000) t(i)")
        made.con.execute("create table sorted as from big order by m")
        kept = made.con.execute("select sum(memory_usage_bytes), sum(temporary_storage_bytes) from duckdb_memory()")
        held, spilled = kept.fetchall()[0]
        rows = made.con.execute("select count(*), count(distinct h) from sorted").fetchall()
        files = sum(file.stat().st_size for file in scratch.rglob("*"))

    assert rows == [(6_000_000, 6_000_000)]
    assert held <= 112 * 2**20 < files
    assert spilled > 0
    assert [*scratch.rglob("*")] == []
