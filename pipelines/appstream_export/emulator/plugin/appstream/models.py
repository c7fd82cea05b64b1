"""What AWS holds, per account and region, for each operation that lists; the items are as AWS sends them."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import botocore.session
from moto.core.base_backend import BackendDict, BaseBackend

from appstream_export.emulator.inputs import (
    find_input_problem,
    find_missing_choice,
    is_selected,
    list_unknown_names,
    select_parent_input,
)
from appstream_export.emulator.operations import DEFAULT_PAGE_SIZE, EmulatedOperation, load_list_operation
from appstream_export.emulator.tags import SERVICE as TAGGING_SERVICE, list_tag_mappings, merge_tags

Item = Any

SERVICE = "appstream"
OWN_NAMES = ("Name", "name", "key", "Id", "id", "Arn", "arn")
REFERENCES = ("name", "id", "arn")


class EmulatedAwsError(Exception):
    """AWS answers with an error instead of a page."""

    def __init__(self, code: str, message: str, http_status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.http_status = code, message, http_status

    @property
    def body(self) -> dict[str, Any]:
        """The error as JSON 1.1 carries it."""
        return {"__type": self.code, "message": self.message}


@dataclass(slots=True)
class EmulatedPage:
    """One answer, and the means to prolong the scan beyond it."""

    operation: EmulatedOperation
    items: list[Any]
    number: int
    """0-based within the scan."""
    next_token: str | None
    build_token: Any
    """`build_token(number)`: a valid token that goes on where this page ends, as page `number`."""

    @property
    def items_key(self) -> str:
        """The first step to the items."""
        return self.operation.items_path[0]

    @property
    def content_type(self) -> str:
        """The type of the answer."""
        return self.operation.content_type

    @property
    def body(self) -> dict[str, Any]:
        """The answer as JSON: without a token on the last page, but for the tagging API, which sends it empty."""
        items = {item["key"]: item["value"] for item in self.items} if self.operation.is_map else self.items
        body = _build_nested(self.operation.items_path, items)
        if self.operation.output_token and (self.next_token or self.operation.service == TAGGING_SERVICE):
            body |= _build_nested(self.operation.output_token, self.next_token or "")
        return body


@dataclass(slots=True)
class HeldItem:
    """An item, and the inputs to which AWS gives it as an answer; without inputs, to all that its fields fit."""

    item: Item
    inputs: Mapping[str, Any] = field(default_factory=dict)


class AppStreamBackend(BaseBackend):
    """AppStream, and any other service that was filled, in one account and region."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.items_by_operation: dict[tuple[str, str], dict[str, HeldItem]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        """The tags of resources that have or had some, by Arn."""

    def put_items(
        self, operation: str, items: Iterable[Item], *, service: str = SERVICE, inputs: Mapping[str, Any] | None = None
    ) -> None:
        """Add items, or replace those of the same name and inputs where they stand."""
        held = self.items_by_operation.setdefault((service, operation), {})
        held.update({build_item_key(item, inputs): HeldItem(item, dict(inputs or {})) for item in items})

    def remove_items(self, operation: str, names: Iterable[str], *, service: str = SERVICE) -> None:
        """Take items out, with their tags; KeyError where there is no such name."""
        held = self.items_by_operation[service, operation]
        for name in names:
            keys = [key for key, one in held.items() if get_item_name(one.item) == name]
            if not keys:
                raise KeyError(name)
            for key in keys:
                item = held.pop(key).item
                self.tags.pop(item.get("Arn", "") if isinstance(item, dict) else "", None)

    def list_items(self, operation: str, *, service: str = SERVICE) -> list[Item]:
        """Return what is held, in order of insertion."""
        return [held.item for held in self.items_by_operation.get((service, operation), {}).values()]

    def put_tags(self, arn: str, tags: Mapping[str, str | None]) -> None:
        """Add tags to a resource; None removes one."""
        self.tags[arn] = merge_tags(self.tags.get(arn, {}), tags)

    def build_page(self, name: str, params: Mapping[str, Any], *, service: str = SERVICE) -> EmulatedPage:
        """Answer one request; raises EmulatedAwsError where AWS would."""
        operation = load_list_operation(service, name)
        if operation is None:
            raise EmulatedAwsError("UnknownOperationException", f"the emulator knows no {name}")
        if problem := find_input_problem(operation, params):
            raise EmulatedAwsError("ValidationException", problem)
        if problem := find_missing_choice(operation, params):
            raise EmulatedAwsError("InvalidParameterCombinationException", problem)
        items = self._select_items(operation, params)
        start, number = self._decode_token(name, params.get(operation.input_token or ""))
        end = start + self._get_page_size(operation, params) if operation.output_token else len(items)

        def build_token(page: int) -> str:
            return self._encode_token(name, min(end, len(items)), page)

        token = build_token(number + 1) if end < len(items) else None
        return EmulatedPage(operation, items[start:end], number, token, build_token)

    def get_page_number(self, name: str, token: str | None) -> int:
        """Return the page number of a scan that a request is for; 0 if its token means nothing."""
        try:
            return self._decode_token(name, token)[1]
        except EmulatedAwsError:
            return 0

    def has_resource(self, arn: str) -> bool:
        """Return whether a resource of this Arn exists."""
        items = (one.item for held in self.items_by_operation.values() for one in held.values())
        return any(isinstance(item, dict) and item.get("Arn") == arn for item in items)

    def _select_items(self, operation: EmulatedOperation, params: Mapping[str, Any]) -> list[Item]:
        if operation.service == TAGGING_SERVICE and operation.name == "GetResources":
            return list_tag_mappings(self.tags, params)
        if operation.name == "ListTagsForResource" and operation.is_map:
            return self._list_tags(operation, params)
        given = {name: value for name, value in params.items() if name not in _get_paging_inputs(operation)}
        held = list(self.items_by_operation.get((operation.service, operation.name), {}).values())
        if not given:
            return [one.item for one in held if not one.inputs]
        self._check_parents(operation, given)
        for name in list_unknown_names(given, [one.item for one in held]):
            raise EmulatedAwsError(operation.not_found_code, f"{operation.name}: {name} was not found.")
        return [one.item for one in held if is_selected(operation, one.item, one.inputs, given)]

    def _list_tags(self, operation: EmulatedOperation, params: Mapping[str, Any]) -> list[Item]:
        arn = str(params.get("ResourceArn", ""))
        if arn not in self.tags and not self.has_resource(arn):
            raise EmulatedAwsError(operation.not_found_code, f"The resource {arn} was not found.")
        return [{"key": key, "value": value} for key, value in self.tags.get(arn, {}).items()]

    def _check_parents(self, operation: EmulatedOperation, given: Mapping[str, Any]) -> None:
        """Refuse an input that names a resource which is not there, of a kind that this scope has or had."""
        for name, value in given.items():
            parent = select_parent_input(operation, name)
            held = self.items_by_operation.get((operation.service, parent)) if parent else None
            if held is not None and value not in {get_item_name(one.item) for one in held.values()}:
                raise EmulatedAwsError(operation.not_found_code, f"{name} {value} was not found.")

    @staticmethod
    def _get_page_size(operation: EmulatedOperation, params: Mapping[str, Any]) -> int:
        size = params.get(operation.page_size or "") or min(DEFAULT_PAGE_SIZE, operation.max_page_size or 50)
        return int(size)

    def _encode_token(self, operation: str, start: int, number: int) -> str:
        meaning = json.dumps([self.account_id, self.region_name, operation, start, number]).encode()
        return urlsafe_b64encode(crc32(meaning).to_bytes(4, "big") + meaning).decode()

    def _decode_token(self, operation: str, token: str | None) -> tuple[int, int]:
        """Where a page begins and its number; a token of another scope or operation is refused."""
        if token is None:
            return 0, 0
        try:
            raw = urlsafe_b64decode(token.encode())
            *origin, start, number = json.loads(raw[4:])
        except ValueError:
            origin, start, number = [], 0, 0
        if origin != [self.account_id, self.region_name, operation] or token != self._encode_token(
            operation, start, number
        ):
            raise EmulatedAwsError("InvalidParameterCombinationException", "Invalid NextToken.")
        return start, number


def get_item_name(item: Item) -> Any:
    """Return the text by which an item is known: its name, id or Arn, else those of what it associates."""
    if not isinstance(item, dict):
        return item
    own = next((item[key] for key in OWN_NAMES if isinstance(item.get(key), str)), None)
    named = [value for key, value in item.items() if key.lower().endswith(REFERENCES) and isinstance(value, str)]
    return own or (named[0] if len(named) == 1 else json.dumps(named or item, sort_keys=True))


def build_item_key(item: Item, inputs: Mapping[str, Any] | None) -> str:
    """Return what makes an item the same one when it is put again."""
    return json.dumps([get_item_name(item), inputs or {}], sort_keys=True)


def _get_paging_inputs(operation: EmulatedOperation) -> tuple[str | None, ...]:
    return operation.input_token, operation.page_size


def _build_nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for step in reversed(path):
        value = {step: value}
    return value


# AppStream is offered in fewer regions than AWS has; we answer in all of them rather than guess which come next.
_partitions = botocore.session.get_session().get_data("endpoints")["partitions"]
appstream_backends = BackendDict(
    AppStreamBackend,
    "appstream",
    use_boto3_regions=False,
    additional_regions=[region for partition in _partitions for region in partition["regions"]],
)


def get_appstream_backend(account_id: str, region: str) -> AppStreamBackend:
    """Return the services of a scope; a region that no partition has is refused."""
    regions = appstream_backends[account_id]
    if region not in regions:
        raise EmulatedAwsError("UnrecognizedClientException", "The security token included in the request is invalid.")
    return regions[region]
