"""Clients of `[extract] use_documented_client_api = true`: slower, but without undocumented botocore features.

Each worker builds a client with the scope's credentials, lets botocore sign and parse, and drops the client when it
works on another scope. A page still counts only if it holds the item list, which any damaged page lacks. The documented
event `after-call` finds errors and repeated keys that the parser ignores. Lost are fields that botocore does not know,
and pages with a value that its parser refuses.
"""

import threading
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore import xform_name
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from appstream_export.errors import ScopeError
from appstream_export.extract.aws.clients import ApiCall, Clients, build_client_config, is_throttle
from appstream_export.extract.aws.errors import PARSER_ERRORS, build_malformed_error, sanitize_text
from appstream_export.settings import Settings
from appstream_export.status import Status

_CALL: ContextVar[ApiCall] = ContextVar("compatible_call")
ClientKey = tuple[str, str, str, str | None, bool]


class CompatibleClients(Clients):
    """One client per worker at a time, built for the worker's scope. Only the scheduler retries."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self._client_by_worker: dict[int, tuple[ClientKey, BaseClient]] = {}
        super().__init__(*args, **more)

    def __len__(self) -> int:
        return len(self._client_by_worker)

    def close(self) -> None:
        """Drop every client."""
        for worker in list(self._client_by_worker):
            self._drop_worker_client(worker)

    def _prepare_session(self, session: botocore.session.Session) -> Config:
        session.register("after-call", _check_raw_answer)
        return build_client_config(self._settings, tries=1)

    def _send_request(
        self, service: str, region: str, operation: str, params: dict[str, Any], call: ApiCall
    ) -> dict[str, Any]:
        client = self._get_worker_client(service, region, call)
        call.host = urlsplit(client.meta.endpoint_url).hostname
        call.tries += 1  # botocore's retries are off here, so a call is one request
        mark = _CALL.set(call)
        try:
            found = getattr(client, xform_name(operation))(**params)
        except ClientError as error:
            self.clock.record_response(error.response)
            call.throttles += is_throttle(error.response)
            raise
        except (BotoCoreError, ResponseParserError):
            raise
        except PARSER_ERRORS as error:
            why = sanitize_text(f"botocore cannot read it: {type(error).__name__}: {error}", call.all_secrets)
            raise build_malformed_error(operation, why) from None
        finally:
            _CALL.reset(mark)
        self.clock.record_response(found)
        return found if call.convert_parsed is None else call.convert_parsed(found)

    def _get_worker_client(self, service: str, region: str, call: ApiCall) -> BaseClient:
        """Return the worker's client; drop its client of another scope or of older credentials first."""
        credentials = call.credentials
        if credentials is None:
            raise ScopeError(Status.ERROR, f"{service}: a call without credentials")
        worker = threading.get_ident()
        key = (service, region, credentials.access_key, credentials.token, call.is_brief)
        if worker in self._client_by_worker and self._client_by_worker[worker][0] == key:
            return self._client_by_worker[worker][1]
        self._drop_worker_client(worker)
        with self._creation_lock:
            client = self._create_client(service, region, credentials, call.is_brief)
        self._client_by_worker[worker] = (key, client)
        return client

    def _drop_worker_client(self, worker: int) -> None:
        held = self._client_by_worker.pop(worker, None)
        if held is not None:
            held[1].close()


def _check_raw_answer(http_response: Any, model: Any, **_: Any) -> None:
    check = _CALL.get().check_raw_answer
    if check and http_response.status_code == 200 and model.service_model.resolved_protocol in ("json", "rest-json"):
        check(http_response.content, http_response.headers)


def create_clients(
    settings: Settings, operations: Iterable[str], stop: threading.Event | None = None, *, process_count: int = 1
) -> Clients:
    """Return clients of the kind that [extract] use_documented_client_api selects."""
    kind = CompatibleClients if settings.extract.use_documented_client_api else Clients
    return kind(settings, operations, stop, process_count=process_count)
