"""boto3's clients: one per service and region, shared by all accounts, guarded; nothing else reaches AWS.

Two of botocore's events that we lean on are undocumented: `before-sign` lets each call bring its own credentials,
`before-parse` gives us the raw body. `Clients.call_operation` raises when either stops firing; compat.py needs
neither.
"""

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
import botocore.session
from botocore import xform_name
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError
from botocore.parsers import ResponseParserError

from appstream_export.error_rules import classify_error
from appstream_export.errors import ConfigurationError, ExportError, ScopeError
from appstream_export.extract.aws.errors import PARSER_ERRORS, build_malformed_error, build_scope_error, sanitize_text
from appstream_export.extract.aws.guard import READ_OPERATIONS, check_ca_bundle, check_operation, create_guarded_session
from appstream_export.extract.aws.rate_limit import CALLS_PER_S, RateLimiter
from appstream_export.settings import Settings
from appstream_export.status import Status
from appstream_export.version import __version__

BOTOCORE_TRIES = 2  # its second try is quick and helps with dropped connections; the scheduler does the rest
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
_BRIEF = Config(connect_timeout=1, read_timeout=5)  # the farthest region is 0.3 s away
_PLACEHOLDER_KEY = "each-call-brings-its-own"

Reader = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(slots=True)
class ApiCall:
    """One call of an operation, botocore's own second try included: its input, and what the wire saw of it.

    `is_brief` waits for an answer only shortly. `secrets` are words besides the credentials that no reason may repeat.
    `read` takes the raw answer of a 2xx and returns its JSON, or raises; without it botocore's parser reads.
    `convert_parsed` takes the result of botocore's parser, where that one has to read (compat.py), and returns
    it; `check_raw_answer` raises for what that parser drops.
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
    """AWS's host that is called."""

    @property
    def all_secrets(self) -> tuple[str | None, ...]:
        """What no reason may repeat."""
        own = self.credentials
        return (*self.secrets, own.token, own.secret_key, own.access_key) if own else self.secrets


_CALL: ContextVar[ApiCall] = ContextVar("call")


class Clients:
    """Every client of a run. Only `operations` (such as `appstream:DescribeImageBuilders`) may leave the process.

    `stop` ends waits for the pace of STS, of which each of `process_count` processes has an equal part.
    """

    def __init__(
        self, settings: Settings, operations: Iterable[str] = (), stop: Event | None = None, *, process_count: int = 1
    ) -> None:
        check_ca_bundle(settings)
        self._settings = settings
        self.operations = frozenset(operations)
        self._clients: dict[tuple[str, str, bool], BaseClient] = {}
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
        """Call AWS with the call's own credentials; STS at its pace, other services at the caller's.

        Raises ScopeError for AWS's fault, ConfigurationError when we refuse to send it or botocore is not what we know.
        """
        check_operation(READ_OPERATIONS | self.operations, f"{service}:{operation}")
        if service == "sts" and not self._rate_limiter.wait(self._stop):
            raise ScopeError(Status.CANCELLED, f"{operation}: stopped before it was sent")
        try:
            return self._send_request(service, region, operation, params, call)
        except ExportError:
            raise
        except (BotoCoreError, ClientError, ResponseParserError, ValueError, LookupError) as error:
            # from None: botocore's texts may hold whole answers and signatures, which a traceback would print
            raise build_scope_error(error, operation, call.all_secrets, host=call.host) from None
        except PARSER_ERRORS as error:  # botocore itself reads errors: a gateway's may be JSON, yet no object
            why = sanitize_text(f"botocore cannot read it: {type(error).__name__}: {error}", call.all_secrets)
            raise build_malformed_error(operation, why) from None

    def close(self) -> None:
        """Close idle connections."""
        with self._creation_lock:
            for client in self._clients.values():
                client.close()

    def _prepare_session(self, session: botocore.session.Session) -> Config:
        """Hooks for all clients of the session, and the configuration of each."""
        _register_hooks(session)
        return build_client_config(self._settings, tries=BOTOCORE_TRIES)

    def _send_request(
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
        if (client := self._clients.get(key)) is not None:
            return client
        with self._creation_lock:
            if key not in self._clients:
                self._clients[key] = self._build_shared_client(*key)
            return self._clients[key]

    def _build_shared_client(self, service: str, region: str, is_brief: bool) -> BaseClient:
        # The keys are never used: each call brings its own. Without them botocore would search its chain every time.
        client = self._create_client(service, region, Credentials(_PLACEHOLDER_KEY, _PLACEHOLDER_KEY), is_brief)
        # Asked before botocore's own retry, which stands at the same name: the most specific name goes first.
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
    """How every client asks; no wait on the wire is longer than a task or the run may take."""
    timeout_s = min(settings.extract.task_timeout_s, settings.extract.run_timeout_s)
    local: dict[str, Any] = {}
    if settings.is_local_aws:
        local = {"proxies": {}, "use_fips_endpoint": False, "use_dualstack_endpoint": False}
    return Config(
        retries={"mode": "standard", "total_max_attempts": min(tries, settings.extract.max_attempts)},
        connect_timeout=min(CONNECT_TIMEOUT_S, timeout_s / 3),  # a task has time for another try
        read_timeout=min(READ_TIMEOUT_S, timeout_s),
        max_pool_connections=max(10, settings.extract.workers),
        user_agent=f"appstream-export/{__version__} Botocore/{botocore.__version__}",
        **local,
    )


def _register_hooks(session: botocore.session.Session) -> None:
    session.register("before-sign", _set_request_credentials)
    session.register("before-send", _count_try)
    session.register("before-parse", _read_raw_body)
    session.register("response-received", _count_throttle)


def _set_request_credentials(request: Any, **_: Any) -> None:
    call = _CALL.get()
    request.context.setdefault("signing", {})["request_credentials"] = call.credentials
    call.is_signed = True


def _count_try(**_: Any) -> None:
    _CALL.get().tries += 1


def _read_raw_body(response_dict: dict[str, Any], **_: Any) -> None:
    call = _CALL.get()
    if call.read is not None and response_dict["status_code"] < 300:
        call.answer = call.read(response_dict)
        response_dict["body"] = b"{}"  # botocore's parser has nothing left to do


def _count_throttle(parsed_response: dict[str, Any] | None, **_: Any) -> None:
    if parsed_response and is_throttle(parsed_response):
        _CALL.get().throttles += 1


def is_throttle(parsed: Mapping[str, Any]) -> bool:
    """Whether AWS asks for fewer calls: a parsed answer, as botocore hands it to events and puts it into errors."""
    code = (parsed.get("Error") or {}).get("Code")
    return code is not None and classify_error(str(code)).status is Status.THROTTLED


def _limit_botocore_retry(response: Any, caught_exception: Exception | None = None, **_: Any) -> bool | None:
    """False ends botocore's own retrying: out of tries, or throttled or unconnected, when it would hold a worker."""
    call = _CALL.get()
    throttled = response is not None and is_throttle(response[1])
    dropped = isinstance(caught_exception, ConnectTimeoutError)
    return False if throttled or dropped or call.tries >= call.tries_max else None


def _check_hooks(call: ApiCall, operation: str) -> None:
    if call.tries == 0:
        raise _build_hook_error(operation, "before-send", "calls are counted and guarded")
    if not call.is_signed:
        raise _build_hook_error(operation, "before-sign", "each account gets its own credentials")


def _get_answer(call: ApiCall, operation: str) -> dict[str, Any]:
    if call.answer is None:
        raise _build_hook_error(operation, "before-parse", "damaged answers are told from empty ones")
    return call.answer


def _build_hook_error(operation: str, event: str, use: str) -> ConfigurationError:
    known = f"botocore {botocore.__version__} no longer fires {event}, by which {use}"
    fix = "set [extract] use_documented_client_api = true or install an older botocore, and report this"
    return ConfigurationError(f"{operation}: {known}", fix=fix)


CLOCK_SKEW_MAX_S = 300
"""What AWS tolerates."""
_SAMPLES_MAX = 100


class Clock:
    """The Date of AWS's answers, and when they came: of the last hundred."""

    def __init__(self) -> None:
        self._samples: deque[tuple[str, float]] = deque(maxlen=_SAMPLES_MAX)

    def record_response(self, parsed: Mapping[str, Any]) -> None:
        """Note an answer, good or bad, as botocore hands it out; cheap enough for every call."""
        date = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date:
            self._samples.append((str(date), time.time()))

    @property
    def newest_skew_s(self) -> float | None:
        """Return the same of the newest dated answer alone."""
        if not self._samples:
            return None
        date, received_at = self._samples[-1]
        try:
            return parsedate_to_datetime(date).timestamp() - received_at
        except ValueError:
            return None

    @property
    def skew_s(self) -> float | None:
        """By how many seconds our clock is behind AWS's, negative when ahead; None when no answer was dated."""
        from statistics import median  # it brings fractions and random, and few runs ask

        found = []
        for date, heard_at in list(self._samples):
            try:
                found.append(parsedate_to_datetime(date).timestamp() - heard_at)
            except ValueError:
                continue
        return median(found) if found else None
