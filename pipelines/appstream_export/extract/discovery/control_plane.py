"""Control plane requests, made once per run with the administrator's credentials: accounts, units, regions.

They are slow, because the whole organization shares their quotas. Pages are checked as strictly as those of scopes, so
that a damaged answer is never read as a short list.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, TypeVar, cast

from botocore.credentials import Credentials

from appstream_export.contracts import DISCOVERY
from appstream_export.errors import Interrupted, ScopeError
from appstream_export.extract.accounts import Account
from appstream_export.extract.aws import (
    CALLS_PER_S,
    ApiCall,
    Clients,
    CredentialSource,
    RateLimiter,
    Sessions,
    check_emulator,
    create_clients,
    find_home_partition,
    get_configured_region,
    get_home_region,
    list_profiles,
)
from appstream_export.extract.scan import ListOperation, RetryState
from appstream_export.settings import Settings
from appstream_export.status import Status

T = TypeVar("T")
_TOKEN = "NextToken"  # noqa: S105  a page token, not a secret
_STOPPED = "interrupted: nothing was committed, the previous snapshot stands"
POLL_S = 0.2  # the longest delay until a stop is noticed
PAGES_MAX = 5_000  # ListAccounts returns 20 accounts a page; the largest organizations have some 10,000 accounts


def _build_list_operation(service: str, operation: str, items: str) -> ListOperation:
    return ListOperation(
        service=service,
        operation=operation,
        items=(items,),
        key=("Id",),
        arn=None,
        input_token=_TOKEN,
        output_token=_TOKEN,
        limit_key=None,
        takes_names=False,
    )


LIST_ACCOUNTS = _build_list_operation("organizations", "ListAccounts", "Accounts")
LIST_ROOTS = _build_list_operation("organizations", "ListRoots", "Roots")
LIST_UNITS = _build_list_operation("organizations", "ListOrganizationalUnitsForParent", "OrganizationalUnits")
LIST_UNIT_ACCOUNTS = _build_list_operation("organizations", "ListAccountsForParent", "Accounts")
GET_PARAMETERS = _build_list_operation("ssm", "GetParametersByPath", "Parameters")


class ControlPlaneClient:
    """Client of the account that may list the organization; without one, of the first account's source credentials."""

    def __init__(self, settings: Settings, *, run_id: str, stop: Event) -> None:
        organization = settings.organization
        self._settings, self._run_id, self._stop = settings, run_id, stop
        self._role_arn = organization.admin_role_arn if organization else None
        self._profile = (
            organization.admin_profile if organization else next((a.profile for a in settings.accounts), None)
        )
        self._source = CredentialSource(settings, self._profile)
        self._rate_limiters = {service: RateLimiter(CALLS_PER_S[service]) for service in ("organizations", "ssm")}
        if settings.is_local_aws:
            self._rate_limiters.clear()  # an emulator has no quotas
        self._is_open = False
        self.calls = 0

    def check_setup(self) -> None:
        """Raise ConfigurationError, before any call, for no credentials, two partitions or no emulator."""
        organization = self._settings.organization
        if organization and organization.external_id:
            organization.external_id.reveal()
        who = "[organization] admin_profile" if organization else "the first account"
        self._source.check_availability(who, list_profiles() if self._profile else [])
        _ = self.partition
        check_emulator(self._settings)

    @cached_property
    def partition(self) -> str:
        """The partition of the run: the one in the settings, else the partition of the configured region."""
        return find_home_partition(self._settings, get_configured_region(self._settings, self._profile))

    def list_items(self, operation: ListOperation, *, attempts_max: int | None = None, **params: Any) -> list[Any]:
        """Return all items of all pages, in AWS's order; raises ScopeError, or Interrupted once the run is stopped."""
        items: list[Any] = []
        seen: set[str] = set()
        for _ in range(PAGES_MAX):
            root = self._fetch_page(operation, params, attempts_max or self._settings.extract.max_attempts)
            items += operation.get_items(root)
            token = operation.get_next_token(root)
            if token is None:
                return items
            if token in seen:  # else the pages would repeat until PAGES_MAX
                raise ScopeError(Status.MALFORMED, f"{operation.operation}: AWS returned the same page token twice")
            seen.add(token)
            params[_TOKEN] = token
        raise ScopeError(Status.MALFORMED, f"{operation.operation}: {PAGES_MAX} pages, and a token for another page")

    def run_unless_stopped(self, request: Callable[[], T]) -> T:
        """Run a request on its own thread, so that a stop does not wait for a slow answer; raises Interrupted."""
        done: Queue[tuple[T | None, BaseException | None]] = Queue()

        def run_request() -> None:
            try:
                done.put((request(), None))
            except BaseException as error:  # noqa: BLE001  raised on the waiting thread
                done.put((None, error))

        # botocore cannot be interrupted during a call, so after a stop the daemon thread is left running.
        Thread(target=run_request, name="discovery", daemon=True).start()
        while not self._stop.is_set():
            with suppress(Empty):
                result, error = done.get(timeout=POLL_S)
                if error is not None:
                    raise error
                return cast("T", result)
        raise Interrupted(_STOPPED)

    def close(self) -> None:
        """Close idle connections."""
        if "_clients" in self.__dict__:
            self._clients.close()

    @cached_property
    def _region(self) -> str:
        return get_home_region(self.partition, get_configured_region(self._settings, self._profile))

    @cached_property
    def _clients(self) -> Clients:
        return create_clients(self._settings, DISCOVERY, self._stop)

    @cached_property
    def _sessions(self) -> Sessions:
        admin = Account(id=self._admin_id, role_arn=self._role_arn, profile=self._profile)
        return Sessions(self._settings, self._clients, [admin], run_id=self._run_id, regions=[self._region])

    @property
    def _admin_id(self) -> str:
        return (self._role_arn or "").split(":")[4]

    def _fetch_page(self, operation: ListOperation, params: dict[str, Any], attempts_max: int) -> dict[str, Any]:
        retry_state = RetryState(attempts_max)
        while True:
            self._wait_unless_stopped(self._rate_limiters[operation.service].reserve() if self._rate_limiters else 0.0)
            call = ApiCall(
                tries_max=retry_state.tries_left, read=operation.read_page, convert_parsed=operation.convert_parsed_page
            )
            try:
                return self._send_request(operation, params, call, retry_state)
            except ScopeError as error:
                wait_s = retry_state.record_failure(error)
                self._wait_unless_stopped(wait_s or 0.0)
                if wait_s is None:
                    raise
                self._renew_credentials(error, call.credentials)

    def _send_request(
        self, operation: ListOperation, params: dict[str, Any], call: ApiCall, retry_state: RetryState
    ) -> dict[str, Any]:
        try:
            call.credentials = self._get_credentials()
            return self._clients.call_operation(operation.service, self._region, operation.operation, params, call)
        finally:
            retry_state.tries += call.tries
            self.calls += call.tries

    def _get_credentials(self) -> Credentials:
        if self._role_arn is None:
            return self._source.get_credentials()
        if not self._is_open:
            self._sessions.open_session(self._admin_id, ApiCall())
            self._is_open = True
        return self._sessions.get_credentials(self._admin_id)

    def _renew_credentials(self, error: ScopeError, used: Credentials | None) -> None:
        if error.status is not Status.EXPIRED or used is None:
            return
        if self._role_arn is None:
            self._source.reload(used)
        else:
            self._sessions.renew_session(self._admin_id, used)

    def _wait_unless_stopped(self, wait_s: float) -> None:
        if self._stop.wait(wait_s):
            raise Interrupted(_STOPPED)
