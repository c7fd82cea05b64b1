"""Credentials: found by boto3 or assumed once per account; proved before they are believed, renewed before they end."""

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

import botocore.session
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from appstream_export.contracts.iam import session_policy
from appstream_export.errors import Retriable, ScopeError, SetupError, did_you_mean
from appstream_export.extract.accounts import Account
from appstream_export.extract.aws.clients import Call, Clients
from appstream_export.extract.aws.errors import malformed, one_line, scope_error
from appstream_export.extract.aws.guard import CREDENTIAL_OPERATIONS, guarded_session, readable
from appstream_export.extract.aws.regions import partition_of, regions_in
from appstream_export.settings import Secret, Settings

# Sessions of 900 s boto3 would fetch anew for every call; [aws] session_s is at least three times this.
RENEW_BEFORE_S = 600  # far more than the longest single page with all its retries
STAND_IN = "emulator"
# What boto3's providers let through beside botocore's errors: a program or a token's file that is not there, and
# answers that are no JSON or lack a key.
_NOT_FOUND = (OSError, ValueError, LookupError, TypeError, AttributeError)
_HOME = {"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}  # always enabled
_log = logging.getLogger(__name__)


class Source:
    """Credentials that boto3 finds by itself: a profile's, or its default chain's; stand-ins before an emulator."""

    def __init__(self, settings: Settings, profile: str | None) -> None:
        self._settings, self._profile = settings, profile
        self._lock, self._asking = Lock(), Lock()
        self._session: botocore.session.Session | None = None
        self._given: Credentials | None = None
        self._account_id: str | None = None

    def __str__(self) -> str:
        return f'profile "{self._profile}"' if self._profile else "boto3's default chain"

    def credentials(self) -> Credentials:
        """Current ones, refreshed by botocore where it can; raises ScopeError when there are none."""
        if self._is_stand_in:
            return Credentials(STAND_IN, STAND_IN)
        try:
            with self._lock:
                self._session = self._session or self._open()
                found = self._session.get_credentials()
                if found is None:
                    raise NoCredentialsError
                self._given = Credentials(*found.get_frozen_credentials()[:3])
                return self._given
        except (BotoCoreError, ClientError) as error:
            raise scope_error(error, str(self)) from None  # a credential process may print anything
        except SetupError as error:
            raise ScopeError("denied", f"{self}: {error}", code="NoCredentials") from error
        except RuntimeError as error:  # botocore's only word for new credentials that are as old as the last
            raise Retriable("expired", one_line(f"{self}: {error}").rstrip("."), code="ExpiredToken") from None
        except _NOT_FOUND as error:
            why = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else type(error).__name__
            raise ScopeError("denied", one_line(f"{self}: not readable: {why}"), code="NoCredentials") from None

    def check(self, who: str, profiles: Sequence[str]) -> None:
        """Refuse, before anything is asked, a profile that is not among `profiles` and a chain that finds nothing."""
        if self._profile is None:
            try:
                self.credentials()
            except ScopeError as error:
                fix = "set AWS_PROFILE, sign in (aws sso login), or run where a role is attached"
                raise SetupError(f"no AWS credentials: {error.reason}; {fix}") from error
        elif self._profile not in profiles:
            place = f'profile "{self._profile}" is not in the AWS config or credentials files'
            raise SetupError(f"{who}: {place}{did_you_mean(self._profile, list(profiles))}")

    def account_id(self, ask_sts: Callable[[], str]) -> str:
        """Whose credentials these are; STS is asked once, however many accounts use them."""
        with self._asking:
            if self._account_id is None:
                self._account_id = ask_sts()
            return self._account_id

    def reload(self, used: Credentials) -> None:
        """Search again, after AWS called `used` expired: a file or a sign-in may have brought new ones."""
        with self._asking, self._lock:  # so that no proof of the old ones is taken for the new ones
            given = self._given
            if given and (given.access_key, given.token) == (used.access_key, used.token):
                self._session = self._account_id = None

    @property
    def _is_stand_in(self) -> bool:
        return self._settings.is_local_aws and self._profile is None

    def _open(self) -> botocore.session.Session:
        session = guarded_session(self._settings, CREDENTIAL_OPERATIONS, self._profile)
        if self._settings.is_local_aws:
            for elsewhere in ("iam-role", "container-role"):  # they ask link-local addresses, past all events
                session.get_component("credential_provider").remove(elsewhere)
        return session


@dataclass(frozen=True, slots=True)
class _Assumed:
    credentials: Credentials = field(repr=False)
    expires_at: datetime


class Sessions:
    """One session per account, shared by all its scopes. Credentials live in memory only."""

    def __init__(
        self,
        settings: Settings,
        clients: Clients,
        accounts: Collection[Account],
        *,
        run_id: str,
        regions: Collection[str],
        renew_before_s: float = RENEW_BEFORE_S,
    ) -> None:
        self._settings, self._clients = settings, clients
        self._accounts = {a.id: a for a in accounts}
        self._name = f"appstream-export-{re.sub(r'[^A-Za-z0-9_=,.@-]', '-', run_id)}"[:64]
        self._region = _home_region(clients.session, regions)
        self._renew_before = timedelta(seconds=renew_before_s)
        self._sources = {profile: Source(settings, profile) for profile in {a.profile for a in accounts}}
        self._assumed: dict[str, _Assumed] = {}
        self._locks = {a.id: Lock() for a in accounts}

    def check(self) -> None:
        """Refuse, before anything is asked, profiles that do not exist and a default chain that finds nothing."""
        profiles = {a.profile: a for a in self._accounts.values()}
        known = available_profiles() if any(profiles) else []
        for profile, account in sorted(profiles.items(), key=lambda named: named[0] is None):
            self._sources[profile].check(f"account {account.id}", known)

    def open(self, account_id: str, call: Call) -> None:
        """Obtain the account's credentials and prove whose they are; raises ScopeError for all its scopes."""
        account = self._accounts[account_id]
        source = self._sources[account.profile]
        try:
            if account.role_arn is None:
                _prove(account, source.account_id(lambda: self._identify(source, call)), str(source))
            else:
                self._assumed[account_id] = self._assume(account, call)
        except ScopeError as error:
            if error.status == "expired" and call.credentials:
                source.reload(call.credentials)
            raise

    def credentials(self, account_id: str) -> Credentials:
        """What the account's next call is signed with; a role's session is renewed when it is about to expire."""
        account = self._accounts[account_id]
        if account.role_arn is None:
            return self._found(account)
        held = self._assumed[account_id]
        if held.expires_at - datetime.now(UTC) > self._renew_before:
            return held.credentials
        return self._kept_fresh(account, held)

    def renew(self, account_id: str, used: Credentials) -> None:
        """Replace credentials that AWS called expired, unless another scope of the account just did."""
        account = self._accounts[account_id]
        with self._locks[account_id]:
            if account.role_arn is None:
                self._sources[account.profile].reload(used)
            elif self._assumed[account_id].credentials is not used:
                return
            self.open(account_id, self._new_call())

    def _found(self, account: Account) -> Credentials:
        source = self._sources[account.profile]
        credentials = source.credentials()  # before the proof: a reload in between then costs a call, not the proof
        _prove(account, source.account_id(lambda: self._identify(source, self._new_call())), str(source))
        return credentials

    def _kept_fresh(self, account: Account, held: _Assumed) -> Credentials:
        with self._locks[account.id]:
            if self._assumed[account.id] is held:
                try:
                    self.open(account.id, self._new_call())
                except ScopeError as error:
                    if error.status == "mismatched" or held.expires_at <= datetime.now(UTC):
                        raise
                    _log.warning("account %s: session not renewed, used to its end: %s", account.id, error.reason)
            return self._assumed[account.id].credentials

    def _new_call(self) -> Call:
        return Call(tries_max=self._settings.extract.max_attempts)

    def _assume(self, account: Account, call: Call) -> _Assumed:
        call.credentials = self._sources[account.profile].credentials()
        external_id = Secret(account.external_id).reveal() if account.external_id else None
        call.secrets = (external_id,)
        answer = self._clients.ask("sts", self._region, "AssumeRole", self._role_session(account, external_id), call)
        try:
            found, assumed = _account_of(answer["AssumedRoleUser"]["Arn"]), _assumed(answer["Credentials"])
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise malformed("AssumeRole", "the answer lacks credentials or the role's Arn") from error
        _prove(account, found, f"role {account.role_arn}")
        return assumed

    def _role_session(self, account: Account, external_id: str | None) -> dict[str, Any]:
        aws = self._settings.aws
        params = {"RoleArn": account.role_arn, "RoleSessionName": self._name, "DurationSeconds": aws.session_s}
        if external_id:
            params["ExternalId"] = external_id
        if aws.session_policy:
            params["Policy"] = session_policy(self._clients.operations)
        return params

    def _identify(self, source: Source, call: Call) -> str:
        call.credentials = source.credentials()
        answer = self._clients.ask("sts", self._region, "GetCallerIdentity", {}, call)
        if not answer.get("Account"):
            raise malformed("GetCallerIdentity", "the answer names no account")
        return str(answer["Account"])


def available_profiles() -> list[str]:
    """The profiles of the AWS config and credentials files."""
    return readable(botocore.session.Session()).available_profiles


def configured_region(settings: Settings, profile: str | None) -> str | None:
    """The region that the environment or the profile names."""
    return guarded_session(settings, (), profile).get_config_variable("region")


def home_region(partition: str, configured: str | None) -> str:
    """Where a partition's own services are asked: a region that no account can switch off, where we know one."""
    return _HOME.get(partition) or configured or min(regions_in(partition))


def _prove(account: Account, found: str, door: str) -> None:
    if found != account.id:
        fix = "correct one of them in the settings"
        raise ScopeError("mismatched", f"{door} leads to account {found}, not to {account.id}; {fix}")


def _assumed(answer: Mapping[str, Any]) -> _Assumed:
    credentials = Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
    return _Assumed(credentials, answer["Expiration"].astimezone(UTC))


def _account_of(arn: str) -> str:
    return arn.split(":")[4]


def _home_region(session: botocore.session.Session, regions: Collection[str]) -> str:
    """Where STS is asked: the region that the user's environment names, else one that every account has enabled."""
    partition = partition_of(min(regions))
    configured = session.get_config_variable("region")
    if configured and partition_of(configured) == partition:
        return configured
    return _HOME.get(partition, min(regions))
