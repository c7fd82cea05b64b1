"""Who is asked where: the organization's accounts, and what becomes of a run that cannot list them."""

import json
from pathlib import Path
from typing import Any

import pytest

from appstream_export.emulator import Emulator, Fault
from appstream_export.errors import NothingExtracted, SettingsError
from tests.export import Export
from tests.factories import image_builder
from tests.slices import long_but

pytestmark = pytest.mark.usefixtures("without_checks")

HUB, PROD, DEV, LAB = "123456789012", "111122223333", "444455556666", "004455667788"
NAMES = {HUB: "management", PROD: "prod", DEV: "dev", LAB: "lab"}
UNITS = {PROD: "Workloads/Prod", DEV: "Workloads/Dev", LAB: "Sandbox"}
REGION = "eu-west-1"
LISTS, UNITS_OF = f"{HUB}/us-east-1", "ListOrganizationalUnitsForParent"


@pytest.fixture
def export(export: Export) -> Export:
    """An export of an organization of four accounts, each with one builder, in one region."""
    found(export, NAMES)
    return export


def found(export: Export, names: dict[str, str], **organization: Any) -> None:
    export.aws.create_organization(names, {a: p for a, p in UNITS.items() if a in names})
    for account_id, name in names.items():
        export.aws.put(f"{account_id}/{REGION}", image_builder(f"of-{name}"))
    use(export, **organization)


def use(export: Export, accounts: list[dict[str, Any]] | None = None, **organization: Any) -> None:
    export.regions = (REGION,)
    export.more = {"accounts": accounts or [], "organization": {"role_name": "reader"} | organization}


def asked(export: Export) -> list[str]:
    return [NAMES.get(scope.partition("/")[0], scope) for scope in export.calls()]


def discovery(export: Export) -> str:
    return export.sql("select discovery from snapshots order by seq desc limit 1")[0]


@pytest.mark.slow
def test_every_account_is_read_through_its_role_and_listed_with_name_state_and_unit(export: Export) -> None:
    result = export.run()

    assert (result.exit_code, result.discovery_problem, discovery(export)) == (0, None, "organization")
    assert export.sql("select account_id, account_name, ou_path, state, source from accounts order by 2") == [
        (DEV, "dev", "Root/Workloads/Dev", "ACTIVE", "organization"),
        (LAB, "lab", "Root/Sandbox", "ACTIVE", "organization"),
        (HUB, "management", "Root", "ACTIVE", "organization"),
        (PROD, "prod", "Root/Workloads/Prod", "ACTIVE", "organization"),
    ]
    assert len([c for c in export.aws.calls if c.operation == "AssumeRole"]) == 4
    assert export.sql("select account_name, name from image_builders order by 1")[-1] == ("prod", "of-prod")


@pytest.mark.slow
def test_a_listed_account_takes_the_place_of_its_entry_and_strangers_come_along(export: Export) -> None:
    stranger = "777788889999"
    export.aws.put(f"{stranger}/us-east-1", image_builder("of-stranger"))
    own_role = f"arn:aws:iam::{stranger}:role/own"
    use(export, [{"id": HUB}, {"id": stranger, "role_arn": own_role, "regions": ["us-east-1"]}])
    result = export.run()

    assert result.exit_code == 0
    found = export.sql("select account_id, account_name, state, source from accounts where source = 'settings'")
    assert sorted(found) == [(HUB, "management", "ACTIVE", "settings"), (stranger, None, None, "settings")]
    assert {c.account_id for c in export.aws.calls if c.operation == "AssumeRole"} == {PROD, DEV, LAB, stranger}
    assert f"{stranger}/us-east-1" in export.calls()


@pytest.mark.slow
def test_a_suspended_account_is_skipped_without_a_call_and_its_rows_stay_stale(export: Export) -> None:
    export.run()
    export.aws.set_account_state(DEV, "SUSPENDED")
    export.aws.set_account_state(LAB, "PENDING_CLOSURE")
    export.aws.reset_calls()
    result = export.run()

    assert (result.exit_code, result.failures, result.manifest.counts["tasks_skipped"]) == (0, [], 2)
    assert DEV not in {c.account_id for c in export.aws.calls}
    assert export.sql("select account_name, reason, is_stale from coverage where status = 'skipped' order by 1") == [
        ("dev", "account is SUSPENDED", True),
        ("lab", "account is PENDING_CLOSURE", True),
    ]
    assert export.sql("select count(*), sum(is_stale::int)::int from image_builders") == [(4, 2)]
    assert export.changes() == []
    export.aws.set_account_state(DEV, "ACTIVE")
    export.run()
    assert export.statuses()[f"{DEV}/{REGION}"] == "ok"


@pytest.mark.slow
def test_an_account_that_left_ends_with_its_rows(export: Export) -> None:
    export.run()
    export.aws.leave_organization(LAB)
    result = export.run()

    assert result.exit_code == 0
    assert export.changes() == [("of-lab", "ended", None)]
    assert export.sql("select count(*) from accounts where account_id = '" + LAB + "'") == [0]


@pytest.mark.slow
def test_a_discovery_that_fails_asks_the_last_known_accounts_and_counts_as_a_failure(export: Export) -> None:
    export.run()
    export.aws.set_account_state(DEV, "SUSPENDED")
    export.run()
    export.aws.fail(LISTS, Fault("deny", operation="ListAccounts"))
    export.aws.put(f"{PROD}/{REGION}", image_builder("new"))
    result = export.run()

    assert (result.exit_code, result.failures, discovery(export)) == (3, [], "last_known")
    assert "not authorized to perform: organizations:ListAccounts" in str(result.discovery_problem)
    assert "the run uses the 4 accounts of the newest snapshot" in str(result.discovery_problem)
    assert export.changes() == [("new", "created", None)]
    assert export.statuses()[f"{DEV}/{REGION}"] == "skipped"
    ou_paths = export.sql("select ou_path from accounts where account_id = '" + PROD + "'")
    assert ou_paths == ["Root/Workloads/Prod"]


@pytest.mark.slow
def test_accounts_that_were_listed_by_hand_survive_the_move_to_a_discovery_that_fails(export: Export) -> None:
    export.accounts, export.more = (PROD, DEV), {}
    export.run()
    use(export)
    export.aws.fail(LISTS, Fault("error500", operation="ListAccounts"))
    result = export.run()

    assert (result.exit_code, export.changes()) == (3, [])
    assert export.sql("select name from image_builders order by 1") == ["of-dev", "of-prod"]


def test_the_first_discovery_must_work(export: Export) -> None:
    export.aws.fail(LISTS, Fault("deny", operation="ListAccounts"))

    with pytest.raises(
        NothingExtracted, match=r"the organization's accounts are not known: ListAccounts: AccessDenied.*"
    ):
        export.run()
    assert export.calls() == []


def test_units_that_are_not_allowed_cost_their_column_only(export: Export) -> None:
    export.aws.fail(LISTS, Fault("deny", operation=UNITS_OF))
    result = export.run()

    assert (result.exit_code, export.sql("select distinct ou_path from accounts")) == (0, [None])


@pytest.mark.slow
def test_units_that_a_filter_needs_and_cannot_be_read_are_a_failed_discovery(export: Export) -> None:
    export.run()
    use(export, exclude_ous=["Sandbox"])
    export.aws.fail(LISTS, Fault("deny", operation=UNITS_OF))
    result = export.run()

    assert (result.exit_code, discovery(export), export.changes()) == (3, "last_known", [("of-lab", "ended", None)])


@pytest.mark.slow
def test_an_organization_of_which_nobody_is_left_to_read_is_refused_and_changes_nothing(export: Export) -> None:
    export.run()
    use(export, exclude_accounts=[*NAMES])

    with pytest.raises(SettingsError, match="no account is left to read; widen include") as refused:
        export.run()
    assert (refused.value.exit_code, export.sql("select count(*) from image_builders")) == (2, [4])
    assert export.sql("select count(*) from snapshots") == [1]


def many(count: int) -> dict[str, str]:
    return {HUB: "management"} | {f"{n:012}": f"a{n}" for n in range(1, count)}


@pytest.mark.slow
@pytest.mark.parametrize(("known", "leave", "is_believed"), long_but([(4, 3, True), (8, 4, True), (9, 5, False)], 8, 9))
def test_a_list_that_lost_too_many_accounts_is_not_believed(
    aws: Emulator, tmp_path: Path, known: int, leave: int, is_believed: bool
) -> None:
    export = Export(aws, tmp_path)
    found(export, many(known))
    export.run()
    export.aws.leave_organization(*(f"{n:012}" for n in range(1, leave + 1)))
    result = export.run()

    assert (result.exit_code == 0, len(asked(export))) == (is_believed, known)
    if not is_believed:
        lost = "lacks 5 of 9 known accounts, such as 000000000001 (more than 50 percent)"
        assert lost in str(result.discovery_problem)
        forced = export.run(accept_drop=True)
        assert (forced.exit_code, discovery(export)) == (0, "organization")
    assert export.sql("select count(*) from accounts") == [known - leave]


@pytest.mark.slow
def test_a_repeated_attempt_asks_the_accounts_that_a_failed_discovery_did_not_know(export: Export) -> None:
    use(export, exclude_accounts=[LAB])
    export.run()
    use(export)
    export.aws.fail(LISTS, Fault("deny", operation="ListAccounts"))
    first = export.run(run_id="night", attempt_id="night-1")
    again = export.run(run_id="night", attempt_id="night-1")
    export.aws.heal()
    export.aws.reset_calls()
    second = export.run(run_id="night", attempt_id="night-2")

    assert (first.exit_code, again.exit_code, again.committed) == (3, 3, False)
    assert (second.exit_code, asked(export)) == (0, ["lab"])


def test_the_admin_role_lists_the_organization(export: Export) -> None:
    use(export, admin_role_arn=f"arn:aws:iam::{HUB}:role/org/lister")
    result = export.run()

    assert result.exit_code == 0
    first = export.aws.calls[0]
    assert (first.operation, first.account_id) == ("AssumeRole", HUB)


def test_labels_follow_their_accounts_and_a_name_fills_a_gap(export: Export) -> None:
    file = export.folder / "accounts.csv"
    file.write_text(f"account_id,name,team,cost centre\n{PROD},other,Ünits,\n777788889999,stranger,x,y\n")
    export.more |= {"account_labels_file": "accounts.csv"}
    export.run()

    labels = export.sql("select account_name, labels_json from accounts where labels_json is not null")
    assert [(name, json.loads(text)) for name, text in labels] == [("prod", {"name": "other", "team": "Ünits"})]


@pytest.mark.slow
def test_auto_asks_where_aws_says_that_the_service_is(export: Export) -> None:
    export.more |= {"regions": "auto", "organization": {"role_name": "reader", "include_accounts": [PROD]}}
    result = export.run()

    regions = export.sql("select region from scope_runs order by 1")
    assert (result.exit_code, len(regions)) == (0, 21)
    assert {"eu-west-1", "us-east-1"} <= set(regions)
    assert not [r for r in regions if "gov" in r]
    assert export.sql("select regions_source from snapshots") == ["ssm"]


@pytest.mark.slow
@pytest.mark.parametrize("has_own_wildcard", long_but([False, True], False))
def test_auto_without_ssm_uses_botocores_list_and_gives_up_no_region_that_answered(
    export: Export, has_own_wildcard: bool
) -> None:
    new = "mx-central-1"
    export.accounts, export.regions, export.more = (PROD,), (new, REGION), {}
    export.aws.put(f"{PROD}/{new}", image_builder("of-a-new-region"))
    export.run()
    export.more = {"regions": "auto"}
    export.aws.fail(LISTS, Fault("deny", operation="GetParametersByPath"))
    if has_own_wildcard:
        export.more |= {
            "accounts": [{"id": PROD, "role_arn": f"arn:aws:iam::{PROD}:role/r", "regions": ["*-central-1", REGION]}]
        }
    result = export.run()

    assert result.exit_code == 0
    assert export.sql("select regions_source from snapshots order by seq") == ["settings", "botocore"]
    assert (export.statuses()[f"{PROD}/{new}"], export.changes()) == ("ok", [])


@pytest.mark.slow
def test_a_wildcard_gives_up_no_region_that_answered_because_botocore_does_not_know_it(export: Export) -> None:
    new = "mx-central-1"
    export.accounts, export.regions, export.more = (PROD,), (new, REGION), {}
    export.aws.put(f"{PROD}/{new}", image_builder("of-a-new-region"))
    export.run()
    export.regions = ("*-central-1", REGION)
    result = export.run()

    assert result.exit_code == 0
    assert (export.statuses()[f"{PROD}/{new}"], export.changes()) == ("ok", [])
