"""Heartbeats: requests by which a service outside learns that runs start, and how they end, or do not."""

import logging
import threading
from urllib.parse import urlsplit, urlunsplit

from appstream_export.errors import SettingsError
from appstream_export.run.web_post import post_to_url
from appstream_export.settings import HeartbeatSettings

KEY = "[heartbeat] url"
TIMEOUT_S = 5.0
"""Seconds for a connection, and for each part of the answer."""
WAIT_S = 10.0
"""The longest that a heartbeat may hold up a run: slow name servers and answers in small parts have no other limit."""
ATTEMPTS = 2
_log = logging.getLogger(__name__)


def send_heartbeat(
    heartbeat: HeartbeatSettings, signal: str, text: str = "", *, ca_bundle: str | None = None, wait_s: float = WAIT_S
) -> None:
    """Request the URL with `signal` (`start`, `fail`, or empty for success); a failure is a warning and nothing more.

    `text` is the body, which such services show beside the signal.
    """
    if heartbeat.url is None:
        return
    problems: list[str] = []
    try:
        url = append_signal(heartbeat.url.reveal(key=KEY), signal)
    except SettingsError as error:
        _log.warning("no heartbeat was sent: %s", error)
        return
    # A daemon thread, because nothing else bounds the whole of a request.
    thread = threading.Thread(target=_post_heartbeat, args=(url, text, ca_bundle, problems), daemon=True)
    thread.start()
    thread.join(wait_s)
    if thread.is_alive():
        problems.append(f"{KEY}: the server did not answer within {wait_s:g} s")
    for problem in problems:
        _log.warning("the heartbeat %swas not received: %s", f"{signal} " if signal else "", problem)


def append_signal(url: str, signal: str) -> str:
    """Return the URL of a signal.

    >>> append_signal("https://hc-ping.com/abc?x=1", "start")
    'https://hc-ping.com/abc/start?x=1'
    >>> append_signal("https://hc-ping.com/abc/", "fail")
    'https://hc-ping.com/abc/fail'
    """
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/{signal}" if signal else parts.path
    return urlunsplit(parts._replace(path=path))


def _post_heartbeat(url: str, text: str, ca_bundle: str | None, problems: list[str]) -> None:
    for attempt in range(ATTEMPTS):
        try:
            post_to_url(
                url, text.encode(), key=KEY, content_type="text/plain", timeout_s=TIMEOUT_S, ca_bundle=ca_bundle
            )
        except SettingsError as error:
            if attempt == ATTEMPTS - 1:
                problems.append(str(error))
        else:
            return
