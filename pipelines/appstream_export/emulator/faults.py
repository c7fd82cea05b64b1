"""Faults of AWS or of the network, by name: for a scope, permanently or a number of times.

Each kind is a row of one of three tables: ERROR_FAULTS answer with an error, ITEM_FAULTS change the page before it
becomes JSON, WIRE_FAULTS damage the bytes after that.
"""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from appstream_export.errors import ConfigurationError, suggest_correction

Item = dict[str, Any]

JSON_TYPE = "application/x-amz-json-1.1"
FOREIGN_ACCOUNT = "999999999999"
YEAR_10000 = 253_402_300_800  # epoch seconds of 10000-01-01, one beyond what datetime holds


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The bytes of an answer. Fewer may be sent than `content_length` announces, and a TCP reset may end it."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    content_length: int | None = None
    """Content-Length where it is not the body's."""
    reset: bool = False


class MutablePage(Protocol):
    """A page that an item fault may change."""

    items: list[Any]
    items_key: str
    number: int
    next_token: str | None
    build_token: Callable[[int], str]

    @property
    def content_type(self) -> str:
        """The type of the answer."""
        ...

    @property
    def body(self) -> Item:
        """The page to send."""
        ...


@dataclass(frozen=True, slots=True)
class FaultContext:
    """The request that a fault applies to: its token, and the first item of its scope."""

    token: str | None
    first_item: Item | None


@dataclass(frozen=True, slots=True)
class ErrorFault:
    """An error in AWS's words; `{who}`, `{what}` and `{role}` are filled in."""

    doc: str
    code: str
    message: str
    http_status: int = 400
    query_code: str = ""
    """The code in the query protocol (STS), which drops the word Exception."""
    query_status: int = 403


NOT_AUTHORIZED = "User: {who} is not authorized to perform: {what} on resource: *"
ERROR_FAULTS: Mapping[str, ErrorFault] = {
    "throttle": ErrorFault(
        "ThrottlingException, HTTP 400", "ThrottlingException", "Rate exceeded", 400, "Throttling", 400
    ),
    "request_limit": ErrorFault(
        "RequestLimitExceededException, which botocore does not retry",
        "RequestLimitExceededException", "Request limit exceeded.", 400, "RequestLimitExceeded", 503,
    ),
    "deny": ErrorFault(
        "AccessDeniedException: no policy allows the operation", "AccessDeniedException",
        NOT_AUTHORIZED + " because no identity-based policy allows the {what} action", 400, "AccessDenied",
    ),
    "deny_scp": ErrorFault(
        "AccessDeniedException: a service control policy denies the operation", "AccessDeniedException",
        NOT_AUTHORIZED + " with an explicit deny in a service control policy", 400, "AccessDenied",
    ),
    "no_role": ErrorFault(
        "AccessDenied of AssumeRole: the role is missing, or does not trust the caller", "AccessDeniedException",
        "User: {who} is not authorized to perform: {what} on resource: {role}", 400, "AccessDenied",
    ),
    "expired": ErrorFault(
        "ExpiredTokenException: the session's credentials are too old", "ExpiredTokenException",
        "The security token included in the request is expired", 400, "ExpiredToken",
    ),
    "error500": ErrorFault(
        "InternalFailure, HTTP 500", "InternalFailure", "The request processing has failed.", 500,
        "InternalFailure", 500,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ItemFault:
    """Changes a page in place, or returns the body to send instead."""

    doc: str
    apply: Callable[[MutablePage, FaultContext], Item | None]


@dataclass(frozen=True, slots=True)
class WireFault:
    """Damages an answer that is ready to be sent."""

    doc: str
    apply: Callable[[HttpResponse], HttpResponse]


def _repeat_token(page: MutablePage, context: FaultContext) -> None:
    page.next_token = context.token or page.build_token(1)


def _cycle_tokens(page: MutablePage, _: FaultContext) -> None:
    page.next_token = page.build_token(2 if page.number == 1 else 1)


def _send_empty_pages(page: MutablePage, _: FaultContext) -> None:
    page.items, page.next_token = [], page.build_token(page.number + 1)


def _duplicate_first_item(page: MutablePage, context: FaultContext) -> None:
    if context.first_item is not None:
        later = {"Description": f"seen again on page {page.number}"} if page.number else {}
        page.items.append(context.first_item | later)


def _add_unknown_fields(page: MutablePage, _: FaultContext) -> None:
    for item in page.items:
        item["HibernationConfig"] = {"Enabled": True, "TimeoutInMinutes": 60}
    for item in page.items[:1]:
        item.setdefault("VpcConfig", {})["IpamPoolId"] = "ipam-pool-0a1b2c3d4e5f60718"
        item.setdefault("ImageBuilderErrors", []).append({"ErrorCode": "VALIDATION_ERROR", "Severity": "LOW"})


# Field, value of a wrong type: dealt out to the items of a page in turn, so that one item takes all if it is alone.
WRONG_TYPES: tuple[tuple[str, Any], ...] = (
    ("VpcConfig", {"SubnetIds": "subnet-0123456789abcdef0", "SecurityGroupIds": ["sg-0123456789abcdef0"]}),
    ("DisplayName", 42),
    ("Platform", {"Name": "WINDOWS"}),
    ("RootVolumeConfig", {"VolumeSizeInGb": 200.5}),
    ("EnableDefaultInternetAccess", "yes"),
    ("ImageBuilderErrors", {"ErrorCode": "INTERNAL_SERVICE_ERROR"}),
    ("NetworkAccessConfiguration", ["eni-0123456789abcdef0"]),
    ("AgentAccessConfig", {"Settings": [["COMPUTER_INPUT", "ENABLED"]], "ScreenshotsUploadEnabled": 1}),
    ("CreatedTime", {"Seconds": 1}),
    ("DomainJoinInfo", "corp.example.com"),
)


def _set_wrong_types(page: MutablePage, _: FaultContext) -> None:
    """Give each item a wrong field (the second a VpcConfig of text), and add two elements that are no items."""
    for position, (name, value) in enumerate(WRONG_TYPES if page.items else ()):
        page.items[position % len(page.items)][name] = deepcopy(value)
    for item in page.items[1:2]:
        item["VpcConfig"] = "vpc-0123456789abcdef0"
    page.items += ["not an item", None]


def _set_bad_timestamps(page: MutablePage, _: FaultContext) -> None:
    for item, value in zip(page.items, ("yesterday", YEAR_10000, float("nan")), strict=False):
        item["CreatedTime"] = value


def _set_foreign_arn(page: MutablePage, _: FaultContext) -> None:
    for item in page.items[:1]:
        partition, region = item.get("Arn", "arn:aws:appstream:us-east-1").split(":")[1:4:2]
        item["Arn"] = f"arn:{partition}:appstream:{region}:{FOREIGN_ACCOUNT}:image-builder/{item['Name']}"


def _remove_name(page: MutablePage, _: FaultContext) -> None:
    for item in page.items[:1]:
        del item["Name"]


def _set_unknown_enum(page: MutablePage, _: FaultContext) -> None:
    for item in page.items[:1]:
        item["State"] = "HIBERNATING"


def _add_bad_elements(page: MutablePage, _: FaultContext) -> None:
    for item in page.items[:1]:
        item.setdefault("VpcConfig", {}).setdefault("SubnetIds", []).extend([None, 7])
        item.setdefault("ImageBuilderErrors", []).append("INTERNAL_SERVICE_ERROR")


ITEM_FAULTS: Mapping[str, ItemFault] = {
    "missing_key": ItemFault("HTTP 200 with {}: the list is not there", lambda _page, _context: {}),
    "null_list": ItemFault("HTTP 200 with null for the list", lambda page, _: {page.items_key: None}),
    "repeated_token": ItemFault("the request's own NextToken comes back", _repeat_token),
    "token_cycle": ItemFault("NextToken goes A, B, A, B without end", _cycle_tokens),
    "endless_empty": ItemFault("empty pages, each with a fresh NextToken", _send_empty_pages),
    "duplicate_items": ItemFault(
        "each page ends with the scope's first item, changed in Description", _duplicate_first_item
    ),
    "unknown_field": ItemFault("fields that botocore does not know: top level, VpcConfig, error", _add_unknown_fields),
    "unknown_enum": ItemFault("the first item is in State HIBERNATING", _set_unknown_enum),
    "wrong_types": ItemFault("text for a list, numbers for text, and items that are text and null", _set_wrong_types),
    "bad_timestamp": ItemFault("CreatedTime is text, year 10000, NaN: one item each", _set_bad_timestamps),
    "foreign_arn": ItemFault("the first item bears an Arn of another account", _set_foreign_arn),
    "no_name": ItemFault("the first item has no Name", _remove_name),
    "bad_element": ItemFault("null and a number among subnets, text among errors", _add_bad_elements),
}

PROXY_PAGE = b"<!DOCTYPE html><html><body><h1>Sign in to the proxy</h1></body></html>"


def _truncate_body(response: HttpResponse) -> HttpResponse:
    return replace(response, body=response.body[: len(response.body) * 2 // 3])


def _overstate_content_length(response: HttpResponse) -> HttpResponse:
    return replace(_truncate_body(response), content_length=len(response.body))


WIRE_FAULTS: Mapping[str, WireFault] = {
    # The gateway waits.
    "slow": WireFault("the answer comes whole, after delay_s seconds", lambda response: response),
    "reset": WireFault(
        "TCP reset in mid-body", lambda response: replace(_overstate_content_length(response), reset=True)
    ),
    "truncated": WireFault("HTTP 200, JSON cut in the middle, Content-Length fits", _truncate_body),
    "short_body": WireFault("HTTP 200, fewer bytes than Content-Length, then the end", _overstate_content_length),
    "html": WireFault(
        "HTTP 200 with a page of a proxy", lambda _: HttpResponse(200, PROXY_PAGE, "text/html; charset=utf-8")
    ),
    "empty_body": WireFault("HTTP 200 with nothing", lambda response: replace(response, body=b"")),
}

FAULTS: Mapping[str, str] = {
    kind: fault.doc for table in (ERROR_FAULTS, WIRE_FAULTS, ITEM_FAULTS) for kind, fault in table.items()
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: its kind, `times` (None: always), the `page` of a scan (None: any), and the operation."""

    kind: str
    times: int | None = field(default=None, kw_only=True)
    page: int | None = field(default=None, kw_only=True)
    operation: str = field(default="DescribeImageBuilders", kw_only=True)
    delay_s: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            fix = suggest_correction(self.kind, list(FAULTS))
            raise ConfigurationError(f'there is no fault "{self.kind}"', fix=fix)
        anywhere = self.kind in ERROR_FAULTS or self.kind == "slow"
        if not anywhere and not self.operation.startswith(("Describe", "List", "Get", "Search")):
            raise ConfigurationError(f'the fault "{self.kind}" needs a page: {self.operation} has none')


def render_damaged_page(kind: str, page: MutablePage, context: FaultContext) -> HttpResponse:
    """Return the bytes of a page, with a fault of its items or of the network."""
    if kind in ITEM_FAULTS:
        page.items = deepcopy(page.items)
        body = ITEM_FAULTS[kind].apply(page, context)
        return encode_json_response(page.body if body is None else body, content_type=page.content_type)
    return WIRE_FAULTS[kind].apply(encode_json_response(page.body, content_type=page.content_type))


def encode_json_response(body: Item, status: int = 200, content_type: str = JSON_TYPE) -> HttpResponse:
    """Encode JSON as AWS sends it; NaN stays NaN, which is not valid JSON."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return HttpResponse(status, text.encode(), content_type)
