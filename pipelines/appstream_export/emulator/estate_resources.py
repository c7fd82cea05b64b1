"""What the demo's accounts have beside image builders: tags, images, fleets, stacks, app blocks, and what joins them.

Small, the same in each process, and with known answers: which images are gone, which fleets are idle, who tags nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from appstream_export.model import Scope

from .emulator import Emulator
from .items import Item, encode_timestamp, get_partition, make_item

PUBLIC_IMAGE_DAYS = range(1, 29)  # of November 2025: the images that generated builders were made from
WITHDRAWN_IMAGE_DAYS = (3, 17)
AWS = "000000000000"  # no account: its images have none
FLEET_REGIONS = ("us-east-1", "eu-west-1")
IMAGES_PER_SCOPE = 2
SHARING_ACCOUNT = "004815162342"
BORROWING_ACCOUNTS = ("427819350264", "612340987123")
PACKAGING_ACCOUNT = "839201746582"
UNTAGGED_ACCOUNTS = ("705518293746", "982736451029")
EXEMPT_PURPOSE = "gpu-test"  # builders that may run on: Skip_Stop
COMPLIANT: Mapping[str, Any] = {
    "IdleDisconnectTimeoutInSeconds": 600,
    "DisconnectTimeoutInSeconds": 300,
    "MaxUserDurationInSeconds": 36_000,
    "EnableDefaultInternetAccess": False,
}
WITHOUT_IMAGE: Mapping[str, Any] = dict.fromkeys(("ImageName", "ImageArn", "ComputeCapacityStatus"))
WITHOUT_ERRORS: Mapping[str, Any] = dict.fromkeys(("StateChangeReason", "AppBlockBuilderErrors", "FleetErrors"))
LAX: Mapping[str, Any] = {
    "IdleDisconnectTimeoutInSeconds": 0,
    "DisconnectTimeoutInSeconds": 900,
    "MaxUserDurationInSeconds": 57_600,
    "EnableDefaultInternetAccess": True,
}


@dataclass(frozen=True, slots=True)
class HeldItems:
    """Items of an operation, and the inputs that they answer."""

    operation: str
    items: Sequence[Any]
    inputs: Mapping[str, Any] = field(default_factory=dict)


def put_resources(aws: Emulator, scope: Scope, team: str, builders: Sequence[Item], at: datetime) -> None:
    """Fill a scope that has image builders; `team` is the first word of its names."""
    for held in _list_held_items(scope, team, builders, at):
        aws.put(scope, *held.items, operation=held.operation, inputs=held.inputs)
    for arn, tags in _list_tags(scope, team, builders):
        aws.put_tags(scope, arn, **tags)


def _list_held_items(scope: Scope, team: str, builders: Sequence[Item], at: datetime) -> Iterator[HeldItems]:
    own = [_make_own_image(scope, builder, at) for builder in builders[:IMAGES_PER_SCOPE]]
    yield HeldItems("DescribeImages", [*_list_public_images(scope.region, at), *_list_shared_images(scope, at), *own])
    yield from _list_permissions(scope, own, at)
    if not own or scope.region not in FLEET_REGIONS:
        return
    yield from _list_fleets(scope, team, own, at)
    if scope.account_id == PACKAGING_ACCOUNT:
        yield from _list_packages(scope, team, at)
    if scope.region == "us-east-1":
        yield HeldItems("DescribeDirectoryConfigs", [_make_directory(scope, at)])
        bucket = f"appstream-logs-{scope.region}-{scope.account_id}"
        yield HeldItems("DescribeUsageReportSubscriptions", [{"S3BucketName": bucket, "Schedule": "DAILY"}])


@cache
def _list_public_images(region: str, at: datetime) -> tuple[Item, ...]:
    """Return AWS's images of a region, which are the same for every account."""
    images = []
    for day in (day for day in PUBLIC_IMAGE_DAYS if day not in WITHDRAWN_IMAGE_DAYS):
        released = encode_timestamp(datetime(2025, 11, day, tzinfo=UTC))
        name = f"AppStream-WinServer2022-11-{day:02d}-2025"
        times = {"CreatedTime": released, "PublicBaseImageReleasedDate": released}
        arn = f"arn:{get_partition(region)}:appstream:{region}::image/{name}"
        images.append(_make_image(Scope(AWS, region), name, at, Arn=arn, Visibility="PUBLIC", **times))
    return tuple(images)


def _make_resource(operation: str, name: str, *, scope: Scope, at: datetime, **fields: Any) -> Item:
    return make_item("appstream", operation, name, scope=scope, at=at, fields=fields)


def _make_image(scope: Scope, name: str, at: datetime, **fields: Any) -> Item:
    common = {
        "State": "AVAILABLE", "Platform": "WINDOWS_SERVER_2022", "StateChangeReason": None, "ImageErrors": None,
        "Applications": None, "BaseImageArn": None, "ImageBuilderName": None, "ImagePermissions": None,
    }  # fmt: skip
    return _make_resource("DescribeImages", name, scope=scope, at=at, **(common | fields))


def _make_own_image(scope: Scope, builder: Item, at: datetime) -> Item:
    """Return an image that a builder made an hour after it was created."""
    released = builder.get("ImageArn", "")[-10:]  # 11-06-2025
    month, day, year = map(int, released.split("-")) if released.count("-") == 2 else (11, 1, 2025)
    return _make_image(
        scope,
        f"{builder['Name']}-image",
        at,
        BaseImageArn=builder.get("ImageArn"),
        ImageBuilderName=builder["Name"],
        Visibility="PRIVATE",
        CreatedTime=builder["CreatedTime"] + 3600,
        PublicBaseImageReleasedDate=encode_timestamp(datetime(year, month, day, tzinfo=UTC)),
        Applications=[{"Name": "browser", "DisplayName": "Browser", "Enabled": True, "LaunchPath": "C:\\browser.exe"}],
    )


def _list_shared_images(scope: Scope, at: datetime) -> Iterator[Item]:
    """Yield the image that one account shares with two others."""
    if scope.account_id in BORROWING_ACCOUNTS:
        owner = Scope(SHARING_ACCOUNT, scope.region)
        permissions = {"allowFleet": True, "allowImageBuilder": False}
        yield _make_image(owner, "office-shared", at, Visibility="SHARED", ImagePermissions=permissions)


def _list_permissions(scope: Scope, own: Sequence[Item], at: datetime) -> Iterator[HeldItems]:
    if scope.account_id == SHARING_ACCOUNT:
        yield HeldItems("DescribeImages", [_make_image(scope, "office-shared", at, Visibility="PRIVATE")])
        shared = [
            {"sharedAccountId": account_id, "imagePermissions": {"allowFleet": True, "allowImageBuilder": False}}
            for account_id in BORROWING_ACCOUNTS
        ]
        yield HeldItems("DescribeImagePermissions", shared, {"Name": "office-shared"})
    for image in own:
        yield HeldItems("DescribeImagePermissions", [], {"Name": image["Name"]})


def _list_fleets(scope: Scope, team: str, own: Sequence[Item], at: datetime) -> Iterator[HeldItems]:
    """Yield a fleet in use with its stack, and one that is idle and lax where the scope has a second image."""
    stack, fleets = f"{team}-stack", [f"{team}-desktop", f"{team}-idle"][: len(own)]
    settings = (
        {**COMPLIANT, "ComputeCapacityStatus": {"Desired": 4, "Running": 4, "InUse": 3, "Available": 1}},
        {**LAX, "ComputeCapacityStatus": {"Desired": 2, "Running": 2, "InUse": 0, "Available": 2}},
    )
    yield HeldItems(
        "DescribeFleets",
        [
            _make_resource("DescribeFleets", name, scope=scope, at=at, ImageName=image["Name"],
                      ImageArn=image["Arn"], State="RUNNING", FleetType="ALWAYS_ON", FleetErrors=None, **fields)
            for name, image, fields in zip(fleets, own, settings, strict=False)
        ],
    )  # fmt: skip
    yield HeldItems("DescribeStacks", [_make_resource("DescribeStacks", stack, scope=scope, at=at, StackErrors=None)])
    yield HeldItems("ListAssociatedStacks", [stack], {"FleetName": fleets[0]})
    yield HeldItems("ListAssociatedFleets", [fleets[0]], {"StackName": stack})
    created = encode_timestamp(at - timedelta(days=30))
    entitlement = {
        "Name": "staff", "StackName": stack, "AppVisibility": "ASSOCIATED", "CreatedTime": created,
        "Attributes": [{"Name": "department", "Value": team}],
    }  # fmt: skip
    yield HeldItems("DescribeEntitlements", [entitlement])
    inputs = {"StackName": stack, "EntitlementName": "staff"}
    yield HeldItems("ListEntitledApplications", [{"ApplicationIdentifier": "browser"}], inputs)


def _list_packages(scope: Scope, team: str, at: datetime) -> Iterator[HeldItems]:
    """Yield an app block with its builder and its application, which an Elastic fleet streams."""
    name, builder = f"{team}-blender", f"{team}-packager"
    block = _make_resource("DescribeAppBlocks", name, scope=scope, at=at, State="ACTIVE", AppBlockErrors=None)
    application = _make_resource("DescribeApplications", name, scope=scope, at=at, AppBlockArn=block["Arn"])
    yield HeldItems("DescribeAppBlocks", [block])
    yield HeldItems("DescribeApplications", [application])
    up = {"State": "RUNNING", "InstanceType": "stream.standard.large", **WITHOUT_ERRORS}
    running = _make_resource("DescribeAppBlockBuilders", builder, scope=scope, at=at, **up)
    yield HeldItems("DescribeAppBlockBuilders", [running])
    association = {"AppBlockArn": block["Arn"], "AppBlockBuilderName": builder}
    yield HeldItems("DescribeAppBlockBuilderAppBlockAssociations", [association])
    elastic = f"{team}-elastic"
    fields = {"State": "RUNNING", "FleetType": "ELASTIC", **WITHOUT_IMAGE, **WITHOUT_ERRORS, **COMPLIANT}
    fleet = _make_resource("DescribeFleets", elastic, scope=scope, at=at, **fields)
    yield HeldItems("DescribeFleets", [fleet])
    yield HeldItems(
        "DescribeApplicationFleetAssociations", [{"FleetName": elastic, "ApplicationArn": application["Arn"]}]
    )


def _make_directory(scope: Scope, at: datetime) -> Item:
    item = _make_resource("DescribeDirectoryConfigs", "corp", scope=scope, at=at)
    return item | {"DirectoryName": "corp.example.com"}


def _list_tags(scope: Scope, team: str, builders: Sequence[Item]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the tags of builders: an owner and a cost centre each, and an exemption from being stopped for some."""
    if scope.account_id in UNTAGGED_ACCOUNTS:
        return
    for builder in builders:
        exempt = {"Skip_Stop": "true"} if EXEMPT_PURPOSE in builder["Name"] else {}
        yield builder["Arn"], {"owner": team, "cost_centre": "4100" if team < "m" else "4200", **exempt}
    if builders:
        arn = f"arn:{get_partition(scope.region)}:appstream:{scope.region}:{scope.account_id}:fleet/{team}-desktop"
        yield arn, {"owner": team}
    if builders and scope.region in FLEET_REGIONS and scope.account_id == PACKAGING_ACCOUNT:
        stem = arn.partition(":fleet/")[0]
        yield f"{stem}:app-block-builder/{team}-packager", {"owner": team, "Skip_Stop": "true"}
        yield f"{stem}:app-block/{team}-blender", {"owner": team}
