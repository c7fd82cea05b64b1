"""The emulated AWS that tests, the demo and `emulate` use."""

import os
import threading
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from appstream_export.errors import ConfigurationError
from appstream_export.model import Scope

from .faults import Fault
from .gateway import Gateway, RecordedCall
from .hooks import install_plugin
from .operations import load_list_operation

if TYPE_CHECKING:
    from .server import LoopbackServer

Item = dict[str, Any]

APPSTREAM = "appstream"
IMAGE_BUILDERS = "DescribeImageBuilders"
# When the first account of an organization joined.
FIRST_JOINED_AT = datetime(2021, 3, 1, 9)  # noqa: DTZ001 - moto wants UTC without a zone

_process_lock = threading.Lock()  # moto's state belongs to the process, so one emulator runs at a time


class Emulator:
    """AWS on 127.0.0.1, empty at start; port 0 takes a free one.

    Lists of AppStream and of all services that were filled come from `put`; moto answers the rest.

    Credentials determine the account as in moto: those of AssumeRole belong to the role's account, those of
    `credentials()` to the account named, and any other key to 123456789012.
    """

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._server: LoopbackServer | None = None
        self._models: ModuleType | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start with an empty AWS; raises ConfigurationError if moto, the port or the environment is unsuitable."""
        if "MOTO_ACCOUNT_ID" in os.environ:
            raise ConfigurationError("unset MOTO_ACCOUNT_ID: it makes all accounts of the emulator one")
        models = install_plugin()
        if not _process_lock.acquire(blocking=False):
            raise ConfigurationError("an emulator is running in this process already: stop it first")
        try:
            from .server import LoopbackServer

            _reset_moto()
            server = LoopbackServer(self._port, Gateway(models))
        except BaseException:
            _process_lock.release()
            raise
        server.start()
        self._models, self._server = models, server

    def stop(self) -> None:
        """Stop within seconds, and close open connections. Does nothing if it is not running."""
        if self._server is not None:
            self._server.stop()
            self._server = None
            _process_lock.release()

    @property
    def endpoint_url(self) -> str:
        """The endpoint URL of every service."""
        return f"http://127.0.0.1:{self._running_server.port}"

    def put(
        self,
        scope: Scope | str,
        *items: Any,
        operation: str = IMAGE_BUILDERS,
        service: str = APPSTREAM,
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Add items of any operation that lists, as AWS would send them; replace items of the same name in place.

        `inputs` are those to which the items are the answer, such as `{"StackName": "cad"}`. Entries of a map are items
        with `key` and `value`. Raises ConfigurationError for an operation that lists nothing.
        """
        self._register_operation(service, operation)
        self._get_backend(scope).put_items(operation, deepcopy(items), service=service, inputs=inputs)

    def remove(
        self, scope: Scope | str, *names: str, operation: str = IMAGE_BUILDERS, service: str = APPSTREAM
    ) -> None:
        """Remove items; raises KeyError for an unknown name."""
        self._get_backend(scope).remove_items(operation, names, service=service)

    def put_tags(self, scope: Scope | str, arn: str, **tags: str | None) -> None:
        """Add tags to a resource; None removes one. A resource that had tags stays listed by the tagging API."""
        self._get_backend(scope).put_tags(arn, tags)

    def list_items(
        self, scope: Scope | str, *, operation: str = IMAGE_BUILDERS, service: str = APPSTREAM
    ) -> list[Item]:
        """Return the items of a scope as AWS would send them, in order of insertion."""
        return deepcopy(self._get_backend(scope).list_items(operation, service=service))

    def list_scopes(self, *, operation: str = IMAGE_BUILDERS, service: str = APPSTREAM) -> list[Scope]:
        """Return the scopes that hold items, sorted."""
        backends = self._moto_models.appstream_backends.iter_backends()
        return sorted(
            Scope(account_id, region)
            for account_id, region, backend in backends
            if backend.list_items(operation, service=service)
        )

    def create_organization(self, accounts: Mapping[str, str], units: Mapping[str, str] | None = None) -> None:
        """Create an organization of exactly these accounts, id to name; the first one manages it.

        `units` puts accounts into units, by the path of names below the root: `{"111122223333": "Workloads/Prod"}`.
        """
        management, *_ = accounts
        _create_moto_organization(management, accounts)
        for account_id, path in (units or {}).items():
            self.move_account(account_id, path)

    def move_account(self, account_id: str, path: str) -> None:
        """Move an account to a unit, creating missing units. Without a path, move it to the root."""
        backend = _find_organization_backend(account_id)
        parent = backend.org.root_id
        for name in filter(None, path.split("/")):
            parent = _get_or_create_unit(backend, parent, name)
        backend.get_account_by_id(account_id).parent_id = parent

    def set_account_state(self, account_id: str, state: str) -> None:
        """Set the state of an account: ACTIVE, SUSPENDED, PENDING_CLOSURE, ..."""
        account = _find_organization_backend(account_id).get_account_by_id(account_id)
        account.state = account.status = state

    def leave_organization(self, *account_ids: str) -> None:
        """Remove accounts from their organization, as if they were closed; their items stay."""
        for account_id in account_ids:
            backend = _find_organization_backend(account_id)
            backend.accounts = [account for account in backend.accounts if account.id != account_id]

    def create_credentials(self, account_id: str) -> dict[str, str]:
        """Return keys of an account, named like the arguments of boto3.client, without a call to STS."""
        from moto.iam.models import iam_backends

        key = iam_backends[account_id]["aws"].create_temp_access_key()
        return {"aws_access_key_id": key.access_key_id, "aws_secret_access_key": key.secret_access_key}

    def fail(self, scope: Scope | str, fault: Fault | str, **fields: Any) -> None:
        """Add a fault for a scope, or for all that match a pattern such as `*/eu-west-1`, until it is healed.

        A fault may be given by its kind: `aws.fail("*", "throttle", times=3)`. Of several, the first one applies.
        """
        armed = fault if isinstance(fault, Fault) else Fault(fault, **fields)
        self._running_server.gateway.add_fault(str(scope), armed)

    def heal(self, scope: Scope | str | None = None) -> None:
        """Remove all faults, or those of a scope or of scopes that match a pattern."""
        self._running_server.gateway.remove_faults("*" if scope is None else str(scope))

    def disable_region(self, account_id: str, region: str) -> None:
        """Answer AppStream requests with UnrecognizedClientException, as AWS does if an account did not opt in."""
        self._running_server.gateway.disabled_scopes.add(str(Scope(account_id, region)))

    def enable_region(self, account_id: str, region: str) -> None:
        """Undo `disable_region`."""
        self._running_server.gateway.disabled_scopes.discard(str(Scope(account_id, region)))

    @property
    def calls(self) -> list[RecordedCall]:
        """All AWS requests so far, in order."""
        return self._running_server.gateway.calls

    def reset_calls(self) -> None:
        """Forget the calls so far."""
        self._running_server.gateway.reset_calls()

    @property
    def _running_server(self) -> "LoopbackServer":
        if self._server is None:
            raise RuntimeError("the emulator is not running: use `with Emulator() as aws`")
        return self._server

    @property
    def _moto_models(self) -> ModuleType:
        if self._server is None or self._models is None:
            raise RuntimeError("the emulator is not running: use `with Emulator() as aws`")
        return self._models

    def _register_operation(self, service: str, operation: str) -> None:
        if load_list_operation(service, operation) is None:
            what = f"{service} {operation}: botocore knows no such operation that lists, in a JSON protocol"
            raise ConfigurationError(what, fix="check the names of service and operation")
        self._running_server.gateway.filled_operations.add((service, operation))

    def _get_backend(self, scope: Scope | str) -> Any:
        where = Scope.parse(scope) if isinstance(scope, str) else scope
        try:
            return self._moto_models.get_appstream_backend(where.account_id, where.region)
        except self._moto_models.EmulatedAwsError as error:
            raise ConfigurationError(f"{where}: no partition has this region") from error


def _reset_moto() -> None:
    """Remove all accounts, roles, buckets and builders of an earlier emulator."""
    from moto.moto_api._internal.models import moto_api_backend
    from moto.organizations.models import organizations_backends

    moto_api_backend.reset()
    organizations_backends.master_accounts.clear()  # the one thing that moto's reset forgets


def _find_organization_backend(account_id: str) -> Any:
    """Return moto's backend of the organization of an account; raises KeyError if it is in none."""
    from moto.organizations.models import organizations_backends

    backends: Any = organizations_backends
    for _, _, backend in backends.iter_backends():
        if backend.org and any(account.id == account_id for account in backend.accounts):
            return backend
    raise KeyError(account_id)


def _get_or_create_unit(backend: Any, parent_id: str, name: str) -> str:
    found = next((unit.id for unit in backend.ou if (unit.parent_id, unit.name) == (parent_id, name)), None)
    if found is not None:
        return found
    return backend.create_organizational_unit(ParentId=parent_id, Name=name)["OrganizationalUnit"]["Id"]


def _create_moto_organization(management: str, accounts: Mapping[str, str]) -> None:
    """Create the organization from moto's classes: its API would give every account a random id."""
    from moto.iam.models import iam_backends
    from moto.organizations.models import FakeAccount, organizations_backends

    backend: Any = organizations_backends[management]["aws"]
    backend.create_organization(region="us-east-1", FeatureSet="ALL")
    master, organization = backend.accounts[0], backend.org
    for position, (account_id, name) in enumerate(accounts.items()):
        email = f"aws+{name}@example.com"
        account: Any = master if account_id == management else FakeAccount(organization, AccountName=name, Email=email)
        if account is not master:
            iam_backends.pop(account.id, None)  # FakeAccount made a role in an account of random id
            backend.accounts.append(account)
            organizations_backends.master_accounts[account_id] = (management, "aws")
        # ListAccounts pages by this time, so that no two may be equal.
        account.id, account.name, account.email = account_id, name, email
        account.create_time = FIRST_JOINED_AT + timedelta(days=position)
