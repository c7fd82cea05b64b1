"""Credentials: found by boto3 or assumed once per account, verified before use, and renewed before they expire."""

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

import botocore.session
from botocore.credentials import Credentials, create_credential_resolver
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from appstream_export.aws_profiles import ProfileError, check_profile, find_process_program, refuse_mfa_prompts
from appstream_export.contracts import render_session_policy
from appstream_export.error_rules import TOKEN_REFUSED, TOKEN_UNPROVED, UNREACHABLE, suggest_fix
from appstream_export.errors import ConfigurationError, RetriableScopeError, ScopeError, suggest_correction
from appstream_export.extract.accounts import Account
from appstream_export.extract.aws.clients import ApiCall, Clients
from appstream_export.extract.aws.errors import build_malformed_error, build_scope_error, sanitize_text
from appstream_export.extract.aws.guard import CREDENTIAL_OPERATIONS, create_guarded_session, validate_session_config
from appstream_export.extract.aws.region_status import list_enabled_regions
from appstream_export.extract.aws.regions import (
    choose_sts_region,
    filter_region,
    find_home_partition,
    find_partition,
    get_home_region,
    is_opt_in_region,
)
from appstream_export.model import Scope
from appstream_export.settings import Secret, Settings
from appstream_export.status import Status

# [aws] session_duration_s is at least three times this. boto3 itself would renew a session of 900 s for every call.
RENEW_BEFORE_S = 600  # far more than the longest single page with all its retries
PLACEHOLDER_KEY = "emulator"
# Errors of boto3's providers besides botocore's own: a program or token file that is missing, and answers that are
# not JSON or lack a key.
_CREDENTIAL_ERRORS = (OSError, ValueError, LookupError, TypeError, AttributeError)
_REGION_DISABLED = "RegionDisabledException"  # STS is switched off in the region for the account
# Methods of botocore's providers that call STS, which is regional here.
_REGIONAL_METHODS = frozenset({"assume-role", "assume-role-with-web-identity"})
_TOKEN_CODES = frozenset({"UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure"})
_log = logging.getLogger(__name__)


class CredentialSource:
    """Credentials that boto3 finds, in a profile or its default chain; placeholders for an emulator."""

    def __init__(self, settings: Settings, profile: str | None) -> None:
        self._settings, self._profile = settings, profile
        self._lock, self._request_lock = Lock(), Lock()
        self._session: botocore.session.Session | None = None
        self._current: Credentials | None = None
        self._account_id: str | None = None
        self._has_regional_tokens = False
        self._needs_home_sts = False

    def __str__(self) -> str:
        return f'profile "{self._profile}"' if self._profile else "boto3's default chain"

    def get_credentials(self) -> Credentials:
        """Return the current credentials, which botocore refreshes if it can; raises ScopeError if there are none."""
        if self._is_placeholder:
            return Credentials(PLACEHOLDER_KEY, PLACEHOLDER_KEY)
        try:
            with self._lock:
                self._current = self._load_credentials()
                return self._current
        except (BotoCoreError, ClientError) as error:
            # from None: a credential process may print anything
            raise build_scope_error(error, str(self), program=self._find_process_program()) from None
        except ProfileError as error:
            raise ScopeError(Status.DENIED, f"{self}: {error.message}", code=error.code) from error
        except ConfigurationError as error:
            raise ScopeError(Status.DENIED, f"{self}: {error}", code="NoCredentials") from error
        except RuntimeError as error:  # all that botocore raises if refreshed credentials have expired
            raise RetriableScopeError(
                Status.EXPIRED, sanitize_text(f"{self}: {error}").rstrip("."), code="ExpiredToken"
            ) from None
        except _CREDENTIAL_ERRORS as error:
            why = _describe_os_error(error) if isinstance(error, OSError) else type(error).__name__
            raise ScopeError(
                Status.DENIED, sanitize_text(f"{self}: not readable: {why}"), code="NoCredentials"
            ) from None

    @property
    def has_regional_tokens(self) -> bool:
        """Whether every enabled region accepts the current credentials: long-term keys, or a token of regional STS."""
        return self._current is None or self._current.token is None or self._has_regional_tokens

    def check_availability(self, who: str, profiles: Sequence[str]) -> None:
        """Raise ConfigurationError, before any request, if the profile is not in `profiles` or the chain finds nothing.

        Also raise it if the profile cannot work in a run: it would prompt for an MFA code, or needs a missing package.
        """
        if self._is_placeholder:
            return
        if self._profile is not None and self._profile not in profiles:
            place = f'profile "{self._profile}" is not in the AWS config or credentials files'
            raise ConfigurationError(f"{who}: {place}", fix=suggest_correction(self._profile, list(profiles)))
        try:
            check_profile(self._open_session(), self._profile)
        except ProfileError as error:
            raise ConfigurationError(f"no AWS credentials: {who}: {error.message}", fix=error.fix) from error
        if self._profile is None:
            self._check_default_chain()

    def _check_default_chain(self) -> None:
        try:
            self.get_credentials()
        except ScopeError as error:
            fix = suggest_fix(error.status, error.code, error.reason)
            raise ConfigurationError(f"no AWS credentials: {error.reason}", fix=fix) from error

    def get_account_id(self, request_account_id: Callable[[], str]) -> str:
        """Return the account of the credentials. STS is called only once for all accounts that use them."""
        with self._request_lock:
            if self._account_id is None:
                self._account_id = request_account_id()
            return self._account_id

    def reload(self, used: Credentials) -> None:
        """Search again after AWS reported `used` as expired: a file or a sign-in may provide new credentials."""
        with self._request_lock, self._lock:  # so that the account id of the old ones is not used for the new ones
            given = self._current
            # If they differ, another thread has already reloaded.
            if given and (given.access_key, given.token) == (used.access_key, used.token):
                self._session = self._account_id = None

    @property
    def _is_placeholder(self) -> bool:
        return self._settings.is_local_aws and self._profile is None

    def _find_process_program(self) -> str | None:
        return find_process_program(self._session, self._profile) if self._session else None

    def _load_credentials(self) -> Credentials:
        try:
            return self._find_credentials()
        except ClientError as error:
            if self._needs_home_sts or error.response.get("Error", {}).get("Code") != _REGION_DISABLED:
                raise
            # STS is switched off in the configured region: use the partition's home region from now on.
            self._needs_home_sts, self._session = True, None
            return self._find_credentials()

    def _find_credentials(self) -> Credentials:
        self._session = self._session or self._open_session()
        found = self._session.get_credentials()
        if found is None:
            raise NoCredentialsError
        self._has_regional_tokens = found.method in _REGIONAL_METHODS
        return Credentials(*found.get_frozen_credentials()[:3])

    def _open_session(self) -> botocore.session.Session:
        session = create_guarded_session(self._settings, CREDENTIAL_OPERATIONS, self._profile)
        configured = filter_region(session.get_config_variable("region"))
        partition = find_home_partition(self._settings, configured)
        sts_region = choose_sts_region(partition, None if self._needs_home_sts else configured)
        # The chain's STS calls have their own region, since the session's may refuse them or be no region of STS.
        resolver = create_credential_resolver(session, region_name=sts_region)
        session.register_component("credential_provider", resolver)
        refuse_mfa_prompts(session)
        if self._settings.is_local_aws:
            # These two call link-local addresses without botocore's events, so the guard could not stop them.
            for elsewhere in ("iam-role", "container-role"):
                session.get_component("credential_provider").remove(elsewhere)
        return session


@dataclass(frozen=True, slots=True)
class _AssumedRole:
    credentials: Credentials = field(repr=False)
    expires_at: datetime


class Sessions:
    """One session per account, shared by all its scopes. Credentials are held in memory only.

    `actions` are the IAM actions of a session policy; by default those of the clients' operations.
    """

    def __init__(
        self,
        settings: Settings,
        clients: Clients,
        accounts: Collection[Account],
        *,
        run_id: str,
        regions: Collection[str],
        actions: Collection[str] | None = None,
        renew_before_s: float = RENEW_BEFORE_S,
    ) -> None:
        self._settings, self._clients = settings, clients
        self._actions = clients.operations if actions is None else actions
        self._accounts = {a.id: a for a in accounts}
        # STS accepts only these characters in a session name, and at most 64.
        self._name = f"appstream-export-{re.sub(r'[^A-Za-z0-9_=,.@-]', '-', run_id)}"[:64]
        self._partition = find_partition(min(regions))
        configured = filter_region(clients.session.get_config_variable("region"))
        self._region = choose_sts_region(self._partition, configured)
        self._enabled_regions: dict[str, frozenset[str] | ScopeError | None] = {}
        self._renew_before = timedelta(seconds=renew_before_s)
        self._sources = {profile: CredentialSource(settings, profile) for profile in {a.profile for a in accounts}}
        self._assumed_roles: dict[str, _AssumedRole] = {}
        # A lock for each account, so that a slow STS call delays only the scopes of its account.
        self._locks = {a.id: Lock() for a in accounts}

    def check_sources(self) -> None:
        """Raise ConfigurationError, before any request, for unknown profiles and a default chain that finds nothing."""
        profiles = {a.profile: a for a in self._accounts.values()}
        known = list_profiles() if any(profiles) else []
        # Profiles first, because their check makes no calls; that of the default chain may.
        for profile, account in sorted(profiles.items(), key=lambda named: named[0] is None):
            self._sources[profile].check_availability(f"account {account.id}", known)

    def open_session(self, account_id: str, call: ApiCall) -> None:
        """Get the account's credentials and verify their account; raises ScopeError for all its scopes."""
        account = self._accounts[account_id]
        source = self._sources[account.profile]
        try:
            if account.role_arn is None:
                _verify_account(
                    account, source.get_account_id(lambda: self._request_account_id(source, call)), str(source)
                )
            else:
                self._assumed_roles[account_id] = self._assume_role(account, call)
        except ScopeError as error:
            if error.status is Status.EXPIRED and call.credentials:  # the source's credentials, which signed the call
                source.reload(call.credentials)
            raise

    def get_credentials(self, account_id: str) -> Credentials:
        """Return the credentials for the account's next call; renew a role's session that is about to expire."""
        account = self._accounts[account_id]
        if account.role_arn is None:
            return self._get_source_credentials(account)
        held = self._assumed_roles[account_id]
        if held.expires_at - datetime.now(UTC) > self._renew_before:
            return held.credentials
        return self._refresh_role_credentials(account, held)

    def renew_session(self, account_id: str, used: Credentials) -> None:
        """Replace credentials that AWS reported as expired, unless another scope of the account has just done so."""
        account = self._accounts[account_id]
        with self._locks[account_id]:
            if account.role_arn is None:
                self._sources[account.profile].reload(used)
            elif self._assumed_roles[account_id].credentials is not used:
                return
            self.open_session(account_id, self._build_call())

    def explain_refusal(self, scope: Scope, error: ScopeError) -> ScopeError:
        """Return the error with the reason why a region refuses a session: not enabled, or a token of the global STS.

        Other refusals are returned unchanged: for default regions, roles assumed here and long-term keys, the outcomes
        of the account's other regions are proof enough.
        """
        account = self._accounts[scope.account_id]
        is_trusted = account.role_arn is not None or self._settings.aws.regional_session_tokens
        if error.code not in _TOKEN_CODES or is_trusted or not is_opt_in_region(scope.region):
            return error
        if self._sources[account.profile].has_regional_tokens:
            return error
        try:
            enabled = self._find_enabled_regions(account)
        except ScopeError as problem:
            return _build_unlisted_error(error, problem)
        if enabled is None:
            return _replace_code(
                error, TOKEN_UNPROVED, "the region is not enabled, or refuses a token of the global STS"
            )
        if scope.region in enabled:
            return _replace_code(error, TOKEN_REFUSED, "the region is enabled, and refuses a token of the global STS")
        reason = sanitize_text(f"region is not enabled: it is not in AWS's list of enabled regions ({error.reason})")
        return ScopeError(Status.DISABLED, reason, code=error.code, request_id=error.request_id)

    def _find_enabled_regions(self, account: Account) -> frozenset[str] | None:
        with self._locks[account.id]:
            if account.id not in self._enabled_regions:
                credentials, home = self._sources[account.profile].get_credentials(), get_home_region(self._partition)
                try:
                    self._enabled_regions[account.id] = list_enabled_regions(self._clients, home, credentials)
                except ScopeError as problem:
                    if problem.code in UNREACHABLE:  # another try would take long, with the same result
                        self._enabled_regions[account.id] = problem
                    raise
            found = self._enabled_regions[account.id]
            if isinstance(found, ScopeError):
                raise found
            return found

    def _get_source_credentials(self, account: Account) -> Credentials:
        source = self._sources[account.profile]
        # Before the check: if another thread reloads in between, that costs one call, and no credentials go unchecked.
        credentials = source.get_credentials()
        _verify_account(
            account, source.get_account_id(lambda: self._request_account_id(source, self._build_call())), str(source)
        )
        return credentials

    def _refresh_role_credentials(self, account: Account, role: _AssumedRole) -> Credentials:
        with self._locks[account.id]:
            if self._assumed_roles[account.id] is role:
                try:
                    self.open_session(account.id, self._build_call())
                except ScopeError as error:
                    # A failed renewal is not a failed scope yet: the old session is still valid.
                    if error.status is Status.MISMATCHED or role.expires_at <= datetime.now(UTC):
                        raise
                    _log.warning("account %s: session not renewed, used until it expires: %s", account.id, error.reason)
            return self._assumed_roles[account.id].credentials

    def _build_call(self) -> ApiCall:
        return ApiCall(tries_max=self._settings.extract.max_attempts)

    def _assume_role(self, account: Account, call: ApiCall) -> _AssumedRole:
        call.credentials = self._sources[account.profile].get_credentials()
        external_id = Secret(account.external_id).reveal() if account.external_id else None
        call.secrets = (external_id,)
        answer = self._call_sts("AssumeRole", self._build_role_params(account, external_id), call)
        try:
            found, assumed = (
                _parse_account_id(answer["AssumedRoleUser"]["Arn"]),
                _parse_assumed_role(answer["Credentials"]),
            )
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise build_malformed_error("AssumeRole", "the answer lacks credentials or the role's Arn") from error
        _verify_account(account, found, f"role {account.role_arn}")
        return assumed

    def _call_sts(self, operation: str, params: dict[str, Any], call: ApiCall) -> dict[str, Any]:
        """Call STS in the configured region, or in the partition's home region if STS is switched off there."""
        region = self._region
        try:
            return self._clients.call_operation("sts", region, operation, params, call)
        except ScopeError as error:
            home = get_home_region(self._partition)
            if error.code != _REGION_DISABLED or region == home:
                raise
            self._region = home
            return self._clients.call_operation("sts", home, operation, params, call)

    def _build_role_params(self, account: Account, external_id: str | None) -> dict[str, Any]:
        aws = self._settings.aws
        params = {"RoleArn": account.role_arn, "RoleSessionName": self._name, "DurationSeconds": aws.session_duration_s}
        if external_id:
            params["ExternalId"] = external_id
        if aws.session_policy:
            params["Policy"] = render_session_policy(self._actions)
        return params

    def _request_account_id(self, source: CredentialSource, call: ApiCall) -> str:
        call.credentials = source.get_credentials()
        answer = self._call_sts("GetCallerIdentity", {}, call)
        if not answer.get("Account"):
            raise build_malformed_error("GetCallerIdentity", "the answer names no account")
        return str(answer["Account"])


def list_profiles() -> list[str]:
    """Return the profiles of the AWS config and credentials files."""
    return validate_session_config(botocore.session.Session()).available_profiles


def get_configured_region(settings: Settings, profile: str | None) -> str | None:
    """Return the region of the environment or the profile, or None."""
    return filter_region(create_guarded_session(settings, (), profile).get_config_variable("region"))


def _describe_os_error(error: OSError) -> str:
    """Return the file name up to its first blank, and the error. Arguments of a program may hold secrets."""
    name, *arguments = str(error.filename).split(maxsplit=1) or [""]
    return f"{name}{'…' if arguments else ''}: {error.strerror}"


def _replace_code(error: ScopeError, code: str, why: str) -> ScopeError:
    return ScopeError(error.status, sanitize_text(f"{why} ({error.reason})"), code=code, request_id=error.request_id)


def _build_unlisted_error(error: ScopeError, problem: ScopeError) -> ScopeError:
    """Return the error of a region if the list of enabled regions failed; retriable unless it was unreachable."""
    kind = ScopeError if problem.code in UNREACHABLE else RetriableScopeError
    why = f"AWS did not list whether the region is enabled: {problem.reason} ({error.reason})"
    return kind(error.status, sanitize_text(why), code=TOKEN_UNPROVED, request_id=error.request_id)


def _verify_account(account: Account, found: str, source: str) -> None:
    if found != account.id:
        raise ScopeError(Status.MISMATCHED, f"{source}: the credentials belong to account {found}, not to {account.id}")


def _parse_assumed_role(answer: Mapping[str, Any]) -> _AssumedRole:
    credentials = Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
    return _AssumedRole(credentials, answer["Expiration"].astimezone(UTC))


def _parse_account_id(arn: str) -> str:
    return arn.split(":")[4]
