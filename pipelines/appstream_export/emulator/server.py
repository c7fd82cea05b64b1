"""Serve moto on 127.0.0.1, with keep-alive and damaged answers where the gateway requests them."""

import logging
import os
import re
import socket
import struct
import threading
from email.message import Message
from io import BytesIO
from typing import Any, cast
from urllib.parse import unquote
from uuid import uuid4

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import ThreadedWSGIServer

from appstream_export.errors import ConfigurationError

from .faults import HttpResponse
from .gateway import FORM_TYPE, Gateway

HOST = "127.0.0.1"
STOP_S = 5.0  # a stop that needs longer is reported: nothing holds the loop for longer than POLL_S
POLL_S = 0.02
# The gateway reads these. An object of S3 is never one: botocore sends those in chunks of their own encoding.
GATEWAY_CONTENT_TYPES = ("application/x-amz-json", "application/json", FORM_TYPE)
# This machine, and the services of AWS by their names in a region, which no page on the web can point at this machine.
_HOST = re.compile(r"(127\.0\.0\.1|(\w[\w.-]*\.)?(localhost|amazonaws\.com(\.cn)?))(:\d+)?", re.ASCII | re.IGNORECASE)
_MOTO_API_HOST = re.compile(r"motoapi\.", re.IGNORECASE)
_MOTO_API_PATH = re.compile(r"/+moto-api(/|\Z)", re.IGNORECASE)
_BROWSER_HEADERS = ("Origin", "Sec-Fetch-Site")

log = logging.getLogger(__name__)


def find_refusal(headers: Message, target: str) -> str | None:
    """Return why a request is not one of a program that calls AWS, or None.

    A page that is open in a browser may send requests to this machine, and read the answers to those under a name of
    its own that it lets point here. moto's own API changes what is emulated, without credentials.
    """
    hosts = headers.get_all("Host") or []
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0].strip()):
        return "the host of the request is not this machine: use http://127.0.0.1"
    if any(name in headers for name in _BROWSER_HEADERS):
        return "the request is one of a web page"
    path = unquote(target.partition("?")[0])
    if not path.startswith("/") or _MOTO_API_PATH.match(path) or _MOTO_API_HOST.match(hosts[0].strip()):
        return "there is nothing at this address"
    return None


class GatewayRequestHandler(MotoRequestHandler):
    """One connection: the gateway answers first, moto answers the rest."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Register with the server, which closes open connections when it stops."""
        super().setup()
        self._loopback_server.connections.add(self.connection)

    def finish(self) -> None:
        """Unregister from the server."""
        self._loopback_server.connections.discard(self.connection)
        super().finish()

    def run_wsgi(self) -> None:
        """Answer one request; werkzeug calls this for each method."""
        if refusal := find_refusal(self.headers, self.path):
            self._send_response(HttpResponse(403, refusal.encode(), "text/plain"))
            self.close_connection = True  # the body, if there is one, is not read
            return
        self._body: bytes | None = None
        if self.headers.get("Content-Type", "").startswith(GATEWAY_CONTENT_TYPES):
            self._body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        response = self._loopback_server.gateway.handle_request(
            self.headers, self._body or b"", self.command, self.path
        )
        if response is None:
            super().run_wsgi()
        else:
            self._send_response(response)

    def make_environ(self) -> dict[str, Any]:
        """Return the WSGI environment, with the body that the gateway has read."""
        environ = super().make_environ()
        if self._body is not None:
            environ["wsgi.input"] = BytesIO(self._body)
        return environ

    def log(self, type: str, message: str, *args: Any) -> None:
        """Keep werkzeug's request log off the terminal."""
        log.debug("%s: %s", type, message % args)

    @property
    def _loopback_server(self) -> "LoopbackServer":
        return cast("LoopbackServer", self.server)

    def _send_response(self, response: HttpResponse) -> None:
        """Send head and body in one write, then keep, end or reset the connection."""
        length = len(response.body) if response.content_length is None else response.content_length
        head = (
            f"HTTP/1.1 {response.status} {'OK' if response.status == 200 else 'Error'}\r\n"
            f"Content-Type: {response.content_type}\r\nContent-Length: {length}\r\nx-amzn-RequestId: {uuid4()}\r\n\r\n"
        )
        self.wfile.write(head.encode() + response.body)
        self.close_connection = self.close_connection or response.content_length is not None
        if response.reset:
            self._reset_connection()

    def _reset_connection(self) -> None:
        """Close so that the peer gets an RST: without lingering, and without socketserver's shutdown before it."""
        self._loopback_server.connections.discard(self.connection)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


class LoopbackServer(ThreadedWSGIServer):
    """moto behind the gateway, on its own thread from `start` to `stop`."""

    def __init__(self, port: int, gateway: Gateway) -> None:
        with _bind_socket(port) as listening:
            app = DomainDispatcherApplication(create_backend_app)
            super().__init__(HOST, port, app, GatewayRequestHandler, fd=listening.fileno())
        self.gateway = gateway
        self.connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(POLL_S,), name="emulator", daemon=True)

    def start(self) -> None:
        """Start to accept calls."""
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting, close open connections, and free the port."""
        self.gateway.stopping.set()
        self.shutdown()
        self._thread.join(STOP_S)
        for connection in list(self.connections):
            _shut_down_connection(connection)
        if self._thread.is_alive():
            log.warning("the emulator's thread still runs after %s s", STOP_S)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep tracebacks off the terminal: usually the client disconnected, or we closed the connection."""
        log.debug("%s of %s broke", request, client_address, exc_info=True)


def _bind_socket(port: int) -> socket.socket:
    """Bind before werkzeug does, since it ends the process where the port is taken."""
    try:
        return socket.create_server((HOST, port), backlog=128)
    except (OSError, OverflowError) as error:
        fix = "choose another port, or 0 for a free one"
        raise ConfigurationError(f"cannot listen on {HOST}:{port}: {error}", fix=fix) from error


def _shut_down_connection(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("it was closed already")
