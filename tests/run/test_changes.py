"""What changed is concluded from complete answers alone, and only what changed is said."""

from pathlib import Path

import pytest

from tests.export import ACCOUNTS, Export
from tests.factories import image_builder

pytestmark = pytest.mark.usefixtures("without_checks")

SCOPE, OTHER = f"{ACCOUNTS[0]}/eu-west-1", f"{ACCOUNTS[1]}/eu-west-1"


@pytest.mark.slow
def test_the_same_run_twice_gives_no_change_rows(export: Export) -> None:
    export.aws.put(SCOPE, image_builder("a", subnets=["subnet-1"], CreatedTime=1_700_000_000.123456))
    export.run()
    assert export.changes() == [("a", "first_seen", None)]
    export.run()
    assert export.changes() == []


@pytest.mark.slow
def test_each_change_gives_exactly_its_rows(export: Export) -> None:
    export.aws.put(
        SCOPE,
        image_builder("same", State="RUNNING", CreatedTime=1.7e9),
        image_builder("moved", State="RUNNING", subnets=["subnet-1", "subnet-2"], CreatedTime=1.7e9),
        image_builder("gone", CreatedTime=1.7e9),
        image_builder("again", State="RUNNING", CreatedTime=1.7e9),
    )
    export.run()
    export.aws.put(
        SCOPE,
        image_builder("moved", State="STOPPED", subnets=["subnet-3", "subnet-1"], CreatedTime=1.7e9),
        image_builder("again", State="RUNNING", CreatedTime=1.8e9),
        image_builder("new", CreatedTime=1.8e9),
    )
    export.aws.remove(SCOPE, "gone")
    export.run()

    assert export.changes() == [
        ("again", "created", None),
        ("again", "deleted", None),
        ("gone", "deleted", None),
        ("moved", "changed", "image_builder_subnets"),
        ("moved", "changed", "state"),
        ("new", "created", None),
    ]
    assert export.sql("select old_value, new_value from image_builder_changes where column_name = 'state'") == [
        ("RUNNING", "STOPPED")
    ]


@pytest.mark.slow
def test_the_order_of_a_list_is_no_change(export: Export) -> None:
    export.aws.put(SCOPE, image_builder("a", subnets=["subnet-1", "subnet-2"]))
    export.run()
    export.aws.put(SCOPE, image_builder("a", subnets=["subnet-2", "subnet-1"]))
    export.run()

    assert export.changes() == []


@pytest.mark.slow
def test_a_denied_scope_gives_no_change_and_its_return_only_the_true_ones(export: Export) -> None:
    export.aws.put(SCOPE, image_builder("a", State="RUNNING"), image_builder("b", State="RUNNING"))
    export.run()
    export.aws.fail(SCOPE, "deny")
    export.aws.put(SCOPE, image_builder("a", State="STOPPED"))
    export.aws.remove(SCOPE, "b")
    export.run()
    assert export.changes() == []
    export.aws.heal()
    export.run()
    assert export.changes() == [("a", "changed", "state"), ("b", "deleted", None)]


@pytest.mark.slow
def test_retry_failed_asks_only_what_failed_and_loses_nothing(export: Export) -> None:
    export.aws.put(SCOPE, image_builder("a"))
    export.aws.put(OTHER, image_builder("b"))
    export.run()
    export.aws.fail(SCOPE, "deny")
    export.run()
    export.aws.heal()
    before = export.sql("select * from scope_runs where account_id || '/' || region <> '" + SCOPE + "' order by all")
    export.aws.reset_calls()
    result = export.run(retry_failed=True)

    assert (result.exit_code, export.calls()) == (0, [SCOPE])
    assert export.sql("select name, is_stale from image_builders order by name") == [("a", False), ("b", False)]
    after = export.sql("select * from scope_runs where account_id || '/' || region <> '" + SCOPE + "' order by all")
    assert [r[1:] for r in after] == [r[1:] for r in before]  # verbatim, but for the snapshot's id


def test_with_nothing_left_to_retry_nothing_is_asked_or_committed(export: Export) -> None:
    export.run()
    export.aws.reset_calls()
    result = export.run(retry_failed=True)

    assert (result.committed, result.exit_code, export.aws.calls) == (False, 0, [])


@pytest.mark.slow
def test_asking_some_accounts_leaves_the_others_as_they_were(export: Export) -> None:
    export.aws.put(SCOPE, image_builder("a"))
    export.aws.put(OTHER, image_builder("b"))
    export.run()
    export.aws.remove(SCOPE, "a")
    export.aws.remove(OTHER, "b")
    export.run(accounts=(ACCOUNTS[0],))

    assert export.sql("select name from image_builders") == ["b"]
    assert export.changes() == [("a", "deleted", None)]


@pytest.mark.slow
def test_a_scope_taken_out_of_the_settings_ends(export: Export) -> None:
    export.aws.put(SCOPE, image_builder("a"))
    export.aws.put(OTHER, image_builder("b"))
    export.run()
    export.accounts = ACCOUNTS[1:]
    export.run()

    assert export.changes() == [("a", "ended", None)]
    assert export.sql("select name from image_builders") == ["b"]
    assert {scope.split("/")[0] for scope in export.statuses()} == {ACCOUNTS[1]}


@pytest.mark.slow
def test_names_see_a_part_and_leave_the_rest(export: Export) -> None:
    export.aws.put(SCOPE, image_builder("a", State="RUNNING"), image_builder("b", State="RUNNING"))
    export.run()
    export.aws.put(SCOPE, image_builder("a", State="STOPPED"))
    export.aws.remove(SCOPE, "b")
    result = export.run(names=("a",))

    assert result.exit_code == 0
    assert set(export.statuses().values()) == {"filtered"}
    assert export.sql("select name, state from image_builders order by 1") == [("a", "STOPPED"), ("b", "RUNNING")]
    assert export.changes() == [("a", "changed", "state")]


def test_the_same_attempt_commits_once(export: Export) -> None:
    first = export.run(run_id="r", attempt_id="r.0")
    again = export.run(run_id="r", attempt_id="r.0")

    assert (first.committed, again.committed) == (True, False)
    assert again.manifest.seq == first.manifest.seq


@pytest.mark.slow
def test_a_later_attempt_of_a_run_asks_only_what_failed(export: Export) -> None:
    export.aws.put(SCOPE, image_builder("a"))
    export.aws.fail(OTHER, "deny")
    assert export.run(run_id="r", attempt_id="r.0").exit_code == 3
    export.aws.heal()
    export.aws.reset_calls()
    assert export.run(run_id="r", attempt_id="r.1").exit_code == 0
    assert export.calls() == [OTHER]


@pytest.mark.slow
def test_items_in_quarantine_conclude_no_deletion(export: Export) -> None:
    export.aws.put(SCOPE, image_builder("a"), image_builder("b"))
    export.run()
    export.aws.remove(SCOPE, "b")
    export.aws.put(SCOPE, image_builder("a"), {"Name": "", "State": "RUNNING"})
    export.run()

    assert export.changes() == []
    assert export.sql("select name from image_builders order by 1") == ["a", "b"]
    assert export.sql("select level, raw_json from quarantine") == [("item", '{"Name":"","State":"RUNNING"}')]


@pytest.mark.parametrize("attempt", ["r.0", "r.1"], ids=["the same attempt", "the next one"])
def test_what_was_committed_and_not_published_is_published_by_an_attempt_that_has_nothing_left_to_ask(
    attempt: str, export: Export
) -> None:
    export.aws.put(SCOPE, image_builder("a"))
    first = export.run(run_id="r", attempt_id="r.0", publish=False)
    unpublished = Path(export.warehouse, "warehouse.duckdb").exists()
    export.aws.reset_calls()
    again = export.run(run_id="r", attempt_id=attempt)

    assert (first.committed, unpublished, again.committed) == (True, False, False)
    assert export.calls() == []
    assert export.sql("select name from image_builders") == ["a"]
    assert Path(export.warehouse, "warehouse.duckdb").exists()
