"""Why something failed, and what happens next: the class says who acts, the text says what, where and how to fix it.

ExportError
├─ ConfigurationError       stop now, before any write: the user must change something        exit 2
├─ ScopeError               this scope failed, the run goes on; becomes a row of scope_runs
│  └─ RetriableScopeError   request again later, up to max_attempts
└─ CommitError              nothing of this snapshot is visible                               exit 4
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

from appstream_export.status import Status


class ExportError(Exception):
    """A failure that the product foresees. Its text is one line for a user: `message; fix`, or `message` alone."""

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message if fix is None else f"{message}; {fix}")
        self.message, self.fix = message, fix


class ConfigurationError(ExportError):
    """The user must change something; raised before any write and before any call to AWS where possible."""

    exit_code: ClassVar[int] = 2


class ContractError(ConfigurationError):
    """A file of `schemas/` does not follow the grammar; the text names file, table, column and fix."""


class SettingsError(ConfigurationError):
    """The configuration, an environment variable or a flag is wrong."""


class QueryError(ConfigurationError):
    """SQL that is refused (not read only) or that DuckDB cannot run."""


class CommitError(ExportError):
    """Nothing of this snapshot is visible; the previous one still is."""


class CommitConflict(CommitError):
    """Other runs committed first, each time."""


class StorageFailed(CommitError):
    """The warehouse could not be read or written (full, read-only, damaged)."""


class OutOfMemory(StorageFailed):
    """DuckDB needs more memory than its limit allows, and cannot spill it."""


class CommitStateUnknown(StorageFailed):
    """The commit's outcome is unknown. It may still become visible, so its files must not be deleted."""


class NothingExtracted(CommitError):
    """Every scope failed and there is no earlier snapshot whose rows could be kept."""


class Interrupted(CommitError):
    """The user stopped the run; nothing was committed."""


class ScopeError(ExportError):
    """One scope failed with `status`; the run goes on. `code` and `request_id` are AWS's own, where it gave them."""

    def __init__(self, status: Status, reason: str, *, code: str | None = None, request_id: str | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.code, self.request_id = status, reason, code, request_id


class RetriableScopeError(ScopeError):
    """Worth a retry; once attempts are used up it is the scope's failure."""


def describe_renamed(old: str, new: str) -> str:
    """Return the one line for a word of an earlier version: what it is called now."""
    return f'"{old}" is now called "{new}"; rename it'


def suggest_correction(word: str, choices: list[str]) -> str | None:
    """Return `did you mean "image_builders"?` for the nearest known word, as the fix of an error, or None."""
    near = [k for k in choices if word and (word in k.split("_") or k.endswith(f"_{word}"))]
    best = (near or get_close_matches(word, choices, n=1, cutoff=0.5))[:1]
    return f'did you mean "{best[0]}"?' if best else None


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """The status that an AWS error code (or failure of the wire) stands for, whether to retry, and the fix."""

    status: Status
    retry: bool
    fix: str


_DENIED = ErrorRule(
    Status.DENIED, False, "allow the operation in the role's policy, or remove the scope from the settings"
)
_THROTTLED = ErrorRule(
    Status.THROTTLED, True, "lower [extract] workers, or run again: only failed scopes are asked with --retry-failed"
)
_EXPIRED = ErrorRule(Status.EXPIRED, True, "renew the credentials (aws sso login, a new role session) and retry")
_UNKNOWN_ERROR = ErrorRule(
    Status.ERROR, False, "read the reason; it may be a bug: please report it with the request id"
)
_SERVER_ERROR = ErrorRule(Status.ERROR, True, "AWS failed; run again with --retry-failed")
# A region that is not enabled and bad keys give the same codes: `disabled` needs proof, see extract/outcomes.py.
_NOT_ENABLED = ErrorRule(
    Status.DENIED, False, "enable the region in the account, take it out of regions, or check the credentials"
)

TOKEN_REFUSED = "GlobalTokenRefused"  # noqa: S105  a code, no secret
"""An enabled region refused the session token, as it does with tokens of the global STS endpoint."""
TOKEN_UNPROVED = "TokenOriginUnknown"  # noqa: S105  a code, no secret
"""A region refused a session token that others obtained: it is not enabled, or the token is of the global endpoint."""
UNREACHABLE = frozenset({"EndpointConnectionError", "ConnectTimeout", "ConnectionError"})
"""Codes of calls that found nobody to answer them."""
ERROR_RULES: Mapping[str, ErrorRule] = {
    "AccessDenied": _DENIED,
    "AccessDeniedException": _DENIED,
    "UnauthorizedOperation": _DENIED,
    "NotAuthorized": _DENIED,
    "OptInRequired": _NOT_ENABLED,
    "AuthFailure": _NOT_ENABLED,
    "InvalidClientTokenId": _NOT_ENABLED,
    "UnrecognizedClientException": _NOT_ENABLED,
    "SignatureDoesNotMatch": ErrorRule(Status.DENIED, False, "check the secret key and the machine's clock"),
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": ErrorRule(Status.EXPIRED, True, "check the machine's clock"),
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "ThrottledException": _THROTTLED,
    "RequestThrottled": _THROTTLED,
    "RequestThrottledException": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "RequestLimitExceededException": _THROTTLED,
    "TooManyRequestsException": _THROTTLED,
    "SlowDown": _THROTTLED,
    "LimitExceededException": _THROTTLED,
    "429": _THROTTLED,  # a gateway before the service says no more than that
    "InternalFailure": _SERVER_ERROR,
    "InternalError": _SERVER_ERROR,
    "InternalServerError": _SERVER_ERROR,
    "InternalServerException": _SERVER_ERROR,
    "ServiceUnavailable": _SERVER_ERROR,
    "ServiceUnavailableException": _SERVER_ERROR,
    "EndpointConnectionError": ErrorRule(
        Status.UNAVAILABLE, True, "the service has no endpoint here or the network blocks it: check regions and egress"
    ),
    "ConnectionError": ErrorRule(
        Status.NETWORK, True, "check network, proxy and TLS settings; run again with --retry-failed"
    ),
    "ConnectTimeout": ErrorRule(
        Status.NETWORK, True, "packets are dropped on the way: let calls out to the endpoint (firewall, proxy, VPC)"
    ),
    "Timeout": ErrorRule(Status.TIMEOUT, True, "AWS did not answer in time; run again with --retry-failed"),
    "TaskTimeout": ErrorRule(Status.TIMEOUT, False, "raise [extract] task_timeout_s, or run again with --retry-failed"),
    "RunTimeout": ErrorRule(Status.TIMEOUT, False, "raise [extract] run_timeout_s, or run again with --retry-failed"),
    "ShardLost": ErrorRule(
        Status.ERROR, False, "give the machine more memory or the run more shards, and ask again what was lost"
    ),
    "Malformed": ErrorRule(Status.MALFORMED, True, "the answer was damaged (a proxy?); run again with --retry-failed"),
    "NoCredentials": ErrorRule(Status.DENIED, False, "set AWS_PROFILE, sign in, or run where a role is attached"),
    TOKEN_REFUSED: ErrorRule(
        Status.DENIED, False, "get the session token from a regional STS endpoint, or read the account through role_arn"
    ),
    TOKEN_UNPROVED: ErrorRule(
        Status.DENIED,
        False,
        "if the session token is of a regional STS endpoint, set [aws] regional_session_tokens = true; or allow "
        "account:ListRegions, which proves what is enabled; or read the account through role_arn",
    ),
}
DERIVED_STATUSES: Mapping[Status, ErrorRule] = {
    Status.DISABLED: ErrorRule(Status.DISABLED, False, "enable the region in the account, or take it out of regions"),
    Status.MISMATCHED: ErrorRule(
        Status.MISMATCHED, False, "correct role_arn, profile or id of the account in the settings"
    ),
    Status.GUARDED: ErrorRule(
        Status.GUARDED, False, "see whether so much is really gone; if it is, accept that with run --accept-drop"
    ),
    Status.CANCELLED: ErrorRule(Status.CANCELLED, False, "the run was stopped; run again"),
    Status.SKIPPED: ErrorRule(
        Status.SKIPPED, False, "the account is suspended or closed; exclude_accounts leaves it out"
    ),
}
"""Rules of the statuses that no code of AWS gives: we derive them ourselves."""
REGION_MAY_BE_DISABLED = frozenset(code for code, rule in ERROR_RULES.items() if rule is _NOT_ENABLED)


def classify_error(code: str, http_status: int = 0) -> ErrorRule:
    """Look a code up, then the HTTP status; unknown ones are retried when AWS blames itself (5xx), else they stand."""
    return (
        ERROR_RULES.get(code)
        or ERROR_RULES.get(str(http_status))
        or (_SERVER_ERROR if http_status >= 500 else _UNKNOWN_ERROR)
    )


def suggest_fix(status: Status, code: str | None) -> str:
    """Return the fix of an outcome: by its code where that is known, else by its status."""
    found = DERIVED_STATUSES.get(status) or ERROR_RULES.get(code or "")
    return (found or next((rule for rule in ERROR_RULES.values() if rule.status is status), _UNKNOWN_ERROR)).fix
