"""A service for heartbeats on 127.0.0.1: it keeps what it is sent, and answers well or badly."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Pings:
    """`received` has path and body of each request; `status`, `headers` and `hangs` are how it answers."""

    def __init__(self) -> None:
        self.received = list[tuple[str, str]]()
        self.status, self.headers = 200, dict[str, str]()
        self.hangs = threading.Event()
        self.hangs.set()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                service.received.append((self.path, body.decode()))
                service.hangs.wait()
                self.send_response(service.status)
                for name, value in ({"Content-Length": "0"} | service.headers).items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """A URL as secret as any of its kind."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/its-secret-name"

    @property
    def signals(self) -> list[str]:
        """What came, in order: start, ok, fail."""
        return [path.removeprefix("/its-secret-name").removeprefix("/") or "ok" for path, _ in self.received]


@contextmanager
def serve_pings() -> Iterator[Pings]:
    """Serve until the end of the block."""
    service = Pings()
    thread = threading.Thread(target=service.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield service
    service.hangs.set()
    service.server.shutdown()
    service.server.server_close()
    thread.join()
