"""Who asks what, where: reads a request, notes the call, lets a fault strike, and answers AppStream itself.

Everything else is left to moto's own dispatcher. AppStream could be too, but the short way is many times as fast.
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

from .faults import REFUSALS, Answer, Asked, Fault, answer_of, damage

CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
ROLE_ACCOUNT = re.compile(r"arn:[^:]+:iam::(\d{12}):role/")


@dataclass(frozen=True, slots=True)
class Call:
    """One AWS request that was answered, well or badly. For AssumeRole the account is that of the role."""

    service: str
    operation: str
    account_id: str
    region: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """A call, with what it carried."""

    call: Call
    params: Mapping[str, Any]
    is_json: bool
    caller_id: str
    """Whose credentials signed it."""

    @property
    def scope(self) -> str:
        """Account and region, as faults name them."""
        return f"{self.call.account_id}/{self.call.region}"


@dataclass(slots=True)
class Armed:
    """A fault that waits for its scope to be asked."""

    pattern: str
    fault: Fault
    left: int | None


class Gateway:
    """State of one emulated AWS beside what moto holds: calls seen, faults armed, regions disabled."""

    def __init__(self, models: ModuleType) -> None:
        from moto.iam.models import get_account_id_from

        self._models, self._account_of_key = models, get_account_id_from
        self._accounts: dict[str, str] = {}
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._armed: list[Armed] = []
        self.disabled: set[str] = set()
        self.stopping = threading.Event()

    @property
    def calls(self) -> list[Call]:
        """Return the calls so far, in the order in which they came."""
        with self._lock:
            return list(self._calls)

    def reset_calls(self) -> None:
        """Forget the calls so far."""
        with self._lock:
            self._calls.clear()

    def arm(self, pattern: str, fault: Fault) -> None:
        """Let a fault strike in the scopes that match; of several, the first one armed strikes until used up."""
        with self._lock:
            self._armed.append(Armed(pattern, fault, fault.times))

    def heal(self, pattern: str) -> None:
        """Disarm the faults whose own pattern is matched."""
        with self._lock:
            self._armed = [armed for armed in self._armed if not fnmatchcase(armed.pattern, pattern)]

    def answer(self, headers: Message, body: bytes) -> Answer | None:
        """Answer AppStream, and whatever a fault strikes; None leaves the request to moto."""
        request = self._read(headers, body)
        if request is None:
            return None
        with self._lock:
            self._calls.append(request.call)
        fault = self._strike(request)
        if fault and fault.kind == "slow":
            self.stopping.wait(fault.delay_s)
        if fault and fault.kind in REFUSALS:
            return _refused(request, fault.kind)
        return self._page(request, fault) if request.call.service == "appstream" else None

    def _read(self, headers: Message, body: bytes) -> Request | None:
        """Understand a signed request; None for one that is not signed by SigV4's header."""
        signed = CREDENTIAL.search(headers.get("Authorization") or "")
        if not signed:
            return None
        key, region, service = signed.groups()
        target = headers.get("X-Amz-Target")
        if target:
            operation, params = target.rpartition(".")[2], _json_object(body)
        else:
            params = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
            operation = params.get("Action", "")
        role = ROLE_ACCOUNT.match(str(params.get("RoleArn", "")))
        caller_id = self._account(key)
        call = Call(service, operation, role[1] if role else caller_id, region, datetime.now(UTC))
        return Request(call, params, target is not None, caller_id)

    def _account(self, access_key: str) -> str:
        """Whose key it is, as moto knows; remembered, since moto searches all accounts and keys never move."""
        if access_key not in self._accounts:
            self._accounts[access_key] = self._account_of_key(access_key)
        return self._accounts[access_key]

    def _strike(self, request: Request) -> Fault | None:
        page = self._page_number(request)
        with self._lock:
            for armed in self._armed:
                fault = armed.fault
                if (
                    armed.left != 0
                    and fault.operation == request.call.operation
                    and fault.page in (None, page)
                    and fnmatchcase(request.scope, armed.pattern)
                ):
                    armed.left = None if armed.left is None else armed.left - 1
                    return fault
        return None

    def _page_number(self, request: Request) -> int:
        if request.call.service != "appstream" or not request.params.get("NextToken"):
            return 0
        return self._backend(request).page_number(request.call.operation, request.params["NextToken"])

    def _page(self, request: Request, fault: Fault | None) -> Answer:
        if request.scope in self.disabled:
            return answer_of(self._models.Refused("UnrecognizedClientException", INVALID_TOKEN).body, 400)
        operation, token = request.call.operation, request.params.get("NextToken")
        try:
            backend = self._backend(request)
            page = backend.page(operation, request.params)
        except self._models.Refused as refusal:
            return answer_of(refusal.body, refusal.http_status)
        if fault is None:
            return answer_of(page.body)
        return damage(fault.kind, page, Asked(token, next(iter(backend.items(operation)), None)))

    def _backend(self, request: Request) -> Any:
        return self._models.backend_of(request.call.account_id, request.call.region)


INVALID_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - AWS's words


def _json_object(body: bytes) -> dict[str, Any]:
    params = json.loads(body or b"{}")
    return params if isinstance(params, dict) else {}


def _refused(request: Request, kind: str) -> Answer:
    """Word a refusal in the protocol of the service that was asked."""
    refusal, call = REFUSALS[kind], request.call
    who = f"arn:aws:sts::{request.caller_id}:assumed-role/appstream-export/emulated"
    role = request.params.get("RoleArn", "*")
    message = refusal.message.format(who=who, what=f"{call.service}:{call.operation}", role=role)
    if request.is_json:
        return answer_of({"__type": refusal.code, "message": message}, refusal.http_status)
    xml = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{refusal.query_code}</Code>"
        f"<Message>{escape(message)}</Message></Error></ErrorResponse>"
    )
    return Answer(refusal.query_status, xml.encode(), "text/xml")
