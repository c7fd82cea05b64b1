"""What AppStream holds, per account and region, for each operation that lists; the items are as AWS sends them."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import cache
from typing import Any
from zlib import crc32

import botocore.session
from moto.core.base_backend import BackendDict, BaseBackend

PAGE_SIZE = 50  # where the caller names none

Item = dict[str, Any]


class EmulatedAwsError(Exception):
    """AWS answers with an error instead of a page."""

    def __init__(self, code: str, message: str, http_status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.http_status = code, message, http_status

    @property
    def body(self) -> Item:
        """The error as JSON 1.1 carries it."""
        return {"__type": self.code, "message": self.message}


@dataclass(slots=True)
class EmulatedPage:
    """One answer, and the means to prolong the scan beyond it."""

    items_key: str
    items: list[Any]
    number: int
    """0-based within the scan."""
    end: int
    """Where the next page begins."""
    next_token: str | None
    build_token: Any
    """`build_token(number)`: a valid token that goes on at `end`, as page `number`."""

    @property
    def body(self) -> Item:
        """The answer as JSON 1.1 carries it: without NextToken on the last page."""
        return {self.items_key: self.items} | ({"NextToken": self.next_token} if self.next_token else {})


@cache
def list_operations() -> dict[str, str]:
    """Return the operations that list, each with the key of its list, as the installed botocore knows them."""
    model = botocore.session.get_session().get_service_model("appstream")
    found: dict[str, str] = {}
    for name in model.operation_names:
        output = model.operation_model(name).output_shape
        members = dict(output.members) if output else {}
        lists = [key for key, shape in members.items() if shape.type_name == "list"]
        if name.startswith("Describe") and len(lists) == 1:
            found[name] = lists[0]
    return found


class AppStreamBackend(BaseBackend):
    """AppStream in one account and region."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.items_by_operation: dict[str, dict[str, Item]] = {}

    def put_items(self, operation: str, items: tuple[Item, ...]) -> None:
        """Add items, or replace those of the same name where they stand."""
        self.items_by_operation.setdefault(operation, {}).update({item["Name"]: item for item in items})

    def remove_items(self, operation: str, names: tuple[str, ...]) -> None:
        """Take items out; KeyError where there is no such name."""
        for name in names:
            del self.items_by_operation[operation][name]

    def list_items(self, operation: str) -> list[Item]:
        """Return what is held, in order of insertion."""
        return list(self.items_by_operation.get(operation, {}).values())

    def build_page(self, operation: str, params: Item) -> EmulatedPage:
        """Answer one request; raises EmulatedAwsError where AWS would."""
        if operation not in list_operations():
            raise EmulatedAwsError("UnknownOperationException", f"the emulator knows no {operation}")
        items = self._select_items(operation, params.get("Names") or [])
        start, number = self._decode_token(operation, params.get("NextToken"))
        end = start + _parse_page_size(params.get("MaxResults"))

        def build_token(page: int) -> str:
            return self._encode_token(operation, min(end, len(items)), page)

        token = build_token(number + 1) if end < len(items) else None
        return EmulatedPage(list_operations()[operation], items[start:end], number, end, token, build_token)

    def get_page_number(self, operation: str, token: str | None) -> int:
        """Return the page number of a scan that a request is for; 0 if its token means nothing."""
        try:
            return self._decode_token(operation, token)[1]
        except EmulatedAwsError:
            return 0

    def _select_items(self, operation: str, names: list[str]) -> list[Item]:
        if not names:
            return self.list_items(operation)
        held = self.items_by_operation.get(operation, {})
        for name in names:
            if name not in held:
                raise EmulatedAwsError("ResourceNotFoundException", f"{operation}: {name} was not found.")
        return [item for name, item in held.items() if name in set(names)]

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


def _parse_page_size(max_results: Any) -> int:
    if max_results is None:
        return PAGE_SIZE
    if not isinstance(max_results, int) or max_results < 1:
        raise EmulatedAwsError("ValidationException", f"MaxResults must be a positive integer, not {max_results!r}")
    return max_results


# AppStream is offered in fewer regions than AWS has; we answer in all of them rather than guess which come next.
_partitions = botocore.session.get_session().get_data("endpoints")["partitions"]
appstream_backends = BackendDict(
    AppStreamBackend,
    "appstream",
    use_boto3_regions=False,
    additional_regions=[region for partition in _partitions for region in partition["regions"]],
)


def get_appstream_backend(account_id: str, region: str) -> AppStreamBackend:
    """Return AppStream in a scope; a region that no partition has is refused."""
    regions = appstream_backends[account_id]
    if region not in regions:
        raise EmulatedAwsError("UnrecognizedClientException", "The security token included in the request is invalid.")
    return regions[region]
