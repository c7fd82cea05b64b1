"""Convert botocore errors to ScopeErrors: status and retry from ERROR_RULES, AWS's message on one line."""

import re
from collections.abc import Sequence
from typing import Any

from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from appstream_export.aws_profiles import describe_provider_error
from appstream_export.error_rules import classify_error, find_exception_code
from appstream_export.errors import RetriableScopeError, ScopeError, replace_secrets
from appstream_export.status import Status

REASON_CHARS_MAX = 500  # a denial with role, resource and policy type needs about 300
_HEAD_CHARS = 300
PARSER_ERRORS = (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError)
"""Errors that botocore's parser raises, besides its own, if a value does not have its model's type."""
_CONTROLS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_TOKEN = re.compile(
    r"[A-Za-z0-9+/=]{100,}"  # session tokens
    # A secret key has 40 characters. A text of one case, or without digits, is a digest or a path instead.
    r"|(?<![A-Za-z0-9+/=])(?=[A-Z+/0-9]*[a-z])(?=[a-z+/0-9]*[A-Z])(?=[A-Za-z+/]*[0-9])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])"
)


def sanitize_text(text: str, secrets: Sequence[str | None] = ()) -> str:
    """Return external text that is safe to store: one line without control characters or secrets, at most 500 chars."""
    # Known secrets first, while they are whole; then everything that looks like one.
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    text = replace_secrets(_CONTROLS.sub(" ", _TOKEN.sub("***", text)).strip())
    if len(text) <= REASON_CHARS_MAX:
        return text
    return f"{text[:_HEAD_CHARS]}…{text[_HEAD_CHARS + 1 - REASON_CHARS_MAX :]}"  # a denial ends with the policy type


def build_scope_error(
    error: Exception,
    operation: str,
    secrets: Sequence[str | None] = (),
    *,
    host: str | None = None,
    program: str | None = None,
) -> ScopeError:
    """Return the ScopeError of a failed call.

    `host` is the AWS host, for connection failures; `program` is the program of credential_process, if known.
    """
    if (provider_error := describe_provider_error(error, program)) is not None:
        code, what = provider_error
        return _build_error(code, 0, sanitize_text(f"{operation}: {what}", secrets), None)
    if isinstance(error, aws.ClientError):
        return _convert_client_error(error.response, operation, secrets)
    # The parser's message repeats the whole answer with its credentials, so it is not shown. Other XML, such as a
    # proxy's page, gives a LookupError.
    if isinstance(error, ResponseParserError | LookupError):
        return build_malformed_error(operation, "the answer is damaged")
    code = find_exception_code(error)
    if code is None:
        return ScopeError(Status.ERROR, sanitize_text(f"{operation}: {type(error).__name__}: {error}", secrets))
    return _build_error(code, 0, sanitize_text(f"{operation}: {_describe_exception(error, host)}", secrets), None)


def _describe_exception(error: Exception, host: str | None) -> str:
    """Return the error's text; for a proxy failure also the host and the cause, which botocore leaves out."""
    if not isinstance(error, aws.ProxyConnectionError):
        return str(error)
    cause = error.kwargs.get("error")
    why = getattr(cause, "original_error", cause)
    return f"proxy {error.kwargs.get('proxy_url')} did not connect to {host or 'AWS'}: {why}"


def build_malformed_error(operation: str, why: str, request_id: str | None = None) -> RetriableScopeError:
    """Return the error of a 200 whose body is not a page. It is retried, never read as an empty list."""
    return RetriableScopeError(Status.MALFORMED, f"{operation}: {why}", code="Malformed", request_id=request_id)


def _convert_client_error(response: Any, operation: str, secrets: Sequence[str | None]) -> ScopeError:
    about = response.get("ResponseMetadata", {})
    http_status = about.get("HTTPStatusCode", 0)
    code = str(response.get("Error", {}).get("Code") or f"HTTP {http_status}")
    text = f"{operation}: {code}: {response.get('Error', {}).get('Message') or 'AWS gave no reason'}"
    return _build_error(
        sanitize_text(code, secrets), http_status, sanitize_text(text, secrets), _find_request_id(about)
    )


def _build_error(code: str, http_status: int, reason: str, request_id: str | None) -> ScopeError:
    rule = classify_error(code, http_status)
    kind = RetriableScopeError if rule.retry else ScopeError
    return kind(rule.status, reason, code=code, request_id=request_id)


def _find_request_id(about: Any) -> str | None:
    found = about.get("RequestId") or about.get("HTTPHeaders", {}).get("x-amzn-requestid")
    return sanitize_text(str(found)) if found else None
