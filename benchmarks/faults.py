"""The ways in which the page server's answers go wrong, and what a scope that gives up on each must say."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from struct import pack
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault: the bytes that are sent instead of a page or of an STS answer, and what follows them."""

    page: bytes | None = None
    """None: the true answer."""
    sts: bytes | None = None
    then: Literal["keep", "close", "reset"] = "keep"
    delay_s: float = 0.0
    foreign: bool = False
    """The true answer of another account."""
    status: str | None
    """What a scope says when it gives up; None: it never does."""
    calls_max: int | None = None
    """So many of them in a row end the scope; None: as many as max_attempts."""
    is_exact: bool = True
    """Whether exactly the scopes with so many in a row fail; else they may, and no others."""


def http(status: int, body: bytes, kind: str = "application/x-amz-json-1.1", *, promised: int = 0) -> bytes:
    """One HTTP answer. `promised` bytes more are announced than come."""
    length = len(body) + promised
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nx-amzn-RequestId: bench\r\n\r\n"
    return head.encode() + body


def xml(status: int, body: str) -> bytes:
    """One answer of STS."""
    return http(status, body.encode(), "text/xml")


def refusal(code: str, message: str, status: int = 400) -> tuple[bytes, bytes]:
    """AWS says no: to AppStream in JSON, to STS in XML."""
    error = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    page = http(status, f'{{"__type":"{code}","Message":"{message}"}}'.encode())
    return page, xml(status, f"{error}<RequestId>bench</RequestId></ErrorResponse>")


def reset(connection: socket.socket) -> None:
    """Make closing the connection an RST instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))


def _refused(
    code: str, *, status: str, http_status: int = 400, calls_max: int | None = None, exact: bool = True
) -> Fault:
    page, sts = refusal(code, "refused by the page server", http_status)
    return Fault(page=page, sts=sts, status=status, calls_max=calls_max, is_exact=exact)


def _damaged(page: bytes, sts: str) -> Fault:
    return Fault(page=http(200, page), sts=xml(200, sts), status="malformed")


_NO_RESULT = "<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>"
_HTML = "<html>proxy</html>"
_CUT = b'{"ImageBuilders": [{"Name": "b'
_CUT_XML = b"<AssumeRoleResponse><AssumeRoleResult><Cred"

FAULTS: Mapping[str, Fault] = {
    "error500": _refused("InternalFailure", status="error", http_status=500),
    "gateway502": Fault(page=http(502, _HTML.encode(), "text/html"), sts=xml(502, _HTML), status="error"),
    "throttle": _refused("ThrottlingException", status="throttled"),
    "gateway429": Fault(page=http(429, _HTML.encode(), "text/html"), sts=xml(429, _HTML), status="throttled"),
    "denied": _refused("AccessDeniedException", status="denied", calls_max=1),
    # Each asks STS for a new session, which may be refused as well: who fails depends on more than pages in a row.
    "expired": _refused("ExpiredTokenException", status="expired", calls_max=2, exact=False),
    "truncated": _damaged(_CUT, _CUT_XML.decode()),
    "html": Fault(page=http(200, _HTML.encode(), "text/html"), sts=xml(200, _HTML), status="malformed"),
    "empty_body": _damaged(b"", ""),
    "empty_object": _damaged(b"{}", _NO_RESULT),
    "null_list": _damaged(b'{"ImageBuilders": null}', _NO_RESULT),
    "short_body": Fault(
        page=http(200, _CUT, promised=500), sts=http(200, _CUT_XML, "text/xml", promised=500), then="close",
        status="malformed",
    ),
    "reset": Fault(page=b"", sts=b"", then="reset", status="network"),
    "reset_midway": Fault(
        page=http(200, _CUT, promised=500), sts=http(200, _CUT_XML, "text/xml", promised=500), then="reset",
        status="network",
    ),
    "foreign": Fault(foreign=True, status="mismatched", calls_max=1),
    "late": Fault(delay_s=1.0, status=None),
}  # fmt: skip
# Never answered: not among the faults by default, for each holds a worker until the client's timeout.
STALL = "stall"
ALL_FAULTS: Mapping[str, Fault] = {**FAULTS, STALL: Fault(delay_s=3600.0, status="timeout", is_exact=False)}
