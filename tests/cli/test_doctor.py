"""`doctor`: what would stop a run, with fixes that do fix it, and nothing left behind."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from appstream_export.cli.views import doctor
from appstream_export.contracts.iam import build_control_plane_policy, build_iam_policy
from appstream_export.emulator import Emulator
from appstream_export.errors import ConfigurationError
from appstream_export.preflight import Checkup, Finding, Verdict
from appstream_export.preflight.fixes import FixAdvisor
from appstream_export.preflight.warehouse_check import build_problem_finding
from appstream_export.resources import find_resource_folder
from appstream_export.settings import Settings
from tests.cli.organization import DEV, EU, LAB, LISTS, NAMES, PROD, US, found, of_accounts, of_organization
from tests.extract.wire import Wire, sts_refusal

pytestmark = pytest.mark.usefixtures("without_checks")

Told = Callable[..., tuple[int, str, str]]
READ = json.dumps(build_iam_policy(["appstream:DescribeImageBuilders"])["Statement"][0])


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """An organization; each test heals what it broke."""
    with Emulator() as running:
        found(running)
        yield running


@pytest.fixture(autouse=True)
def healthy(aws: Emulator) -> Iterator[None]:
    yield
    aws.heal()
    aws.enable_region(DEV, EU)
    aws.set_account_state(DEV, "ACTIVE")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    of_accounts(aws, tmp_path)
    return tmp_path


def findings(told: Told, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and whatever is not fine."""
    code, out, err = told("doctor", "--json", *words)
    assert err == ""
    return code, [f for f in json.loads(out) if f["verdict"] != "ok"]


def test_where_all_is_well_it_says_so_in_one_line_and_leaves_nothing(folder: Path, aws: Emulator, told: Told) -> None:
    aws.reset_calls()
    code, out, err = told("doctor")

    assert (code, err) == (0, "")
    assert out == "Passed: warehouse, space, discovery, regions, clock, role (4), 8 of 8 calls.\n"
    assert [path.name for path in folder.iterdir()] == ["appstream-export.toml"]
    assert sorted(c.operation for c in aws.calls) == ["AssumeRole"] * 4 + ["DescribeImageBuilders"] * 8


def test_it_asks_one_page_however_many_there_are(aws: Emulator, told: Told, folder: Path) -> None:
    file = folder / "appstream-export.toml"
    file.write_text(file.read_text().replace("workers = 4", "workers = 4\npage_size = 1"))
    aws.reset_calls()

    assert told("doctor", "--accounts", PROD, "--regions", EU)[0] == 0
    assert [(c.operation, c.account_id, c.region) for c in aws.calls] == [
        ("AssumeRole", PROD, US), ("DescribeImageBuilders", PROD, EU),
    ]  # fmt: skip


FAULTS = {
    "missing role": (
        f"{DEV}/*", "no_role", "AssumeRole", ("role", "denied", None, 2),
        'create the role (iam/reader-stackset.json of init) and add to its trust policy: {"Effect": "Allow", '
        f'"Principal": {{"AWS": "arn:aws:iam::{LISTS[:12]}:role/appstream-export"}}, "Action": "sts:AssumeRole"}}',
    ),
    "hub that may not assume": (
        f"{DEV}/*", "deny", "AssumeRole", ("role", "denied", None, 2),
        f"add to the policy of arn:aws:iam::{LISTS[:12]}:role/appstream-export: "
        '{"Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": "arn:aws:iam::*:role/ops/reader"}',
    ),
    "expired credentials": (f"{DEV}/*", "expired", "AssumeRole", ("credentials", "expired", None, 2), "aws sso login"),
    "denied call": (
        f"{DEV}/{EU}", "deny", "DescribeImageBuilders", ("call", "denied", EU, 1),
        f"add to the policy of role ops/reader: {READ}",
    ),
    "damaged answer": (f"{DEV}/{EU}", "html", "DescribeImageBuilders", ("call", "malformed", EU, 1), "by a proxy"),
    "throttled": (f"{DEV}/{EU}", "throttle", "DescribeImageBuilders", ("call", "throttled", EU, 1), "lower [extract]"),
    "other account's rows": (
        f"{DEV}/{EU}", "foreign_arn", "DescribeImageBuilders", ("call", "mismatched", EU, 1), "correct role_arn",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_what_would_fail_is_named_once_with_its_fix(case: str, aws: Emulator, told: Told) -> None:
    scope, kind, operation, expected, fix = FAULTS[case]
    aws.fail(scope, kind, operation=operation)

    code, (seen,) = findings(told)

    assert (code, seen["verdict"], seen["account_name"]) == (1, "problem", "dev")
    assert (seen["area"], seen["status"], seen["region"], seen["scopes"]) == expected
    assert fix in seen["fix"]


@pytest.mark.parametrize("kind", ["disabled", "deny_scp"])
def test_what_is_closed_by_design_is_no_problem_and_its_line_removes_it(
    kind: str, folder: Path, aws: Emulator, told: Told
) -> None:
    if kind == "disabled":
        aws.disable_region(DEV, EU)
    else:
        aws.fail(f"{DEV}/{EU}", kind)

    code, (seen,) = findings(told)
    _, out, _ = told("doctor")
    line = re.search(rf"\[\[accounts\]\] {DEV} (regions = .*\])", seen["fix"])
    assert line
    file = folder / "appstream-export.toml"
    file.write_text(file.read_text().replace(f'id = "{DEV}"', f'id = "{DEV}"\n{line[1]}'))

    assert (code, seen["verdict"], seen["region"]) == (0, "expected", EU)
    assert out.startswith("Expected, not counted as failures:\n")
    assert findings(told) == (0, [])


def test_a_region_that_is_closed_to_all_goes_from_the_list_of_all(folder: Path, aws: Emulator, told: Told) -> None:
    aws.fail(f"*/{EU}", "deny_scp")

    code, seen = findings(told)

    assert (code, {f["fix"].rpartition(": ")[2] for f in seen}) == (0, {f'regions = ["{US}"]'})
    file = folder / "appstream-export.toml"
    file.write_text(file.read_text().replace(f'regions = ["{EU}", "{US}"]', f'regions = ["{US}"]'))
    assert findings(told) == (0, [])


@pytest.mark.slow
def test_a_denial_by_design_of_a_scope_with_rows_is_a_problem(aws: Emulator, told: Told) -> None:
    told("run")
    aws.fail(f"{DEV}/{EU}", "deny_scp")
    of_run = told("run")[0]

    code, (seen,) = findings(told)

    assert (of_run, code, seen["verdict"]) == (3, 1, "problem")


def test_a_warehouse_that_takes_no_commit_is_found(folder: Path, told: Told) -> None:
    (folder / "warehouse").mkdir()
    (folder / "warehouse" / "commits").write_text("in the way")

    code, out, _ = told("doctor")

    assert code == 1
    assert f"8 scopes, warehouse: {folder}/warehouse: no commit can be made here: Not a directory\n" in out
    assert "Passed: discovery, regions, clock, role (4), 8 of 8 calls.\n" in out


def test_a_warehouse_that_could_not_be_made_is_found_and_not_made(folder: Path, told: Told) -> None:
    code, (seen,) = findings(told, "--warehouse", str(folder / "appstream-export.toml" / "w"))
    made, _ = findings(told, "--warehouse", str(folder / "not" / "yet"))

    assert (code, made, seen["area"]) == (1, 0, "warehouse")
    assert not (folder / "not").exists()


@pytest.mark.slow
def test_a_damaged_head_is_found(folder: Path, told: Told) -> None:
    told("run")
    (folder / "warehouse" / "commits" / "000000000001.json").write_text("{")

    code, (seen,) = findings(told)

    assert (code, seen["area"]) == (1, "warehouse")
    assert "000000000001.json is damaged" in seen["reason"]


def test_a_contract_that_a_run_would_refuse_is_found_and_one_that_lacks_a_field_is_a_warning(
    folder: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemas = folder / "schemas"
    schemas.mkdir()
    shipped = (find_resource_folder("schemas") / "image_builders.toml").read_text("utf-8")
    monkeypatch.setattr("appstream_export.contracts.contract_set.find_resource_folder", lambda _: schemas)
    lines = [line for line in shipped.splitlines() if not line.startswith("arn ")]
    (schemas / "image_builders.toml").write_text("\n".join(lines))
    code, (warning,) = findings(told)
    assert (code, warning["area"], warning["verdict"]) == (0, "contracts", "warning")
    assert "image_builders.toml: [image_builders]: botocore" in warning["reason"]

    (schemas / "image_builders.toml").write_text(shipped.replace("DescribeImageBuilders", "DescribeSessions"))
    code, (problem,) = findings(told)
    assert (code, problem["area"], problem["verdict"]) == (1, "contracts", "problem")
    assert 'operation = "DescribeSessions" needs StackName, FleetName' in problem["reason"]


def test_labels_that_cannot_be_read_do_not_hide_the_rest(folder: Path, aws: Emulator, told: Told) -> None:
    of_accounts(aws, folder, more='account_labels_file = "accounts.csv"\n')
    (folder / "accounts.csv").write_text("account\n1\n")
    aws.fail(f"{DEV}/{EU}", "deny")

    code, seen = findings(told)

    assert (code, [f["area"] for f in seen]) == (1, ["labels", "call"])
    assert "no column account_id" in seen[0]["reason"]


def test_prices_that_cannot_be_read_are_found_before_a_run_refuses_them(
    folder: Path, aws: Emulator, told: Told
) -> None:
    of_accounts(aws, folder, more='feeds.prices = "prices.csv"\n')

    code, seen = findings(told)

    assert (code, [f["area"] for f in seen]) == (1, ["prices"])
    assert told("plan")[0] == 2


def test_json_holds_every_scope_and_every_account(told: Told) -> None:
    _, out, _ = told("doctor", "--json")
    seen = json.loads(out)

    assert [f["account_id"] for f in seen if f["area"] == "role"] == list(NAMES)
    assert [(f["account_id"], f["region"]) for f in seen if f["area"] == "call"] == [
        (a, r) for a in NAMES for r in (EU, US)
    ]


def test_a_list_that_lost_most_accounts_comes_with_the_flag_that_accepts_it() -> None:
    reason = "the list lacks 5 of 6 known accounts (more than 50 percent); accept with --accept-drop"
    fix = FixAdvisor(Settings(), {}, {}, ()).suggest_discovery_fix(reason)

    assert fix == "check the organization; if the list is right, run once with --accept-drop"


@pytest.mark.slow
def test_an_organization_that_may_not_be_listed_comes_with_the_statement(
    folder: Path, aws: Emulator, told: Told
) -> None:
    of_organization(aws, folder)
    aws.fail(LISTS, "deny", operation="ListAccounts")

    first, (seen,) = findings(told)
    aws.heal()
    told("run")
    aws.fail(LISTS, "deny", operation="ListAccounts")
    later, (again,) = findings(told)

    assert (first, later) == (1, 1)
    assert seen["area"] == again["area"] == "discovery"
    assert json.dumps(build_control_plane_policy("x")["Statement"][1]) in seen["fix"]
    assert again["fix"] == seen["fix"]


def test_regions_that_nobody_publishes_are_worth_a_look_and_no_problem(folder: Path, aws: Emulator, told: Told) -> None:
    of_organization(aws, folder, "")
    aws.fail(LISTS, "deny", operation="GetParametersByPath")

    code, out, _ = told("doctor", "--json", "--regions", EU)
    (seen,) = (f for f in json.loads(out) if f["verdict"] != "ok")

    assert (code, seen["verdict"], seen["area"]) == (0, "warning", "regions")
    assert "ssm:GetParametersByPath" in seen["fix"]
    assert 'or list them: regions = ["' in seen["fix"]


def test_a_suspended_account_is_left_alone(folder: Path, aws: Emulator, told: Told) -> None:
    of_organization(aws, folder)
    aws.set_account_state(DEV, "SUSPENDED")
    aws.reset_calls()

    code, (seen,) = findings(told)

    assert (code, seen["verdict"], seen["status"]) == (0, "expected", "skipped")
    assert seen["fix"] == f'[organization] exclude_accounts = ["{DEV}"]'
    assert DEV not in {c.account_id for c in aws.calls}


def test_a_first_run_that_would_see_nothing_is_a_problem_though_all_is_closed_by_design(
    folder: Path, aws: Emulator, told: Told
) -> None:
    of_accounts(aws, folder)
    aws.fail("*", "deny_scp")

    code, seen = findings(told)

    assert (code, told("run")[0]) == (1, 4)
    assert [f["reason"] for f in seen if f["verdict"] == "problem"] == [
        "no scope answers, and there is no snapshot yet: a run would exit with code 4"
    ]


@pytest.mark.parametrize("compatible", ["false", "true"])
def test_a_clock_that_is_off_is_found_by_the_date_of_the_answers(compatible: str, folder: Path, told: Told) -> None:
    with Wire() as wire:
        _ask(wire, folder, f"use_documented_client_api = {compatible}")
        wire.date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
        code, (seen,) = findings(told)

    assert (code, seen["area"], seen["verdict"]) == (1, "clock", "problem")
    assert re.fullmatch(r"this machine's clock is (35|36)\d\d s behind AWS's", seen["reason"])


@pytest.mark.parametrize(
    ("said", "area", "fix"),
    [
        ("Signature expired: 20260101T000000Z", "clock", "clock"),
        ("The request signature we calculated does not match", "credentials", "secret key"),
    ],
)
def test_a_signature_that_is_too_old_points_at_the_clock_and_another_at_the_key(
    said: str, area: str, fix: str, folder: Path, told: Told
) -> None:
    with Wire() as wire:
        _ask(wire, folder)
        wire.always(f"sts/{PROD}", sts_refusal("SignatureDoesNotMatch", said))
        code, (seen,) = findings(told)

    assert (code, seen["area"]) == (1, area)
    assert fix in seen["fix"]


def test_a_trust_policy_for_an_external_id_does_not_show_it(folder: Path, aws: Emulator, told: Told) -> None:
    file = folder / "appstream-export.toml"
    file.write_text(file.read_text().replace(f'id = "{DEV}"', f'id = "{DEV}"\nexternal_id = "hush"'))
    aws.fail(f"{DEV}/*", "no_role", operation="AssumeRole")

    code, (seen,) = findings(told)

    assert (code, "hush" in str(seen)) == (1, False)
    assert '"Condition": {"StringEquals": {"sts:ExternalId": "YOUR_EXTERNAL_ID"}}' in seen["fix"]


def _ask(wire: Wire, folder: Path, more: str = "") -> None:
    file = folder / "appstream-export.toml"
    text = re.sub(r'endpoint_url = ".*"', f'endpoint_url = "{wire.url}"', file.read_text())
    text = text.partition(f'[[accounts]]\nid = "{DEV}"')[0].replace(LISTS[:12], LAB)
    file.write_text(text.replace("workers = 4", f"workers = 4\n{more}"))


def test_without_credentials_and_without_an_emulator_the_rest_is_looked_at(
    folder: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "appstream-export.toml"
    text = re.sub(r'endpoint_url = ".*"', 'endpoint_url = "http://127.0.0.1:9"', file.read_text())
    file.write_text(text)
    down, (nobody,) = findings(told)
    file.write_text(text.replace('endpoint_url = "http://127.0.0.1:9"', ""))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    poor, (elsewhere, keyless) = findings(told)

    assert (down, nobody["area"], poor, keyless["area"]) == (1, "settings", 1, "credentials")
    assert (elsewhere["area"], elsewhere["verdict"]) == ("endpoints", "warning")
    assert "emulate --dir" in nobody["fix"]
    assert "aws sso login" in keyless["fix"]


def test_a_word_that_the_settings_do_not_cover_is_a_mistake_of_usage(told: Told) -> None:
    assert told("doctor", "--accounts", "999999999999")[0] == 2


def test_however_much_is_wrong_it_takes_twenty_lines_the_worst_first() -> None:
    wrong = [
        Finding(area="call", verdict=verdict, reason=f"reason {'x' * n}", fix=f"fix {n}", scopes=n, account_id="1" * 12)
        for verdict in (Verdict.PROBLEM, Verdict.WARNING, Verdict.EXPECTED)
        for n in range(1, 31)
    ]
    said = list(doctor.render_doctor_lines(Checkup(findings=wrong, scopes=465)))

    assert len(said) <= doctor.LINES_MAX
    assert said[1].startswith("  30 scopes, call: ")
    assert "24 more: to fix; --json lists all" in said


def test_the_fix_of_an_error_is_shown_as_it_is() -> None:
    finding = build_problem_finding("settings", ConfigurationError("it is wrong; and late", fix="do this; then that"))

    assert (finding.reason, finding.fix) == ("it is wrong; and late", "do this; then that")


def test_the_same_reason_in_many_scopes_is_told_once() -> None:
    wrong = [
        Finding(
            area="call", verdict=Verdict.PROBLEM, scopes=1, account_id=account, region=region, fix="allow it",
            reason=f"User: arn:aws:sts::{account}:assumed-role/r/s is not authorized in {region}",
        )
        for account in NAMES for region in (EU, US)
    ]  # fmt: skip
    said = list(doctor.render_doctor_lines(Checkup(findings=wrong, scopes=8)))

    assert [line for line in said if "scopes, call" in line] == [said[1]]
    assert said[1].startswith(f"  8 scopes, call: such as {LISTS[:12]}/{EU}: User: ")
