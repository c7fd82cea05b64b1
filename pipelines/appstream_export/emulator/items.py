"""Plausible items, written by walking botocore's output shape: a field that AWS adds gets a value with no code here.

Each value depends on the seed, the scope, the item's name and its own path alone, so that such a field changes no
other. The tables below know names of fields, not their places.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from appstream_export.model import Scope

Item = dict[str, Any]

BEFORE = datetime(2026, 1, 12, 8, tzinfo=UTC)  # items are older than this, unless told otherwise
AGE_MAX_D = 400

# How often a field is there, in percent; AWS requires Name alone, but sends what it has.
PRESENT: Mapping[str, int] = {
    "Name": 100, "Arn": 100, "State": 100, "Platform": 100, "InstanceType": 100, "CreatedTime": 100,
    "SubnetIds": 100, "EniId": 100, "EniPrivateIpAddress": 100, "VolumeSizeInGb": 100, "EndpointType": 100,
    "VpceId": 100, "AgentAction": 100, "Permission": 100, "DirectoryName": 100, "ErrorCode": 100, "ErrorMessage": 95,
    "Code": 100, "Message": 90, "VpcConfig": 92, "DisplayName": 75, "Description": 60, "IamRoleArn": 45,
    "StateChangeReason": 2, "ImageBuilderErrors": 3, "DomainJoinInfo": 35, "AccessEndpoints": 25,
    "EniIpv6Addresses": 40, "AgentAccessConfig": 35, "RootVolumeConfig": 55, "DisableIMDSV1": 70,
}  # fmt: skip
PRESENT_ELSE = 80
# A builder that failed says why.
PRESENT_IF_FAILED: Mapping[str, int] = {"StateChangeReason": 100, "ImageBuilderErrors": 95}

COUNTS: Mapping[str, tuple[int, ...]] = {"SubnetIds": (1, 1, 2, 3), "SecurityGroupIds": (1, 1, 2, 4)}
COUNTS_ELSE = (1, 1, 2)
# Of these a scope has only a few, which its builders share; with the prefix of their ids.
SHARED: Mapping[str, str] = {"SubnetIds": "subnet", "SecurityGroupIds": "sg"}
SHARED_COUNT = 6
WEIGHTS: Mapping[str, int] = {
    "STOPPED": 60, "RUNNING": 40, "FAILED": 6, "WINDOWS_SERVER_2022": 12, "WINDOWS_SERVER_2019": 8, "TRUE": 3,
}  # fmt: skip

SIZES = ("stream.standard.medium", "stream.standard.large", "stream.standard.xlarge", "stream.memory.xlarge",
         "stream.compute.2xlarge", "stream.graphics.g4dn.xlarge", "stream.graphics.g5.2xlarge")  # fmt: skip
DESCRIPTIONS = ("Base image for the São Paulo office", "東京 design team, CAD tools", "Zürich: Messdaten-Auswertung",
                "Quarterly image refresh", "Golden image; do not delete", "Temporary, for the GPU driver test",
                'Says "hello, world"', "Two lines:\nthe second one", "Łódź support desk")  # fmt: skip
MESSAGES: Mapping[str, str] = {
    "SUBNET_HAS_INSUFFICIENT_IP_ADDRESSES": "The subnet does not have enough free IP addresses.",
    "IAM_SERVICE_ROLE_IS_MISSING": "The role AmazonAppStreamServiceAccess does not exist.",
    "INTERNAL_ERROR": "An internal error occurred. Try again.",
    "IMAGE_UNAVAILABLE": "The image is no longer available in this region.",
}


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes the values of one item."""

    name: str
    scope: Scope
    seed: int | str
    at: datetime
    complete: bool

    def dice(self, path: str) -> Random:
        """Chance for one path, the same in every process."""
        return Random(f"{self.seed}/{self.scope}/{self.name}/{path}")  # noqa: S311 - a demo, no secret

    @property
    def failed(self) -> bool:
        """Whether the item's State, which it will be given by the same dice, is FAILED."""
        shape = item_shape().members["State"]
        return _chosen(shape.enum, self.dice("State")) == "FAILED"


@dataclass(frozen=True, slots=True)
class Spot:
    """A field that waits for its value."""

    field: str
    dice: Random
    pen: Pen


Writer = Callable[[Spot], Any]


@cache
def item_shape(operation: str = "DescribeImageBuilders") -> Any:
    """Return the shape of one item, from the installed botocore."""
    import botocore.session

    output = botocore.session.get_session().get_service_model("appstream").operation_model(operation).output_shape
    return next(shape.member for shape in output.members.values() if shape.type_name == "list")


def leaves(shape: Any, path: str = "") -> list[str]:
    """List the paths of a shape's scalars: `VpcConfig.SubnetIds[]`."""
    if shape.type_name == "structure":
        return [leaf for name, member in shape.members.items() for leaf in leaves(member, f"{path}.{name}".lstrip("."))]
    return leaves(shape.member, f"{path}[]") if shape.type_name == "list" else [path]


def image_builder(
    name: str,
    *,
    scope: Scope | str,
    seed: int | str = 0,
    at: datetime = BEFORE,
    complete: bool = False,
    **fields: Any,
) -> Item:
    """Return one image builder as AWS would send it, created before `at`; times are epoch seconds.

    `complete` leaves no field out. `fields` replace what chance wrote, by AWS's names; None removes a field.
    """
    where = Scope.parse(scope) if isinstance(scope, str) else scope
    item = _structure(item_shape(), "", Pen(name, where, seed, at, complete)) | fields
    return {key: value for key, value in item.items() if value is not None}


def message_for(code: str) -> str:
    """Return the sentence that goes with an error code."""
    return MESSAGES.get(code, f"{code.replace('_', ' ').capitalize()}.")


def epoch_s(at: datetime) -> float:
    """Return a time as AWS writes it in JSON: epoch seconds, with microseconds as fraction."""
    return at.timestamp()


def _structure(shape: Any, path: str, pen: Pen) -> Item:
    failed = not path and pen.failed
    written = {
        name: _value(member, f"{path}.{name}".lstrip("."), pen)
        for name, member in shape.members.items()
        if pen.complete
        or name in shape.required_members
        or _is_present(name, failed, pen.dice(f"{path}.{name} present"))
    }
    for code, message in (("Code", "Message"), ("ErrorCode", "ErrorMessage")):
        if code in written and message in written:
            written[message] = message_for(written[code])
    return written


def _value(shape: Any, path: str, pen: Pen) -> Any:
    dice, field = pen.dice(path), path.rpartition(".")[2]
    if shape.type_name == "structure":
        return _structure(shape, path, pen)
    if shape.type_name == "list":
        count = dice.choice(COUNTS.get(field, COUNTS_ELSE))
        if field in SHARED:
            return dice.sample(_shared(field, pen), count)
        return [_value(shape.member, f"{path}[{position}]", pen) for position in range(count)]
    if shape.type_name == "string" and getattr(shape, "enum", None):
        return _chosen(shape.enum, dice)
    return SCALARS[shape.type_name](Spot(re.sub(r"\[\d+\]", "", field), dice, pen))


def _shared(field: str, pen: Pen) -> list[str]:
    """The ids of a scope from which its builders have theirs."""
    dice = Random(f"{pen.scope}/{field}")  # noqa: S311 - a demo, no secret
    return [f"{SHARED[field]}-{dice.getrandbits(68):017x}" for _ in range(SHARED_COUNT)]


def _is_present(name: str, failed: bool, dice: Random) -> bool:
    percent = PRESENT.get(name, PRESENT_ELSE)
    return dice.random() * 100 < (PRESENT_IF_FAILED.get(name, percent) if failed else percent)


def _chosen(values: list[str], dice: Random) -> str:
    return dice.choices(values, [WEIGHTS.get(value, 1) for value in values])[0]


def _timestamp(spot: Spot) -> float:
    """Some time in the last year; what is not CreatedTime comes after it."""
    pen = spot.pen
    when = pen.at - timedelta(seconds=pen.dice("CreatedTime").uniform(3600, AGE_MAX_D * 86_400))
    if spot.field != "CreatedTime":
        when += (pen.at - when) * spot.dice.random()
    return round(epoch_s(when), 6)


def _text(spot: Spot) -> str:
    """The text for a field of this name; a field we never heard of gets its own name and a number."""
    for pattern, write in TEXTS.items():
        if re.fullmatch(pattern, spot.field):
            return write(spot)
    return f"{re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '-', spot.field).lower()}-{spot.dice.randrange(1000)}"


def _id(prefix: str) -> Writer:
    return lambda spot: f"{prefix}-{spot.dice.getrandbits(68):017x}"


def _arn(service: str, resource: str, *, regional: bool = True, owned: bool = True) -> Writer:
    def write(spot: Spot) -> str:
        scope, name = spot.pen.scope, spot.pen.name
        region, account_id = scope.region if regional else "", scope.account_id if owned else ""
        named = resource.format(name=name, n=spot.dice.randrange(1, 29), account_id=scope.account_id)
        return f"arn:{partition_of(scope.region)}:{service}:{region}:{account_id}:{named}"

    return write


def _ipv4(spot: Spot) -> str:
    return f"10.{spot.dice.randrange(64)}.{spot.dice.randrange(256)}.{spot.dice.randrange(4, 255)}"


def _ipv6(spot: Spot) -> str:
    return f"2600:1f18:{spot.dice.getrandbits(16):x}:{spot.dice.getrandbits(16):x}::{spot.dice.randrange(1, 4096):x}"


@cache
def partition_of(region: str) -> str:
    """Return `aws`, `aws-cn`, `aws-us-gov`, ..."""
    import botocore.session

    return botocore.session.get_session().get_partition_for_region(region)


TEXTS: Mapping[str, Writer] = {
    "Name": lambda spot: spot.pen.name,
    "DisplayName": lambda spot: spot.pen.name.replace("-", " ").title(),
    "Description": lambda spot: spot.dice.choice(DESCRIPTIONS),
    "InstanceType": lambda spot: spot.dice.choice(SIZES),
    "Arn": _arn("appstream", "image-builder/{name}"),
    "ImageArn": _arn("appstream", "image/AppStream-WinServer2022-11-{n:02d}-2025", owned=False),
    "IamRoleArn": _arn("iam", "role/appstream-image-builder", regional=False),
    "S3BucketArn": _arn("s3", "appstream-agent-logs-{account_id}", regional=False, owned=False),
    ".*RoleArn": _arn("iam", "role/appstream-{n}", regional=False),
    ".*Arn": _arn("appstream", "resource/{name}-{n}"),
    "SubnetIds?": _id("subnet"),
    "SecurityGroupIds?": _id("sg"),
    "EniId": _id("eni"),
    "VpceId": _id("vpce"),
    "VpcId": _id("vpc"),
    "EniPrivateIpAddress": _ipv4,
    ".*Ipv6Address(es)?": _ipv6,
    ".*AgentVersion": lambda spot: spot.dice.choice(("11-03-2025", "09-16-2025", "06-20-2025", "02-28-2025")),
    "DirectoryName": lambda spot: spot.dice.choice(("corp.example.com", "lab.example.com")),
    "OrganizationalUnit.*": lambda _: "OU=AppStream,OU=Computers,DC=corp,DC=example,DC=com",
    ".*Message": lambda _: "See the documentation.",
}

SCALARS: Mapping[str, Writer] = {
    "string": _text,
    "timestamp": _timestamp,
    "boolean": lambda spot: spot.dice.random() < 0.5,
    "integer": lambda spot: spot.dice.choice((200, 200, 250, 300, 500)),
    "long": lambda spot: spot.dice.randrange(1 << 40),
    "float": lambda spot: round(spot.dice.uniform(0, 100), 2),
    "double": lambda spot: round(spot.dice.uniform(0, 100), 4),
}
