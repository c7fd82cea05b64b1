"""The files that `init` writes: complete, valid once filled in, and never written over."""

import ast
import csv
import json
import re
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest

from appstream_export import scaffold, settings
from appstream_export.contracts import iam as permissions
from appstream_export.emulator import Emulator
from appstream_export.errors import SettingsError
from appstream_export.inputs.account_labels import read_labels

Told = Callable[..., tuple[int, str, str]]


def test_it_writes_settings_and_policies_once(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = told("init", "--dir", "new")
    (tmp_path / "new" / "appstream-export.toml").write_text("mine")
    (tmp_path / "new" / "iam" / "reader-trust.json").unlink()
    second = told("init", "--dir", "new")

    assert first[0] == second[0] == 0
    assert re.findall(r"^wrote +(.*)$", first[1], re.M) == [
        "new/appstream-export.toml", "new/appstream-export.schema.json", "new/accounts.csv", "new/prices.csv",
        "new/iam/reader-policy.json", "new/iam/reader-trust.json", "new/iam/reader-stackset.json",
        "new/iam/hub-policy.json", "new/iam/hub-trust.json", "new/dagster/dagster.yaml",
    ]  # fmt: skip
    assert re.findall(r"^skipped +(.*): it already exists$", second[1], re.M) == [
        "new/appstream-export.toml", "new/appstream-export.schema.json", "new/accounts.csv", "new/prices.csv",
        "new/iam/reader-policy.json", "new/iam/reader-stackset.json", "new/iam/hub-policy.json",
        "new/iam/hub-trust.json",
        "new/dagster/dagster.yaml",
    ]  # fmt: skip
    assert (tmp_path / "new" / "appstream-export.toml").read_text() == "mine"
    written = [file for file in (tmp_path / "new").rglob("*") if file.is_file()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in written} == {0o600}


def test_a_folder_that_cannot_be_written_is_one_line(told: Told) -> None:
    code, out, err = told("init", "--dir", "/proc/nowhere")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "/proc/nowhere/appstream-export.toml: " in err


def test_the_settings_load_as_soon_as_one_account_is_filled_in(tmp_path: Path) -> None:
    file = tmp_path / "appstream-export.toml"
    file.write_text(scaffold.CONFIG)
    with pytest.raises(SettingsError, match=r"no account to read; add \[\[accounts\]\]"):
        settings.read_settings(file, {})
    file.write_text(
        scaffold.CONFIG.replace('# [[accounts]]\n# id = "111122223333"', '[[accounts]]\nid = "111122223333"')
    )

    assert [a.id for a in settings.read_settings(file, {}).accounts] == ["111122223333"]


def test_every_line_that_shows_a_key_is_accepted_with_its_comment_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "appstream-export.toml"
    in_a_folder = scaffold.CONFIG.partition("# [lake.s3]")[0]  # settings of a bucket are refused there
    file.write_text(re.sub(r"(?m)^# (?=(\w+ = |\[))", "", in_a_folder))
    loaded = settings.read_settings(file, {"EXTERNAL_ID": "x"})

    assert loaded.accounts[0].role_arn == "arn:aws:iam::111122223333:role/AppStreamExportReader"


def test_every_key_is_there_with_its_default_or_what_a_new_project_is_better_off_with() -> None:
    new = tomllib.loads(scaffold.CONFIG)
    shown = tomllib.loads(re.sub(r"(?m)^# (?=(\w+ = |\[))", "", scaffold.CONFIG))

    assert new["feeds"] == {"versions": ["v2"]}, "a new project has no dashboards that read feeds/v1"
    shown["feeds"]["versions"] = ["v1", "v2"]
    compare("", settings.Settings, shown)
    compare("accounts", settings.AccountSettings, shown["accounts"][0])
    compare("organization", settings.OrganizationSettings, shown["organization"])


def compare(section: str, kind: type[msgspec.Struct], shown: dict[str, Any]) -> None:
    """The section shows each key of its settings, with the default where there is one, and so do those below."""
    fields = {field.name: field.default for field in msgspec.structs.fields(kind)}
    assert set(shown) == set(fields), f"[{section}]"
    for key, default in fields.items():
        if isinstance(default, msgspec.Struct):
            compare(key, type(default), shown[key])
        elif section and default not in (None, (), msgspec.NODEFAULT):
            assert shown[key] == (list(default) if isinstance(default, tuple) else default), f"[{section}] {key}"


def test_the_policy_allows_what_the_contracts_ask_and_nothing_else() -> None:
    policy, trust = (json.loads(scaffold.render_scaffold_files()[name]) for name in (scaffold.POLICY, scaffold.TRUST))

    assert [s["Action"] for s in policy["Statement"]] == [["appstream:DescribeImageBuilders"]]
    assert [s["Action"] for s in trust["Statement"]] == ["sts:AssumeRole"]


def test_the_tables_to_fill_in_can_be_used_as_they_are(tmp_path: Path) -> None:
    for file in scaffold.write_scaffold_files(tmp_path):
        assert file[1]
    settings_of_one = '[[accounts]]\nid = "999988887777"\n'
    text = (tmp_path / scaffold.CONFIG_FILE).read_text().replace("# account_labels_file", "account_labels_file")
    (tmp_path / scaffold.CONFIG_FILE).write_text(text + settings_of_one)
    loaded = settings.read_settings(tmp_path / scaffold.CONFIG_FILE, {})

    assert list(read_labels(loaded.account_labels_file)) == ["111122223333"]
    with (tmp_path / scaffold.PRICES).open(newline="") as lines:
        prices = csv.DictReader(lines)
        assert prices.fieldnames == [
            "region", "instance_type", "platform", "usd_per_hour", "disk_usd_per_gb_month", "valid_from",
        ]  # fmt: skip
        assert list(prices) == []


@pytest.mark.slow
@pytest.mark.parametrize("partition", scaffold.PARTITIONS)
def test_templates_and_policies_pass_cloudformations_own_linter(partition: str) -> None:
    import cfnlint.api  # it takes seconds to load

    shipped = scaffold.render_scaffold_files(partition)
    filled_in = {name: re.sub(r"ACCOUNT_[A-Z_]+", "111122223333", text) for name, text in shipped.items()}
    policies = [json.loads(filled_in[name]) for name in (scaffold.POLICY, scaffold.HUB_POLICY)]
    trusts = [json.loads(filled_in[name]) for name in (scaffold.TRUST, scaffold.HUB_TRUST)]
    resources = {
        f"Of{n}": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": trust,
                "Policies": [{"PolicyName": "own", "PolicyDocument": policy}],
            },
        }
        for n, (trust, policy) in enumerate(zip(trusts, policies, strict=True))
    }
    others = json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources})
    regions = {"regions": [scaffold.PARTITIONS[partition]]}

    assert [str(match) for match in cfnlint.api.lint(shipped[scaffold.STACK_SET], config=regions)] == []
    assert [str(match) for match in cfnlint.api.lint(others, config=regions)] == []


@pytest.mark.parametrize("partition", scaffold.PARTITIONS)
def test_every_arn_is_of_the_partition(partition: str, tmp_path: Path, told: Told) -> None:
    assert told("init", "--dir", str(tmp_path), "--partition", partition)[0] == 0
    texts = {file.name: file.read_text() for file in tmp_path.rglob("*.*")}
    named = {(name, found) for name, text in texts.items() for found in re.findall(r"\barn:([\w-]+|\$\{\S+?\}):", text)}

    assert {found for _, found in named} == {partition, "${AWS::Partition}"}
    assert {name for name, found in named if found == partition} == {
        "appstream-export.toml", "reader-trust.json", "hub-policy.json", "hub-trust.json",
    }  # fmt: skip
    assert f'regions = ["{scaffold.PARTITIONS[partition]}"]' in texts["appstream-export.toml"]


@pytest.mark.slow
def test_the_stack_makes_a_role_with_the_shipped_policy_that_trusts_the_hub(aws: Emulator) -> None:
    hub_role = "arn:aws:iam::999988887777:role/appstream-export"
    by_external_id = {"StringEquals": {"sts:ExternalId": "secret-word"}}
    by_role = {"ArnEquals": {"aws:PrincipalArn": hub_role}}
    limits = [("", "", {}), ("secret-word", "", by_external_id), ("", hub_role, by_role)]
    limits.append(("secret-word", hub_role, by_external_id | by_role))
    for number, (external_id, role_arn, condition) in enumerate(limits):
        account_id = f"11112222333{number}"
        hub = {"HubAccountId": "999988887777", "HubRoleArn": role_arn, "ExternalId": external_id}
        role, policy = made_by_the_stack(aws, account_id, **hub)
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]

        assert role["Arn"] == f"arn:aws:iam::{account_id}:role/AppStreamExportReader"
        assert policy == json.loads(scaffold.render_scaffold_files()[scaffold.POLICY])
        assert (trust["Principal"], trust["Action"]) == ({"AWS": "arn:aws:iam::999988887777:root"}, "sts:AssumeRole")
        assert trust.get("Condition", {}) == condition


def made_by_the_stack(aws: Emulator, account_id: str, **parameters: str) -> tuple[Any, Any]:
    """The role that CloudFormation makes of the template, and its policy."""
    keys = aws.create_credentials(account_id) | {"region_name": "us-east-1", "endpoint_url": aws.endpoint_url}
    boto3.client("cloudformation", **keys).create_stack(
        StackName="reader",
        TemplateBody=scaffold.render_scaffold_files()[scaffold.STACK_SET],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    iam, name = boto3.client("iam", **keys), "AppStreamExportReader"
    policy = iam.get_role_policy(RoleName=name, PolicyName="appstream-export")["PolicyDocument"]
    return iam.get_role(RoleName=name)["Role"], ast.literal_eval(policy)  # moto keeps it in Python's words


def test_the_hub_may_assume_the_role_that_the_stack_set_makes_and_in_its_organization_alone() -> None:
    shipped = {
        name: json.loads(text) for name, text in scaffold.render_scaffold_files().items() if name.endswith(".json")
    }
    inside, outside, lists, parameters = shipped[scaffold.HUB_POLICY]["Statement"]
    role = f":role/{shipped[scaffold.STACK_SET]['Parameters']['RoleName']['Default']}"

    assert inside["Resource"] == f"arn:aws:iam::*{role}"
    assert inside["Condition"] == {"StringEquals": {"aws:ResourceOrgID": "${aws:PrincipalOrgID}"}}
    assert (outside["Action"], "Condition" in outside) == (["sts:AssumeRole"], False)
    assert outside["Resource"] == [f"arn:aws:iam::ACCOUNT_OUTSIDE_THE_ORGANIZATION{role}"]
    assert f'role_name = "{scaffold.ROLE_NAME}"' in scaffold.CONFIG
    assert sorted(lists["Action"] + parameters["Action"]) == sorted(permissions.DISCOVERY)
    assert parameters["Resource"] == "arn:aws:ssm:*::parameter/aws/service/global-infrastructure/*"


def test_a_service_assumes_the_hubs_role_for_the_hubs_account_alone_where_it_says_for_which() -> None:
    machines, containers = json.loads(scaffold.render_scaffold_files()[scaffold.HUB_TRUST])["Statement"]

    assert (machines["Principal"], "Condition" in machines) == ({"Service": "ec2.amazonaws.com"}, False)
    assert containers["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert containers["Condition"]["StringEquals"] == {"aws:SourceAccount": "ACCOUNT_THAT_RUNS_THE_EXPORT"}
