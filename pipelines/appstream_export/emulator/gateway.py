"""The gateway in front of moto: reads a request, records it, applies faults, and answers lists itself.

It answers AppStream, the tagging API, operations that were filled, and lists that moto has no answer for. moto's own
dispatcher answers everything else. It could answer AppStream too, but many times as slowly.
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from .faults import ERROR_FAULTS, Fault, FaultContext, HttpResponse, encode_json_response, render_damaged_page
from .moto_services import is_answered_by_moto
from .operations import load_list_operation
from .requests import ParsedCall, parse_json_call, parse_rest_call
from .tags import SERVICE as TAGGING_SERVICE

CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
FORM_TYPE = "application/x-www-form-urlencoded"
OWN_SERVICES = ("appstream", TAGGING_SERVICE)
ROLE_ACCOUNT = re.compile(r"arn:[^:]+:iam::(\d{12}):role/")


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """An answered AWS request. For AssumeRole, the account is that of the role."""

    service: str
    operation: str
    account_id: str
    region: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A signed request and its content."""

    call: RecordedCall
    params: Mapping[str, Any]
    is_json: bool
    caller_id: str
    """Whose credentials signed it."""

    @property
    def scope(self) -> str:
        """Account and region, spelled as in faults."""
        return f"{self.call.account_id}/{self.call.region}"


@dataclass(slots=True)
class ActiveFault:
    """A fault that applies to the next matching request."""

    pattern: str
    fault: Fault
    remaining: int | None


class Gateway:
    """The state of an emulated AWS that moto does not hold: recorded calls, active faults, disabled regions."""

    def __init__(self, models: ModuleType) -> None:
        from moto.iam.models import get_account_id_from

        self._models, self._resolve_account_id = models, get_account_id_from
        self._accounts: dict[str, str] = {}
        self._lock = threading.Lock()
        self._calls: list[RecordedCall] = []
        self._active_faults: list[ActiveFault] = []
        self.disabled_scopes: set[str] = set()
        self.filled_operations: set[tuple[str, str]] = set()
        self.stopping = threading.Event()

    @property
    def calls(self) -> list[RecordedCall]:
        """Return the calls so far, in order of arrival."""
        with self._lock:
            return list(self._calls)

    def reset_calls(self) -> None:
        """Forget the calls so far."""
        with self._lock:
            self._calls.clear()

    def add_fault(self, pattern: str, fault: Fault) -> None:
        """Add a fault for the scopes that match; of several, the oldest applies until it is used up."""
        with self._lock:
            self._active_faults.append(ActiveFault(pattern, fault, fault.times))

    def remove_faults(self, pattern: str) -> None:
        """Remove the faults whose scope matches."""
        with self._lock:
            self._active_faults = [active for active in self._active_faults if not fnmatchcase(active.pattern, pattern)]

    def handle_request(self, headers: Message, body: bytes, method: str, target: str) -> HttpResponse | None:
        """Answer requests for lists and those with a fault; return None to leave the request to moto."""
        request = self._parse_request(headers, body, method, target)
        if request is None:
            return None
        with self._lock:
            self._calls.append(request.call)
        fault = self._take_matching_fault(request)
        if fault and fault.kind == "slow":
            self.stopping.wait(fault.delay_s)
        if fault and fault.kind in ERROR_FAULTS:
            return _build_error_response(request, fault.kind)
        return self._build_page_response(request, fault) if self._is_answered_here(request.call) else None

    def _is_answered_here(self, call: RecordedCall) -> bool:
        operation = (call.service, call.operation)
        if call.service in OWN_SERVICES or operation in self.filled_operations:
            return True
        return load_list_operation(*operation) is not None and not is_answered_by_moto(*operation)

    def _parse_request(self, headers: Message, body: bytes, method: str, target: str) -> SignedRequest | None:
        """Parse a signed request; return None if it has no SigV4 header."""
        signed = CREDENTIAL.search(headers.get("Authorization") or "")
        if not signed:
            return None
        key, region, signing_name = signed.groups()
        is_form = headers.get("Content-Type", "").startswith(FORM_TYPE)
        parsed = _parse_form_call(signing_name, body) if is_form else _parse_json_call(
            signing_name, headers.get("X-Amz-Target"), method, target, body
        )  # fmt: skip
        role = ROLE_ACCOUNT.match(str(parsed.params.get("RoleArn", "")))
        caller_id = self._get_account_id(key)
        account_id = role[1] if role else caller_id
        call = RecordedCall(parsed.service, parsed.operation, account_id, region, datetime.now(UTC))
        return SignedRequest(call, parsed.params, not is_form, caller_id)

    def _get_account_id(self, access_key: str) -> str:
        """Return the account of a key, cached: moto searches all accounts, and keys never move."""
        if access_key not in self._accounts:
            self._accounts[access_key] = self._resolve_account_id(access_key)
        return self._accounts[access_key]

    def _take_matching_fault(self, request: SignedRequest) -> Fault | None:
        page = self._get_page_number(request)
        with self._lock:
            for active in self._active_faults:
                fault = active.fault
                if (
                    active.remaining != 0
                    and fault.operation == request.call.operation
                    and fault.page in (None, page)
                    and fnmatchcase(request.scope, active.pattern)
                ):
                    active.remaining = None if active.remaining is None else active.remaining - 1
                    return fault
        return None

    def _get_page_number(self, request: SignedRequest) -> int:
        operation = load_list_operation(request.call.service, request.call.operation)
        token = request.params.get(operation.input_token or "") if operation else None
        return self._get_backend(request).get_page_number(request.call.operation, token) if token else 0

    def _build_page_response(self, request: SignedRequest, fault: Fault | None) -> HttpResponse:
        if request.scope in self.disabled_scopes:
            return encode_json_response(
                self._models.EmulatedAwsError("UnrecognizedClientException", INVALID_TOKEN).body, 400
            )
        call = request.call
        try:
            backend = self._get_backend(request)
            page = backend.build_page(call.operation, request.params, service=call.service)
        except self._models.EmulatedAwsError as error:
            return encode_json_response(error.body, error.http_status)
        if fault is None:
            return encode_json_response(page.body, content_type=page.content_type)
        token = request.params.get(page.operation.input_token or "")
        first = next(iter(backend.list_items(call.operation, service=call.service)), None)
        return render_damaged_page(fault.kind, page, FaultContext(token, first))

    def _get_backend(self, request: SignedRequest) -> Any:
        return self._models.get_appstream_backend(request.call.account_id, request.call.region)


INVALID_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - AWS's words


def _parse_form_call(signing_name: str, body: bytes) -> ParsedCall:
    """Return the call of the query protocol."""
    params = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
    return ParsedCall(signing_name, params.get("Action", ""), params)


def _parse_json_call(signing_name: str, target_header: str | None, method: str, target: str, body: bytes) -> ParsedCall:
    """Return the call of a JSON protocol; one without an operation if it is of none, as those of S3 are."""
    if target_header:
        return parse_json_call(signing_name, target_header, body)
    return parse_rest_call(signing_name, method, target, body) or ParsedCall(signing_name, "", {})


def _build_error_response(request: SignedRequest, kind: str) -> HttpResponse:
    """Return an error in the protocol of the service that was called."""
    error, call = ERROR_FAULTS[kind], request.call
    who = f"arn:aws:sts::{request.caller_id}:assumed-role/appstream-export/emulated"
    role = request.params.get("RoleArn", "*")
    message = error.message.format(who=who, what=f"{call.service}:{call.operation}", role=role)
    if request.is_json:
        return encode_json_response({"__type": error.code, "message": message}, error.http_status)
    xml = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{error.query_code}</Code>"
        f"<Message>{escape(message)}</Message></Error></ErrorResponse>"
    )
    return HttpResponse(error.query_status, xml.encode(), "text/xml")
