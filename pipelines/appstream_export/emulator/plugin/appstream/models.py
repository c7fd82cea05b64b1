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


class Refused(Exception):
    """AWS answers with an error instead of a page."""

    def __init__(self, code: str, message: str, http_status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.http_status = code, message, http_status

    @property
    def body(self) -> Item:
        """The error as JSON 1.1 carries it."""
        return {"__type": self.code, "message": self.message}


@dataclass(slots=True)
class Page:
    """One answer, and the means to prolong the scan beyond it."""

    items_key: str
    items: list[Any]
    number: int
    """0-based within the scan."""
    end: int
    """Where the next page begins."""
    next_token: str | None
    token_of: Any
    """`token_of(number)`: a valid token that goes on at `end`, as page `number`."""

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
        self.held: dict[str, dict[str, Item]] = {}

    def put(self, operation: str, items: tuple[Item, ...]) -> None:
        """Add items, or replace those of the same name where they stand."""
        self.held.setdefault(operation, {}).update({item["Name"]: item for item in items})

    def remove(self, operation: str, names: tuple[str, ...]) -> None:
        """Take items out; KeyError where there is no such name."""
        for name in names:
            del self.held[operation][name]

    def items(self, operation: str) -> list[Item]:
        """Return what is held, in order of insertion."""
        return list(self.held.get(operation, {}).values())

    def page(self, operation: str, params: Item) -> Page:
        """Answer one request; raises Refused where AWS would."""
        if operation not in list_operations():
            raise Refused("UnknownOperationException", f"the emulator knows no {operation}")
        items = self._wanted(operation, params.get("Names") or [])
        start, number = self._position(operation, params.get("NextToken"))
        end = start + _page_size(params.get("MaxResults"))

        def token_of(page: int) -> str:
            return self._token(operation, min(end, len(items)), page)

        token = token_of(number + 1) if end < len(items) else None
        return Page(list_operations()[operation], items[start:end], number, end, token, token_of)

    def page_number(self, operation: str, token: str | None) -> int:
        """Which page of a scan a request asks for; 0 where its token means nothing."""
        try:
            return self._position(operation, token)[1]
        except Refused:
            return 0

    def _wanted(self, operation: str, names: list[str]) -> list[Item]:
        if not names:
            return self.items(operation)
        held = self.held.get(operation, {})
        for name in names:
            if name not in held:
                raise Refused("ResourceNotFoundException", f"{operation}: {name} was not found.")
        return [item for name, item in held.items() if name in set(names)]

    def _token(self, operation: str, start: int, number: int) -> str:
        meaning = json.dumps([self.account_id, self.region_name, operation, start, number]).encode()
        return urlsafe_b64encode(crc32(meaning).to_bytes(4, "big") + meaning).decode()

    def _position(self, operation: str, token: str | None) -> tuple[int, int]:
        """Where a page begins and its number; a token of another scope or operation is as bad as none of ours."""
        if token is None:
            return 0, 0
        try:
            raw = urlsafe_b64decode(token.encode())
            *origin, start, number = json.loads(raw[4:])
        except ValueError:
            origin, start, number = [], 0, 0
        if origin != [self.account_id, self.region_name, operation] or token != self._token(operation, start, number):
            raise Refused("InvalidParameterCombinationException", "Invalid NextToken.")
        return start, number


def _page_size(asked: Any) -> int:
    if asked is None:
        return PAGE_SIZE
    if not isinstance(asked, int) or asked < 1:
        raise Refused("ValidationException", f"MaxResults must be a positive integer, not {asked!r}")
    return asked


# AppStream is offered in fewer regions than EC2; we answer in all of them rather than guess which come next.
appstream_backends = BackendDict(
    AppStreamBackend,
    "appstream",
    use_boto3_regions=False,
    additional_regions=[
        region
        for partition in botocore.session.get_session().get_available_partitions()
        for region in botocore.session.get_session().get_available_regions("ec2", partition)
    ],
)


def backend_of(account_id: str, region: str) -> AppStreamBackend:
    """Return AppStream in a scope; a region that no partition has is refused."""
    regions = appstream_backends[account_id]
    if region not in regions:
        raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    return regions[region]
