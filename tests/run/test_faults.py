"""Whatever one scope does, no row is lost, none is falsely deleted, and its status says what happened."""

from dataclasses import dataclass
from typing import Any

import pytest

from appstream_export.emulator import FAULTS, Emulator
from appstream_export.errors import NothingExtracted
from appstream_export.extract.aws import request_template
from appstream_export.run import RunResult
from tests.catalogs import begin_with_template
from tests.export import ACCOUNTS, Export
from tests.extract.wire import Wire, page, refusal
from tests.factories import FAILURES, image_builder

pytestmark = pytest.mark.usefixtures("without_checks")

SICK, WELL = f"{ACCOUNTS[0]}/eu-west-1", f"{ACCOUNTS[1]}/us-east-1"
MILAN = "eu-south-1"  # accounts must opt in

ODD = {  # how a run says so: a count of the scope, or a kind of drift
    "duplicate_items": "duplicates",
    "unknown_field": "field",
    "unknown_enum": "enum",
    "wrong_types": "quarantined",
    "bad_timestamp": "quarantined",
    "no_name": "quarantined",
    "bad_element": "quarantined",
}


ACCOUNT_BY_FAULT = {fault: f"{n:012}" for n, fault in enumerate((*FAILURES, *ODD), start=1)}
NEW = "999988887777/eu-west-1"


@dataclass(frozen=True, slots=True)
class Runs:
    """A run while all is well, and one in which each account has a fault in its first region."""

    export: Export
    first: RunResult
    second: RunResult

    def sql(self, query: str, fault: str) -> list[Any]:
        """Rows of the scope that has the fault; the query ends with a table."""
        return self.export.sql(f"{query} where account_id = '{ACCOUNT_BY_FAULT[fault]}' and region = 'eu-west-1'")


@pytest.fixture(scope="module", params=["templates", pytest.param("clients", marks=pytest.mark.slow)])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """All faults at once: none of them may touch another scope."""
    folder = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch, Emulator() as aws:
        begin_with_template(patch)
        if request.param == "clients":
            patch.setattr(request_template, "PROTOCOLS", ())
        export = Export(aws, folder)
        export.accounts = (*ACCOUNT_BY_FAULT.values(), NEW.partition("/")[0])
        for account in ACCOUNT_BY_FAULT.values():
            put_builders(export, f"{account}/eu-west-1")
        first = export.run()
        for fault, account in ACCOUNT_BY_FAULT.items():
            aws.fail(f"{account}/eu-west-1", fault)
        aws.put(NEW, image_builder("new"))
        second = export.run()
    return Runs(export, first, second)


def put_builders(export: Export, scope: str) -> None:
    names = [f"b{n}" for n in range(3)]
    items = [image_builder(n, subnets=["subnet-1"], State="RUNNING", CreatedTime=1.7e9) for n in names]
    export.aws.put(scope, *items)


def populate(export: Export) -> None:
    for scope in (SICK, WELL):
        put_builders(export, scope)


def test_every_fault_of_the_emulator_is_tried_here() -> None:
    assert set(FAULTS) == {*FAILURES, *ODD, "slow"}


def test_a_fault_touches_no_other_scope(runs: Runs) -> None:
    failing = {f"{ACCOUNT_BY_FAULT[fault]}/eu-west-1" for fault in FAILURES}

    assert (runs.first.exit_code, runs.second.exit_code) == (0, 3)
    assert {status for scope, status in runs.export.statuses().items() if scope not in failing} == {"ok"}
    found = runs.export.sql("select name, change from image_builder_changes where change not in ('changed')")
    assert found == [("new", "created")]


@pytest.mark.parametrize(("fault", "status"), FAILURES.items())
def test_a_scope_that_fails_keeps_its_rows_and_says_why(runs: Runs, fault: str, status: str) -> None:
    assert runs.sql("select status from scope_runs", fault) == [status]
    since = "max(observed_at) < (select max(started_at) from snapshots)"
    assert runs.sql(f"select count(*), bool_and(is_stale), {since} from image_builders", fault) == [(3, True, True)]
    assert runs.sql("select count(*) from image_builder_subnets", fault) == [3]
    assert runs.sql("select count(*) from image_builder_changes", fault) == [0]


@pytest.mark.parametrize(("fault", "sign"), ODD.items())
def test_odd_items_land_or_stand_in_quarantine_and_delete_nothing(runs: Runs, fault: str, sign: str) -> None:
    assert runs.sql("select status from scope_runs", fault) == ["ok"]
    assert {"b0", "b1", "b2"} <= set(runs.sql("select name from image_builders", fault))
    drift, quarantined = runs.export.sql("select kind from drift"), runs.sql("select count(*) from quarantine", fault)
    [counts] = runs.sql("select duplicates > 0, quarantined > 0 from scope_runs", fault)
    assert counts == (sign == "duplicates", sign == "quarantined")
    assert (quarantined != [0]) == (sign == "quarantined")
    assert sign in (*drift, "duplicates", "quarantined")


@pytest.mark.slow
def test_a_slow_scope_only_takes_longer(export: Export) -> None:
    populate(export)
    export.aws.fail(SICK, "slow", times=1)

    assert export.run().exit_code == 0


def test_a_fault_that_passes_leaves_no_trace_but_a_retry(export: Export) -> None:
    populate(export)
    export.extract = {"max_attempts": 4}
    export.aws.fail(SICK, "truncated", times=1)
    export.aws.fail(WELL, "throttle", times=1)

    assert export.run().exit_code == 0
    assert export.sql("select sum(retries)::int, sum(throttles)::int from scope_runs") == [(2, 1)]


@pytest.mark.slow
def test_a_fault_that_heals_leaves_the_warehouse_as_aws_is(export: Export) -> None:
    populate(export)
    export.run()
    export.aws.fail("*", "error500")
    export.run()
    export.aws.heal()
    export.aws.remove(SICK, "b0")
    export.run()

    assert set(export.statuses().values()) == {"ok"}
    assert export.changes() == [("b0", "deleted", None)]
    assert export.sql("select count(*) from image_builders where is_stale") == [0]


@pytest.mark.slow
def test_an_expected_denial_costs_nothing_until_it_hides_rows(export: Export) -> None:
    export.aws.fail(SICK, "deny_scp")
    export.aws.put(WELL, image_builder("a"))

    assert export.run().exit_code == 0
    assert export.sql("select status, is_expected from scope_runs where is_expected") == [("denied", True)]
    export.aws.fail(WELL, "deny_scp")
    assert export.run().exit_code == 3
    assert export.sql("select is_expected, is_stale from scope_runs where status = 'denied' order by 1") == [
        (False, True),
        (True, True),
    ]


@pytest.mark.slow
def test_a_region_that_is_not_enabled_is_told_from_bad_keys(export: Export) -> None:
    account = SICK.partition("/")[0]
    export.regions = (MILAN, "us-east-1")
    export.aws.disable_region(account, MILAN)
    result = export.run()

    assert (result.exit_code, export.statuses()[f"{account}/{MILAN}"]) == (0, "disabled")
    export.aws.disable_region(account, "us-east-1")
    assert export.run().exit_code == 3
    assert {s for scope, s in export.statuses().items() if scope.startswith(account)} == {"denied"}


@pytest.mark.slow
def test_a_region_alone_proves_nothing_about_itself(export: Export) -> None:
    account = SICK.partition("/")[0]
    export.regions = (MILAN, "us-east-1")
    export.aws.disable_region(account, MILAN)
    export.run()
    result = export.run(accounts=(account,), regions=(MILAN,))

    assert (result.exit_code, export.statuses()[f"{account}/{MILAN}"]) == (3, "denied")


def test_a_scan_that_begins_anew_takes_nothing_of_the_first_along(export: Export) -> None:
    """In between AWS lost one builder; an unreadable one and a repeated one count once."""
    nameless = {"State": "RUNNING"}
    with Wire() as wire:
        export.more = {"aws": {"endpoint_url": wire.url}}
        first = page("gone", "a", nameless, token="1")
        wire.script(SICK, first, refusal("InvalidNextTokenException"), page("a", nameless, token="2"), page("b"))
        result = export.run()

    assert (result.exit_code, export.sql("select name from image_builders order by 1")) == (0, ["a", "b"])
    assert export.sql(
        "select pages, items, rows, duplicates, quarantined, api_calls from scope_runs where items > 0"
    ) == [(2, 3, 2, 0, 1, 4)]
    assert export.sql("select count(*) from quarantine") == [1]


def test_the_first_run_needs_at_least_one_answer(export: Export) -> None:
    export.aws.fail("*", "deny")

    with pytest.raises(NothingExtracted, match=r"no scope answered .* 4 of 4 scopes are denied"):
        export.run()
    assert list((export.folder / "warehouse").rglob("*.parquet")) == []


@pytest.mark.slow
def test_when_all_fails_the_rows_stay_and_the_reasons_are_committed(export: Export) -> None:
    populate(export)
    export.run()
    export.aws.fail("*", "deny")
    export.extract = {"max_failed_ratio": 1.0, "max_attempts": 1}

    assert export.run().exit_code == 3
    assert export.sql("select count(*), bool_and(is_stale) from image_builders") == [(6, True)]


def test_accepted_failures_leave_exit_code_0(export: Export) -> None:
    populate(export)
    export.extract = {"max_failed_ratio": 0.25, "max_attempts": 1}
    export.aws.fail(SICK, "deny")

    assert export.run().exit_code == 0
