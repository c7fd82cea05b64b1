"""`[extract] compatible = true`: the slow way that leans on nothing undocumented in botocore.

Each worker makes a client with the scope's credentials, lets botocore sign and parse, and drops the client when it
turns to another scope. A page still counts only if it holds the item list: whatever botocore could not read whole
lacks it. What is lost: fields that botocore does not know, and pages with a value that its parser refuses.
"""

import threading
from collections.abc import Iterable
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from appstream_export.errors import ScopeError
from appstream_export.extract.aws.clients import Call, Clients, config, is_throttle
from appstream_export.extract.aws.errors import PARSER_GIVES_UP, malformed, one_line
from appstream_export.settings import Settings

Key = tuple[str, str, str, str | None]


class CompatibleClients(Clients):
    """One client per worker at a time, made for the scope that it asks; the schedule alone asks again."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self._held: dict[int, tuple[Key, BaseClient]] = {}
        super().__init__(*args, **more)

    def __len__(self) -> int:
        return len(self._held)

    def close(self) -> None:
        """Drop every client."""
        for worker in list(self._held):
            self._drop(worker)

    def _prepare(self, session: botocore.session.Session) -> Config:  # noqa: ARG002  the session gets no hooks
        return config(self._settings, tries=1)

    def _exchange(
        self, service: str, region: str, operation: str, params: dict[str, Any], call: Call
    ) -> dict[str, Any]:
        client = self._own(service, region, call.credentials)
        call.tries += 1
        try:
            found = getattr(client, xform_name(operation))(**params)
        except ClientError as error:
            self.clock.hear(error.response)
            call.throttles += is_throttle(error.response)
            raise
        except (BotoCoreError, ResponseParserError):
            raise
        except PARSER_GIVES_UP as error:
            why = one_line(f"botocore cannot read it: {type(error).__name__}: {error}", call.all_secrets)
            raise malformed(operation, why) from None
        self.clock.hear(found)
        return found if call.accept is None else call.accept(found)

    def _own(self, service: str, region: str, credentials: Credentials | None) -> BaseClient:
        """The worker's own client; the one of another scope or of older credentials is dropped first."""
        if credentials is None:
            raise ScopeError("error", f"{service}: a call without credentials")
        worker, key = threading.get_ident(), (service, region, credentials.access_key, credentials.token)
        if worker in self._held and self._held[worker][0] == key:
            return self._held[worker][1]
        self._drop(worker)
        with self._making:
            client = self._create(service, region, credentials)
        self._held[worker] = (key, client)
        return client

    def _drop(self, worker: int) -> None:
        held = self._held.pop(worker, None)
        if held is not None:
            held[1].close()


def clients_for(
    settings: Settings, operations: Iterable[str], stop: threading.Event | None = None, *, sharers: int = 1
) -> Clients:
    """Clients of the kind that the settings ask for."""
    kind = CompatibleClients if settings.extract.compatible else Clients
    return kind(settings, operations, stop, sharers=sharers)
