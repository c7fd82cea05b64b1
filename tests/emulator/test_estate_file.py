"""`emulate --estate FILE`: what a file describes is served, and what is wrong in it is one line."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appstream_export.emulator import Emulator, read_estate
from appstream_export.errors import ConfigurationError
from tests.emulator.wire import ONE, OTHER, client

ESTATE = """
regions = ["eu-west-1", "us-east-1"]

[[accounts]]
id = "111122223333"
name = "cad"

[[accounts]]
id = "444455556666"
unit = "Workloads/Prod"

[[items]]
operation = "DescribeStacks"
account = "111122223333"
region = "eu-west-1"
values = [{ Name = "cad", CreatedTime = 2026-01-02T03:04:05Z }]

[[items]]
operation = "DescribeEntitlements"
account = "111122223333"
inputs = { StackName = "cad" }
count = 3

[[items]]
service = "lambda"
operation = "ListFunctions"
count = 2

[[tags]]
arn = "arn:aws:appstream:eu-west-1:111122223333:stack/cad"
tags = { "cost centre" = "4100" }

[[faults]]
kind = "deny"
operation = "DescribeFleets"
scope = "*/us-east-1"
"""


def write(folder: Path, text: str, name: str = "estate.toml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


@pytest.mark.slow
def test_the_emulator_holds_what_a_file_says(aws: Emulator, tmp_path: Path) -> None:
    read_estate(write(tmp_path, ESTATE)).populate_emulator(aws)
    boto, far = client(aws), client(aws, OTHER)
    entitlements = boto.describe_entitlements(StackName="cad")["Entitlements"]

    assert boto.describe_stacks()["Stacks"][0]["CreatedTime"].isoformat() == "2026-01-02T03:04:05+00:00"
    assert [one["StackName"] for one in entitlements] == ["cad"] * 3
    assert len({one["Name"] for one in entitlements}) == 3
    assert far.describe_stacks()["Stacks"] == []
    assert [len(client(aws, scope, service="lambda").list_functions()["Functions"]) for scope in (ONE, OTHER)] == [2, 2]
    tags = client(aws, service="resourcegroupstaggingapi").get_resources()["ResourceTagMappingList"]
    assert [tag for found in tags for tag in found["Tags"]] == [{"Key": "cost centre", "Value": "4100"}]
    with pytest.raises(far.exceptions.ClientError, match="AccessDenied"):
        far.describe_fleets()
    organizations = client(aws, ONE, service="organizations")
    assert {a["Name"] for a in organizations.list_accounts()["Accounts"]} == {"cad", "444455556666"}


def test_json_says_the_same_as_toml(tmp_path: Path) -> None:
    import tomllib

    raw = tomllib.loads(ESTATE)
    raw["items"][0]["values"][0]["CreatedTime"] = raw["items"][0]["values"][0]["CreatedTime"].timestamp()

    assert read_estate(write(tmp_path, json.dumps(raw), "estate.json")) == read_estate(write(tmp_path, ESTATE))


WRONG = [
    ('regions = ["eu-west-1"]', "accounts", 'lacks|missing required field "accounts"'),
    (ESTATE.replace('"444455556666"', '"4444"'), "$.accounts[1].id", "Expected"),
    (ESTATE.replace('"444455556666"', '"111122223333"'), "111122223333 occurs twice", "remove one"),
    (ESTATE.replace('"us-east-1"]', '"zz-west-1"]'), "regions[1]", "AWS has no region zz-west-1"),
    (ESTATE.replace("DescribeStacks", "DescribeStack"), "items[0]", 'did you mean "DescribeStacks"'),
    (ESTATE.replace('"lambda"', '"lambada"'), "items[2]", "service lambada is unknown to botocore"),
    (ESTATE.replace('account = "111122223333"', 'account = "999999999999"'), "items[0]", "none of accounts"),
    (ESTATE.replace("{ StackName", "{ StakName"), "items[1]", 'did you mean "StackName"'),
    (ESTATE.replace("{ Name =", "{ Nam ="), "items[0].values[0]", 'AWS has no field Nam; did you mean "Name"'),
    (ESTATE.replace("2026-01-02T03:04:05Z", '"2026"'), "items[0].values[0].CreatedTime", '"2026" is not a timestamp'),
    (ESTATE.replace("count = 3", "count = -3"), "$.items[1].count", ">= 0"),
    (ESTATE.replace("count = 3", "cuont = 3"), "$.items[1]", "cuont"),
    (ESTATE.replace('kind = "deny"', 'kind = "denied"'), "faults[0]", "denied"),
    (ESTATE.replace('"arn:aws', '"aws'), "$.tags[0].arn", "arn"),
    (ESTATE.replace("111122223333:stack", "777777777777:stack"), "tags[0]", "none of accounts"),
    ("regions = [", "not readable", "TOML"),
]


@pytest.mark.parametrize(("text", "place", "words"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_in_a_file_is_one_line_with_its_place(tmp_path: Path, text: str, place: str, words: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as refused:
        read_estate(file)
    line = str(refused.value)

    assert line.startswith(f"{file}: ")
    assert "\n" not in line
    assert place in line
    assert any(word in line for word in words.split("|")), line


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_estate(tmp_path / "estate.toml")


@pytest.mark.slow
def test_emulate_serves_a_file_until_it_is_stopped(tmp_path: Path) -> None:
    file = write(tmp_path, ESTATE)
    command = [sys.executable, "-m", "appstream_export.cli.main", "emulate", "--estate", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        head = served.stdout.readline()
        served.send_signal(signal.SIGINT)
    assert (head.partition(" at ")[0], served.returncode) == ("emulated AWS with 2 accounts in 2 regions", 0)
    both = subprocess.run([*command, "--dir", str(tmp_path)], capture_output=True, text=True, check=False)
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)
    assert "--estate and --dir" in both.stderr
