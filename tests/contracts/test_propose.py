"""Proposals that follow from other resources: AppStream's list operations one by one, botocore's all together."""

import re
from collections import Counter
from pathlib import Path

import pytest

from appstream_export.contracts import load_contracts
from appstream_export.contracts.botocore_model import get_botocore_loader, lint_contracts, load_service_model
from appstream_export.contracts.botocore_propose import propose_contract
from appstream_export.contracts.iam import is_read_operation
from appstream_export.contracts.loader import parse_contract
from appstream_export.contracts.naming import choose_resource_name, choose_table_name, guess_plural
from appstream_export.errors import ContractError

KEYS = {  # AppStream's list operations: resource, key and the parent whose rows its calls follow
    "DescribeAppBlockBuilderAppBlockAssociations": (
        "app_block_builder_app_block_associations",
        ("app_block_arn", "app_block_builder_name"),
        None,
    ),
    "DescribeAppBlockBuilders": ("app_block_builders", ("name",), None),
    "DescribeAppBlocks": ("app_blocks", ("name",), None),
    "DescribeAppLicenseUsage": ("app_license_usages", ("user_arn",), None),
    "DescribeApplicationFleetAssociations": (
        "application_fleet_associations",
        ("fleet_name", "application_arn"),
        "fleets",
    ),
    "DescribeApplications": ("applications", ("arn",), None),
    "DescribeDirectoryConfigs": ("directory_configs", ("directory_name",), None),
    "DescribeEntitlements": ("entitlements", ("stack_name", "name"), "stacks"),
    "DescribeFleets": ("fleets", ("name",), None),
    "DescribeImageBuilders": ("image_builders", ("name",), None),
    "DescribeImagePermissions": ("shared_image_permissions", ("image_name", "shared_account_id"), "images"),
    "DescribeImages": ("images", ("name",), None),
    "DescribeSessions": ("sessions", ("stack_name", "associated_fleet_name", "id"), "associated_fleets"),
    "DescribeSoftwareAssociations": (
        "software_associations",
        ("image_builder_name", "software_name"),
        "image_builders",
    ),
    "DescribeStacks": ("stacks", ("name",), None),
    "DescribeUsageReportSubscriptions": ("usage_report_subscriptions", ("s3_bucket_name",), None),
    "DescribeUserStackAssociations": ("user_stack_associations", ("stack_name", "user_name"), "stacks"),
    "DescribeUsers": ("users", ("arn",), None),
    "ListAssociatedFleets": ("associated_fleets", ("stack_name", "name"), "stacks"),
    "ListAssociatedStacks": ("associated_stacks", ("fleet_name", "name"), "fleets"),
    "ListEntitledApplications": (
        "entitled_applications",
        ("stack_name", "entitlement_name", "application_identifier"),
        "entitlements",
    ),
    "ListExportImageTasks": ("export_image_tasks", ("task_id",), None),
    "ListTagsForResource": ("image_builder_tags", ("image_builder_name", "tag_key"), "image_builders"),
}
REFUSED = {
    "DescribeThemeForStack": 'operation = "DescribeThemeForStack" gives no list and no map; look for another operation'
}


def name_file(text: str) -> str:
    """The file's name that the proposal asks for."""
    return re.findall(r"Save as schemas/(\w+\.toml)", text)[0]


def test_appstreams_list_operations_are_proposed_or_refused_with_the_reason(tmp_path: Path) -> None:
    names = [n for n in load_service_model("appstream").operation_names if is_read_operation("appstream", n)]
    refused = {}
    for name in names:
        try:
            text = propose_contract("appstream", name)
        except ContractError as error:
            refused[name] = str(error)
        else:
            (tmp_path / name_file(text)).write_text(text)
    contracts = load_contracts(tmp_path)  # compares every follow-up with its parent

    assert refused == REFUSED
    assert {c.operation: (c.name, c.item_key, c.calls.parent) for c in contracts} == KEYS
    assert len(names) == len(KEYS) + len(REFUSED) == 24
    assert lint_contracts(contracts) == []


def test_inputs_are_constants_the_month_or_columns_of_the_parent() -> None:
    def read_inputs(operation: str) -> list[str]:
        return re.findall(r"(?m)^with +=.*", propose_contract("appstream", operation))

    assert read_inputs("DescribeUsers") == ['with      = { AuthenticationType = "USERPOOL" }  # check the value']
    assert read_inputs("DescribeAppLicenseUsage") == ['with      = { BillingPeriod = "{month}" }  # check the value']
    assert read_inputs("DescribeSessions") == ['with      = { StackName = "{stack_name}", FleetName = "{name}" }']


def test_the_action_is_written_where_iam_has_another_prefix() -> None:
    assert 'action    = "tag:GetResources"' in propose_contract("resourcegroupstaggingapi", "GetResources")


@pytest.mark.parametrize(
    ("items", "operation", "owner", "name"),
    [
        ("Result", "GetInventory", "", "inventories"),
        ("Names", "ListAssociatedFleets", "stack", "associated_fleets"),
        ("Tags{}", "ListTagsForResource", "fleet", "fleet_tags"),
        ("FleetList", "DescribeFleets", "", "fleets"),
        ("Policy", "ListPolicies", "", "policies"),
    ],
)
def test_resources_have_plurals_that_people_would_write(items: str, operation: str, owner: str, name: str) -> None:
    assert choose_resource_name(items, operation, "things", set(), owner) == name


def test_child_tables_have_plurals_that_people_would_write() -> None:
    paths = ["ProcessCompatibility", "DeploymentError", "TagList", "Addresses", "Status"]

    assert [choose_table_name(path, "stack", set()) for path in paths] == [
        "stack_process_compatibilities",
        "stack_deployment_errors",
        "stack_tags",
        "stack_addresses",
        "stack_statuses",
    ]


@pytest.mark.parametrize(
    ("name", "plural"), [("fleet", "fleets"), ("box", "boxes"), ("day", "days"), ("policies", "policies")]
)
def test_plurals_are_guessed(name: str, plural: str) -> None:
    assert guess_plural(name) == plural


@pytest.mark.long
def test_half_of_botocores_list_operations_are_proposed_and_every_proposal_loads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    every, proposed = Counter[str](), Counter[str]()
    for service in get_botocore_loader().list_available_services("service-2"):
        model = load_service_model(service)
        for operation in filter(lambda name: is_read_operation(service, name), model.operation_names):
            every[model.resolved_protocol] += 1
            try:
                text = propose_contract(service, operation)
            except ContractError:
                continue
            parse_contract(Path(name_file(text)), text)
            proposed[model.resolved_protocol] += 1
    shares = {protocol: 100 * proposed[protocol] // count for protocol, count in every.items()}
    with capsys.disabled():
        lines = (f"{p}: {proposed[p]} of {every[p]} ({shares[p]} %)" for p in sorted(every))
        print(*lines, sep="\n")  # noqa: T201  the numbers are what the test is run for

    assert (shares["json"] >= 60, shares["rest-json"] >= 56) == (True, True)
    assert 100 * proposed.total() // every.total() >= 50
