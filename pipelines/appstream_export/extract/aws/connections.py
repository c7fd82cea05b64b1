"""Requests over the open connections of a botocore client: in one piece, and without urllib3's work for each.

botocore's HTTP session opens each connection, with its proxy, certificates and timeouts, and puts it into urllib3's
pool. From there, an idle connection is taken for one request. What fails on it raises the error that botocore
would raise. Through a proxy that forwards, and if botocore's pool is not found, the HTTP session sends all requests.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from queue import Empty, Full
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from urllib3 import HTTPHeaderDict

_FOLD = re.compile(r"\r?\n[ \t]+")  # a header of several lines


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of AWS, an error or not."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes

    def as_event(self) -> dict[str, Any]:
        """Return the answer in the form in which botocore's parsers and events have it."""
        return {"status_code": self.status_code, "headers": self.headers, "body": self.body, "context": {}}


class Connections:
    """The connections of one client's HTTP session to one URL, shared by all threads."""

    def __init__(self, session: URLLib3Session, url: str) -> None:
        self._session, self._url = session, url
        self._pool = _find_pool(session, url)
        self._target, self._netloc = urlsplit(url).path, urlsplit(url).netloc

    def send(self, request: AWSPreparedRequest) -> Answer:
        """Send a request and return its answer; raises botocore's errors."""
        connection = self._take_idle_connection()
        if connection is None:
            found = self._session.send(request)
            return Answer(found.status_code, found.headers, found.content)
        try:
            return self._request_over(connection, request)
        except TimeoutError as error:
            connection.close()
            raise ReadTimeoutError(endpoint_url=self._url, error=error) from error
        except (OSError, HTTPException) as error:
            connection.close()
            raise ConnectionClosedError(endpoint_url=self._url, error=error) from error
        except BaseException:
            connection.close()  # what is left of the answer must not be read as the next one
            raise
        finally:
            self._put_connection(connection)

    def _take_idle_connection(self) -> Any:
        """Return an open connection, which must be put back, or None."""
        try:
            connection = self._pool.pool.get(block=False)
        except (AttributeError, Empty):  # no pool, or a closed one
            return None
        if connection is not None and connection.is_connected and not connection.proxy_is_forwarding:
            return connection
        self._put_connection(connection)
        return None

    def _put_connection(self, connection: Any) -> None:
        try:
            self._pool.pool.put(connection, block=False)
        except (AttributeError, Full):  # closed meanwhile
            if connection is not None:
                connection.close()

    def _request_over(self, connection: Any, request: AWSPreparedRequest) -> Answer:
        connection.sock.sendall(self._render_head(request) + request.body)
        with HTTPResponse(connection.sock, method=request.method) as response:
            response.begin()
            try:
                body = response.read()
            except IncompleteRead as error:
                if response.chunked:
                    raise
                body = error.partial  # as botocore does: readers of the answer compare its length
                connection.close()
            if response.will_close:
                connection.close()
            return Answer(response.status, _build_headers(response.headers.items()), body)

    def _render_head(self, request: AWSPreparedRequest) -> bytes:
        lines = [f"{request.method} {self._target} HTTP/1.1", "Accept-Encoding: identity"]
        if "host" not in request.headers:  # awscrt adds it before it signs
            lines.append(f"Host: {self._netloc}")
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii")


def _build_headers(lines: Sequence[tuple[str, str]]) -> HeadersDict:
    """Return headers as botocore has them: those that repeat are joined, those of several lines are one line."""
    if any("\n" in value for _, value in lines):
        lines = [(name, _FOLD.sub(" ", value)) for name, value in lines]
    is_unique = len({name.lower() for name, _ in lines}) == len(lines)
    return HeadersDict(lines if is_unique else HTTPHeaderDict(lines))  # joining takes three times as long


def _find_pool(session: URLLib3Session, url: str) -> Any:
    """Return the pool of the session's connections for the URL; None if botocore or urllib3 have it no more."""
    try:
        manager = session._get_connection_manager(url, session._proxy_config.proxy_url_for(url))
        pool = manager.connection_from_url(url)
        pool.ConnectionCls.is_connected, pool.ConnectionCls.proxy_is_forwarding  # noqa: B018  urllib3 1 lacks them
    except AttributeError:
        return None
    return pool
