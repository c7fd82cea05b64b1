"""The change rows: exactly what complete answers prove, no more and no less."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from appstream_export.contracts import Column, Contract, load_contracts
from tests.lake.lakes import A, B, C, Lake, at, bad, builder, failed, filtered, ok
from tests.slices import long_but


def test_the_first_complete_answer_shows_each_item_once(lake: Lake) -> None:
    lake.commit(failed(A), ok(B))
    lake.commit(ok(A, builder("a", state="RUNNING", subnets=["s2", "s1"], created_time=at(0))))

    [(name, change, column, old, new)] = lake.changes()
    assert (name, change, column, old) == ("a", "first_seen", None, None)
    item = json.loads(new)
    assert (item["name"], item["state"], item["created_time"]) == ("a", "RUNNING", "2026-01-02T12:00:00Z")
    assert item["image_builder_subnets"] == [{"subnet_id": "s2"}, {"subnet_id": "s1"}]
    assert item["image_builder_errors"] == []
    assert not {"extra_json", "snapshot_id", "observed_at", "account_id"} & item.keys()


def test_an_unchanged_aws_gives_no_change_rows(lake: Lake) -> None:
    same = ok(A, builder("a", subnets=["s1"], errors=["E"], created_time=at(0)), builder("b"))
    lake.commit(same, ok(B))
    lake.commit(same, ok(B))

    assert lake.changes() == []


def test_a_created_a_deleted_and_a_changed_item_give_exactly_their_rows(lake: Lake) -> None:
    lake.commit(ok(A, builder("stays"), builder("goes", state="STOPPED"), builder("moves", state="STOPPED")))
    lake.commit(ok(A, builder("stays"), builder("comes"), builder("moves", state="RUNNING", platform="WINDOWS")))

    assert [(n, c, col, bool(old), bool(new)) for n, c, col, old, new in lake.changes()] == [
        ("comes", "created", None, False, True),
        ("goes", "deleted", None, True, False),
        ("moves", "changed", "platform", False, True),
        ("moves", "changed", "state", True, True),
    ]
    when = lake.sql("select distinct observed_at, previous_observed_at from image_builder_changes")
    assert when == [(at(2), at(1))]


@pytest.mark.parametrize("batch", long_but([1, 5, 100_000], 1))
def test_changes_are_the_same_in_batches_of_any_size(lake: Lake, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr("appstream_export.lake.snapshots.change_log.BATCH_ITEMS", batch)
    stays, moves = builder("stays", subnets=["s"]), builder("moves", subnets=["s"], state="STOPPED")
    between = A.replace("eu-west-1", "eu-west-2")  # in the account of A and B, and denied
    lake.commit(ok(A, stays, moves), ok(between, stays), ok(B, stays, moves))
    lake.commit(ok(A, stays, moves | {"state": "RUNNING"}), failed(between), ok(B, stays), ok(C, stays))

    found = lake.sql(
        "select account_id || '/' || region, name, change, column_name from image_builder_changes order by 1"
    )
    assert found == [
        (A, "moves", "changed", "state"),
        (B, "moves", "deleted", None),
        (C, "stays", "first_seen", None),
    ]


def test_a_gap_between_answers_shows_in_the_times(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="STOPPED")))
    lake.commit(failed(A))
    lake.commit(ok(A, builder("a", state="RUNNING"), builder("b")))

    when = lake.sql("select change, observed_at, previous_observed_at from image_builder_changes order by 1")
    assert when == [("changed", at(3), at(1)), ("created", at(3), at(1))]


def test_a_recreated_item_is_deleted_and_created(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="RUNNING", created_time=at(0))))
    lake.commit(ok(A, builder("a", state="STOPPED", created_time=at(1))))

    assert [c[:3] for c in lake.changes()] == [("a", "created", None), ("a", "deleted", None)]


def test_a_recreated_item_is_dated_by_the_pages_that_showed_the_old_and_the_new_one(lake: Lake) -> None:
    seen_at = [at(n) + timedelta(seconds=30) for n in range(2)]  # the answer's last page comes later
    for moment in seen_at:
        answer = ok(A, builder("a", created_time=moment))
        lake.commit(answer, draft=lake.draft(answer, moment=moment))

    when = lake.sql("select change, observed_at, previous_observed_at from image_builder_changes order by 1")
    assert when == [(change, seen_at[1], seen_at[0]) for change in ("created", "deleted")]


def test_a_birth_that_was_unknown_is_a_change_and_no_second_item(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    lake.commit(ok(A, builder("a", created_time=at(0))))

    assert lake.changes() == [("a", "changed", "created_time", None, "2026-01-02T12:00:00Z")]


def test_values_are_text_in_one_form(lake: Lake) -> None:
    first = builder("a", root_volume_size_gb=100, disable_imdsv1=False, state="it's")
    then = builder("a", root_volume_size_gb=200, disable_imdsv1=True, created_time=at(0) + timedelta(microseconds=7))
    lake.commit(ok(A, first))
    lake.commit(ok(A, then))

    assert [c[2:] for c in lake.changes()] == [
        ("created_time", None, "2026-01-02T12:00:00.000007Z"),
        ("disable_imdsv1", "false", "true"),
        ("root_volume_size_gb", "100", "200"),
        ("state", "it's", None),
    ]


def test_the_order_of_a_list_is_no_change_but_its_elements_are(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", subnets=["s1", "s2"]), builder("b", subnets=["s1"]), builder("c", subnets=["s1"])))
    lake.commit(ok(A, builder("a", subnets=["s2", "s1"]), builder("b", subnets=["s1", "s1"]), builder("c")))

    one, two = '[{"subnet_id":"s1"}]', '[{"subnet_id":"s1"},{"subnet_id":"s1"}]'
    assert lake.changes() == [
        ("b", "changed", "image_builder_subnets", one, two),
        ("c", "changed", "image_builder_subnets", one, "[]"),
    ]


def test_unmapped_fields_are_no_change(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    lake.commit(ok(A, builder("a", extra_json='{"New": 1}')))

    assert lake.changes() == []


def test_a_filtered_answer_never_deletes(lake: Lake) -> None:
    lake.commit(ok(A, builder("a"), builder("b", state="STOPPED")))
    lake.commit(filtered(A, builder("b", state="RUNNING"), builder("c")))

    assert [c[:3] for c in lake.changes()] == [("b", "changed", "state"), ("c", "created", None)]


def test_filtered_answers_before_the_first_complete_one_prove_nothing(lake: Lake) -> None:
    lake.commit(filtered(A, builder("a"), builder("b")))
    lake.commit(filtered(A, builder("a", state="RUNNING")))
    assert lake.changes() == []

    lake.commit(ok(A, builder("a")))
    assert [c[:2] for c in lake.changes()] == [("a", "first_seen")]


@pytest.mark.parametrize("broken_first", [True, False], ids=["broken then well", "well then broken"])
@pytest.mark.parametrize(
    "path",
    long_but(
        ["StateChangeReason.Code", "StateChangeReason", "VpcConfig.SubnetIds[1]", "VpcConfig", "VpcConfig.SubnetIds"],
        "StateChangeReason.Code",
        "VpcConfig.SubnetIds[1]",
    ),
)
def test_a_value_in_quarantine_proves_nothing(lake: Lake, path: str, broken_first: bool) -> None:
    well = ok(A, builder("a", state_change_reason_code="X", subnets=["s1", "s2"]), builder("b"))
    hurt = (
        builder("a", subnets=["s1", "s2"])
        if "State" in path
        else builder("a", state_change_reason_code="X", subnets=["s1"])
    )
    broken = ok(A, hurt, builder("b"), quarantine=[bad("a", path)])
    for answer in (broken, well) if broken_first else (well, broken):
        lake.commit(answer)

    assert lake.changes() == []


def test_a_value_in_quarantine_hides_its_own_column_only(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="STOPPED", platform="x"), builder("b", state="STOPPED")))
    lake.commit(
        ok(A, builder("a", platform="y"), builder("b", state="RUNNING"), quarantine=[bad("a", "State", level="value")])
    )

    assert [c[:3] for c in lake.changes()] == [("a", "changed", "platform"), ("b", "changed", "state")]


def _with(contract: Contract, column: Column) -> Contract:
    item, *children = contract.tables
    wider = replace(item, columns=(*item.columns[:-2], column, *item.columns[-2:]))
    return replace(contract, tables=(wider, *children))


@pytest.mark.slow
def test_a_column_that_came_later_proves_nothing_and_is_null_in_older_snapshots(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="STOPPED")))
    [contract] = load_contracts()
    lake.contracts = [_with(contract, Column("mood", "string", "New at AWS.", "Mood"))]
    lake.commit(ok(A, builder("a", state="RUNNING", mood="good")))
    lake.publish()

    assert [c[:3] for c in lake.changes()] == [("a", "changed", "state")]
    assert lake.sql("select mood from image_builders_history order by snapshot_at") == [None, "good"]


@pytest.mark.slow
def test_rows_carried_into_a_wider_table_have_nulls(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    [contract] = load_contracts()
    lake.contracts = [_with(contract, Column("mood", "string", "New at AWS.", "Mood"))]
    lake.commit(failed(A))
    lake.publish()

    assert lake.sql("select name, mood from image_builders") == [("a", None)]
