"""What each outcome does to rows and to scope_runs: the table of the design, row by row."""

import pytest

from appstream_export.status import Status
from tests.lake.lakes import A, B, C, Lake, at, bad, builder, failed, filtered, ok
from tests.slices import long_but

FAILURES = [s for s in Status if s.is_failure]


def test_a_complete_answer_replaces_rows_and_children(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", subnets=["s1", "s2"]), builder("b", subnets=["s3"])))
    lake.commit(ok(A, builder("b", subnets=["s4"]), builder("c")))

    assert lake.names() == ["b", "c"]
    assert lake.sql("select image_builder_name, position, subnet_id from image_builder_subnets") == [("b", 0, "s4")]
    run = lake.run()
    assert (run["status"], run["is_stale"], run["is_expected"], run["observed_at"]) == ("ok", False, False, at(2))


def test_an_empty_complete_answer_empties_the_scope(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", subnets=["s1"])), ok(B, builder("b")))
    lake.commit(ok(A), ok(B, builder("b")))

    assert (lake.names(A), lake.names(B)) == ([], ["b"])
    assert lake.sql("select count(*) from image_builder_subnets") == [0]


@pytest.mark.parametrize("status", long_but(FAILURES, Status.DENIED, Status.MALFORMED))
def test_a_failure_keeps_rows_with_their_age_and_flags_them_stale(lake: Lake, status: Status) -> None:
    lake.commit(ok(A, builder("a", subnets=["s1"])), ok(B, builder("b")))
    lake.commit(failed(A, status), ok(B, builder("b2")))

    kept = lake.sql("select name, is_stale, observed_at from image_builders order by 1")
    assert kept == [("a", True, at(1)), ("b2", False, at(2))]
    assert lake.sql("select is_stale, subnet_id from image_builder_subnets") == [(True, "s1")]
    run = lake.run(A)
    assert (run["status"], run["is_stale"], run["is_expected"]) == (status, True, False)
    assert (run["observed_at"], run["finished_at"]) == (at(1), at(2))
    assert not [change for change in lake.changes() if change[0] == "a"]


def test_a_skipped_scope_keeps_its_rows_stale_and_is_no_failure(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    manifest = lake.commit(failed(A, Status.SKIPPED, "account suspended"))

    assert (lake.names(), lake.run()["is_stale"]) == (["a"], True)
    assert (manifest.counts["tasks_skipped"], manifest.counts["tasks_failed"]) == (1, 0)


def test_a_filtered_answer_replaces_what_it_shows_and_leaves_the_rest(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", subnets=["s1"]), builder("b", subnets=["s2"])))
    lake.commit(filtered(A, builder("b", state="RUNNING"), builder("c")))

    assert lake.sql("select name, state, observed_at from image_builders order by 1") == [
        ("a", None, at(1)),
        ("b", "RUNNING", at(2)),
        ("c", None, at(2)),
    ]
    assert lake.sql("select subnet_id from image_builder_subnets") == ["s1"], "b has lost all its subnets"
    run = lake.run()
    assert (run["status"], run["is_stale"], run["observed_at"]) == ("filtered", False, at(1))


def test_a_filtered_answer_leaves_staleness_as_it_was(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    lake.commit(failed(A))
    lake.commit(filtered(A, builder("a")))

    assert lake.run()["is_stale"] is True


def test_a_first_answer_that_is_filtered_is_neither_stale_nor_complete(lake: Lake) -> None:
    lake.commit(filtered(A, builder("a")))

    run = lake.run()
    assert (run["is_stale"], run["observed_at"], lake.names(), lake.changes()) == (False, None, ["a"], [])


def test_what_was_not_asked_stays_to_the_letter(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), failed(B, Status.THROTTLED, "slow down"))
    before = lake.run(A), lake.run(B)
    lake.commit(ok(C, builder("c")), planned=[A, B, C])

    for run, old in zip((lake.run(A), lake.run(B)), before, strict=True):
        assert run | {"snapshot_id": ""} == old | {"snapshot_id": ""}
    assert lake.sql("select name, is_stale from image_builders order by 1") == [("a", False), ("c", False)]


def test_what_was_never_asked_has_a_row_that_says_so(lake: Lake) -> None:
    manifest = lake.commit(ok(A, builder("a")), planned=[A, B])

    run = lake.run(B)
    assert (run["status"], run["is_stale"], run["observed_at"], run["attempted_at"]) == ("skipped", True, None, None)
    assert run["reason"] == "not requested yet: this run was limited to other scopes"
    assert manifest.counts["tasks_asked"] == 1


def test_a_scope_that_is_no_longer_planned_ends(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", subnets=["s"])), ok(C, builder("c")))
    lake.commit(ok(A, builder("a", subnets=["s"])), planned=[A])

    assert lake.sql("select name from image_builders") == ["a"]
    assert lake.sql("select account_id, region from scope_runs") == [tuple(A.split("/"))]
    assert lake.sql("select account_id from accounts") == [A.partition("/")[0]]
    ended = lake.sql("select name, change, old_value is not null, previous_observed_at from image_builder_changes")
    assert ended == [("c", "ended", True, at(1))]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (Status.DISABLED, "not enabled"),
        (Status.UNAVAILABLE, "no endpoint"),
        (Status.DENIED, "... with an explicit deny in a service control policy"),
        (Status.DENIED, "... because no service control policy allows the appstream:DescribeImageBuilders action"),
    ],
)
def test_a_failure_by_design_is_expected_only_while_there_are_no_rows(lake: Lake, status: Status, reason: str) -> None:
    lake.commit(ok(A, builder("a")), ok(B))
    called = {"api_calls": 1}
    manifest = lake.commit(failed(A, status, reason, counts=called), failed(B, status, reason, counts=called))

    assert (lake.run(A)["is_expected"], lake.run(B)["is_expected"]) == (False, True)
    assert (manifest.counts["tasks_failed"], manifest.counts["tasks_expected"]) == (1, 1)


@pytest.mark.parametrize(
    "reason", ["no permission", "... because no service control policy allows the sts:AssumeRole action"]
)
def test_a_plain_denial_and_one_of_the_session_are_never_expected(lake: Lake, reason: str) -> None:
    lake.commit(failed(A, Status.DENIED, reason, counts={"api_calls": 1}), ok(B))

    assert lake.run(A)["is_expected"] is False


def test_an_answer_with_an_unreadable_item_keeps_items_that_it_does_not_show(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", subnets=["s1"]), builder("b")))
    lake.commit(ok(A, builder("b", state="RUNNING"), quarantine=[bad(None, None, level="item")]))

    assert lake.sql("select name, observed_at from image_builders order by 1") == [("a", at(1)), ("b", at(2))]
    assert lake.sql("select subnet_id from image_builder_subnets") == ["s1"]
    assert [c[:3] for c in lake.changes()] == [("b", "changed", "state")]
    assert (lake.run()["observed_at"], lake.run()["is_stale"]) == (at(2), False)


@pytest.mark.slow
def test_quarantine_follows_its_rows(lake: Lake) -> None:
    broken = [bad("a", "CreatedTime"), bad("b", "CreatedTime"), bad(None, "Name")]
    lake.commit(ok(A, builder("a"), builder("b"), quarantine=broken), ok(B, builder("c"), quarantine=[bad("c", "Arn")]))
    lake.commit(failed(A), ok(B, builder("c")))
    assert lake.sql("select item_name from quarantine order by 1") == ["a", "b", None]

    lake.commit(filtered(A, builder("b")))
    assert lake.sql("select item_name from quarantine order by 1") == ["a", None]

    lake.commit(ok(A, builder("a"), builder("b")))
    assert lake.sql("select item_name from quarantine") == []


def test_accounts_remember_when_they_were_first_seen(lake: Lake) -> None:
    lake.commit(ok(A), ok(C))
    lake.commit(ok(A), ok(C))

    seen = lake.sql("select distinct first_seen_at < last_seen_at, account_name from accounts order by 2")
    assert seen == [(True, "team 1"), (True, "team 4")]


@pytest.mark.slow
def test_the_first_clean_run_after_faults_equals_the_truth(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(B, builder("b")))
    for status in (Status.DENIED, Status.MALFORMED, Status.TIMEOUT):
        lake.commit(failed(A, status), ok(B, builder("b")))
    lake.commit(ok(A, builder("a2")), ok(B, builder("b")))

    assert (lake.names(A), lake.names(B), lake.run(A)["is_stale"]) == (["a2"], ["b"], False)


def test_a_session_that_a_policy_refused_says_nothing_about_its_scopes(lake: Lake) -> None:
    lake.commit(ok(B))
    reason = "AssumeRole: AccessDenied: ... with an explicit deny in a service control policy"
    lake.commit(failed(A, Status.DENIED, reason), ok(B))

    assert lake.run(A)["is_expected"] is False
