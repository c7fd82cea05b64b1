"""Guarded botocore clients, one per service and region, shared by all accounts. Nothing else calls AWS.

Pages and sessions are requested with templates (request_template.py), which cost a third of a client's call. The client
makes the request from which a template is derived, second tries, and all requests that have no template.

Two botocore events used here are undocumented: in `before-sign` each call sets its own credentials, in `before-parse`
it reads the raw body. `Clients.call_operation` raises if either event stops firing. compat.py uses neither.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from threading import Event, Lock
from typing import Any
from urllib.parse import urlsplit

import botocore
import botocore.exceptions
import botocore.session
from botocore import xform_name
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, HTTPClientError
from botocore.parsers import ResponseParserError

from appstream_export.error_rules import classify_error
from appstream_export.errors import ConfigurationError, ExportError, ScopeError
from appstream_export.extract.aws.errors import PARSER_ERRORS, build_malformed_error, build_scope_error, sanitize_text
from appstream_export.extract.aws.guard import READ_OPERATIONS, check_ca_bundle, check_operation, create_guarded_session
from appstream_export.extract.aws.rate_limit import CALLS_PER_S, RateLimiter
from appstream_export.extract.aws.request_template import RequestTemplate
from appstream_export.settings import Settings
from appstream_export.status import Status
from appstream_export.version import __version__

BOTOCORE_TRIES = 2  # its second try is quick and helps with dropped connections; the scheduler makes further tries
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
_BRIEF = Config(connect_timeout=1, read_timeout=5)  # the farthest region answers after 0.3 s
_PLACEHOLDER_KEY = "each-call-brings-its-own"
_TRANSIENT_STATUSES = frozenset({500, 502, 503, 504})  # those for which botocore, too, tries again
_TRANSIENT_ERRORS = (HTTPClientError, botocore.exceptions.ConnectionError)

Reader = Callable[[dict[str, Any]], dict[str, Any]]
_TemplateKey = tuple[str, str, str, bool]
"""Service, region, operation, and whether the credentials have a token."""


@dataclass(slots=True)
class ApiCall:
    """One call of an operation, with botocore's second try: its options, and the counts and answer of its requests.

    `is_brief` sets short timeouts. `secrets` are texts, besides the credentials, that no reason may contain.
    `read` converts the raw answer of a 2xx to JSON, or raises; without it botocore's parser is used.
    `convert_parsed` converts the result of botocore's parser if that parser has to be used (compat.py);
    `check_raw_answer` raises for problems that the parser ignores.
    """

    credentials: Credentials | None = field(default=None, repr=False)
    secrets: tuple[str | None, ...] = field(default=(), repr=False)
    tries_max: int = BOTOCORE_TRIES
    is_brief: bool = False
    read: Reader | None = None
    convert_parsed: Reader | None = None
    check_raw_answer: Callable[[bytes, Mapping[str, str]], None] | None = None
    answer: dict[str, Any] | None = field(default=None, repr=False)
    tries: int = 0
    throttles: int = 0
    is_signed: bool = False
    host: str | None = None
    """The AWS host of the request."""

    @property
    def all_secrets(self) -> tuple[str | None, ...]:
        """Texts that no reason may contain."""
        own = self.credentials
        return (*self.secrets, own.token, own.secret_key, own.access_key) if own else self.secrets


@dataclass(slots=True)
class _RecordedCall(ApiCall):
    """A call whose request is made, signed and checked by all guards, but not sent."""

    request: Any = None


class _NotSent(Exception):
    """The end of a recorded call."""


# botocore's events have no parameter for the call, so each thread sets it here while it sends.
_CALL: ContextVar[ApiCall] = ContextVar("call")


class Clients:
    """All clients of a run. They send only `operations` (such as `appstream:DescribeImageBuilders`).

    `stop` ends waits for the rate limit of STS, which `process_count` processes share equally.
    """

    def __init__(
        self, settings: Settings, operations: Iterable[str] = (), stop: Event | None = None, *, process_count: int = 1
    ) -> None:
        check_ca_bundle(settings)
        self._settings = settings
        self.operations = frozenset(operations)
        self._clients: dict[tuple[str, str, bool], BaseClient] = {}
        # None where an operation has no template: its requests are not all of one form.
        self._templates: dict[_TemplateKey, RequestTemplate | None] = {}
        self._creation_lock = Lock()  # botocore does not promise that clients may be made by two threads at once
        self._stop = stop or Event()
        self._rate_limiter = RateLimiter(CALLS_PER_S["sts"] / process_count)
        self.clock = Clock()
        self.session = create_guarded_session(settings, READ_OPERATIONS | self.operations)
        self._config = self._prepare_session(self.session)

    def __len__(self) -> int:
        return len(self._clients)

    def call_operation(
        self, service: str, region: str, operation: str, params: dict[str, Any], call: ApiCall
    ) -> dict[str, Any]:
        """Call AWS with the call's own credentials. STS is rate-limited here, other services by their callers.

        Raises ScopeError for failures of AWS, ConfigurationError for a forbidden call or an unsupported botocore.
        """
        check_operation(READ_OPERATIONS | self.operations, f"{service}:{operation}")
        if service == "sts" and not self._rate_limiter.wait(self._stop):
            raise ScopeError(Status.CANCELLED, f"{operation}: stopped before it was sent")
        try:
            return self._send_request(service, region, operation, params, call)
        except ExportError:
            raise
        except (BotoCoreError, ClientError, ResponseParserError, ValueError, LookupError) as error:
            # from None: botocore's texts may hold whole answers and signatures, and a traceback would print them
            raise build_scope_error(error, operation, call.all_secrets, host=call.host) from None
        except PARSER_ERRORS as error:  # botocore parses error bodies: a gateway's may be JSON but not an object
            why = sanitize_text(f"botocore cannot read it: {type(error).__name__}: {error}", call.all_secrets)
            raise build_malformed_error(operation, why) from None

    def close(self) -> None:
        """Close idle connections."""
        with self._creation_lock:
            for client in self._clients.values():
                client.close()

    def _prepare_session(self, session: botocore.session.Session) -> Config:
        """Register the session's hooks, and return the configuration of its clients."""
        _register_hooks(session)
        return build_client_config(self._settings, tries=BOTOCORE_TRIES)

    def _send_request(
        self, service: str, region: str, operation: str, params: dict[str, Any], call: ApiCall
    ) -> dict[str, Any]:
        own = call.credentials
        if own is None or call.is_brief or (call.read is None and service != "sts"):
            return self._send_by_client(service, region, operation, params, call)
        template = self._get_template(service, region, operation, params, own)
        found = self._send_by_template(template, params, own, call) if template else None
        return found if found is not None else self._send_by_client(service, region, operation, params, call)

    def _get_template(
        self, service: str, region: str, operation: str, params: dict[str, Any], own: Credentials
    ) -> RequestTemplate | None:
        """Return the template for a call, or None if its client must make the request."""
        key = (service, region, operation, bool(own.token))
        if key not in self._templates:
            client = self._get_client(service, region, is_brief=False)
            with self._creation_lock:
                if key not in self._templates:
                    request = _record_request(client, operation, params, own)
                    self._templates[key] = RequestTemplate.derive(client, operation, params, own, request)
        template = self._templates[key]
        return template if template is not None and template.can_sign_with(own) else None

    def _send_by_template(
        self, template: RequestTemplate, params: dict[str, Any], own: Credentials, call: ApiCall
    ) -> dict[str, Any] | None:
        """Try the call once, and return the answer; None if another try is left after a transient error.

        That next try is the client's, whose rules decide what its error means.
        """
        call.host = template.host
        request = template.sign_request(params, own)
        call.tries += 1
        has_next_try = call.tries < min(call.tries_max, BOTOCORE_TRIES)
        try:
            answer = template.send(request)
        except _TRANSIENT_ERRORS as error:
            if isinstance(error, ConnectTimeoutError) or not has_next_try:
                raise
        else:
            self.clock.record_date(answer.headers.get("Date"))
            if answer.status_code < 300 and call.read is not None:
                return call.read(answer.as_event())
            parsed = template.parse(answer)
            if answer.status_code < 300:
                return parsed
            is_throttled = is_throttle(parsed)
            call.throttles += is_throttled
            if is_throttled or not has_next_try or answer.status_code not in _TRANSIENT_STATUSES:
                raise ClientError(parsed, template.operation.name)
        self._stop.wait(random.uniform(0, 1))  # noqa: S311  botocore's wait before its second try
        call.tries_max = min(call.tries_max, BOTOCORE_TRIES)
        return None

    def _send_by_client(
        self, service: str, region: str, operation: str, params: dict[str, Any], call: ApiCall
    ) -> dict[str, Any]:
        client = self._get_client(service, region, call.is_brief)
        call.host = urlsplit(client.meta.endpoint_url).hostname
        mark = _CALL.set(call)
        try:
            found = getattr(client, xform_name(operation))(**params)
        except ClientError as error:
            self.clock.record_response(error.response)
            _check_hooks(call, operation)
            raise
        finally:
            _CALL.reset(mark)
        self.clock.record_response(found)
        _check_hooks(call, operation)
        return found if call.read is None else _get_answer(call, operation)

    def _get_client(self, service: str, region: str, is_brief: bool) -> BaseClient:
        key = (service, region, is_brief)
        # First without the lock, so that no call waits while another thread creates a client.
        if (client := self._clients.get(key)) is not None:
            return client
        with self._creation_lock:
            if key not in self._clients:
                self._clients[key] = self._build_shared_client(*key)
            return self._clients[key]

    def _build_shared_client(self, service: str, region: str, is_brief: bool) -> BaseClient:
        # The keys are never used: each call sets its own. Without keys botocore would search its chain each time.
        client = self._create_client(service, region, Credentials(_PLACEHOLDER_KEY, _PLACEHOLDER_KEY), is_brief)
        # botocore calls the handlers of the most specific event name first, so this one precedes its own retry handler.
        own_name = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register_first(f"needs-retry.{own_name}", _limit_botocore_retry)
        return client

    def _create_client(self, service: str, region: str, credentials: Credentials, is_brief: bool) -> BaseClient:
        return self.session.create_client(
            service,
            region_name=region,
            endpoint_url=self._settings.aws.endpoint_url,
            verify=self._settings.aws.ca_bundle,
            config=self._config.merge(_BRIEF) if is_brief else self._config,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.token,
        )


def build_client_config(settings: Settings, *, tries: int) -> Config:
    """Return the configuration of every client. No network timeout exceeds the time limit of a task or the run."""
    timeout_s = min(settings.extract.task_timeout_s, settings.extract.run_timeout_s)
    local: dict[str, Any] = {}
    if settings.is_local_aws:
        # An emulator has no FIPS or dual-stack host names, and a proxy could not reach this machine.
        local = {"proxies": {}, "use_fips_endpoint": False, "use_dualstack_endpoint": False}
    return Config(
        retries={"mode": "standard", "total_max_attempts": min(tries, settings.extract.max_attempts)},
        connect_timeout=min(CONNECT_TIMEOUT_S, timeout_s / 3),  # so that a task has time for another try
        read_timeout=min(READ_TIMEOUT_S, timeout_s),
        # A connection for each worker: urllib3 closes those that do not fit into the pool, after every call.
        max_pool_connections=max(10, settings.extract.workers),
        user_agent=f"appstream-export/{__version__} Botocore/{botocore.__version__}",
        **local,
    )


def _record_request(client: BaseClient, operation: str, params: dict[str, Any], credentials: Credentials) -> Any:
    """Return the request that the client would send; raises as a call does, and if the client has sent it."""
    call = _RecordedCall(credentials)
    mark = _CALL.set(call)
    try:
        getattr(client, xform_name(operation))(**params)
    except _NotSent:
        return call.request
    finally:
        _CALL.reset(mark)
    raise _build_hook_error(operation, "before-send", "count and guard calls")


def _register_hooks(session: botocore.session.Session) -> None:
    session.register("before-sign", _set_request_credentials)
    session.register("before-send", _count_try)
    session.register("before-parse", _read_raw_body)
    session.register("response-received", _count_throttle)


def _set_request_credentials(request: Any, **_: Any) -> None:
    call = _CALL.get()
    # botocore signs with these instead of the client's credentials, so that one client serves all accounts.
    request.context.setdefault("signing", {})["request_credentials"] = call.credentials
    call.is_signed = True


def _count_try(request: Any, **_: Any) -> None:
    call = _CALL.get()
    if isinstance(call, _RecordedCall):
        call.request = request
        raise _NotSent
    call.tries += 1


def _read_raw_body(response_dict: dict[str, Any], **_: Any) -> None:
    call = _CALL.get()
    if call.read is not None and response_dict["status_code"] < 300:
        call.answer = call.read(response_dict)
        response_dict["body"] = b"{}"  # so that botocore does not parse the page a second time


def _count_throttle(parsed_response: dict[str, Any] | None, **_: Any) -> None:
    if parsed_response and is_throttle(parsed_response):
        _CALL.get().throttles += 1


def is_throttle(parsed: Mapping[str, Any]) -> bool:
    """Return whether a parsed answer, as botocore passes it to events and errors, is a throttling error."""
    code = (parsed.get("Error") or {}).get("Code")
    return code is not None and classify_error(str(code)).status is Status.THROTTLED


def _limit_botocore_retry(response: Any, caught_exception: Exception | None = None, **_: Any) -> bool | None:
    """Return False to stop botocore's retry: no tries left, or a throttle or connect timeout, which blocks a worker."""
    call = _CALL.get()
    throttled = response is not None and is_throttle(response[1])
    dropped = isinstance(caught_exception, ConnectTimeoutError)
    # None leaves the decision to botocore's own handler.
    return False if throttled or dropped or call.tries >= call.tries_max else None


def _check_hooks(call: ApiCall, operation: str) -> None:
    if call.tries == 0:
        raise _build_hook_error(operation, "before-send", "count and guard calls")
    if not call.is_signed:
        raise _build_hook_error(operation, "before-sign", "give each account its own credentials")


def _get_answer(call: ApiCall, operation: str) -> dict[str, Any]:
    if call.answer is None:
        raise _build_hook_error(operation, "before-parse", "distinguish damaged answers from empty ones")
    return call.answer


def _build_hook_error(operation: str, event: str, use: str) -> ConfigurationError:
    known = f"botocore {botocore.__version__} no longer fires {event}, which the export needs to {use}"
    fix = "set [extract] use_documented_client_api = true or install an older botocore, and report this"
    return ConfigurationError(f"{operation}: {known}", fix=fix)


CLOCK_SKEW_MAX_S = 300
"""The largest difference in seconds that AWS accepts."""
_SAMPLES_MAX = 100


class Clock:
    """The Date headers of the last hundred AWS answers, with the times when they arrived."""

    def __init__(self) -> None:
        self._samples: deque[tuple[str, float]] = deque(maxlen=_SAMPLES_MAX)

    def record_response(self, parsed: Mapping[str, Any]) -> None:
        """Record the date of a parsed answer, successful or not. Cheap enough for every call."""
        self.record_date(parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date"))

    def record_date(self, date: str | None) -> None:
        """Record the header Date of an answer."""
        if date:
            self._samples.append((str(date), time.time()))

    @property
    def newest_skew_s(self) -> float | None:
        """Seconds that our clock is behind AWS's in the newest dated answer; negative if ahead, None without any."""
        if not self._samples:
            return None
        date, received_at = self._samples[-1]
        try:
            return parsedate_to_datetime(date).timestamp() - received_at
        except ValueError:
            return None

    @property
    def skew_s(self) -> float | None:
        """Median of the seconds that our clock is behind AWS's; negative if ahead, None without a dated answer."""
        from statistics import median  # a slow import that few runs need

        found = []
        for date, received_at in list(self._samples):
            try:
                found.append(parsedate_to_datetime(date).timestamp() - received_at)
            except ValueError:
                continue
        return median(found) if found else None
