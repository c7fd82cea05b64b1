"""Requests as botocore made the first of their kind, with another body, other credentials and another time.

botocore decides once for each region and operation: URL, headers, protocol, signing name, proxies, certificates and
timeouts. A template takes these from a request that a client has made. It is used only if it makes that same request
again, byte for byte, from the same input; otherwise every call is a call of the client.
"""

import hmac
import logging
import random
import re
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from botocore.awsrequest import AWSPreparedRequest
from botocore.client import BaseClient
from botocore.credentials import Credentials
from botocore.model import OperationModel
from botocore.parsers import create_parser

from appstream_export.extract.aws.connections import Answer, Connections

PROTOCOLS = ("json", "query")
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=\w{64}"
)
_VISIBLE = re.compile(r"[!-~]+")  # signers treat blanks at the ends of a token differently
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """An operation's request in a region, without what each call brings."""

    method: str
    url: str
    headers: dict[str, str]
    """Headers in the order of sending. Those that each call brings have the value ""."""
    signed_headers: tuple[str, ...]
    """The lower-case names of the headers that the signature covers."""
    signing_region: str
    signing_name: str
    client: BaseClient
    operation: OperationModel
    connections: Connections

    @classmethod
    def derive(
        cls, client: BaseClient, operation: str, params: dict[str, Any], credentials: Credentials, recorded: Any
    ) -> Self | None:
        """Return the template of the `recorded` request, which a client has made from `params`; None if uncertain."""
        model = client.meta.service_model.operation_model(operation)
        try:
            template = cls._parse(client, model, recorded)
            headers = read_headers(recorded.headers)
            rebuilt = template.build(params, credentials, headers["X-Amz-Date"], headers["amz-sdk-invocation-id"])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            _log.debug("%s: every call is made by its client: %s", operation, type(error).__name__)
            return None
        difference = find_difference(rebuilt, recorded)
        if difference:
            _log.debug("%s: every call is made by its client, because of the request's %s", operation, difference)
        return None if difference else template

    @classmethod
    def _parse(cls, client: BaseClient, model: OperationModel, recorded: Any) -> Self:
        """Return the template of a recorded request; raises ValueError or LookupError if it has another form."""
        headers = read_headers(recorded.headers)
        found = _AUTHORIZATION.fullmatch(headers["Authorization"])
        if found is None or not _is_uniform(model) or urlsplit(recorded.url).query:
            raise ValueError(f"{model.name} is signed or built in another way")
        region, name, signed = found.groups()
        varying = {"Authorization", "Content-Length", "X-Amz-Date", "X-Amz-Security-Token", "amz-sdk-invocation-id"}
        fixed = {header: "" if header in varying else value for header, value in headers.items()}
        connections = Connections(client._endpoint.http_session, recorded.url)
        return cls(
            recorded.method, recorded.url, fixed, tuple(signed.split(";")), region, name, client, model, connections
        )

    def can_sign_with(self, credentials: Credentials) -> bool:
        """Return whether the request may be made with the credentials."""
        texts = [credentials.access_key, *filter(None, [credentials.token])]
        has_token = "X-Amz-Security-Token" in self.headers
        return has_token == bool(credentials.token) and all(map(_VISIBLE.fullmatch, texts))

    def build(
        self, params: dict[str, Any], credentials: Credentials, timestamp: str, invocation_id: str
    ) -> AWSPreparedRequest:
        """Return the request with its signature."""
        body = self._build_body(params)
        headers = self.headers | {"Content-Length": str(len(body)), "X-Amz-Date": timestamp}
        headers["amz-sdk-invocation-id"] = invocation_id
        if credentials.token:
            headers["X-Amz-Security-Token"] = credentials.token
        headers["Authorization"] = self._compute_authorization(headers, body, credentials)
        return AWSPreparedRequest(self.method, self.url, headers, body, stream_output=False, context={})

    def sign_request(self, params: dict[str, Any], credentials: Credentials) -> AWSPreparedRequest:
        """Return a request of now; raises ParamValidationError for input that botocore refuses."""
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return self.build(params, credentials, timestamp, _make_invocation_id())

    def send(self, request: AWSPreparedRequest) -> Answer:
        """Send a request and return its answer; raises botocore's errors."""
        return self.connections.send(request)

    def parse(self, answer: Answer) -> dict[str, Any]:
        """Return the answer, an error or not, as botocore's parser does; raises its errors."""
        parser = create_parser(self.operation.service_model.resolved_protocol)
        return parser.parse(answer.as_event(), self.operation.output_shape)

    @property
    def host(self) -> str | None:
        """The host of AWS."""
        return urlsplit(self.url).hostname

    def _build_body(self, params: dict[str, Any]) -> bytes:
        body = self.client._serializer.serialize_to_request(params, self.operation)["body"]
        return body if isinstance(body, bytes) else urlencode(body, doseq=True).encode()

    def _compute_authorization(self, headers: dict[str, str], body: bytes, credentials: Credentials) -> str:
        """Return the header `Authorization` of AWS's Signature Version 4."""
        timestamp = headers["X-Amz-Date"]
        url = urlsplit(self.url)
        values = {name.lower(): value for name, value in headers.items()}
        values.setdefault("host", url.netloc)
        signed = ";".join(self.signed_headers)
        lines = [f"{name}:{values[name]}" for name in self.signed_headers]
        request = "\n".join([self.method, url.path, url.query, *lines, "", signed, sha256(body).hexdigest()])
        scope = [timestamp[:8], self.signing_region, self.signing_name, "aws4_request"]
        text = f"AWS4-HMAC-SHA256\n{timestamp}\n{'/'.join(scope)}\n{sha256(request.encode()).hexdigest()}"
        key = f"AWS4{credentials.secret_key}".encode()
        for part in [*scope, text]:
            # hmac.digest is quicker, but hands over the GIL each time.
            key = hmac.new(key, part.encode(), sha256).digest()
        credential = "/".join([credentials.access_key, *scope])
        return f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={key.hex()}"


def _is_uniform(model: OperationModel) -> bool:
    """Return whether nothing of the operation's request but its body and signature depends on the input."""
    depends = (
        model.context_parameters, model.http_checksum, model.http_checksum_required, model.endpoint,
        model.request_compression, model.idempotent_members, model.has_streaming_input, model.has_streaming_output,
    )  # fmt: skip
    return model.service_model.resolved_protocol in PROTOCOLS and not any(depends)


def read_headers(headers: Any) -> dict[str, str]:
    """Return headers as text; raises ValueError for those that are not a line of ASCII."""
    found = {name: value.decode("ascii") if isinstance(value, bytes) else value for name, value in headers.items()}
    if not all(text.isascii() and text.isprintable() for header in found.items() for text in header):
        raise ValueError("a header is not a line of ASCII")
    return found


def find_difference(rebuilt: AWSPreparedRequest, recorded: AWSPreparedRequest) -> str | None:
    """Return which part of a rebuilt request differs from the recorded one, or None if both send the same bytes."""
    body = recorded.body.encode() if isinstance(recorded.body, str) else recorded.body
    parts = {
        "method": (rebuilt.method, recorded.method),
        "URL": (rebuilt.url, recorded.url),
        "headers": (list(rebuilt.headers.items()), list(read_headers(recorded.headers).items())),
        "body": (rebuilt.body, body),
    }
    return next((name for name, (ours, theirs) in parts.items() if ours != theirs), None)


def _make_invocation_id() -> str:
    # As uuid4 does, but without a system call: the id only has to differ.
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
