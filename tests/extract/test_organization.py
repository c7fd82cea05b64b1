"""What AWS Organizations says, believed only when it is whole, and which accounts the settings choose of it."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appstream_export.contracts import iam, load_contracts
from appstream_export.emulator import Emulator
from appstream_export.errors import ConfigurationError, Interrupted, NothingExtracted, SettingsError
from appstream_export.extract import Plan, PreviousSnapshot, plan_extraction
from appstream_export.extract.discovery import control_plane, organization
from appstream_export.settings import parse_settings
from tests.extract.wire import Reply, Seen, Wire, json_reply, refusal

HUB, PROD, DEV, LAB = "123456789012", "111122223333", "444455556666", "004455667788"
NAMES = {HUB: "management", PROD: "prod", DEV: "dev", LAB: "lab"}
ROOT, WORK, TEST = "r-abcd", "ou-abcd-11111111", "ou-abcd-22222222"
STRANGER = "000000000000/us-east-1"  # where the wire finds the keys that stand in before an emulator

Answers = dict[str, Any]


def planned(url: str | None, folder: Path, known: PreviousSnapshot | None = None, **more: Any) -> Plan:
    """A plan for one region; `more` are keys of [organization], or of the whole file."""
    stop = more.pop("stop", None)
    top = {key: more.pop(key) for key in ("accounts", "account_labels_file", "extract", "regions") if key in more}
    mapping = {
        "regions": ["eu-west-1"],
        "organization": {"role_name": "reader"} | more,
        "aws": {"endpoint_url": url} if url else {},
        "extract": {"max_attempts": 2},
    }
    return plan_extraction(
        parse_settings(mapping | top, folder / "appstream-export.toml"), load_contracts(), known, stop=stop
    )


def chosen(found: Plan) -> list[str | None]:
    return [account.name for account in found.accounts]


@pytest.fixture
def org(aws: Emulator) -> str:
    """An organization of four accounts in three units; its URL."""
    aws.create_organization(NAMES, {PROD: "Workloads/Prod", DEV: "Workloads/Dev", LAB: "Sandbox"})
    return aws.endpoint_url


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["lab", "prod", "management", "dev"]),
        ({"include_ous": ["Workloads"]}, ["prod", "dev"]),
        ({"include_ous": ["Root/Workloads/Prod/"]}, ["prod"]),
        ({"exclude_ous": ["Workloads"]}, ["lab", "management"]),
        ({"include_accounts": [LAB], "include_ous": ["Workloads/Dev"]}, ["lab", "dev"]),
        ({"include_ous": ["Workloads"], "exclude_accounts": [DEV]}, ["prod"]),
        ({"include_ous": ["Root"], "exclude_ous": ["Workloads/Dev", "Sandbox"]}, ["prod", "management"]),
    ],
)
def test_filters_choose_by_account_and_by_unit_descendants_included(
    org: str, tmp_path: Path, filters: Answers, names: list[str]
) -> None:
    assert chosen(planned(org, tmp_path, **filters)) == names


@pytest.mark.parametrize(
    ("filters", "complaint"),
    [
        ({"include_ous": ["Workload"]}, 'include_ous: the organization has no unit "Workload"; did you mean'),
        ({"exclude_ous": ["ou-abcd-12345678"]}, 'exclude_ous: the organization has no unit "ou-abcd-12345678"'),
        ({"include_accounts": ["111122223334"]}, f'no account 111122223334; did you mean "{PROD}"'),
        ({"exclude_accounts": ["999999999999"]}, "no account 999999999999; remove it"),
        ({"include_ous": ["Sandbox"], "exclude_accounts": [LAB]}, "no account is left to read"),
    ],
)
def test_a_filter_that_names_nothing_is_refused(org: str, tmp_path: Path, filters: Answers, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        planned(org, tmp_path, **filters)


@pytest.mark.parametrize("key", ["include_accounts", "exclude_accounts"])
def test_an_account_that_has_left_stops_no_later_run(
    org: str, tmp_path: Path, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    filters = {"include_accounts": [PROD], key: [*([PROD] if key == "include_accounts" else []), "999999999999"]}

    assert chosen(planned(org, tmp_path, PreviousSnapshot(), **filters)) == ["prod"]
    assert f"{key}: the organization has no account 999999999999; remove it" in caplog.text


def account(account_id: str, **fields: Any) -> Answers:
    return {"Id": account_id, "Name": NAMES.get(account_id, "some"), "State": "ACTIVE"} | fields


def units(parents: dict[str, list[str]]) -> dict[str, Callable[[Seen], Reply]]:
    """A tree of units whose names are the last two digits of their ids."""

    def children(seen: Seen) -> Reply:
        found = parents.get(seen.params["ParentId"], [])
        return json_reply({"OrganizationalUnits": [{"Id": unit, "Name": f"unit {unit[-2:]}"} for unit in found]})

    roots = json_reply({"Roots": [{"Id": ROOT, "Name": "Root"}]})
    return {"ListRoots": lambda _: roots, organization.LIST_UNITS.operation: children}


def answer(wire: Wire, answers: dict[str, Callable[[Seen], Reply]], *pages: Reply) -> None:
    """The organization's answers by operation; `pages` are those of ListAccounts, in order."""
    left = list(pages)
    accounts = {"ListAccounts": lambda _: left.pop(0)} if pages else {}
    known = units({}) | accounts | answers
    wire.always(STRANGER, lambda seen: known.get(seen.operation, lambda _: refusal("AccessDeniedException"))(seen))


def page(*accounts: Answers, token: str | None = None) -> Reply:
    return json_reply({"Accounts": list(accounts)} | ({"NextToken": token} if token else {}))


def test_all_pages_count_empty_ones_with_a_token_included(wire: Wire, tmp_path: Path) -> None:
    answer(wire, {}, page(token="1"), page(account(PROD), token="2"), page(token="3"), page(account(DEV)))

    assert chosen(planned(wire.url, tmp_path)) == ["prod", "dev"]
    assert [c.params.get("NextToken") for c in wire.asked("ListAccounts")] == [None, "1", "2", "3"]


def test_state_goes_before_status_and_anything_but_active_is_skipped(wire: Wire, tmp_path: Path) -> None:
    old = {"Id": LAB, "Name": "lab", "Status": "SUSPENDED"}
    answer(wire, {}, page(account(PROD, Status="SUSPENDED"), account(DEV, State="CLOSED", Status="ACTIVE"), old))
    found = planned(wire.url, tmp_path)

    assert {str(task.scope): reason for task, reason in found.skipped.items()} == {
        f"{DEV}/eu-west-1": "account is CLOSED",
        f"{LAB}/eu-west-1": "account is SUSPENDED",
    }
    assert len(found.tasks) == 3


def test_paths_say_the_unit_without_listing_the_accounts_of_each(wire: Wire, tmp_path: Path) -> None:
    inside = account(PROD, Paths=[f"o-abcdefghij/{ROOT}/{WORK}/{TEST}/{PROD}/"])
    answer(wire, units({ROOT: [WORK], WORK: [TEST]}), page(inside, account(DEV, Paths=[f"o-abcdefghij/{ROOT}/{DEV}/"])))
    found = planned(wire.url, tmp_path, include_ous=[WORK])

    assert [(a.name, a.ou_path) for a in found.accounts] == [("prod", "Root/unit 11/unit 22")]
    assert wire.asked("ListAccountsForParent") == []


@pytest.mark.parametrize(
    "damage",
    [
        json_reply({}),
        json_reply({"Accounts": None}),
        json_reply({"Accounts": [{"Name": "nobody"}]}),
        Reply(b'{"Accounts": [', length=900),
        Reply(b"<html>"),
        page(account(DEV), token="1"),
        refusal("TooManyRequestsException"),
    ],
)
@pytest.mark.parametrize("compatible", [False, True])
def test_a_list_that_breaks_off_is_no_list(wire: Wire, tmp_path: Path, damage: Reply, compatible: bool) -> None:
    answer(wire, {}, page(account(PROD), token="1"), *[damage] * 4)

    with pytest.raises(NothingExtracted, match="the organization's accounts are not known: ListAccounts: "):
        planned(wire.url, tmp_path, extract={"max_attempts": 2, "use_documented_client_api": compatible})


def test_a_page_that_fails_once_is_asked_again(wire: Wire, tmp_path: Path) -> None:
    answer(wire, {}, refusal("TooManyRequestsException"), page(account(PROD)))

    assert chosen(planned(wire.url, tmp_path)) == ["prod"]


def test_too_many_units_for_a_mere_column_leave_it_empty(
    wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(organization, "OPTIONAL_CALLS_MAX", 2)
    placed = account(PROD, Paths=[f"o-abcdefghij/{ROOT}/{WORK}/{PROD}/"])
    tree = units({ROOT: [WORK], WORK: [TEST]})
    answer(wire, tree, page(placed))
    assert [a.ou_path for a in planned(wire.url, tmp_path).accounts] == [None]

    answer(wire, tree, page(placed))
    assert [a.ou_path for a in planned(wire.url, tmp_path, include_ous=[WORK]).accounts] == ["Root/unit 11"]


def test_an_account_in_no_unit_is_not_filtered_by_guess(wire: Wire, tmp_path: Path) -> None:
    answer(wire, {"ListAccountsForParent": lambda _: page()}, page(account(PROD)))

    with pytest.raises(NothingExtracted, match=f"account {PROD} is in none of the listed units"):
        planned(wire.url, tmp_path, exclude_ous=[ROOT])


def test_an_empty_list_is_not_believed(wire: Wire, tmp_path: Path) -> None:
    answer(wire, {}, page())

    with pytest.raises(NothingExtracted, match="the list is empty; check that it is the right organization"):
        planned(wire.url, tmp_path)


def test_a_stop_waits_for_no_answer(wire: Wire, tmp_path: Path) -> None:
    answer(wire, {}, Reply(delay_s=60))
    stop, begun = threading.Event(), time.monotonic()
    threading.Timer(0.2, stop.set).start()

    with pytest.raises(Interrupted):
        planned(wire.url, tmp_path, stop=stop)
    assert time.monotonic() - begun < 30


@pytest.mark.slow
def test_organizations_is_asked_at_a_pace_of_its_own(
    wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ENDPOINT_URL", wire.url), ("ACCESS_KEY_ID", "AKIA-000"), ("SECRET_ACCESS_KEY", "hidden")):
        monkeypatch.setenv(f"AWS_{name}", value)
    pages = [page(token=str(n)) for n in range(6)]
    answer(wire, {}, *pages, page(account(PROD, Paths=[f"o-abcdefghij/{ROOT}/{PROD}/"])))
    begun = time.monotonic()
    found = planned(None, tmp_path)

    assert chosen(found) == ["prod"]
    assert len(wire.calls) == 9
    assert time.monotonic() - begun > 1.2  # four at once, then four a second


def test_an_admin_profile_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r'\[organization\] admin_profile: profile "hub" is not in the AWS config'
    ):
        planned(None, tmp_path, admin_profile="hub")


def test_without_credentials_nothing_is_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no AWS credentials"):
        planned(None, tmp_path)


def test_what_discovery_asks_is_what_the_policy_allows() -> None:
    listings = (
        control_plane.LIST_ACCOUNTS,
        control_plane.LIST_ROOTS,
        control_plane.LIST_UNITS,
        control_plane.LIST_UNIT_ACCOUNTS,
        control_plane.GET_PARAMETERS,
    )

    assert sorted(f"{each.service}:{each.operation}" for each in listings) == sorted(iam.DISCOVERY)


def test_labels_of_a_spreadsheet_lose_blanks_and_empty_cells(org: str, tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_bytes(f'\ufeffaccount_id, team ,note\r\n{PROD}, "a" ,\r\n'.encode())
    found = planned(org, tmp_path, account_labels_file="accounts.csv", include_accounts=[PROD])

    assert [dict(a.labels) for a in found.accounts] == [{"team": '"a"'}]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("account,team\n", r'accounts.csv line 1: no column account_id; did you mean "account"'),
        ("account_id,team\n4455667788,x\n", r'accounts.csv line 2: account_id "4455667788" is not 12 digits'),
        (f"account_id,team\n{PROD},x\n{DEV},y\n{PROD},z\n", rf"accounts.csv line 4: account {PROD} has a line already"),
        (f"account_id,team\n{PROD}\n", r"accounts.csv line 2: line 1 has 2 columns, this one 1"),
        ("account_id,team,team\n", r'line 1: the column "team" comes twice'),
        (None, r"account_labels_file .*accounts.csv: not readable as CSV: No such file"),
    ],
)
def test_a_file_of_labels_that_is_wrong_is_refused_with_its_line(
    tmp_path: Path, text: str | None, complaint: str
) -> None:
    if text is not None:
        (tmp_path / "accounts.csv").write_text(text)

    with pytest.raises(SettingsError, match=complaint):
        planned(None, tmp_path, account_labels_file="accounts.csv")


def test_a_gateways_error_that_is_no_object_is_a_failed_discovery_and_no_bug(tmp_path: Path) -> None:
    with Wire() as wire:
        wire.always(STRANGER, Reply(b"null", 503))

        with pytest.raises(NothingExtracted, match="accounts are not known: ListAccounts: botocore cannot read it"):
            planned(wire.url, tmp_path)
