"""Each code of AWS, and each failure on the way to it, has a fix of its own; nothing unknown is "AWS failed"."""

import json
from pathlib import Path

import botocore
import pytest
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from appstream_export.errors import ERROR_RULES, classify_error, suggest_fix
from appstream_export.status import Status

# What AWS or the wire says, and words of the fix.
CAUSES = {
    ("RequestTimeTooSkewed", ""): "set the machine's clock",
    ("RequestExpired", ""): "set the machine's clock",
    ("SignatureDoesNotMatch", "Signature expired: 20261129T1 is earlier than 2026"): "set the machine's clock",
    ("InvalidSignatureException", "Signature not yet current: 2026"): "set the machine's clock",
    ("InvalidSignatureException", "The request signature we calculated does not match"): "check the secret key",
    ("InvalidAccountStatusException", ""): "AWS has suspended or closed the account",
    ("AccessDenied", "Your account is suspended"): "AWS has suspended or closed the account",
    ("SubscriptionRequiredException", ""): "complete the account's sign-up",
    ("NotSignedUp", ""): "complete the account's sign-up",
    ("OptInRequired", ""): "open the service's console once",
    ("OptInRequired", "You are not subscribed to this service"): "complete the account's sign-up",
    ("PendingVerification", ""): "still verifying the account",
    ("KMSDisabledException", ""): "enable the KMS key",
    ("AccessDeniedException", "User: arn:x is not authorized to perform: kms:Decrypt on"): "kms:Decrypt",
    ("ServiceQuotaExceededException", ""): "Service Quotas",
    ("AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code"): "MFA code",
    ("InvalidIdentityToken", ""): "AWS_WEB_IDENTITY_TOKEN_FILE",
    ("PackedPolicyTooLarge", ""): "session_policy = false",
    ("UnknownOperationException", ""): "endpoint_url",
    ("HTTP 403", ""): "a proxy, firewall or endpoint_url answered, not AWS",
    ("403", ""): "a proxy, firewall or endpoint_url answered, not AWS",
    ("ConnectionError", "SSL validation failed: CERTIFICATE_VERIFY_FAILED"): "[aws] ca_bundle",
    ("CertificateError", ""): "[aws] ca_bundle",
    ("ProxyConnectionError", ""): "HTTPS_PROXY",
    ("HTTP 502", ""): "AWS failed; run again",
    ("NobodyKnowsException", ""): "read the reason",
}  # fmt: skip


@pytest.mark.parametrize(("code", "text"), CAUSES)
def test_each_cause_has_a_fix_of_its_own(code: str, text: str) -> None:
    assert CAUSES[code, text] in suggest_fix(classify_error(code).status, code, f"Operation: {code}: {text}")


@pytest.mark.parametrize("status", [s for s in Status if not s.is_answer])
def test_an_unknown_code_is_never_called_aws_failure(status: Status) -> None:
    assert "AWS failed" not in suggest_fix(status, "NobodyKnowsException")


def test_botocores_own_list_of_throttling_codes_is_ours() -> None:
    legacy = json.loads((Path(botocore.__file__).parent / "data" / "_retry.json").read_text())["definitions"]
    codes = {rule["applies_when"]["response"].get("service_error_code") for rule in legacy.values() if "response" in
             rule["applies_when"] and "throttl" in str(rule).lower()}  # fmt: skip
    known = {*ThrottledRetryableChecker._THROTTLED_ERROR_CODES, *codes} - {None}

    assert len(known) > 10
    assert {code for code in known if classify_error(code).status is not Status.THROTTLED} == set()


def test_what_botocore_calls_transient_is_asked_again() -> None:
    assert [c for c in TransientRetryableChecker._TRANSIENT_ERROR_CODES if not classify_error(c).retry] == []


def test_no_code_has_two_rules() -> None:
    from appstream_export import errors

    codes = [code for _, codes in errors._CODES for code in codes.split()]

    assert sorted(codes) == sorted(set(codes))
    assert len(ERROR_RULES) == len(codes) + 4
