"""Read an estate that a user wrote: accounts, regions, the items and tags that each holds, and what fails there.

Raises ConfigurationError with one line that has the file, the place in it, and the fix.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import Meta, Struct

from appstream_export.errors import ConfigurationError, suggest_correction
from appstream_export.model import ACCOUNT_ID, REGION, Scope
from appstream_export.user_text import read_user_text

from .emulator import APPSTREAM, Emulator
from .faults import Fault
from .items import get_partition, make_item
from .operations import EmulatedOperation, find_service_model, get_item_shape, get_wire_name, load_list_operation

GENERATED_MAX = 10_000  # items of one entry and scope
AccountId = Annotated[str, Meta(pattern=rf"\A{ACCOUNT_ID.pattern}\Z")]
Region = Annotated[str, Meta(pattern=rf"\A{REGION.pattern}\Z")]
JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "blob": (str,),
    "character": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
}


class EstateAccount(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[accounts]]`: the first one manages the organization."""

    id: AccountId
    name: str = ""
    unit: str = ""
    """The path of names below the root of the organization."""


class EstateItems(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[items]]`: what an operation lists, in every scope unless one is named."""

    operation: str
    service: str = APPSTREAM
    account: AccountId | None = None
    region: Region | None = None
    inputs: dict[str, Any] = {}
    values: list[Any] = []
    count: Annotated[int, Meta(ge=0, le=GENERATED_MAX)] = 0
    """How many more items to generate."""


class EstateTags(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[tags]]`: the tags of a resource; none at all for one that had some."""

    arn: Annotated[str, Meta(pattern=rf"\Aarn:[a-z-]+:[a-z0-9-]+:{REGION.pattern}:{ACCOUNT_ID.pattern}:.+\Z")]
    tags: dict[str, str] = {}

    @property
    def scope(self) -> Scope:
        """The account and region in the Arn."""
        _, _, _, region, account_id, _ = self.arn.split(":", 5)
        return Scope(account_id, region)


class EstateFault(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[faults]]`: what fails where; `scope` is a pattern such as `*/eu-west-1`."""

    kind: str
    operation: str
    scope: str = "*"
    times: int | None = None


class WrittenEstate(Struct, frozen=True, forbid_unknown_fields=True):
    """An estate as a user wrote it."""

    accounts: Annotated[tuple[EstateAccount, ...], Meta(min_length=1)]
    regions: Annotated[tuple[Region, ...], Meta(min_length=1)]
    items: tuple[EstateItems, ...] = ()
    tags: tuple[EstateTags, ...] = ()
    faults: tuple[EstateFault, ...] = ()

    def populate_emulator(self, aws: Emulator) -> None:
        """Fill an empty AWS."""
        aws.create_organization(
            {account.id: account.name or account.id for account in self.accounts},
            {account.id: account.unit for account in self.accounts if account.unit},
        )
        for entry in self.items:
            for scope in self.list_scopes(entry):
                items = [*entry.values, *_generate_items(entry, scope)]
                aws.put(scope, *items, operation=entry.operation, service=entry.service, inputs=entry.inputs)
        for tagged in self.tags:
            aws.put_tags(tagged.scope, tagged.arn, **tagged.tags)
        for fault in self.faults:
            aws.fail(fault.scope, Fault(fault.kind, operation=fault.operation, times=fault.times))

    def list_scopes(self, entry: EstateItems) -> list[Scope]:
        """Return the scopes that hold an entry's items."""
        accounts = [entry.account] if entry.account else [account.id for account in self.accounts]
        regions = [entry.region] if entry.region else list(self.regions)
        return [Scope(account_id, region) for account_id in accounts for region in regions]


def read_estate(file: Path) -> WrittenEstate:
    """Return the estate of a TOML or JSON file, checked against botocore's model; raises ConfigurationError."""
    try:
        text = read_user_text(file)
        raw = json.loads(text) if file.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{file}: not readable: {why}", fix="write TOML, or JSON in a file *.json") from error
    try:
        estate = msgspec.convert(_convert_times(raw), WrittenEstate)
    except msgspec.ValidationError as error:
        _raise_problem(file, str(error).replace("`", '"'))
    _check_estate(file, estate)
    return estate


def _raise_problem(file: Path, what: str, fix: str | None = None) -> NoReturn:
    raise ConfigurationError(f"{file}: {what}", fix=fix or "correct the estate")


def _convert_times(value: Any) -> Any:
    """Return a value of TOML as AWS sends it: a time is a number of seconds since 1970."""
    if isinstance(value, dict):
        return {key: _convert_times(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_convert_times(inner) for inner in value]
    if isinstance(value, datetime):
        return value.timestamp()
    return value.isoformat() if isinstance(value, date) else value


def _check_estate(file: Path, estate: WrittenEstate) -> None:
    ids = [account.id for account in estate.accounts]
    if double := next((one for one in ids if ids.count(one) > 1), None):
        _raise_problem(file, f"accounts: {double} occurs twice", "remove one")
    for number, region in enumerate(estate.regions):
        _check_region(file, f"regions[{number}]", region)
    for number, entry in enumerate(estate.items):
        _check_items(file, f"items[{number}]", entry, set(ids))
    for number, tagged in enumerate(estate.tags):
        if tagged.scope.account_id not in ids:
            _raise_problem(file, f"tags[{number}]: account {tagged.scope.account_id} is none of accounts")
        _check_region(file, f"tags[{number}]", tagged.scope.region)
    for number, fault in enumerate(estate.faults):
        try:
            Fault(fault.kind, operation=fault.operation)
        except ConfigurationError as error:
            _raise_problem(file, f"faults[{number}]: {error.message}", error.fix)


def _check_region(file: Path, place: str, region: str) -> None:
    from botocore.exceptions import UnknownRegionError

    try:
        get_partition(region)
    except UnknownRegionError:
        _raise_problem(file, f"{place}: AWS has no region {region}")


def _check_items(file: Path, place: str, entry: EstateItems, ids: set[str]) -> None:
    operation = load_list_operation(entry.service, entry.operation)
    if operation is None:
        what, fix = _describe_unknown_operation(entry)
        _raise_problem(file, f"{place}: {what}", fix)
    if entry.account and entry.account not in ids:
        _raise_problem(file, f"{place}: account {entry.account} is none of accounts")
    if entry.region:
        _check_region(file, place, entry.region)
    if unknown := next((name for name in entry.inputs if name not in operation.inputs), None):
        fix = suggest_correction(unknown, list(operation.inputs))
        _raise_problem(file, f"{place}: {entry.operation} takes no input {unknown}", fix)
    for number, value in enumerate(entry.values):
        if problem := next(_find_value_problems(f"{place}.values[{number}]", operation, value), None):
            _raise_problem(file, *problem)


def _describe_unknown_operation(entry: EstateItems) -> tuple[str, str | None]:
    model = find_service_model(entry.service)
    if model is None:
        return f"service {entry.service} is unknown to botocore, or speaks no JSON", None
    lists = [name for name in model.operation_names if load_list_operation(entry.service, name)]
    return f"{entry.service} has no operation {entry.operation} that lists", suggest_correction(entry.operation, lists)


def _find_value_problems(place: str, operation: EmulatedOperation, value: Any) -> Iterator[tuple[str, str | None]]:
    if not operation.is_map:
        yield from _walk_item(place, get_item_shape(operation), value)
    elif not isinstance(value, dict) or value.keys() != {"key", "value"}:
        yield f'{place}: an entry of a map has "key" and "value"', None
    else:
        yield from _walk_item(place, get_item_shape(operation), value["value"])


def _walk_item(place: str, shape: Any, value: Any) -> Iterator[tuple[str, str | None]]:
    """Yield what in a value is not as AWS's shape has it: a field of another name or type. Enums stay open."""
    expected = JSON_TYPES.get(shape.type_name)
    is_wrong_bool = isinstance(value, bool) and shape.type_name != "boolean"
    if expected and (not isinstance(value, expected) or is_wrong_bool):
        yield f"{place}: {json.dumps(value, default=str)[:60]} is not a {shape.type_name}", None
    elif shape.type_name == "structure" and not shape.is_document_type:
        members = {get_wire_name(name, member): member for name, member in shape.members.items()}
        yield from _list_unknown_fields(place, members, value)
        for name in value.keys() & members.keys():
            yield from _walk_item(f"{place}.{name}", members[name], value[name])
    elif shape.type_name in ("list", "map"):
        inner = shape.member if shape.type_name == "list" else shape.value
        for key, element in enumerate(value) if isinstance(value, list) else value.items():
            yield from _walk_item(f"{place}[{key}]", inner, element)


def _list_unknown_fields(
    place: str, members: Iterable[str], value: Mapping[str, Any]
) -> Iterator[tuple[str, str | None]]:
    known = list(members)
    for name in value:
        if name not in known:
            yield f"{place}: AWS has no field {name}", suggest_correction(name, known)


def _generate_items(entry: EstateItems, scope: Scope) -> list[Any]:
    """Return generated items, which have the entry's inputs in their fields of that name."""
    names = [f"{entry.operation.lower()}-{number:04d}" for number in range(1, entry.count + 1)]
    items = [make_item(entry.service, entry.operation, name, scope=scope) for name in names]
    return [item | {key: entry.inputs[key] for key in entry.inputs if key in item} if isinstance(item, dict) else item
            for item in items]  # fmt: skip
