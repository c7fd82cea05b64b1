"""AWS as bytes on 127.0.0.1: what the emulator is too well-behaved to send. Tells accounts by their keys."""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/")


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer. `length` lies about Content-Length; `drop` closes the connection; `drip_s` parts the bytes."""

    body: bytes = b""
    status: int = 200
    length: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    delay_s: float = 0.0
    drip_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    service: str
    operation: str
    account_id: str
    region: str
    params: dict[str, Any]
    key: str
    user_agent: str


def json_reply(value: Any, status: int = 200, **more: Any) -> Reply:
    return Reply(json.dumps(value).encode(), status, **more)


def refusal(code: str, message: str = "no", status: int = 400, **more: Any) -> Reply:
    return json_reply({"__type": f"com.amazonaws.appstream#{code}", "message": message}, status, **more)


def page(*names: Any, token: Any = None, **more: Any) -> Reply:
    items = [{"Name": n} if isinstance(n, str) else n for n in names]
    return json_reply({"ImageBuilders": items} | ({"NextToken": token} if token is not None else {}), **more)


def sts_refusal(code: str, message: str = "no", status: int = 403) -> Reply:
    text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return Reply(f"{text}<RequestId>sts-1</RequestId></ErrorResponse>".encode(), status)


class Wire:
    """Scripted answers per `account/region`; scopes without a script answer one empty page."""

    def __init__(self) -> None:
        self.calls: list[Seen] = []
        self.connections = 0
        self.leads_to: dict[str, str] = {}
        """Role or key → the account that STS says it is; by default the one in its name."""
        self.session_duration_s = 3600
        self.date: str | None = None
        """The Date of every answer; by default the true one."""
        self._scripts: dict[str, deque[Reply]] = {}
        self._always: dict[str, Callable[[Seen], Reply]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        wire = self

        class Door(_Door):
            aws = wire

        self._server = _Server(("127.0.0.1", 0), Door)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, scope: str, *replies: Reply) -> None:
        """These answers in order, then one empty page each time."""
        self._scripts.setdefault(scope, deque()).extend(replies)

    def always(self, scope: str, answer: Callable[[Seen], Reply] | Reply) -> None:
        """The answer of a scope (or of `sts/<account>`) once its script is through."""
        self._always[scope] = (lambda _: answer) if isinstance(answer, Reply) else answer

    def asked(self, operation: str) -> list[Seen]:
        return [c for c in self.calls if c.operation == operation]

    def reply(self, seen: Seen) -> Reply:
        with self._lock:
            self.calls.append(seen)
            place = f"sts/{seen.account_id}" if seen.service == "sts" else f"{seen.account_id}/{seen.region}"
            if script := self._scripts.get(place):
                return script.popleft()
        if place in self._always:
            return self._always[place](seen)
        return self._sts(seen) if seen.service == "sts" else page()

    def _sts(self, seen: Seen) -> Reply:
        account = self.leads_to.get(seen.account_id, seen.account_id)
        if seen.operation == "GetCallerIdentity":
            inner = f"<Account>{account}</Account><UserId>u</UserId><Arn>arn:aws:iam::{account}:user/u</Arn>"
        else:
            expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.session_duration_s))
            serial = len(self.asked("AssumeRole"))
            inner = (
                f"<AssumedRoleUser><Arn>arn:aws:sts::{account}:assumed-role/reader/s</Arn>"
                f"<AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>ASIA-{account}-{serial}"
                f"</AccessKeyId><SecretAccessKey>secret-{account}</SecretAccessKey>"
                f"<SessionToken>token-{account}</SessionToken><Expiration>{expires}</Expiration></Credentials>"
            )
        name = seen.operation
        return Reply(f"<{name}Response><{name}Result>{inner}</{name}Result></{name}Response>".encode())


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # with 5, workers that connect at once wait a second for TCP to try again
    daemon_threads = True
    block_on_close = False


class _Door(BaseHTTPRequestHandler):
    aws: Wire
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # one packet per answer: no waiting for the other side

    def setup(self) -> None:
        super().setup()
        self.aws.connections += 1

    def do_GET(self) -> None:
        """Answer a call of REST: the path is the operation, the query its params."""
        found = _SCOPE.search(self.headers.get("Authorization", ""))
        key, region, service = found.groups() if found else ("", "", "")
        url = urlsplit(self.path)
        params: dict[str, Any] = {k: v[0] for k, v in parse_qs(url.query).items()}
        agent = self.headers["User-Agent"]
        self._send(self.aws.reply(Seen(service, url.path, _account(key), region, params, key, agent)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        found = _SCOPE.search(self.headers.get("Authorization", ""))
        key, region, service = found.groups() if found else ("", "", "")
        if service == "sts":
            params: dict[str, Any] = {k: v[0] for k, v in parse_qs(body).items()}
            operation = params["Action"]
        else:
            params, operation = json.loads(body), self.headers["X-Amz-Target"].partition(".")[2]
        account = _account(params.get("RoleArn", key))
        agent = self.headers["User-Agent"]
        self._send(self.aws.reply(Seen(service, operation, account, region, params, key, agent)))

    def _send(self, reply: Reply) -> None:
        time.sleep(reply.delay_s)
        if reply.drop:
            self.close_connection = True
            return
        try:
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
            self.send_header("x-amzn-RequestId", "request-1")
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self._write(reply)
        except OSError:
            self.close_connection = True
        if reply.length is not None:
            self.close_connection = True

    def _write(self, reply: Reply) -> None:
        for byte in reply.body if reply.drip_s else ():
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(reply.drip_s)
        self.wfile.write(b"" if reply.drip_s else reply.body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.aws.date or super().date_time_string(timestamp)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _account(text: str) -> str:
    found = re.search(r"\d{12}", text)
    return found[0] if found else "000000000000"
