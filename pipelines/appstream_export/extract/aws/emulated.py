"""Whether the emulator that the settings name is there at all."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from appstream_export.errors import ConfigurationError
from appstream_export.settings import Settings


def check_emulator(settings: Settings) -> None:
    """With a loopback endpoint, one connection tells at once what all tasks would find out one by one."""
    url = settings.aws.endpoint_url
    if url is None or not settings.is_local_aws:
        return
    at = urlsplit(url)
    try:
        socket.create_connection((at.hostname or "", at.port or {"https": 443}.get(at.scheme, 80)), timeout=5).close()
    except OSError as error:
        start = f"appstream-export emulate --dir {Path(settings.warehouse).parent}"
        raise ConfigurationError(f"nothing answers at {url}; start it with: {start}") from error
