"""Generate plausible items by walking botocore's output shape, so that new fields of AWS get values without code.

Each value depends only on the seed, the scope, the item's name and its own path, so that a new field changes no other.
The tables below hold names of fields, not their paths.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from appstream_export.model import Scope

from .operations import get_item_shape, get_wire_name, load_list_operation

Item = dict[str, Any]
APPSTREAM = "appstream"

DEFAULT_CREATED_BEFORE = datetime(2026, 1, 12, 8, tzinfo=UTC)  # items are older than this unless `at` says otherwise
AGE_MAX_D = 400

# How often a field is there, in percent; AWS requires Name alone, but sends what it has.
PRESENCE_PERCENT: Mapping[str, int] = {
    "Name": 100, "Arn": 100, "State": 100, "Platform": 100, "InstanceType": 100, "CreatedTime": 100,
    "SubnetIds": 100, "EniId": 100, "EniPrivateIpAddress": 100, "VolumeSizeInGb": 100, "EndpointType": 100,
    "VpceId": 100, "AgentAction": 100, "Permission": 100, "DirectoryName": 100, "ErrorCode": 100, "ErrorMessage": 95,
    "Code": 100, "Message": 90, "VpcConfig": 92, "DisplayName": 75, "Description": 60, "IamRoleArn": 45,
    "StateChangeReason": 2, "ImageBuilderErrors": 3, "DomainJoinInfo": 35, "AccessEndpoints": 25,
    "EniIpv6Addresses": 40, "AgentAccessConfig": 35, "RootVolumeConfig": 55, "DisableIMDSV1": 70,
}  # fmt: skip
DEFAULT_PRESENCE_PERCENT = 80
_IDENTITY = re.compile(r"(Id|Arn|Name)$|^(id|arn|name)$")  # a name of a field that may identify an item
# A builder that failed says why.
PRESENCE_PERCENT_IF_FAILED: Mapping[str, int] = {"StateChangeReason": 100, "ImageBuilderErrors": 95}

DEPTH_MAX = 6  # of recursive shapes
EMPTY_VALUES: Mapping[str, Any] = {"structure": {}, "map": {}, "list": []}
COUNTS: Mapping[str, tuple[int, ...]] = {"SubnetIds": (1, 1, 2, 3), "SecurityGroupIds": (1, 1, 2, 4)}
DEFAULT_COUNTS = (1, 1, 2)
# Of these a scope has only a few, which its builders share; with the prefix of their ids.
SHARED_ID_PREFIXES: Mapping[str, str] = {"SubnetIds": "subnet", "SecurityGroupIds": "sg"}
SHARED_ID_COUNT = 6
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
class ItemContext:
    """The item whose values are generated."""

    name: str
    scope: Scope
    seed: int | str
    at: datetime
    complete: bool
    service: str = APPSTREAM
    kind: str = "image-builder"
    """The resource type in its Arn."""

    def create_rng(self, path: str) -> Random:
        """Return a random generator for one path, the same in every process."""
        return Random(f"{self.seed}/{self.scope}/{self.name}/{path}")  # noqa: S311 - a demo, no secret

    def is_own_field(self, field: str) -> bool:
        """Return whether a field names the item itself: Name, ImageArn of an image, FleetId of a fleet."""
        noun = self.kind.replace("-", "")
        return field.lower() in {prefix + end for prefix in ("", noun) for end in ("name", "id", "arn")}


@dataclass(frozen=True, slots=True)
class FieldContext:
    """The field whose value is generated."""

    name: str
    rng: Random
    item: ItemContext


ValueGenerator = Callable[[FieldContext], Any]


@cache
def load_item_shape(operation: str = "DescribeImageBuilders", service: str = APPSTREAM) -> Any:
    """Return the shape of one item, from the installed botocore; raises KeyError if there is none."""
    listed = load_list_operation(service, operation)
    if listed is None:
        raise KeyError(operation)
    return get_item_shape(listed)


def list_scalar_paths(shape: Any, path: str = "") -> list[str]:
    """List the paths of a shape's scalars: `VpcConfig.SubnetIds[]`."""
    if shape.type_name == "structure":
        return [
            leaf
            for name, member in shape.members.items()
            for leaf in list_scalar_paths(member, f"{path}.{name}".lstrip("."))
        ]
    return list_scalar_paths(shape.member, f"{path}[]") if shape.type_name == "list" else [path]


def make_image_builder(
    name: str,
    *,
    scope: Scope | str,
    seed: int | str = 0,
    at: datetime = DEFAULT_CREATED_BEFORE,
    complete: bool = False,
    **fields: Any,
) -> Item:
    """Return one image builder as AWS would send it, created before `at`; times are epoch seconds.

    `complete` includes every field. `fields` replace generated values, by AWS's names; None removes a field.
    """
    where = Scope.parse(scope) if isinstance(scope, str) else scope
    item = _generate_structure(load_item_shape(), "", ItemContext(name, where, seed, at, complete)) | fields
    return {key: value for key, value in item.items() if value is not None}


def make_item(
    service: str,
    operation: str,
    name: str,
    *,
    scope: Scope | str,
    at: datetime = DEFAULT_CREATED_BEFORE,
    complete: bool = False,
    fields: Mapping[str, Any] | None = None,
) -> Any:
    """Return one item of any operation that lists, generated from botocore's shape; `fields` as for image builders."""
    where = Scope.parse(scope) if isinstance(scope, str) else scope
    listed = load_list_operation(service, operation)
    if listed is None:
        raise KeyError(operation)
    shape, kind = get_item_shape(listed), _build_resource_type(listed.items_path[-1])
    context = ItemContext(name, where, f"{service}.{operation}", at, complete, service, kind)
    if listed.is_map:
        return {"key": name, "value": _generate_value(shape, "value", context)}
    if shape.type_name != "structure":
        return name if shape.type_name == "string" else _generate_value(shape, "", context)
    item = _generate_structure(shape, "", context)
    members = {get_wire_name(name, member): member for name, member in shape.members.items()}
    own = {key: _generate_own_field(key, context) for key in members if context.is_own_field(key)}
    if not own:  # what identifies it has another name
        own = {
            key: item.get(key, _generate_value(member, key, context))
            for key, member in members.items()
            if _IDENTITY.search(key) and key not in PRESENCE_PERCENT
        }
    return {key: value for key, value in (item | own | dict(fields or {})).items() if value is not None}


def _build_resource_type(items: str) -> str:
    """Return the resource type of a list: image-builder for ImageBuilders."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", items).lower()
    return re.sub(r"(ies|s)$", lambda m: "y" if m[1] == "ies" else "", words.removesuffix("-list"))


def _generate_own_field(field: str, item: ItemContext) -> str:
    if not field.lower().endswith("arn"):
        return item.name
    scope = item.scope
    partition = get_partition(scope.region)
    return f"arn:{partition}:{item.service}:{scope.region}:{scope.account_id}:{item.kind}/{item.name}"


def get_error_message(code: str) -> str:
    """Return the sentence that goes with an error code."""
    return MESSAGES.get(code, f"{code.replace('_', ' ').capitalize()}.")


def encode_timestamp(at: datetime) -> float:
    """Return a time as AWS writes it in JSON: epoch seconds, with microseconds as fraction."""
    return at.timestamp()


def _generate_structure(shape: Any, path: str, item: ItemContext) -> Item:
    failed = not path and _is_failed(shape, item)
    fields = {
        get_wire_name(name, member): _generate_value(member, f"{path}.{name}".lstrip("."), item)
        for name, member in shape.members.items()
        if item.complete
        or name in shape.required_members
        or _is_present(name, failed, item.create_rng(f"{path}.{name} present"))
    }
    for code, message in (("Code", "Message"), ("ErrorCode", "ErrorMessage")):
        if code in fields and message in fields:
            fields[message] = get_error_message(fields[code])
    return fields


def _is_failed(shape: Any, item: ItemContext) -> bool:
    """Return whether the item's generated State will be FAILED."""
    state = shape.members.get("State")
    return (
        state is not None and _choose_value(getattr(state, "enum", None) or [""], item.create_rng("State")) == "FAILED"
    )


def _generate_value(shape: Any, path: str, item: ItemContext) -> Any:
    rng, field = item.create_rng(path), path.rpartition(".")[2]
    if path.count(".") > DEPTH_MAX and shape.type_name in EMPTY_VALUES:
        return EMPTY_VALUES[shape.type_name]
    if shape.type_name == "structure":
        return _generate_structure(shape, path, item)
    if shape.type_name == "map":
        keys = [f"{field}-{position}" for position in range(1, 3)]
        return {key: _generate_value(shape.value, f"{path}.{key}", item) for key in keys}
    if shape.type_name == "list":
        count = rng.choice(COUNTS.get(field, DEFAULT_COUNTS))
        if field in SHARED_ID_PREFIXES:
            return rng.sample(_list_shared_ids(field, item), count)
        return [_generate_value(shape.member, f"{path}[{position}]", item) for position in range(count)]
    if shape.type_name == "string" and getattr(shape, "enum", None):
        return _choose_value(shape.enum, rng)
    return SCALARS[shape.type_name](FieldContext(re.sub(r"\[\d+\]", "", field), rng, item))


def _list_shared_ids(field: str, item: ItemContext) -> list[str]:
    """Return the ids of a scope that its builders share."""
    rng = Random(f"{item.scope}/{field}")  # noqa: S311 - a demo, no secret
    return [f"{SHARED_ID_PREFIXES[field]}-{rng.getrandbits(68):017x}" for _ in range(SHARED_ID_COUNT)]


def _is_present(name: str, failed: bool, rng: Random) -> bool:
    percent = PRESENCE_PERCENT.get(name, DEFAULT_PRESENCE_PERCENT)
    return rng.random() * 100 < (PRESENCE_PERCENT_IF_FAILED.get(name, percent) if failed else percent)


def _choose_value(values: list[str], rng: Random) -> str:
    return rng.choices(values, [WEIGHTS.get(value, 1) for value in values])[0]


def _generate_timestamp(field: FieldContext) -> float:
    """Return a time in the last year; other times come after CreatedTime."""
    item = field.item
    when = item.at - timedelta(seconds=item.create_rng("CreatedTime").uniform(3600, AGE_MAX_D * 86_400))
    if field.name != "CreatedTime":
        when += (item.at - when) * field.rng.random()
    return round(encode_timestamp(when), 6)


def _generate_text(field: FieldContext) -> str:
    """Return text for a field of this name; an unknown field gets its name and a number."""
    for pattern, generate_text in TEXTS.items():
        if re.fullmatch(pattern, field.name):
            return generate_text(field)
    return f"{re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '-', field.name).lower()}-{field.rng.randrange(1000)}"


def _build_id_generator(prefix: str) -> ValueGenerator:
    return lambda field: f"{prefix}-{field.rng.getrandbits(68):017x}"


def _build_arn_generator(service: str, resource: str, *, regional: bool = True, owned: bool = True) -> ValueGenerator:
    def generate_arn(field: FieldContext) -> str:
        scope, name = field.item.scope, field.item.name
        region, account_id = scope.region if regional else "", scope.account_id if owned else ""
        resource_name = resource.format(name=name, n=field.rng.randrange(1, 29), account_id=scope.account_id)
        return f"arn:{get_partition(scope.region)}:{service}:{region}:{account_id}:{resource_name}"

    return generate_arn


def _generate_ipv4(field: FieldContext) -> str:
    return f"10.{field.rng.randrange(64)}.{field.rng.randrange(256)}.{field.rng.randrange(4, 255)}"


def _generate_ipv6(field: FieldContext) -> str:
    return f"2600:1f18:{field.rng.getrandbits(16):x}:{field.rng.getrandbits(16):x}::{field.rng.randrange(1, 4096):x}"


@cache
def get_partition(region: str) -> str:
    """Return `aws`, `aws-cn`, `aws-us-gov`, ..."""
    import botocore.session

    return botocore.session.get_session().get_partition_for_region(region)


TEXTS: Mapping[str, ValueGenerator] = {
    "Name": lambda field: field.item.name,
    "DisplayName": lambda field: field.item.name.replace("-", " ").title(),
    "Description": lambda field: field.rng.choice(DESCRIPTIONS),
    "InstanceType": lambda field: field.rng.choice(SIZES),
    "Arn": _build_arn_generator("appstream", "image-builder/{name}"),
    "ImageArn": _build_arn_generator("appstream", "image/AppStream-WinServer2022-11-{n:02d}-2025", owned=False),
    "IamRoleArn": _build_arn_generator("iam", "role/appstream-image-builder", regional=False),
    "S3BucketArn": _build_arn_generator("s3", "appstream-agent-logs-{account_id}", regional=False, owned=False),
    ".*RoleArn": _build_arn_generator("iam", "role/appstream-{n}", regional=False),
    ".*A(rn|RN)": _build_arn_generator("appstream", "resource/{name}-{n}"),
    "SubnetIds?": _build_id_generator("subnet"),
    "SecurityGroupIds?": _build_id_generator("sg"),
    "EniId": _build_id_generator("eni"),
    "VpceId": _build_id_generator("vpce"),
    "VpcId": _build_id_generator("vpc"),
    "EniPrivateIpAddress": _generate_ipv4,
    ".*Ipv6Address(es)?": _generate_ipv6,
    ".*AgentVersion": lambda field: field.rng.choice(("11-03-2025", "09-16-2025", "06-20-2025", "02-28-2025")),
    "DirectoryName": lambda field: field.rng.choice(("corp.example.com", "lab.example.com")),
    "OrganizationalUnit.*": lambda _: "OU=AppStream,OU=Computers,DC=corp,DC=example,DC=com",
    ".*Message": lambda _: "See the documentation.",
}

SCALARS: Mapping[str, ValueGenerator] = {
    "string": _generate_text,
    "timestamp": _generate_timestamp,
    "boolean": lambda field: field.rng.random() < 0.5,
    "blob": lambda field: b64encode(field.rng.randbytes(12)).decode(),
    "integer": lambda field: field.rng.choice((200, 200, 250, 300, 500)),
    "long": lambda field: field.rng.randrange(1 << 40),
    "float": lambda field: round(field.rng.uniform(0, 100), 2),
    "double": lambda field: round(field.rng.uniform(0, 100), 4),
}
