"""A bucket on 127.0.0.1: moto's S3, and before it a wire that sees each request and may fail it."""

import http.client
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import boto3

from appstream_export.emulator import Emulator
from appstream_export.lake.storage.base import Store
from appstream_export.lake.storage.factory import open_store
from appstream_export.settings import S3Settings

NAME = "lake"
KEYS = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived; `key` is without the bucket."""

    method: str
    key: str
    query: dict[str, list[str]]
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answered with an error of S3 in place of what was asked."""

    status: int
    code: str


class Cut:
    """The connection is cut before the request reaches S3."""


class Lose:
    """S3 does what was asked, and the answer is lost on the way."""


class Halve:
    """The answer breaks off in the middle of its body."""


Fault = Refuse | Cut | Lose | Halve
Plan = Callable[[int, Seen], Fault | None]
"""What happens to the n-th request, from 1."""


def first(times: int, fault: Fault, method: str, *, key: str = "", query: str | None = None) -> Plan:
    """The fault strikes so many requests of a method whose key ends so, and whose query names that."""
    left = count(times, -1)

    def plan(_: int, seen: Seen) -> Fault | None:
        fits = seen.method == method and seen.key.endswith(key) and (query is None or query in seen.query)
        return fault if fits and next(left) > 0 else None

    return plan


class Wire:
    """A proxy that hands requests on, notes them, and fails those that the plan names."""

    def __init__(self, port: int) -> None:
        self.seen: list[Seen] = []
        self.plan: Plan | None = None
        self._lock = threading.Lock()
        wire = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                self.close_connection = True
                with suppress(ConnectionError):  # whoever asked was killed meanwhile
                    self.raw_requestline = self.rfile.readline(65537)
                    if self.raw_requestline and self.parse_request():
                        self.close_connection = False
                        wire.pass_on(self, port)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def pass_on(self, door: BaseHTTPRequestHandler, port: int) -> None:
        """Serve one request."""
        body = _body(door)
        fault = self._note(door)
        if isinstance(fault, Cut):
            door.close_connection = True
            return
        if isinstance(fault, Refuse):
            text = f"<Error><Code>{fault.code}</Code><Message>as the plan says</Message></Error>".encode()
            _answer(door, fault.status, {"Content-Type": "application/xml"}, text)
            return
        status, headers, content = _forward(door, port, body)
        if isinstance(fault, Lose):
            door.close_connection = True
            return
        _answer(door, status, headers, content, halved=isinstance(fault, Halve))

    def _note(self, door: BaseHTTPRequestHandler) -> Fault | None:
        at = urlsplit(door.path)
        key = unquote(at.path).removeprefix(f"/{NAME}").lstrip("/")
        seen = Seen(door.command, key, parse_qs(at.query, keep_blank_values=True), dict(door.headers.items()))
        with self._lock:
            self.seen.append(seen)
            return self.plan(len(self.seen), seen) if self.plan else None


def _body(door: BaseHTTPRequestHandler) -> bytes:
    if door.headers.get("Expect", "").lower() == "100-continue":
        door.send_response_only(100)
        door.end_headers()
    return door.rfile.read(int(door.headers.get("Content-Length") or 0))


def _forward(door: BaseHTTPRequestHandler, port: int, body: bytes) -> tuple[int, dict[str, str], bytes]:
    headers = {k: v for k, v in door.headers.items() if k.lower() not in ("connection", "expect")}
    to = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        to.request(door.command, door.path, body or None, headers)
        answer = to.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        to.close()


def _answer(
    door: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes, *, halved: bool = False
) -> None:
    given = {k.lower(): v for k, v in headers.items() if k.lower() not in ("connection", "transfer-encoding")}
    if door.command != "HEAD":
        given["content-length"] = str(len(body))
    door.send_response_only(status)
    for name, value in given.items():
        door.send_header(name, value)
    door.end_headers()
    door.wfile.write(body[: len(body) // 2] if halved else b"" if door.command == "HEAD" else body)
    door.close_connection = door.close_connection or halved


@dataclass
class Bucket:
    """An empty bucket; each `place` is a warehouse of its own in it."""

    aws: Emulator
    wire: Wire
    _places: count = field(default_factory=count)

    def __post_init__(self) -> None:
        self.client.create_bucket(Bucket=NAME)

    @property
    def client(self) -> Any:
        """boto3's, past the wire."""
        return boto3.client("s3", endpoint_url=self.aws.endpoint_url, **KEYS)

    @property
    def settings(self) -> S3Settings:
        """How a warehouse is reached, through the wire."""
        return S3Settings(endpoint_url=self.wire.url)

    def place(self) -> str:
        """Where no warehouse was before."""
        return f"s3://{NAME}/warehouse-{next(self._places)}"

    def open(self, place: str | None = None, **settings: Any) -> Store:
        """A store there, opened for writing."""
        return open_store(place or self.place(), create=True, s3=S3Settings(endpoint_url=self.wire.url, **settings))

    def keep_versions(self) -> None:
        """From here on the bucket keeps what is removed or replaced."""
        self.client.put_bucket_versioning(Bucket=NAME, VersioningConfiguration={"Status": "Enabled"})

    def forget_versions(self, place: str) -> None:
        """Remove what it kept there, and keep nothing more."""
        prefix = place.removeprefix(f"s3://{NAME}/")
        found = self.client.list_object_versions(Bucket=NAME, Prefix=prefix)
        for old in (*found.get("Versions", ()), *found.get("DeleteMarkers", ())):
            if "Size" not in old or not old["IsLatest"]:
                self.client.delete_object(Bucket=NAME, Key=old["Key"], VersionId=old["VersionId"])
        self.client.put_bucket_versioning(Bucket=NAME, VersioningConfiguration={"Status": "Suspended"})

    def calm(self) -> None:
        """No faults, and nothing seen."""
        self.wire.plan = None
        self.wire.seen.clear()
