"""Each code of AWS, and each failure on the way to it, has a fix of its own; nothing unknown is "AWS failed"."""

import json
import re
import time
from pathlib import Path

import botocore
import pytest
from botocore import exceptions
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker
from botocore.session import Session

from appstream_export.error_rules import (
    ERROR_RULES,
    classify_error,
    find_exception_code,
    suggest_fix,
    suggest_storage_fix,
)
from appstream_export.errors import ExportError, suggest_correction, suggest_path
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
    from appstream_export import error_rules

    codes = [code for _, codes in error_rules._CODES for code in codes.split()]

    assert sorted(codes) == sorted(set(codes))
    assert len(ERROR_RULES) == len(codes) + 4


REGIONS = sorted(Session().get_available_regions("ec2"))
TABLES = ["image_builders", "image_builder_errors", "image_builder_subnets", "scope_runs", "snapshots", "accounts"]
SLIPS = {
    "us-esat-1": (REGIONS, "us-east-1"),
    "us-eats-1": (REGIONS, "us-east-1"),
    "us-east1": (REGIONS, "us-east-1"),
    "us-east-11": (REGIONS, "us-east-1"),
    "us-east-l": (REGIONS, "us-east-1"),
    "us_east_1": (REGIONS, "us-east-1"),
    "US-EAST-1": (REGIONS, "us-east-1"),
    "us-wset-2": (REGIONS, "us-west-2"),
    "us-wets-2": (REGIONS, "us-west-2"),
    "eu-wset-3": (REGIONS, "eu-west-3"),
    "eu-cetnral-1": (REGIONS, "eu-central-1"),
    "ap-notheast-1": (REGIONS, "ap-northeast-1"),
    "ap-southeats-2": (REGIONS, "ap-southeast-2"),
    "ca-centrla-1": (REGIONS, "ca-central-1"),
    "image_bulider": (TABLES, "image_builders"),
    "builders": (TABLES, "image_builders"),
    "errors": (TABLES, "image_builder_errors"),
    "scope-runs": (TABLES, "scope_runs"),
    "snapshosts": (TABLES, "snapshots"),
    "max_attepmts": (["max_attempts", "max_items", "max_failed_ratio"], "max_attempts"),
    "max_drop_precent": (["max_drop_percent", "file_mode"], "max_drop_percent"),
    "--retry-faield": (["--retry-failed", "--regions"], "--retry-failed"),
    "daks": (["dask", "celery", "in_process"], "dask"),
    "640": (["0600", "0640", "0644", "0660", "0664"], "0640"),
    "zzzzzz": (TABLES, None),
    "": (TABLES, None),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_of_typing_is_answered_with_the_word_that_was_meant(slip: str) -> None:
    choices, meant = SLIPS[slip]

    assert suggest_correction(slip, choices) == (meant and f'did you mean "{meant}"?')


@pytest.mark.parametrize("region", REGIONS)
def test_two_swapped_letters_of_a_region_give_that_region(region: str) -> None:
    letters = [n for n in range(len(region) - 1) if region[n : n + 2].isalpha() and region[n] != region[n + 1]]
    swapped = {n: region[:n] + region[n + 1] + region[n] + region[n + 2 :] for n in letters}

    for word in swapped.values():
        assert suggest_correction(word, REGIONS) == f'did you mean "{region}"?', word


def test_ten_thousand_words_are_compared_in_no_time() -> None:
    accounts = [f"{n:012}" for n in range(0, 10_000 * 37, 37)]
    started = time.process_time()

    assert suggest_correction("000000099990", accounts) is not None
    assert time.process_time() - started < 5


BUCKET = {
    ("NoSuchBucket", ""): "create the bucket, or correct its name",
    ("AccessDenied", "Access Denied"): "allow the operations that docs/operations.md lists",
    ("AccessDenied", "User: x is not authorized to perform: kms:Decrypt on resource: y"): "kms:Decrypt",
    ("KMS.DisabledException", ""): "kms_key_id",
    ("ExpiredToken", ""): "renew the credentials",
    ("RequestTimeTooSkewed", ""): "set the machine's clock",
    ("SlowDown", ""): "run again later",
    ("PermanentRedirect", ""): "set region in [lake.s3]",
    ("NobodyKnows", ""): "contact the operator of the endpoint",
}


@pytest.mark.parametrize(("code", "text"), BUCKET)
def test_a_bucket_has_the_fixes_of_all_codes_and_its_own_where_they_differ(code: str, text: str) -> None:
    assert BUCKET[code, text] in suggest_storage_fix(code, f"{code}: {text}")


EXCEPTIONS = {
    "NoCredentials": exceptions.NoCredentialsError(),
    "LoginRequired": exceptions.LoginRefreshRequired(),
    "SsoSignIn": exceptions.UnauthorizedSSOTokenError(),
    "CertificateError": exceptions.SSLError(endpoint_url="x", error="CERTIFICATE_VERIFY_FAILED"),
    "ConnectionError": exceptions.SSLError(endpoint_url="x", error="EOF occurred"),
    "ProxyConnectionError": exceptions.ProxyConnectionError(proxy_url="x", error="refused"),
    "EndpointConnectionError": exceptions.ProxyConnectionError(proxy_url="x", error="Tunnel connection failed: 503 No"),
    "ConnectTimeout": exceptions.ConnectTimeoutError(endpoint_url="x"),
}


@pytest.mark.parametrize("code", EXCEPTIONS)
def test_each_exception_of_botocore_has_a_code_that_a_rule_knows(code: str) -> None:
    assert find_exception_code(EXCEPTIONS[code]) == code
    assert code in ERROR_RULES
    assert find_exception_code(ConnectionError("of Python")) is None


@pytest.mark.parametrize(
    "text",
    [
        'profile "asiapacificproduction" is not in the AWS config',
        "warehouse s3://asiapacificexports/prod",
        "arn:aws:sts::111122223333:assumed-role/AsiaPacificReaders/x is not authorized",
        "https://host.example:8443/teams/mail@example.com/feed",
        "https://host.example/x?design=new&assignee=me",
    ],
)
def test_harmless_words_are_not_taken_for_secrets(text: str) -> None:
    assert str(ExportError(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "the key ASIAABCDEFGH12345678 has expired",
        "http://user:se/cret@proxy.example:8080",
        "https://bucket.example/x?X-Amz-Algorithm=A&X-Amz-Signature=secret",
        "https://host.example/x?a=1&sig=secret",
    ],
)
def test_secrets_in_texts_are_masked(text: str) -> None:
    assert "***" in str(ExportError(text))
    assert not re.search("secret|se/cret|ASIAABCD", str(ExportError(text)))


def test_a_path_that_exists_is_not_misspelled(tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()

    assert suggest_path(tmp_path / "settings") is None
    assert suggest_path(tmp_path / "setings") == f'did you mean "{tmp_path / "settings"}"?'
