"""boto3's clients: one per service and region, shared by all accounts, guarded; nothing else reaches AWS.

Two of botocore's events that we lean on are undocumented: `before-sign` lets each call bring its own credentials,
`before-parse` gives us the raw body. `Clients.ask` notices when either stops firing and says so; compatible.py needs
neither.
"""

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any

import botocore
import botocore.session
from botocore import xform_name
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from appstream_export.errors import ExportError, ScopeError, SetupError, cause_of
from appstream_export.extract.aws.clock import Clock
from appstream_export.extract.aws.errors import PARSER_GIVES_UP, malformed, one_line, scope_error
from appstream_export.extract.aws.guard import READ_OPERATIONS, guarded_session, refuse_others
from appstream_export.extract.aws.rate_limit import CALLS_PER_S, Pace
from appstream_export.settings import Settings
from appstream_export.version import __version__

BOTOCORE_TRIES = 2  # its second try is quick and mends dropped connections; the schedule does the rest
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
_NO_KEY = "each-call-brings-its-own"

Reader = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(slots=True)
class Call:
    """One operation asked once, botocore's own second try included: what it brings, and what the wire saw of it.

    `secrets` are words besides the credentials that no reason may repeat. `read` takes the raw answer of a 2xx and
    returns its JSON, or raises; without it botocore's parser reads. `accept` takes what botocore's parser made, where
    it has to read (compatible.py), and gives the same.
    """

    credentials: Credentials | None = field(default=None, repr=False)
    secrets: tuple[str | None, ...] = field(default=(), repr=False)
    tries_max: int = BOTOCORE_TRIES
    read: Reader | None = None
    accept: Reader | None = None
    answer: dict[str, Any] | None = field(default=None, repr=False)
    tries: int = 0
    throttles: int = 0
    signed: bool = False

    @property
    def all_secrets(self) -> tuple[str | None, ...]:
        """What no reason may repeat."""
        own = self.credentials
        return (*self.secrets, own.token, own.secret_key, own.access_key) if own else self.secrets


_CALL: ContextVar[Call] = ContextVar("call")


class Clients:
    """Every client of a run. Only `operations` (such as `appstream:DescribeImageBuilders`) may leave the process.

    `stop` ends waits for the pace of STS, of which each of so many `sharers` has an equal part.
    """

    def __init__(
        self, settings: Settings, operations: Iterable[str] = (), stop: Event | None = None, *, sharers: int = 1
    ) -> None:
        self._settings = settings
        self.operations = frozenset(operations)
        self._clients: dict[tuple[str, str], BaseClient] = {}
        self._making = Lock()  # botocore does not promise that clients may be made by two threads at once
        self._stop = stop or Event()
        self._pace = Pace(CALLS_PER_S["sts"] / sharers)
        self.clock = Clock()
        self.session = guarded_session(settings, READ_OPERATIONS | self.operations)
        self._config = self._prepare(self.session)

    def __len__(self) -> int:
        return len(self._clients)

    def ask(self, service: str, region: str, operation: str, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Call AWS with the call's own credentials; STS at its pace, other services at the caller's.

        Raises ScopeError for AWS's fault, SetupError when we refuse to send it or botocore is not what we know.
        """
        refuse_others(READ_OPERATIONS | self.operations, f"{service}:{operation}")
        if service == "sts" and not self._pace.wait(self._stop):
            raise ScopeError("cancelled", f"{operation}: stopped before it was sent")
        try:
            return self._exchange(service, region, operation, params, call)
        except ExportError:
            raise
        except (BotoCoreError, ClientError, ResponseParserError, ValueError, LookupError) as error:
            # from None: botocore's texts may hold whole answers and signatures, which a traceback would print
            raise scope_error(error, operation, call.all_secrets) from None
        except PARSER_GIVES_UP as error:  # botocore itself reads errors: a gateway's may be JSON, yet no object
            why = one_line(f"botocore cannot read it: {type(error).__name__}: {error}", call.all_secrets)
            raise malformed(operation, why) from None

    def close(self) -> None:
        """Let go of idle connections."""
        with self._making:
            for client in self._clients.values():
                client.close()

    def _prepare(self, session: botocore.session.Session) -> Config:
        """Hooks for all clients of the session, and the configuration of each."""
        _hook(session)
        return config(self._settings, tries=BOTOCORE_TRIES)

    def _exchange(
        self, service: str, region: str, operation: str, params: dict[str, Any], call: Call
    ) -> dict[str, Any]:
        mark = _CALL.set(call)
        try:
            found = getattr(self._client(service, region), xform_name(operation))(**params)
        except ClientError as error:
            self.clock.hear(error.response)
            _prove_hooks(call, operation)
            raise
        finally:
            _CALL.reset(mark)
        self.clock.hear(found)
        _prove_hooks(call, operation)
        return found if call.read is None else _parsed(call, operation)

    def _client(self, service: str, region: str) -> BaseClient:
        key = (service, region)
        if (client := self._clients.get(key)) is not None:
            return client
        with self._making:
            if key not in self._clients:
                self._clients[key] = self._make(service, region)
            return self._clients[key]

    def _make(self, service: str, region: str) -> BaseClient:
        # The keys are never used: each call brings its own. Without them botocore would search its chain every time.
        client = self._create(service, region, Credentials(_NO_KEY, _NO_KEY))
        # Asked before botocore's own retry, which stands at the same name: the most specific name goes first.
        own_name = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register_first(f"needs-retry.{own_name}", _leave_retry_to_schedule)
        return client

    def _create(self, service: str, region: str, credentials: Credentials) -> BaseClient:
        return self.session.create_client(
            service,
            region_name=region,
            endpoint_url=self._settings.aws.endpoint_url,
            verify=self._settings.aws.ca_bundle,
            config=self._config,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.token,
        )


def config(settings: Settings, *, tries: int) -> Config:
    """How every client asks; no wait on the wire is longer than a task or the run may take."""
    timeout_s = min(settings.extract.task_timeout_s, settings.extract.run_timeout_s)
    local: dict[str, Any] = {}
    if settings.is_local_aws:
        local = {"proxies": {}, "use_fips_endpoint": False, "use_dualstack_endpoint": False}
    return Config(
        retries={"mode": "standard", "total_max_attempts": min(tries, settings.extract.max_attempts)},
        connect_timeout=min(CONNECT_TIMEOUT_S, timeout_s),
        read_timeout=min(READ_TIMEOUT_S, timeout_s),
        max_pool_connections=max(10, settings.extract.workers),
        user_agent=f"appstream-export/{__version__} Botocore/{botocore.__version__}",
        **local,
    )


def _hook(session: botocore.session.Session) -> None:
    session.register("before-sign", _sign_for_the_account)
    session.register("before-send", _count_try)
    session.register("before-parse", _read_raw)
    session.register("response-received", _count_throttle)


def _sign_for_the_account(request: Any, **_: Any) -> None:
    call = _CALL.get()
    request.context.setdefault("signing", {})["request_credentials"] = call.credentials
    call.signed = True


def _count_try(**_: Any) -> None:
    _CALL.get().tries += 1


def _read_raw(response_dict: dict[str, Any], **_: Any) -> None:
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
    return code is not None and cause_of(str(code)).status == "throttled"


def _leave_retry_to_schedule(response: Any, **_: Any) -> bool | None:
    """False ends botocore's own retrying: out of tries, or throttled, when its sleep would hold a worker."""
    call = _CALL.get()
    throttled = response is not None and is_throttle(response[1])
    return False if throttled or call.tries >= call.tries_max else None


def _prove_hooks(call: Call, operation: str) -> None:
    if call.tries == 0:
        raise _moved(operation, "before-send", "calls are counted and guarded")
    if not call.signed:
        raise _moved(operation, "before-sign", "each account gets its own credentials")


def _parsed(call: Call, operation: str) -> dict[str, Any]:
    if call.answer is None:
        raise _moved(operation, "before-parse", "damaged answers are told from empty ones")
    return call.answer


def _moved(operation: str, event: str, use: str) -> SetupError:
    known = f"botocore {botocore.__version__} no longer fires {event}, by which {use}"
    fix = "set [extract] compatible = true or install an older botocore, and report this"
    return SetupError(f"{operation}: {known}; {fix}")
