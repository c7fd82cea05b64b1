"""An AWS that is as unkind as the real one: a host per region and service, which answers, or is out of reach.

botocore reaches it by AWS's own names, through a proxy on 127.0.0.1 that ends TLS with a certificate of its own. Hosts
that fail before any proxy (no such name, refused, no route, dropped, reset) are put into AppStream's endpoint rules.
"""

import gzip
import json
import re
import socket
import socketserver
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs

import botocore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOME, EU = "us-east-1", "eu-west-1"
MILAN, SPAIN, MEXICO = "eu-south-1", "eu-south-2", "mx-central-1"  # opt-in; botocore's AppStream lacks the last
REGIONS = (HOME, EU, MILAN, SPAIN, MEXICO, "il-central-1")
OPT_IN = frozenset({MILAN, SPAIN, MEXICO, "il-central-1"})
_SIGNED_AT = "%Y%m%dT%H%M%SZ"
_SKEW_MAX = timedelta(minutes=5)
_SKEW_CODES = {"sts": "SignatureDoesNotMatch", "ec2": "RequestExpired"}  # services of JSON have another
_NOT_YET = "not yet current: {} is still later than {} ({} + 5 min.)"
DENIED = "User: u is not authorized to perform: {} because no identity-based policy allows the {} action"
_HOST = re.compile(r"(?P<service>[a-z0-9]+)(?P<fips>-fips)?(\.(?P<region>[a-z]+-[a-z]+-\d))?\.amazonaws\.com")
_RULES = "appstream/2016-12-01/endpoint-rule-set-1.json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `region` is None at a global host."""

    service: str
    region: str | None
    operation: str
    account_id: str
    token: str
    signed_at: datetime | None = None
    """The time in its signature, by the client's clock."""


class World:
    """Accounts are told by the digits in their keys; tokens begin with v1 or v2."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, list[Call]()
        self.offered: tuple[str, ...] = (HOME, EU, MILAN, SPAIN)
        """What SSM lists for AppStream; none: SSM refuses."""
        self.closed: set[tuple[str, str]] = set()
        """Account and opt-in region: not enabled."""
        self.refusing: set[tuple[str, str]] = set()
        """Account and region: refuses every session there, for no reason that we know."""
        self.allowed: set[str] = set()
        """Of account:ListRegions and ec2:DescribeRegions."""
        self.failing: Counter[str] = Counter()
        """How many more times each of them fails at AWS."""
        self.without_sts: set[str] = set()
        """Regions in which STS is switched off."""
        self.fips: set[str] = {HOME}
        self.unreachable: set[str] = set()
        """Hosts that the proxy cannot reach."""
        self.clock_ahead_s = 0
        """By how much this machine's clock is ahead of AWS's; negative: behind."""
        self._direct: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._tls = _create_tls_context(self.folder)
        world = self

        class Tunnel(_Tunnel):
            aws = world

        self._proxy = self._stack.enter_context(_Server(("127.0.0.1", 0), Tunnel))
        self._stack.callback(self._proxy.shutdown)
        threading.Thread(target=self._proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def enter(self, patch: pytest.MonkeyPatch, **environ: str) -> None:
        """Lead this process's botocore here, once networks are broken; `environ` are more variables, such as keys."""
        patch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{self._proxy.server_address[1]}")
        patch.delenv("NO_PROXY", raising=False)
        patch.setenv("AWS_CA_BUNDLE", str(self.folder / "ca.pem"))
        if self._direct:
            patch.setenv("AWS_DATA_PATH", str(self.folder / "models"))
        for name, value in environ.items():
            patch.setenv(name, value)

    def break_network(self, region: str, network: str) -> None:
        """Put AppStream's host of a region out of reach."""
        if network == "proxy":
            self.unreachable |= {f"appstream2.{region}.amazonaws.com", f"appstream2-fips.{region}.amazonaws.com"}
            return
        self._direct[region] = open_dead_end(network, self._stack)
        write_endpoint_rules(self.folder / "models", self._direct)

    def list_calls(self, operation: str) -> list[Call]:
        """The calls of an operation, in order."""
        return [call for call in self.calls if call.operation == operation]

    def can_reach(self, host: str) -> bool:
        """Whether the proxy finds the host."""
        found = _HOST.fullmatch(host)
        if found is None or host in self.unreachable:
            return False
        return found["fips"] is None or found["region"] in self.fips

    def answer(self, call: Call) -> tuple[int, bytes]:
        """The answer of a host: HTTP status and body."""
        self.calls.append(call)
        if (skew := self._describe_skew(call)) is not None:
            return _refuse(call, _SKEW_CODES.get(call.service, "InvalidSignatureException"), skew)
        is_closed = call.region in OPT_IN and (call.token == "v1" or (call.account_id, call.region) in self.closed)
        if is_closed or (call.account_id, call.region) in self.refusing:
            return _refuse(call, "UnrecognizedClientException", "The security token included in the request is invalid")
        if call.service == "sts":
            return self._answer_sts(call)
        if call.service in ("account", "ec2"):
            return self._answer_regions(call)
        if call.service == "ssm" and not self.offered:
            return _refuse(call, "AccessDeniedException", DENIED.format(*["ssm:GetParametersByPath"] * 2))
        listed = {"Parameters": [{"Name": r, "Value": r} for r in self.offered]}
        return 200, json.dumps(listed if call.service == "ssm" else {"ImageBuilders": []}).encode()

    @property
    def now(self) -> datetime:
        """The time by AWS's clock."""
        return datetime.now(UTC) - timedelta(seconds=self.clock_ahead_s)

    def _describe_skew(self, call: Call) -> str | None:
        """AWS's words for a signature that is 5 minutes too old or too new; None for one that is not."""
        if call.signed_at is None or abs(call.signed_at - self.now) <= _SKEW_MAX:
            return None
        if call.service == "ec2":
            return "Request has expired."
        is_old = call.signed_at < self.now
        edge = self.now - _SKEW_MAX if is_old else self.now + _SKEW_MAX
        signed, limit, now = (f"{moment:{_SIGNED_AT}}" for moment in (call.signed_at, edge, self.now))
        said = "expired: {} is now earlier than {} ({} - 5 min.)" if is_old else _NOT_YET
        return f"Signature {said.format(signed, limit, now)}"

    def _answer_sts(self, call: Call) -> tuple[int, bytes]:
        if call.region in self.without_sts:
            return _refuse(call, "RegionDisabledException", "STS is not activated in this region")
        account, version = call.account_id, "v2" if call.region else "v1"
        expires = f"{self.now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        inner = f"<Account>{account}</Account><UserId>u</UserId><Arn>arn:aws:iam::{account}:user/u</Arn>"
        if call.operation == "AssumeRole":
            inner = (
                f"<AssumedRoleUser><Arn>arn:aws:sts::{account}:assumed-role/reader/s</Arn><AssumedRoleId>A:s"
                f"</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>ASIA{account}</AccessKeyId>"
                f"<SecretAccessKey>secret-of-role</SecretAccessKey><SessionToken>{version}</SessionToken>"
                f"<Expiration>{expires}</Expiration></Credentials>"
            )
        name = call.operation
        return 200, f"<{name}Response><{name}Result>{inner}</{name}Result></{name}Response>".encode()

    def _answer_regions(self, call: Call) -> tuple[int, bytes]:
        name = f"{call.service}:{call.operation}"
        if self.failing[name] > 0:
            self.failing[name] -= 1
            return _refuse(call, "InternalFailure", "The request processing has failed.")
        if name not in self.allowed:
            return _refuse(call, "AccessDeniedException", DENIED.format(name, name))
        enabled = [r for r in REGIONS if (call.account_id, r) not in self.closed]
        if call.service == "account":
            states = [{"RegionName": r, "RegionOptStatus": "ENABLED" if r in enabled else "DISABLED"} for r in REGIONS]
            return 200, json.dumps({"Regions": states}).encode()
        items = "".join(f"<item><regionName>{r}</regionName></item>" for r in enabled)
        return 200, f"<DescribeRegionsResponse><regionInfo>{items}</regionInfo></DescribeRegionsResponse>".encode()


class _Server(socketserver.ThreadingTCPServer):
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        pass  # a client that has gone


class _Tunnel(socketserver.StreamRequestHandler):
    aws: World

    def handle(self) -> None:
        host = self.rfile.readline().decode().split(" ")[1].partition(":")[0]
        while self.rfile.readline().strip():
            pass
        if not self.aws.can_reach(host):
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        aws = self.aws

        class Door(_Door):
            world, at = aws, host

        with aws._tls.wrap_socket(self.connection, server_side=True) as connection:
            Door(connection, self.client_address, self.server)


class _Door(BaseHTTPRequestHandler):
    world: World
    at: str
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        found = _HOST.fullmatch(self.at)
        assert found
        params = parse_qs(body)
        target = self.headers.get("X-Amz-Target", "").partition(".")[2]
        operation = target or params.get("Action", [self.path.strip("/")])[0]
        operation = operation[0].upper() + operation[1:]
        account = re.search(r"\d{12}", params.get("RoleArn", [""])[0] or self.headers.get("Authorization", ""))
        token = self.headers.get("X-Amz-Security-Token", "")[:2]
        signed = self.headers.get("X-Amz-Date")
        signed_at = datetime.strptime(signed, _SIGNED_AT).replace(tzinfo=UTC) if signed else None
        call = Call(found["service"], found["region"], operation, account[0] if account else "", token, signed_at)
        status, answer = self.world.answer(call)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("x-amzn-RequestId", "request-1")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002  the name is the server's
        """AWS's time, for the header Date."""
        return format_datetime(self.world.now, usegmt=True)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _refuse(call: Call, code: str, message: str) -> tuple[int, bytes]:
    if call.service == "sts":
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        return 403, f"<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>".encode()
    if call.service == "ec2":
        code = "UnauthorizedOperation" if code.startswith("AccessDenied") else code
        error = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        return (
            400 if code == "RequestExpired" else 403,
            f"<Response>{error}<RequestID>r</RequestID></Response>".encode(),
        )
    return 400, json.dumps({"__type": code, "message": message}).encode()


def write_endpoint_rules(folder: Path, urls: Mapping[str, str]) -> None:
    """Write models in which AppStream is at these URLs in some regions: a folder for AWS_DATA_PATH."""
    (bundled,) = Path(botocore.__file__).parent.glob(f"data/{_RULES}*")
    rules = json.loads(gzip.decompress(bundled.read_bytes()))
    rules["rules"][:0] = [_build_rule(region, url) for region, url in urls.items()]
    file = folder / _RULES
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rules))


def open_dead_end(network: str, stack: ExitStack) -> str:
    """Return a URL that fails so, until the stack closes: of this machine, or it fails before a packet leaves it."""
    if network == "name":
        return "https://" + ".".join(["n" * 60] * 5)  # longer than names may be: the resolver refuses it itself
    if network == "no route":
        return "https://255.255.255.255"
    server = stack.enter_context(socket.socket())
    server.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{server.getsockname()[1]}"
    if network == "dropped":  # the queue is full: SYNs are dropped
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
    elif network == "reset":
        server.listen(64)
        threading.Thread(target=_reset_connections, args=(server,), daemon=True).start()
    return url  # refused: nobody listens


def _reset_connections(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # closed: the test is over
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def _build_rule(region: str, url: str) -> dict[str, Any]:
    is_here = [
        {"fn": "isSet", "argv": [{"ref": "Region"}]},
        {"fn": "stringEquals", "argv": [{"ref": "Region"}, region]},
    ]
    return {"conditions": is_here, "endpoint": {"url": url, "properties": {}, "headers": {}}, "type": "endpoint"}


def _create_tls_context(folder: Path) -> ssl.SSLContext:
    """A certificate for every host, its own authority, in `ca.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "world")])
    now = datetime.now(UTC)
    hosts: Iterable[str] = ("*.amazonaws.com", *(f"*.{region}.amazonaws.com" for region in REGIONS))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context
