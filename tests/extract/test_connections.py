"""On an open connection, an answer or error is the one of botocore's HTTP session, and so are the bytes sent."""

import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ConnectionClosedError, HTTPClientError
from botocore.httpsession import URLLib3Session
from urllib3 import Timeout

from appstream_export.extract.aws.connections import Connections
from tests.extract.test_certificates import write_certificate

HANG_S = 120
PAGE = b'{"ImageBuilders": []}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\nDate: now\r\n\r\n" + PAGE
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERS: dict[str, bytes] = {
    "usual": OK,
    "an error": b"HTTP/1.1 400 Bad\r\nx-amzn-ErrorType: A\r\nx-amzn-errortype: B\r\nContent-Length: 2\r\n\r\n{}",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "no length": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + PAGE,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + PAGE,
    "the last of its connection": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 21\r\n\r\n" + PAGE,
    "continue first": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    "chunks": CHUNKED + b"5\r\n{\"Ima\r\n2\r\nge\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\nContent-Length: 21\r\n\r\n" + PAGE,
    "odd headers": b"HTTP/1.1 200 \r\nX-Empty:\r\nx-Latin: \xe9\r\nX-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"",
    "half a status": b"HTTP/1.1 20",
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"Im",
    "a body that is too long": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}{}",
    "half a chunk": CHUNKED + b"15\r\n{\"Im",
    "a damaged chunk": CHUNKED + b"not-hex\r\n{\"Im\r\n",
    "no last chunk": CHUNKED + b"2\r\n{}\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a status of words": b"HTTP/1.1 many OK\r\n\r\n",
    "a long header": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
}  # fmt: skip


class Peer:
    """A server that answers the first request of a connection as usual, and the second with `second`.

    `then` is what it does with the connection after that: `stay`, `close` or `reset`.
    """

    def __init__(self, second: bytes, then: str, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._second, self._then, self._context = second, then, context

    def __enter__(self) -> "Peer":
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    @property
    def url(self) -> str:
        scheme = "https" if self._context else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/"

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        if self._context:
            try:
                sock = self._context.wrap_socket(sock, server_side=True)
            except OSError:
                return
        with suppress(OSError), sock, sock.makefile("rb") as file:
            for number, answer in enumerate((OK, self._second, OK)):
                head = b""
                while not head.endswith(b"\r\n\r\n") and (line := file.readline()):
                    head += line
                if not head:
                    return
                length = re.search(rb"(?i)content-length: (\d+)", head)
                self.requests.append(head + file.read(int(length[1]) if length else 0))
                sock.sendall(answer)
                if number == 1 and self._then == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                if number == 1 and self._then != "stay":
                    return


def make_context(tmp_path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_certificate(tmp_path / "server.pem"))
    return context


def build_request(url: str) -> AWSPreparedRequest:
    return AWSPreparedRequest("POST", url, {"User-Agent": "a", "Content-Length": "2"}, b"{}", False)


def describe_end(send: Any, request: AWSPreparedRequest) -> tuple[Any, ...]:
    """What a request ends as."""
    try:
        answer = send(request)
        body = answer.body if hasattr(answer, "body") else answer.content
        return answer.status_code, sorted((k.lower(), v) for k, v in answer.headers.items()), body
    except HTTPClientError as error:
        return (type(error).__name__,)


def shorten_read_timeout(connections: Connections, seconds: float) -> None:
    """Shorten the timeout of the open connection, on which we send, and of its pool, with which botocore does."""
    connections._pool.timeout = Timeout(connect=HANG_S, read=seconds)
    connections._pool.pool.queue[-1].sock.settimeout(seconds)


# What is not whole when the server stays ends by the read timeout.
UNENDED = (
    "no length",
    "HTTP/1.0",
    "nothing",
    "half a status",
    "half a header",
    "half a body",
    "half a chunk",
    "no last chunk",
)
ENDS = [
    (kind, scheme, then)
    for kind in ANSWERS
    for scheme, then in (
        ("http", "close"),
        ("https", "close"),
        ("http", "reset"),
        ("https", "reset"),
        ("http", "stay"),
    )
    if (kind, then) != ("a long header", "reset")  # more than one segment: how much a reset loses depends on time
]


@pytest.mark.parametrize(("kind", "scheme", "then"), ENDS)
def test_an_answer_or_error_is_botocores(kind: str, scheme: str, then: str, tmp_path: Path) -> None:
    context = make_context(tmp_path) if scheme == "https" else None
    ended = []
    for is_ours in (False, True):
        with Peer(ANSWERS[kind], then, context) as peer:
            session = URLLib3Session(verify=str(tmp_path / "server.pem"), timeout=HANG_S)
            connections = Connections(session, peer.url)
            request = build_request(peer.url)
            connections.send(request)
            if then == "stay" and kind in UNENDED:  # only now: the first answer may take as long as the machine is busy
                shorten_read_timeout(connections, 0.2)
            ended.append(describe_end(connections.send if is_ours else session.send, request))
            session.close()
            assert peer.connections == 1, "the second request was not sent on the open connection"

    assert ended[0] == ended[1]
    if then == "stay" and kind in UNENDED:
        assert ended[0] == ("ReadTimeoutError",)


@pytest.mark.parametrize("signer", ["awscrt, which sets the host", "Python"])
def test_the_bytes_are_those_of_botocore(signer: str) -> None:
    more = {"host": "127.0.0.1"} if signer.startswith("awscrt") else {}
    with Peer(OK, "stay") as peer:
        headers = {"User-Agent": "a b/c", "X-Amz-Date": "1", **more, "Content-Length": "2"}
        request = AWSPreparedRequest("POST", f"{peer.url}a%20b/", headers, b"{}", False)
        session = URLLib3Session()
        Connections(session, request.url).send(request)
        Connections(session, request.url).send(request)
        session.close()

    theirs, ours = ([*one.split(b"\r\n")] for one in peer.requests)
    assert (peer.connections, ours[0], sorted(ours)) == (1, theirs[0], sorted(theirs))


def test_a_connection_that_was_closed_while_idle_is_opened_again_by_botocore() -> None:
    with Peer(OK, "close") as peer:
        session = URLLib3Session()
        connections = Connections(session, peer.url)
        request = AWSPreparedRequest("POST", peer.url, {"Content-Length": "2"}, b"{}", False)
        for _ in range(2):
            connections.send(request)
        until = time.monotonic() + HANG_S
        while connections._pool.pool.queue[-1].is_connected and time.monotonic() < until:
            time.sleep(0.01)

        assert connections.send(request).body == PAGE
        assert (peer.connections, connections._pool.num_connections) == (2, 1)
        session.close()


def test_the_pool_keeps_its_number_of_connections_whatever_happens() -> None:
    with Peer(b"", "close") as peer:
        session = URLLib3Session(max_pool_connections=3)
        connections = Connections(session, peer.url)
        request = AWSPreparedRequest("POST", peer.url, {"Content-Length": "2"}, b"{}", False)
        for _ in range(4):
            connections.send(request)
            with pytest.raises(ConnectionClosedError):
                connections.send(request)

        assert connections._pool.pool.qsize() == 3
        session.close()
        assert connections._take_idle_connection() is None


def test_botocores_pool_is_where_we_look_for_it_and_without_it_botocore_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(OK, "stay") as peer:
        session = URLLib3Session()
        assert Connections(session, peer.url)._pool is not None, f"botocore {botocore.__version__} has no pool there"
        monkeypatch.delattr(URLLib3Session, "_get_connection_manager")
        connections = Connections(session, peer.url)
        monkeypatch.undo()
        request = AWSPreparedRequest("POST", peer.url, {"Content-Length": "2"}, b"{}", False)

        assert [connections.send(request).body for _ in range(3)] == [PAGE] * 3
        assert (connections._pool, peer.connections) == (None, 1)
        session.close()


def test_a_proxy_that_forwards_gets_botocores_requests() -> None:
    """It needs the whole URL, and its own credentials."""
    with Peer(OK, "stay") as peer:
        session = URLLib3Session(proxies={"http": peer.url.replace("//", "//user:word@")})
        request = AWSPreparedRequest("POST", "http://aws.invalid/", {"Content-Length": "2"}, b"{}", False)
        connections = Connections(session, request.url)
        for _ in range(3):
            connections.send(request)
        session.close()

    assert {one.splitlines()[0] for one in peer.requests} == {b"POST http://aws.invalid/ HTTP/1.1"}
    assert all(b"proxy-authorization" in one.lower() for one in peer.requests)
    assert len(peer.requests) == 3
