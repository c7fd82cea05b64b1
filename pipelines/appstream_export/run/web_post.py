"""Requests to the URLs that the settings name for alerts and heartbeats: no redirects, and no URL in any message."""

import ssl
import urllib.error
import urllib.request
from http.client import HTTPException

from appstream_export.errors import SettingsError
from appstream_export.settings import has_user_part


def post_to_url(
    url: str, body: bytes, *, key: str, content_type: str, timeout_s: float, ca_bundle: str | None = None
) -> None:
    """Post a body; raises SettingsError unless the answer is a 2xx. The URL is a secret, so its text has only `key`.

    `ca_bundle` is a file of further certificates to trust, such as that of a proxy.
    """
    if not url.startswith(("https://", "http://")):
        raise SettingsError(f"{key}: not a URL such as https://hooks.example.com/...")
    if has_user_part(url):
        raise SettingsError(f"{key}: it holds a user or a password", fix="take it out of the URL")
    try:
        request = urllib.request.Request(  # noqa: S310  the scheme is checked above
            url, body, {"Content-Type": content_type, "User-Agent": "appstream-export"}, method="POST"
        )
        with _build_opener(ca_bundle).open(request, timeout=timeout_s):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        raise SettingsError(f"{key}: the server answered {error.code}", fix="correct its URL") from None
    except (OSError, HTTPException, ValueError) as error:  # their messages quote parts of the URL
        raise SettingsError(f"{key}: the server could not be reached: {type(error).__name__}") from None


def _build_opener(ca_bundle: str | None) -> urllib.request.OpenerDirector:
    """Return an opener without redirects: urllib would follow them with a GET and without the body."""
    tls = ssl.create_default_context()
    if ca_bundle:
        tls.load_verify_locations(ca_bundle)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=tls),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
