"""Rules for error codes of AWS, of connections to AWS, and of the export: status, retry, and fix."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appstream_export.installation import format_install_command
from appstream_export.status import Status


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """The status of an error code, whether to retry, and the fix."""

    status: Status
    retry: bool
    fix: str


_RETRY_LATER = "run again with --retry-failed"

_DENIED = ErrorRule(
    Status.DENIED, False, "allow the operation in the role's policy, or remove the scope from the settings"
)

# Bad keys give the same codes as a region that is not enabled: `disabled` needs proof, see extract/outcomes.py.
_NOT_ENABLED = ErrorRule(
    Status.DENIED, False, "enable the region in the account, remove it from regions, or check the credentials"
)

_OPT_IN = ErrorRule(
    Status.DENIED,
    False,
    "open the service's console once in this account and region to sign up, or remove the region from regions",
)

_NOT_SIGNED_UP = ErrorRule(
    Status.DENIED,
    False,
    "complete the account's sign-up (payment method, subscription to the service) in its console, or exclude the "
    "account with exclude_accounts",
)

_SUSPENDED = ErrorRule(
    Status.DENIED,
    False,
    "AWS has suspended or closed the account: contact AWS Support, or exclude it with exclude_accounts",
)

_PENDING = ErrorRule(Status.DENIED, False, "AWS is still verifying the account, which takes hours: run again tomorrow")

_NO_STS = ErrorRule(
    Status.DENIED, False, "activate STS for the region in IAM's account settings, or remove the region from regions"
)

_KEYS = ErrorRule(Status.DENIED, False, "the access key is deleted or inactive: use another one, or sign in again")

_SIGNATURE = ErrorRule(
    Status.DENIED,
    False,
    "check the secret key (for example blanks at its end), and the machine's clock: timedatectl set-ntp true",
)

_SIGNATURE_LOST = ErrorRule(
    Status.DENIED,
    False,
    "a proxy or endpoint_url changed the signed headers: exclude AWS's hosts from the proxy (NO_PROXY)",
)

_CLOCK = ErrorRule(
    Status.EXPIRED,
    True,
    "set the machine's clock (timedatectl set-ntp true): AWS refuses a difference of 300 s",
)

_EXPIRED = ErrorRule(Status.EXPIRED, True, "renew the credentials (aws sso login, a new role session) and retry")

_SSO = ErrorRule(Status.EXPIRED, True, "sign in again: aws sso login --profile NAME")

_SSO_ROLE = ErrorRule(
    Status.DENIED,
    False,
    "correct sso_account_id and sso_role_name of the profile, or have an administrator assign you the permission set",
)

_LOGIN = ErrorRule(Status.EXPIRED, True, "sign in again: aws login --profile NAME")

_MFA = ErrorRule(
    Status.DENIED,
    False,
    "a run cannot enter an MFA code: get a session first (aws sts get-session-token, aws-vault) and use its profile, "
    "or use a role without mfa_serial",
)

_CRT = ErrorRule(Status.DENIED, False, "install the extra crt of appstream-export")

_AWS_FILES = ErrorRule(Status.DENIED, False, "correct AWS_PROFILE, or the AWS config or credentials files")

_PROCESS = ErrorRule(
    Status.DENIED,
    False,
    "run the profile's credential_process by hand to see why: its output may hold secrets, so it is not shown",
)

_WEB_IDENTITY = ErrorRule(
    Status.DENIED,
    False,
    "check the token of AWS_WEB_IDENTITY_TOKEN_FILE, and the identity provider and audience that the role trusts",
)

_KMS = ErrorRule(
    Status.DENIED, False, "enable the KMS key, and allow the role kms:Decrypt in its policy and in the key's policy"
)

_QUOTA = ErrorRule(Status.ERROR, False, "raise the quota in Service Quotas of the account and region, then run again")

_THROTTLED = ErrorRule(
    Status.THROTTLED,
    True,
    "lower [extract] workers, or run again with --retry-failed, which requests only failed scopes",
)

_SESSION_POLICY = ErrorRule(Status.ERROR, False, "set [aws] session_policy = false")

_REQUEST = ErrorRule(
    Status.ERROR,
    False,
    "AWS refuses the request: check [extract] page_size and names, and external_id and role_arn of the account",
)

_NAMES = ErrorRule(Status.ERROR, False, "remove names that the scope does not have from [extract] names")

_NO_SUCH_OPERATION = ErrorRule(
    Status.ERROR,
    False,
    "the endpoint does not know the operation: correct [aws] endpoint_url, or remove the region from regions",
)

_NOT_AWS = ErrorRule(
    Status.ERROR,
    False,
    "a proxy, firewall or endpoint_url answered, not AWS: allow AWS's hosts, or correct [aws] endpoint_url",
)

_SERVER_ERROR = ErrorRule(Status.ERROR, True, f"AWS failed; {_RETRY_LATER}")

_TIMEOUT = ErrorRule(Status.TIMEOUT, True, f"AWS did not answer in time; {_RETRY_LATER}")

_NETWORK = ErrorRule(Status.NETWORK, True, f"check network, proxy and TLS settings; {_RETRY_LATER}")

_PROXY = ErrorRule(
    Status.NETWORK,
    True,
    "check HTTPS_PROXY (host, port, user and password), or exclude AWS's hosts from the proxy with NO_PROXY",
)

_CERTIFICATE = ErrorRule(
    Status.NETWORK,
    False,
    "set [aws] ca_bundle (for a bucket: [lake.s3] ca_bundle) to a PEM file with the CA of your proxy or endpoint; if "
    "the certificate is not yet or no longer valid, set the machine's clock",
)

_TASK_TIMEOUT = ErrorRule(Status.TIMEOUT, False, f"raise [extract] task_timeout_s, or {_RETRY_LATER}")

_RUN_TIMEOUT = ErrorRule(Status.TIMEOUT, False, f"raise [extract] run_timeout_s, or {_RETRY_LATER}")

_NO_ENDPOINT = ErrorRule(
    Status.UNAVAILABLE, True, "the service has no endpoint here or the network blocks it: check regions and egress"
)

_SHARD_LOST = ErrorRule(Status.ERROR, False, f"give the machine more memory or the run more shards, and {_RETRY_LATER}")

_MALFORMED = ErrorRule(Status.MALFORMED, True, f"the answer was damaged, perhaps by a proxy; {_RETRY_LATER}")

_DISCARDED = ErrorRule(
    Status.ERROR, False, "set the clocks of all machines that export (timedatectl set-ntp true), and run again later"
)

_DROPPED = ErrorRule(
    Status.NETWORK, True, "the network drops packets: allow calls to the endpoint (firewall, proxy, VPC)"
)

_TOKEN_REFUSED = ErrorRule(
    Status.DENIED, False, "get the session token from a regional STS endpoint, or read the account through role_arn"
)

_TOKEN_UNPROVED = ErrorRule(
    Status.DENIED,
    False,
    "if the session token comes from a regional STS endpoint, set [aws] regional_session_tokens = true; or allow "
    "account:ListRegions, which proves what is enabled; or read the account through role_arn",
)

_NO_CREDENTIALS = ErrorRule(
    Status.DENIED, False, "set AWS_PROFILE, sign in (aws sso login), or run where a role is attached"
)

_UNKNOWN_ERROR = ErrorRule(
    Status.ERROR,
    False,
    f"read the reason, and {_RETRY_LATER}; if the error remains, please report it with the request id",
)

TOKEN_REFUSED = "GlobalTokenRefused"  # noqa: S105  a code, not a secret
"""An enabled region refused the session token, as it does with tokens of the global STS endpoint."""

TOKEN_UNPROVED = "TokenOriginUnknown"  # noqa: S105  a code, not a secret
"""A region refused a session token from outside: it is not enabled, or the token is of the global STS endpoint."""

UNREACHABLE = frozenset({"EndpointConnectionError", "ConnectTimeout", "ConnectionError"})
"""Codes of calls that did not reach the endpoint."""

THROTTLING_CODES = (
    "Throttling", "ThrottlingException", "ThrottledException", "Throttled", "RequestThrottled",
    "RequestThrottledException", "RequestLimitExceeded", "RequestLimitExceededException", "TooManyRequestsException",
    "TooManyRequests", "SlowDown", "LimitExceededException", "ProvisionedThroughputExceededException",
    "TransactionInProgressException", "BandwidthLimitExceeded", "PriorRequestNotComplete", "EC2ThrottledException",
    "KMSThrottlingException",
)  # fmt: skip
"""All codes that botocore's retries treat as throttling (a test compares them), and some that botocore lacks."""

_CODES: Sequence[tuple[ErrorRule, str]] = (
    (_DENIED, "AccessDenied AccessDeniedException UnauthorizedOperation NotAuthorized OperationNotPermittedException"),
    (_NOT_ENABLED, "AuthFailure InvalidClientTokenId UnrecognizedClientException"),
    (_OPT_IN, "OptInRequired"),
    (_NOT_SIGNED_UP, "SubscriptionRequiredException SubscriptionRequired NotSignedUp InvalidPayer"),
    (_SUSPENDED, "InvalidAccountStatusException AccountProblem AllAccessDisabled Blocked"),
    (_PENDING, "PendingVerification"),
    (_NO_STS, "RegionDisabledException"),
    (_KEYS, "InvalidAccessKeyId"),
    (_SIGNATURE, "SignatureDoesNotMatch InvalidSignatureException"),
    (
        _SIGNATURE_LOST,
        "IncompleteSignature IncompleteSignatureException MissingAuthenticationToken "
        "MissingAuthenticationTokenException",
    ),
    (_CLOCK, "RequestExpired RequestTimeTooSkewed RequestInTheFuture SignatureExpired"),
    (_EXPIRED, "ExpiredToken ExpiredTokenException TokenRefreshRequired"),
    (_SSO, "SsoSignIn"),
    (_SSO_ROLE, "ForbiddenException"),
    (_LOGIN, "LoginRequired"),
    (_MFA, "MfaRequired"),
    (_CRT, "MissingDependency"),
    (_AWS_FILES, "AwsFiles"),
    (_PROCESS, "CredentialProcess"),
    (_WEB_IDENTITY, "InvalidIdentityToken InvalidIdentityTokenException IDPRejectedClaim IDPRejectedClaimException"),
    (_NO_CREDENTIALS, "NoCredentials"),
    (
        _KMS,
        "KMSAccessDeniedException KMSDisabledException KMSInvalidStateException KMSNotFoundException KMSOptInRequired "
        "KMS.DisabledException KMS.NotFoundException KMS.KMSInvalidStateException",
    ),
    (_QUOTA, "ServiceQuotaExceededException QuotaExceededException LimitExceeded"),
    (_THROTTLED, " ".join((*THROTTLING_CODES, "429"))),  # a gateway before the service sends no code but 429
    (_SESSION_POLICY, "MalformedPolicyDocument MalformedPolicyDocumentException PackedPolicyTooLarge"),
    (
        _REQUEST,
        "ValidationException ValidationError InvalidParameterValue InvalidParameterValueException "
        "InvalidParameterCombination InvalidParameterCombinationException SerializationException",
    ),
    (_NAMES, "ResourceNotFoundException"),
    (_NO_SUCH_OPERATION, "UnknownOperationException UnknownOperation InvalidAction"),
    (
        _SERVER_ERROR,
        "InternalFailure InternalError InternalServerError InternalServerException InternalServiceError "
        "InternalServiceException ServiceUnavailable ServiceUnavailableException IDPCommunicationError",
    ),
    (_DROPPED, "ConnectTimeout"),
    (_TIMEOUT, "Timeout RequestTimeout RequestTimeoutException"),
    (_TASK_TIMEOUT, "TaskTimeout"),
    (_RUN_TIMEOUT, "RunTimeout"),
    (_NO_ENDPOINT, "EndpointConnectionError"),
    (_NETWORK, "ConnectionError"),
    (_PROXY, "ProxyConnectionError"),
    (_CERTIFICATE, "CertificateError"),
    (_SHARD_LOST, "ShardLost"),
    (_MALFORMED, "Malformed"),
    (_DISCARDED, "AnswerDiscarded"),
    (_TOKEN_REFUSED, TOKEN_REFUSED),
    (_TOKEN_UNPROVED, TOKEN_UNPROVED),
)

ERROR_RULES: Mapping[str, ErrorRule] = {code: rule for rule, codes in _CODES for code in codes.split()} | {
    f"HTTP {status}": _NOT_AWS for status in (401, 403, 404, 407)
}
"""Rules by code: codes of AWS, our codes of connection failures, and `HTTP` statuses of answers without a code."""

DERIVED_STATUSES: Mapping[Status, ErrorRule] = {
    Status.DISABLED: ErrorRule(Status.DISABLED, False, "enable the region in the account, or remove it from regions"),
    Status.MISMATCHED: ErrorRule(
        Status.MISMATCHED, False, "correct role_arn, profile or id of the account in the settings"
    ),
    Status.GUARDED: ErrorRule(
        Status.GUARDED,
        False,
        "check whether so many items were really deleted; if so, accept the drop with run --accept-drop",
    ),
    Status.CANCELLED: ErrorRule(Status.CANCELLED, False, "the run was stopped; run again"),
    Status.SKIPPED: ErrorRule(
        Status.SKIPPED, False, "the account is suspended or closed; exclude it with exclude_accounts"
    ),
}
"""Rules of the statuses that the export derives itself, without a code of AWS."""

_EXCEPTIONS: Sequence[tuple[str, str]] = (
    ("EndpointConnectionError", "EndpointConnectionError"),
    ("ConnectTimeout", "ConnectTimeoutError"),
    ("Timeout", "ReadTimeoutError"),
    ("ProxyConnectionError", "ProxyConnectionError"),
    ("ConnectionError", "ConnectionError HTTPClientError"),
    ("SsoSignIn", "SSOError TokenRetrievalError"),
    ("AccessDenied", "LoginInsufficientPermissions"),
    ("LoginRequired", "LoginError"),
    ("MfaRequired", "RefreshWithMFAUnsupportedError"),
    ("MissingDependency", "MissingDependencyException"),
    ("NoCredentials", "NoCredentialsError PartialCredentialsError CredentialRetrievalError MetadataRetrievalError"),
    (
        "AwsFiles",
        "ProfileNotFound ConfigParseError ConfigNotFound InvalidConfigError UnknownCredentialError NoRegionError",
    ),
)
_EXCEPTION_CODES: Mapping[str, str] = {name: code for code, names in _EXCEPTIONS for name in names.split()}
"""Our codes by botocore's exception class, for failures before AWS answered."""
_TUNNEL_FAILED = re.compile(r"Tunnel connection failed: 5\d\d")
_BAD_CERTIFICATE = re.compile(r"certificate|No such file|Permission denied|PEM|X509|Is a directory", re.IGNORECASE)

REGION_MAY_BE_DISABLED = frozenset(code for code, rule in ERROR_RULES.items() if rule in (_NOT_ENABLED, _OPT_IN))
"""Codes that may mean that the region is not enabled in the account."""

# AWS uses one code for many causes; only its message names the cause.
_RULES_BY_TEXT: Sequence[tuple[re.Pattern[str], ErrorRule]] = tuple(
    (re.compile(pattern, re.IGNORECASE), rule)
    for pattern, rule in (
        (r"signature (has )?expired|signature not yet current|time too skewed|certificate is not yet valid", _CLOCK),
        (r"certificate[ _]verify[ _]failed", _CERTIFICATE),
        (r"account (is|has been|was) (suspended|closed|blocked)|account.{0,40} is suspended", _SUSPENDED),
        (r"MultiFactorAuth|MFA (one time|code|token)", _MFA),
        (r"not subscribed|needs a subscription|not signed up", _NOT_SIGNED_UP),
        (r"not authorized to perform: kms:|KMS key .{0,100}(disabled|pending deletion|not found)", _KMS),
        (r"tunnel connection failed: 4|proxy authentication", _PROXY),
    )
)

_CONTACT_OPERATOR = "run again; if the error remains, contact the operator of the endpoint"
_BUCKET_REFUSALS = frozenset({"403", "InvalidToken"})
_BUCKET_FIXES: Sequence[tuple[str, str]] = (
    ("create the bucket, or correct its name", "NoSuchBucket"),
    ('allow the operations that docs/operations.md lists under "A warehouse on S3"', "AccessDenied 403"),
    ("renew the credentials (aws sso login, a new role session)", "InvalidToken"),
    ("check the access key, the secret key and the endpoint", "InvalidAccessKeyId SignatureDoesNotMatch"),
    (
        "set region in [lake.s3], or AWS_REGION, to the bucket's region",
        "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException",
    ),
    ("correct kms_key_id in [lake.s3]", "KMS.NotFoundException"),
    ("enable the key, or set kms_key_id in [lake.s3] to another one", "KMS.DisabledException"),
    ("set AWS_PROFILE or [lake.s3] profile, sign in, or run where a role is attached", "NoCredentials"),
    ("check the endpoint, the region and the network", "EndpointConnectionError ConnectTimeout"),
    ("run again later", " ".join(THROTTLING_CODES)),
)
"""Codes whose fix for the warehouse's bucket differs from the fix for an account."""

_RULES_BY_STATUS: Mapping[Status, ErrorRule] = {
    Status.DENIED: _DENIED,
    Status.EXPIRED: _EXPIRED,
    Status.THROTTLED: _THROTTLED,
    Status.TIMEOUT: _TIMEOUT,
    Status.NETWORK: _NETWORK,
    Status.UNAVAILABLE: _NO_ENDPOINT,
    Status.MALFORMED: _MALFORMED,
}


def classify_error(code: str, http_status: int = 0) -> ErrorRule:
    """Return the rule of a code, else of the HTTP status. Unknown codes are retried only if the status is 5xx."""
    return (
        ERROR_RULES.get(code)
        or ERROR_RULES.get(str(http_status))
        or (_SERVER_ERROR if http_status >= 500 else _UNKNOWN_ERROR)
    )


def find_exception_code(error: BaseException) -> str | None:
    """Return our code of a botocore exception, by the nearest of its base classes that has one, or None."""
    names = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "botocore.exceptions"]
    code = next((_EXCEPTION_CODES[name] for name in names if name in _EXCEPTION_CODES), None)
    if "SSLError" in names and _BAD_CERTIFICATE.search(str(error)):
        return "CertificateError"  # another try cannot fix it, unlike an interrupted handshake
    if code == "ProxyConnectionError" and _TUNNEL_FAILED.search(str(getattr(error, "kwargs", ""))):
        return "EndpointConnectionError"  # the proxy works, but could not reach the endpoint
    return code


def suggest_storage_fix(code: str, reason: str) -> str:
    """Return the fix of a failed request to the warehouse's bucket: that of S3, else the general one."""
    known = ERROR_RULES.get(code)
    own = next((fix for fix, codes in _BUCKET_FIXES if code in codes.split()), None)
    return find_cause(reason) or own or (known.fix if known else _CONTACT_OPERATOR)


def is_access_refused(code: str) -> bool:
    """Return whether a code of the warehouse's bucket refuses the caller, so that no later try can succeed."""
    return code in _BUCKET_REFUSALS or classify_error(code).status in (Status.DENIED, Status.EXPIRED)


def find_cause(reason: str | None) -> str | None:
    """Return the fix for the cause that AWS's message names, which is more exact than its code; else None."""
    return next((rule.fix for pattern, rule in _RULES_BY_TEXT if pattern.search(reason or "")), None)


def is_clock_problem(code: str | None, reason: str | None) -> bool:
    """Return whether AWS refused the time of a signature: by its code or, in most services, only by its message."""
    return ERROR_RULES.get(code or "") is _CLOCK or find_cause(reason) == _CLOCK.fix


def suggest_fix(status: Status, code: str | None, reason: str | None = None) -> str:
    """Return the fix of an outcome: by the cause in its reason, else by its code, else by its status."""
    if derived := DERIVED_STATUSES.get(status):
        return derived.fix
    if named := find_cause(reason):
        return named
    # botocore uses the HTTP status as the code if an answer has none.
    known = ERROR_RULES.get(code or "") or ERROR_RULES.get(f"HTTP {code}")
    if known is None and re.fullmatch(r"(HTTP )?5\d\d", code or ""):
        known = _SERVER_ERROR
    if known is _CRT:
        return format_install_command("crt")
    return (known or _RULES_BY_STATUS.get(status, _UNKNOWN_ERROR)).fix
