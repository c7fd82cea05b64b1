"""How an operation is called: constant inputs, pages and IAM actions, against the grammar and botocore's model."""

from pathlib import Path

import botocore
import pytest

from appstream_export.contracts import Contract, check_session_policy, fill_inputs, list_member_actions
from appstream_export.contracts.botocore_model import lint_contract
from appstream_export.contracts.iam import SESSION_POLICY_MAX, list_member_operations
from appstream_export.errors import ConfigurationError, ContractError
from tests.contracts.contract_files import GOOD, loaded

MODEL = f"botocore {botocore.__version__}"
IMAGES = """doc = "Images."
service = "appstream"
operation = "{operation}"
items = "Images"
item_name = "image"
{rules}
[images]
doc = "One row per image."
key = ["name"]
name = {{ from = "Name", type = "string", doc = "Name." }}
"""
GRAMMAR = {
    "with is no table": ("with = 3", 'with is not a table of inputs; write with = { Type = "PRIVATE" }'),
    "an unknown placeholder": (
        'with = { Type = "{nme}" }',
        "with: {nme} has no value; only {month}, the month of the run, is known without per",
    ),
    "a placeholder in a list": (
        'with = { Arns = ["{nme}"] }',
        "with: {nme} has no value; only {month}, the month of the run, is known without per",
    ),
    "pages is no table": (
        'pages = "NextToken"',
        'pages is not a table; write pages = { token = "NextToken", size = "MaxResults" }',
    ),
    "pages misspelt": ('pages = { tokn = "T" }', 'pages: unknown key "tokn"; did you mean "token"?'),
    "pages without a token": (
        'pages = { size = "MaxResults" }',
        'pages: token is missing; write pages = { token = "NextToken", size = "MaxResults" }',
    ),
    "action is no action": ('action = "tag"', 'action = "tag" is not an IAM action such as "tag:GetResources"'),
    "action writes": (
        'action = "tag:TagResources"',
        'action = "tag:TagResources" is no read; name ListThings, or a Describe or List action',
    ),
}


@pytest.mark.parametrize(("rules", "message"), GRAMMAR.values(), ids=GRAMMAR)
def test_a_wrong_key_is_refused_in_one_line(tmp_path: Path, rules: str, message: str) -> None:
    with pytest.raises(ContractError) as refused:
        loaded(tmp_path, f"{rules}\n{GOOD}")

    assert str(refused.value) == f"things.toml: {message}"


def images(folder: Path, rules: str, operation: str = "DescribeImages") -> Contract:
    """The contract of images with these rules."""
    return loaded(folder, IMAGES.format(operation=operation, rules=rules), "images")


def rule_findings(folder: Path, rules: str, operation: str = "DescribeImages") -> list[str]:
    """What lint says about the rules, without the fields that no column reads."""
    found = (line.removeprefix("images.toml: ") for line in lint_contract(images(folder, rules, operation)))
    return [line for line in found if not line.startswith(("[images]", "a new table"))]


LINTS = {
    "inputs that AWS knows": ('with = { Type = "PRIVATE", Names = ["a"] }', []),
    "an enum's value of the run": ('with = { Type = "{month}" }', []),
    "an unknown input": ('with = { Typ = "PRIVATE" }', ['with: there is no input "Typ"; did you mean "Type"?']),
    "an unknown value": (
        'with = { Type = "PRIVAT" }',
        ['with: Type = "PRIVAT" is unknown to AWS; did you mean "PRIVATE"?'],
    ),
    "a number for a text": ("with = { Type = 3 }", ["with: Type is not a string"]),
    "a truth for a number": ("with = { MaxResults = true }", ["with: MaxResults is not a integer"]),
    "a text in a list": ("with = { Names = [3] }", ["with: Names[] is not a string"]),
    "the page token": (
        'with = { NextToken = "a" }',
        ["with: NextToken is the page token, which the export sets"],
    ),
    "pages that botocore knows": (
        'pages = { token = "NextToken" }',
        [
            f'operation = "DescribeImages" is paged by {MODEL}: remove pages: the export could not recognize its '
            "last page"
        ],
    ),
}


@pytest.mark.parametrize(("rules", "found"), LINTS.values(), ids=LINTS)
def test_inputs_are_compared_with_botocores_shapes(tmp_path: Path, rules: str, found: list[str]) -> None:
    assert rule_findings(tmp_path, rules) == found


def test_pages_name_members_of_request_and_answer(tmp_path: Path) -> None:
    text = IMAGES.replace('"Images"', '"Applications"', 1).replace('items = "Images"', 'items = "Applications"')

    def found(rules: str) -> list[str]:
        made = text.format(operation="DescribeApplications", rules=rules)
        return [line for line in lint_contract(loaded(tmp_path, made, "images")) if "pages" in line]

    assert found('pages = { token = "NextToken", size = "MaxResults" }') == []
    assert "takes no text Arns, which pages names" in found('pages = { token = "Arns" }')[0]
    assert "takes no PageSize, which pages names" in found('pages = { token = "NextToken", size = "PageSize" }')[0]


def test_placeholders_are_filled_at_any_depth() -> None:
    inputs = {"Month": "{month}", "Range": {"From": "{month}-01"}, "Arns": ["a/{month}", 3], "All": True}

    assert fill_inputs(inputs, {"month": "2026-11"}) == {
        "Month": "2026-11",
        "Range": {"From": "2026-11-01"},
        "Arns": ["a/2026-11", 3],
        "All": True,
    }


def test_an_action_is_in_policies_and_the_operation_in_calls(tmp_path: Path) -> None:
    text = GOOD.replace('"things"', '"resourcegroupstaggingapi"', 1).replace("ListThings", "GetResources")
    tags = loaded(tmp_path, f'action = "tag:GetResources"\n{text}')

    assert list_member_actions([tags]) == ["tag:GetResources"]
    assert list_member_operations([tags]) == ["resourcegroupstaggingapi:GetResources"]


def test_a_session_policy_that_sts_would_refuse_names_the_resource_that_is_too_much(tmp_path: Path) -> None:
    many = []
    for n in range(20):
        text = GOOD.replace("ListThings", f"ListThings{n:02}{'x' * 100}").replace("[things]", f"[things{n:02}]")
        many.append(loaded(tmp_path, text, f"things{n:02}"))

    check_session_policy(many[:15])
    with pytest.raises(ConfigurationError) as refused:
        check_session_policy(many)

    assert str(refused.value).startswith("things16: the session policy has 2")
    assert f"STS accepts {SESSION_POLICY_MAX}; turn off things16 or another resource" in str(refused.value)
