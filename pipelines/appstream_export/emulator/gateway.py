"""The gateway in front of moto: reads a request, records it, applies faults, and answers AppStream itself.

moto's own dispatcher answers everything else. It could answer AppStream too, but many times as slowly.
"""

import json
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

CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
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

    def handle_request(self, headers: Message, body: bytes) -> HttpResponse | None:
        """Answer AppStream requests and those with a fault; return None to leave the request to moto."""
        request = self._parse_request(headers, body)
        if request is None:
            return None
        with self._lock:
            self._calls.append(request.call)
        fault = self._take_matching_fault(request)
        if fault and fault.kind == "slow":
            self.stopping.wait(fault.delay_s)
        if fault and fault.kind in ERROR_FAULTS:
            return _build_error_response(request, fault.kind)
        return self._build_page_response(request, fault) if request.call.service == "appstream" else None

    def _parse_request(self, headers: Message, body: bytes) -> SignedRequest | None:
        """Parse a signed request; return None if it has no SigV4 header."""
        signed = CREDENTIAL.search(headers.get("Authorization") or "")
        if not signed:
            return None
        key, region, service = signed.groups()
        target = headers.get("X-Amz-Target")
        if target:
            operation, params = target.rpartition(".")[2], _parse_json_object(body)
        else:
            params = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
            operation = params.get("Action", "")
        role = ROLE_ACCOUNT.match(str(params.get("RoleArn", "")))
        caller_id = self._get_account_id(key)
        call = RecordedCall(service, operation, role[1] if role else caller_id, region, datetime.now(UTC))
        return SignedRequest(call, params, target is not None, caller_id)

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
        if request.call.service != "appstream" or not request.params.get("NextToken"):
            return 0
        return self._get_backend(request).get_page_number(request.call.operation, request.params["NextToken"])

    def _build_page_response(self, request: SignedRequest, fault: Fault | None) -> HttpResponse:
        if request.scope in self.disabled_scopes:
            return encode_json_response(
                self._models.EmulatedAwsError("UnrecognizedClientException", INVALID_TOKEN).body, 400
            )
        operation, token = request.call.operation, request.params.get("NextToken")
        try:
            backend = self._get_backend(request)
            page = backend.build_page(operation, request.params)
        except self._models.EmulatedAwsError as error:
            return encode_json_response(error.body, error.http_status)
        if fault is None:
            return encode_json_response(page.body)
        return render_damaged_page(
            fault.kind, page, FaultContext(token, next(iter(backend.list_items(operation)), None))
        )

    def _get_backend(self, request: SignedRequest) -> Any:
        return self._models.get_appstream_backend(request.call.account_id, request.call.region)


INVALID_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - AWS's words


def _parse_json_object(body: bytes) -> dict[str, Any]:
    params = json.loads(body or b"{}")
    return params if isinstance(params, dict) else {}


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
