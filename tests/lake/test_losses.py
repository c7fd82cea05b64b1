"""Files of the head that are gone or changed: what can be carried is, what cannot is named, and nothing is made up."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.snapshots.manifest import load_head, read_manifest
from appstream_export.lake.storage import paths
from tests.lake.lakes import A, C, Lake, at, bad, builder, failed, filtered, ok
from tests.slices import long_but

LOSSES: dict[str, Callable[[Path], object]] = {
    "gone": lambda file: file.unlink(),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "replaced": lambda file: file.write_bytes(file.read_bytes() + b"PAR1"),
}


def lose(lake: Lake, table: str, how: str = "gone", *, kind: str = "") -> None:
    """Lose the head's files of a table."""
    newest = load_head(lake.store)
    assert newest
    for entry in newest.tables[table].files:
        if entry.path.rpartition("/")[2].startswith(kind):
            file = lake.store.root / entry.path
            file.chmod(0o600)
            LOSSES[how](file)


@pytest.mark.parametrize("how", LOSSES)
def test_what_aws_answers_lands_without_a_change_and_the_rest_is_named(lake: Lake, how: str) -> None:
    lake.commit(ok(A, builder("a", state="STOPPED"), builder("gone")), ok(C, builder("c")))
    lose(lake, "image_builders", how)
    lake.commit(ok(A, builder("a", state="RUNNING"), builder("new")), failed(C))

    assert (lake.names(A), lake.names(C), lake.changes()) == (["a", "new"], [], [])
    named = lake.run(C)
    assert (named["status"], named["is_stale"], named["observed_at"], named["rows_lost_at"] is None) == (
        "denied", True, None, False,
    )  # fmt: skip
    assert "its previous rows are lost" in named["reason"]
    assert lake.run(A)["rows_lost_at"] is None
    assert not verify_warehouse(lake.store).is_sound


def test_a_scope_that_was_not_requested_fails_by_itself(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(C, builder("c")))
    lose(lake, "image_builders")
    lake.commit(ok(A, builder("a")))

    assert (lake.run(C)["status"], lake.run(C)["error_code"], lake.names(C)) == ("error", "RowsLost", [])


@pytest.mark.slow
def test_a_scope_is_compared_again_once_it_has_answered_completely(lake: Lake) -> None:
    lake.commit(ok(C, builder("c", state="STOPPED")))
    lose(lake, "image_builders")
    lake.commit(failed(C))
    lake.commit(filtered(C, builder("c", state="PENDING")))
    assert lake.changes() == []
    lake.commit(ok(C, builder("c", state="RUNNING")))
    assert (lake.changes(), lake.names(C), lake.run(C)["is_stale"]) == ([], ["c"], False)
    lake.commit(ok(C, builder("c", state="STOPPED"), builder("d")))
    assert [change[:2] for change in lake.changes()] == [("c", "changed"), ("d", "created")]


@pytest.mark.slow
def test_rows_in_other_files_are_carried_and_compared(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="STOPPED")), ok(C, builder("c")))
    lake.commit(ok(A, builder("a", state="STOPPED")), failed(C))
    lose(lake, "image_builders", kind="carried")
    lake.commit(ok(A, builder("a", state="RUNNING")), failed(C))
    assert [change[1:3] for change in lake.changes()] == [("changed", "state")]
    assert lake.names(C) == []

    lake.commit(ok(C, builder("c")), failed(A))
    lose(lake, "image_builders", kind="fresh")
    lake.commit(failed(A), failed(C))
    assert (lake.names(A), lake.names(C)) == (["a"], [])


def test_the_rows_of_a_child_table_are_lost_with_their_items_and_no_child_seems_new(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", subnets=["s"])), ok(C, builder("c", subnets=["t"])))
    lose(lake, "image_builder_subnets")
    lake.commit(ok(A, builder("a", subnets=["s"])), failed(C))

    assert (lake.names(A), lake.names(C), lake.changes()) == (["a"], [], [])
    assert lake.sql("select subnet_id from image_builder_subnets") == ["s"]


@pytest.mark.parametrize(
    "table",
    long_but(
        [
            "scope_runs",
            "accounts",
            "snapshots",
            "quarantine",
            "drift",
            "prices",
            "platform_support",
            "image_builder_changes",
        ],
        "scope_runs",
        "image_builder_changes",
    ),
)
def test_no_lost_file_blocks_a_run_or_its_catalog(lake: Lake, table: str) -> None:
    lake.commit(ok(A, builder("a", state="STOPPED")), ok(C, builder("c")))
    lake.commit(ok(A, builder("a", state="STOPPED")), failed(C))
    lose(lake, table)
    lake.commit(ok(A, builder("a", state="RUNNING")), failed(C))
    lake.publish()

    assert [change[1:3] for change in lake.changes()] == [("changed", "state")]
    assert (lake.names(C), lake.run(C)["status"]) == (["c"], "denied")
    assert lake.sql("select seq from snapshots order by seq") == [1, 2, 3]
    assert lake.sql("select count(distinct first_seen_at) from accounts") == [1]
    assert lake.sql("select change from image_builder_changes_history where name = 'c'") == ["first_seen"]


def test_a_span_whose_rows_are_lost_is_stale_and_one_that_an_answer_no_longer_shows_is_not_current(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="RUNNING")))
    lose(lake, "image_builders")
    lake.commit(failed(A))
    span = "select is_current, is_stale, ended_by, last_observed_at from image_builder_state_spans"
    assert lake.sql(span) == [(True, True, None, at(1))]
    lake.commit(ok(A))
    assert lake.sql(span) == [(False, False, "lost", at(1))]


def test_gc_leaves_what_a_person_may_restore(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    lose(lake, "image_builders", "cut")
    lost = read_manifest(lake.store, 1).tables["image_builders"].files[0].path
    lake.commit(ok(A, builder("a")))

    assert read_manifest(lake.store, 2).lost == [lost]
    assert paths.build_manifest_path(1) in {stored.path for stored in lake.store.list_all()}


def test_an_item_that_could_not_be_read_after_the_loss_is_not_created_by_the_answer_that_shows_it(lake: Lake) -> None:
    lake.commit(ok(A, builder("a"), builder("b")))
    lose(lake, "image_builders")
    lake.commit(ok(A, builder("a"), quarantine=[bad("b", None, level="item")]))
    assert (lake.names(A), lake.run(A)["is_stale"], lake.run(A)["rows_lost_at"] is None) == (["a"], True, False)

    lake.commit(ok(A, builder("a"), builder("b")))

    assert (lake.names(A), lake.changes(), lake.run(A)["rows_lost_at"]) == (["a", "b"], [], None)
