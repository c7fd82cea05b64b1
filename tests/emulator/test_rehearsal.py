"""The emulator rehearses any list operation of a JSON protocol: inputs, pages, follow-ups, maps and tags."""

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from appstream_export.emulator import Emulator, make_item
from appstream_export.emulator.operations import find_service_model, load_list_operation
from appstream_export.errors import ConfigurationError
from tests.emulator.wire import ONE, OTHER, client, post

ARN = "arn:aws:appstream:eu-west-1:111122223333:{}"
FLEET, BUILDER, IMAGE = ARN.format("fleet/cad"), ARN.format("image-builder/b"), ARN.format("image/i")
LISTS = [name for name in find_service_model("appstream").operation_names if load_list_operation("appstream", name)]
# What AWS cannot do without, or wants one of.
INPUTS: Mapping[str, dict[str, Any]] = {
    "DescribeAppLicenseUsage": {"BillingPeriod": "2026-11"},
    "DescribeApplicationFleetAssociations": {"FleetName": "cad"},
    "DescribeEntitlements": {"StackName": "cad"},
    "DescribeImagePermissions": {"Name": "cad"},
    "DescribeSessions": {"StackName": "cad", "FleetName": "cad"},
    "DescribeSoftwareAssociations": {"AssociatedResource": IMAGE},
    "DescribeUserStackAssociations": {"StackName": "cad"},
    "DescribeUsers": {"AuthenticationType": "USERPOOL"},
    "ListAssociatedFleets": {"StackName": "cad"},
    "ListAssociatedStacks": {"FleetName": "cad"},
    "ListEntitledApplications": {"StackName": "cad", "EntitlementName": "cad"},
}


def call(aws: Emulator, name: str, **params: Any) -> Any:
    """The answer, or the code of the error and its message."""
    seen = post(aws, target=f"PhotonAdminProxyService.{name}", **params)
    return seen.json if seen.status == 200 else (seen.json["__type"], seen.json["message"])


def test_every_list_of_appstream_answers_with_generated_items_that_boto3_reads(aws: Emulator) -> None:
    boto = client(aws)
    read = {}
    for name in (n for n in LISTS if n != "ListTagsForResource"):
        operation, inputs = load_list_operation("appstream", name), INPUTS.get(name, {})
        assert operation is not None
        item = make_item("appstream", name, "cad", scope=ONE, complete=True)
        aws.put(ONE, item, operation=name, inputs=inputs)
        found = boto._make_api_call(name, inputs)[operation.items_path[0]]
        read[name] = len(found)
        assert isinstance(item, str) or item.keys() == found[0].keys()

    assert read == dict.fromkeys(read, 1)
    assert len(LISTS) == 23  # all of its 24 that describe or list, but the theme of one stack


@pytest.mark.parametrize(
    ("service", "operation", "field"),
    [("es", "DescribeOutboundCrossClusterSearchConnections", "CrossClusterSearchConnectionId"),
     ("medialive", "ListClusters", "id"), ("ssm", "DescribePatchBaselines", "BaselineId")],
)  # fmt: skip
def test_generated_items_always_have_what_identifies_them(service: str, operation: str, field: str) -> None:
    ids = {make_item(service, operation, f"one-{n}", scope=ONE).get(field) for n in range(30)}

    assert None not in ids
    assert len(ids) > 25


def test_a_required_input_is_required_in_the_words_of_aws(aws: Emulator) -> None:
    missing = {name: call(aws, name) for name, inputs in INPUTS.items() if inputs}

    assert {code for code, _ in missing.values()} == {"ValidationException", "InvalidParameterCombinationException"}
    assert missing["DescribeEntitlements"] == (
        "ValidationException",
        "1 validation error detected: Value at 'stackName' failed to satisfy constraint: Member must not be null",
    )


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("DescribeImages", {"Type": "MINE"}, "'MINE' at 'type'.*enum value set: [PUBLIC, PRIVATE, SHARED]"),
        ("DescribeImages", {"MaxResults": 26}, "'maxResults'.*less than or equal to 25"),
        ("DescribeFleets", {"Names": "a"}, "'names'.*be a list"),
        ("DescribeFleets", {"Names": [5]}, "'names.1.member'.*be a string"),
        ("DescribeFleets", {"Names": [""]}, "'names.1.member'.*length greater than or equal to 1"),
        ("DescribeImagePermissions", {"Name": "a", "SharedAwsAccountIds": []}, "length greater than or equal to 1"),
    ],
)
def test_an_input_that_botocores_model_does_not_allow_is_refused(
    aws: Emulator, name: str, params: dict[str, Any], words: str
) -> None:
    code, message = call(aws, name, **params)

    assert code == "ValidationException"
    assert all(word in message for word in words.split(".*")), message


def test_inputs_select_items_by_their_fields(aws: Emulator) -> None:
    for name, visibility in (("own", "PRIVATE"), ("lent", "SHARED"), ("base", "PUBLIC")):
        aws.put(ONE, {"Name": name, "Visibility": visibility}, operation="DescribeImages")
    for stack, name in (("cad", "a"), ("gis", "b")):
        aws.put(ONE, {"Name": name, "StackName": stack}, operation="DescribeEntitlements")

    assert [i["Name"] for i in call(aws, "DescribeImages", Type="SHARED")["Images"]] == ["lent"]
    assert [i["Name"] for i in call(aws, "DescribeImages")["Images"]] == ["own", "lent", "base"]
    assert [i["Name"] for i in call(aws, "DescribeEntitlements", StackName="gis")["Entitlements"]] == ["b"]


def test_items_without_fields_are_selected_by_the_inputs_they_were_put_for(aws: Emulator) -> None:
    aws.put(ONE, "cad-stack", "all", operation="ListAssociatedStacks", inputs={"FleetName": "cad"})
    aws.put(ONE, "all", operation="ListAssociatedStacks", inputs={"FleetName": "gis"})

    assert call(aws, "ListAssociatedStacks", FleetName="cad") == {"Names": ["cad-stack", "all"]}
    assert call(aws, "ListAssociatedStacks", FleetName="gis") == {"Names": ["all"]}
    assert call(aws, "ListAssociatedStacks", FleetName="none") == {"Names": []}


@pytest.mark.parametrize(
    ("parent", "name", "params"),
    [
        ("DescribeStacks", "DescribeEntitlements", {"StackName": "gone"}),
        ("DescribeImages", "DescribeImagePermissions", {"Name": "gone"}),
        ("DescribeFleets", "ListAssociatedStacks", {"FleetName": "gone"}),
        ("DescribeFleets", "DescribeFleets", {"Names": ["gone"]}),
        ("DescribeFleets", "ListTagsForResource", {"ResourceArn": ARN.format("fleet/gone")}),
    ],
)
def test_a_follow_up_of_an_item_that_is_gone_is_not_found(
    aws: Emulator, parent: str, name: str, params: dict[str, Any]
) -> None:
    aws.put(ONE, {"Name": "gone", "Arn": ARN.format("fleet/gone")}, {"Name": "left"}, operation=parent)
    before = call(aws, name, **params)
    aws.remove(ONE, "gone", operation=parent)

    assert isinstance(before, dict), before
    assert call(aws, name, **params)[0] == "ResourceNotFoundException"


def test_page_size_and_token_have_the_names_of_botocores_model(aws: Emulator) -> None:
    aws.put(ONE, *({"Id": f"s{n}", "StackName": "a", "FleetName": "a"} for n in range(5)), operation="DescribeSessions")
    first = call(aws, "DescribeSessions", StackName="a", FleetName="a", Limit=3)
    last = call(aws, "DescribeSessions", StackName="a", FleetName="a", Limit=3, NextToken=first["NextToken"])

    assert ([s["Id"] for s in first["Sessions"] + last["Sessions"]], "NextToken" in last) == (
        ["s0", "s1", "s2", "s3", "s4"],
        False,
    )


def test_pages_are_no_longer_than_the_model_allows(aws: Emulator) -> None:
    aws.put(ONE, *({"Name": f"i{n}"} for n in range(30)), operation="DescribeImages")

    assert len(call(aws, "DescribeImages")["Images"]) == 25


def test_lists_of_rest_services_are_answered_too(aws: Emulator) -> None:
    aws.put(ONE, *({"FunctionName": f"f{n:02}"} for n in range(60)), service="lambda", operation="ListFunctions")
    aws.put(ONE, {"key": "owner", "value": "cad"}, service="lambda", operation="ListTags",
            inputs={"Resource": "arn:aws:lambda:eu-west-1:111122223333:function:f00"})  # fmt: skip
    boto = client(aws, service="lambda")
    pages = list(boto.get_paginator("list_functions").paginate())

    assert [len(page["Functions"]) for page in pages] == [50, 10]
    assert boto.list_tags(Resource="arn:aws:lambda:eu-west-1:111122223333:function:f00")["Tags"] == {"owner": "cad"}
    assert client(aws, OTHER, service="lambda").list_functions()["Functions"] == []
    assert {c.operation for c in aws.calls if c.service == "lambda"} == {"ListFunctions", "ListTags"}


def test_a_rest_list_fails_as_the_others_do(aws: Emulator) -> None:
    aws.put(ONE, {"FunctionName": "f"}, service="lambda", operation="ListFunctions")
    aws.fail(ONE, "throttle", operation="ListFunctions", times=1)
    aws.fail(ONE, "deny", operation="ListFunctions", times=1)
    boto = client(aws, service="lambda")

    for code in ("ThrottlingException", "AccessDeniedException"):
        with pytest.raises(ClientError, match=code):
            boto.list_functions()
    assert len(boto.list_functions()["Functions"]) == 1


def test_a_list_that_moto_lacks_is_empty_and_one_that_it_has_is_motos(aws: Emulator) -> None:
    queues = client(aws, service="dynamodb")
    queues.create_table(
        TableName="kept",
        KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    assert queues.list_tables()["TableNames"] == ["kept"]
    assert client(aws, service="workspaces-web").list_portals()["portals"] == []


def test_an_operation_that_lists_nothing_cannot_be_filled(aws: Emulator) -> None:
    for service, operation in (("appstream", "CreateFleet"), ("appstream", "DescribeFlets"), ("nothing", "ListThings")):
        with pytest.raises(ConfigurationError, match="no such operation that lists"):
            aws.put(ONE, {"Name": "a"}, service=service, operation=operation)


def mappings(aws: Emulator, **params: Any) -> list[tuple[str, dict[str, str]]]:
    """What the tagging API lists, over all pages."""
    boto = client(aws, service="resourcegroupstaggingapi")
    pages = boto.get_paginator("get_resources").paginate(**params)
    return [
        (found["ResourceARN"].rpartition(":")[2], {tag["Key"]: tag["Value"] for tag in found["Tags"]})
        for page in pages
        for found in page["ResourceTagMappingList"]
    ]


def test_the_tagging_api_lists_what_has_or_had_tags(aws: Emulator) -> None:
    aws.put_tags(ONE, FLEET, owner="cad", cost="4100")
    aws.put_tags(ONE, BUILDER, owner="gis")
    aws.put_tags(ONE, BUILDER, owner=None)
    aws.put_tags(OTHER, "arn:aws:appstream:us-east-1:111122223333:fleet/far", owner="far")

    assert mappings(aws) == [("fleet/cad", {"owner": "cad", "cost": "4100"}), ("image-builder/b", {})]
    assert mappings(aws, ResourceTypeFilters=["appstream:image-builder"]) == [("image-builder/b", {})]
    assert mappings(aws, ResourceTypeFilters=["appstream"]) == mappings(aws)
    assert mappings(aws, ResourceTypeFilters=["ec2"]) == []
    assert [arn for arn, _ in mappings(aws, TagFilters=[{"Key": "owner", "Values": ["cad", "x"]}])] == ["fleet/cad"]
    assert [arn for arn, _ in mappings(aws, ResourceARNList=[BUILDER])] == ["image-builder/b"]


def test_tags_of_app_blocks_are_known_per_item_alone(aws: Emulator) -> None:
    arn = ARN.format("app-block/cad")
    aws.put_tags(ONE, arn, owner="cad")

    assert mappings(aws) == []
    assert client(aws).list_tags_for_resource(ResourceArn=arn)["Tags"] == {"owner": "cad"}


def test_the_tagging_api_pages_by_its_own_token_which_is_empty_at_the_end(aws: Emulator) -> None:
    for number in range(5):
        aws.put_tags(ONE, ARN.format(f"fleet/f{number}"), n=str(number))
    boto = client(aws, service="resourcegroupstaggingapi")
    first = boto.get_resources(ResourcesPerPage=3)
    last = boto.get_resources(ResourcesPerPage=3, PaginationToken=first["PaginationToken"])

    assert [len(page["ResourceTagMappingList"]) for page in (first, last)] == [3, 2]
    assert last["PaginationToken"] == ""
    with pytest.raises(ClientError, match="less than or equal to 100"):
        boto.get_resources(ResourcesPerPage=101)


def test_tags_per_item_and_those_of_the_tagging_api_are_the_same_and_go_with_their_item(aws: Emulator) -> None:
    aws.put(
        ONE,
        {"Name": "cad", "Arn": FLEET},
        {"Name": "bare", "Arn": ARN.format("fleet/bare")},
        operation="DescribeFleets",
    )
    aws.put_tags(ONE, FLEET, owner="cad")
    boto = client(aws)

    assert (
        boto.list_tags_for_resource(ResourceArn=FLEET)["Tags"] == {"owner": "cad"} == dict(mappings(aws))["fleet/cad"]
    )
    assert boto.list_tags_for_resource(ResourceArn=ARN.format("fleet/bare"))["Tags"] == {}
    aws.remove(ONE, "cad", operation="DescribeFleets")
    assert mappings(aws) == []
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        boto.list_tags_for_resource(ResourceArn=FLEET)
