"""Whose credentials a call is signed with, and that this is proved."""

import logging
import time
from pathlib import Path

import pytest

from appstream_export.errors import ConfigurationError
from appstream_export.extract.aws import credentials
from tests.extract.asking import EU, US, A, Answer, Asking, B
from tests.extract.wire import Reply, Seen, Wire, page, refusal, sts_refusal


def both(account_id: str, status: str) -> dict[str, str]:
    """An account in its two regions."""
    return {f"{account_id}/{region}": status for region in (EU, US)}


def profiles(monkeypatch: pytest.MonkeyPatch, folder: Path, **keys: str) -> None:
    """Profiles with static keys in a credentials file."""
    text = "".join(f"[{n}]\naws_access_key_id = {k}\naws_secret_access_key = hidden\n" for n, k in keys.items())
    file = folder / "credentials"
    file.write_text(text)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_each_account_is_assumed_once_and_asked_with_its_own_credentials(wire: Wire, asking: Asking) -> None:
    asking.ids, asking.regions = [f"{n:012}" for n in range(1, 13)], [EU, US, "eu-central-1"]
    for account in asking.ids:
        for region in asking.regions:
            wire.script(f"{account}/{region}", page(f"of-{account}-{region}"))

    answer = asking.run()

    assert set(answer.statuses.values()) == {"ok"}
    assert all(answer.names(s) == [f"of-{s.replace('/', '-')}"] for s in answer.statuses)
    assert len(wire.asked("AssumeRole")) == 12
    assert len({c.params["RoleArn"] for c in wire.asked("AssumeRole")}) == 12
    assert not wire.asked("GetCallerIdentity")


def test_the_role_session_lasts_an_hour_and_carries_the_run_and_the_external_id(wire: Wire, asking: Asking) -> None:
    role = f"arn:aws:iam::{A}:role/reader"
    asking.accounts = [{"id": A, "role_arn": role, "external_id": "outer-secret"}]

    asking.run(run_id="run 1/ü" + "x" * 80)

    (assumed,) = wire.asked("AssumeRole")
    assert assumed.params["DurationSeconds"] == "3600"
    assert assumed.params["ExternalId"] == "outer-secret"
    assert assumed.params["RoleSessionName"].startswith("appstream-export-run-1--xxx")
    assert len(assumed.params["RoleSessionName"]) == 64
    assert assumed.user_agent.startswith("appstream-export/")


def test_a_role_that_leads_to_another_account_is_mismatched_and_never_asked(wire: Wire, asking: Asking) -> None:
    asking.ids, asking.regions = [A, B], [EU, US]
    wire.leads_to[A] = "999999999999"

    answer = asking.run()

    assert answer.statuses == both(A, "mismatched") | both(B, "ok")
    assert "credentials belong to account 999999999999, not to 111122223333" in str(answer.outcomes[f"{A}/{EU}"].reason)
    assert {c.account_id for c in wire.asked("DescribeImageBuilders")} == {B}


def test_a_profile_of_another_account_is_mismatched_and_never_asked(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profiles(monkeypatch, tmp_path, right=f"AKIA-{A}", wrong="AKIA-999999999999")
    asking.accounts = [{"id": A, "profile": "right"}, {"id": B, "profile": "wrong"}]
    asking.regions = [EU, US]

    answer = asking.run()

    assert answer.statuses == both(A, "ok") | both(B, "mismatched")
    assert 'profile "wrong": the credentials belong to account 999999999999' in str(answer.outcomes[f"{B}/{US}"].reason)
    assert len(wire.asked("GetCallerIdentity")) == 2


def test_a_role_may_stand_behind_a_profile(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profiles(monkeypatch, tmp_path, hub="AKIA-HUB")
    asking.accounts = [{"id": A, "profile": "hub", "role_arn": f"arn:aws:iam::{A}:role/reader"}]

    assert asking.run().statuses == {f"{A}/{EU}": "ok"}
    assert [c.key for c in wire.calls] == ["AKIA-HUB", f"ASIA-{A}-1"]


def test_the_default_chain_is_proved_once_for_all_regions(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"AKIA-{A}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    asking.endpoint_url, asking.accounts, asking.regions = None, [{"id": A}], [EU, US]

    assert asking.run().statuses == {f"{A}/{EU}": "ok", f"{A}/{US}": "ok"}
    assert len(wire.asked("GetCallerIdentity")) == 1


def test_a_denied_role_is_asked_once_and_fails_all_its_scopes_alone(wire: Wire, asking: Asking) -> None:
    asking.ids, asking.regions, asking.extract["max_attempts"] = [A, B], [EU, US], 8
    wire.always(f"sts/{A}", sts_refusal("AccessDenied", "User hub is not authorized to perform: sts:AssumeRole"))

    answer = asking.run()

    assert answer.statuses == both(A, "denied") | both(B, "ok")
    only = answer.outcomes[f"{A}/{EU}"]
    assert only.reason == "AssumeRole: AccessDenied: User hub is not authorized to perform: sts:AssumeRole"
    assert (only.error_code, only.request_id, only.api_calls) == ("AccessDenied", "sts-1", 0)
    assert len([c for c in wire.asked("AssumeRole") if c.account_id == A]) == 1


@pytest.mark.parametrize(
    "fault", [sts_refusal("Throttling", status=400), Reply(b"", 500), Reply(drop=True), Reply(b"<html>")]
)
def test_a_role_that_fails_for_a_moment_is_asked_again(fault: Reply, wire: Wire, asking: Asking) -> None:
    asking.extract["max_attempts"] = 4
    wire.script(f"sts/{A}", fault)

    assert asking.run().statuses == {f"{A}/{EU}": "ok"}
    assert len(wire.asked("AssumeRole")) == 2


@pytest.mark.parametrize(
    "body",
    [b"<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>", b"<AssumeRoleResponse/>", b"<html>proxy</html>"],
)
def test_an_answer_of_sts_without_credentials_is_malformed(body: bytes, wire: Wire, asking: Asking) -> None:
    asking.extract["max_attempts"] = 2
    wire.always(f"sts/{A}", Reply(body))

    assert asking.run().statuses == {f"{A}/{EU}": "malformed"}
    assert len(wire.asked("AssumeRole")) == 2


def test_credentials_that_expire_in_mid_scan_are_renewed_once(wire: Wire, asking: Asking) -> None:
    wire.script(f"{A}/{EU}", page("a", token="1"), refusal("ExpiredTokenException", "token expired"), page("b"))

    answer = asking.run()

    assert (answer.statuses, answer.names()) == ({f"{A}/{EU}": "ok"}, ["a", "b"])
    assert [c.key for c in wire.asked("DescribeImageBuilders")] == [f"ASIA-{A}-1", f"ASIA-{A}-1", f"ASIA-{A}-2"]
    assert (answer.only.api_calls, answer.only.retries) == (3, 1)


def test_credentials_that_stay_expired_end_the_scope_after_one_renewal(wire: Wire, asking: Asking) -> None:
    asking.extract["max_attempts"] = 8
    wire.always(f"{A}/{EU}", refusal("ExpiredTokenException", "token expired"))

    only = asking.run().only

    assert (only.status, only.error_code, only.api_calls) == ("expired", "ExpiredTokenException", 2)
    assert len(wire.asked("AssumeRole")) == 2


def test_many_scopes_that_expire_at_once_share_one_renewal(wire: Wire, asking: Asking) -> None:
    asking.regions = [EU, US, "eu-central-1", "us-west-2"]
    for region in asking.regions:
        wire.always(f"{A}/{region}", _expired_for_the_first_session)

    answer = asking.run()

    assert set(answer.statuses.values()) == {"ok"}
    assert len(wire.asked("AssumeRole")) == 2


def _expired_for_the_first_session(seen: Seen) -> Reply:
    return refusal("ExpiredTokenException", delay_s=0.1) if seen.key.endswith("-1") else page()


def test_a_session_that_is_about_to_expire_is_renewed_before_it_does(wire: Wire, asking: Asking) -> None:
    wire.session_duration_s = credentials.RENEW_BEFORE_S - 60
    wire.script(f"{A}/{EU}", page("a", token="1"), page("b"))

    assert asking.run().names() == ["a", "b"]
    assert len(wire.asked("AssumeRole")) == 3


def test_a_renewal_that_fails_leaves_a_valid_session_in_use(wire: Wire, asking: Asking) -> None:
    wire.session_duration_s = credentials.RENEW_BEFORE_S - 60
    wire.always(f"{A}/{EU}", page("a"))
    asking.extract["max_attempts"] = 1
    generator = asking.start()
    wire.script(f"sts/{A}", wire._sts(Seen("sts", "AssumeRole", A, EU, {}, "", "")))
    wire.always(f"sts/{A}", sts_refusal("AccessDenied"))

    assert Answer(list(generator)).names() == ["a"]


def test_a_renewal_that_fails_leaves_no_session_in_use_that_has_ended(wire: Wire, asking: Asking) -> None:
    wire.session_duration_s = -1
    asking.extract["max_attempts"] = 1
    wire.script(f"sts/{A}", wire._sts(Seen("sts", "AssumeRole", A, EU, {}, "", "")))
    wire.always(f"sts/{A}", sts_refusal("AccessDenied"))

    assert asking.run().statuses == {f"{A}/{EU}": "denied"}
    assert not wire.asked("DescribeImageBuilders")


def test_a_renewal_that_leads_elsewhere_leaves_no_session_in_use_though_it_is_valid(wire: Wire, asking: Asking) -> None:
    wire.session_duration_s = credentials.RENEW_BEFORE_S - 60
    wire.script(f"sts/{A}", wire._sts(Seen("sts", "AssumeRole", A, EU, {}, "", "")))
    wire.leads_to[A] = "999999999999"

    assert asking.run().statuses == {f"{A}/{EU}": "mismatched"}
    assert not wire.asked("DescribeImageBuilders")


def test_a_renewal_that_leads_elsewhere_is_mismatched(wire: Wire, asking: Asking) -> None:
    def turns(_: Seen) -> Reply:
        wire.leads_to[A] = "999999999999"
        return refusal("ExpiredTokenException")

    wire.always(f"{A}/{EU}", turns)

    assert asking.run().statuses == {f"{A}/{EU}": "mismatched"}
    assert {c.key for c in wire.asked("DescribeImageBuilders")} == {f"ASIA-{A}-1"}


def test_no_credentials_is_one_line_before_anything_is_asked(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    asking.endpoint_url = None
    started = time.monotonic()

    with pytest.raises(ConfigurationError, match=r"no AWS credentials: .*; set AWS_PROFILE") as caught:
        asking.start()

    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 60


OLD = {"AWS_SESSION_TOKEN": "t", "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z"}
KEYS = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
WEB = {"AWS_ROLE_ARN": f"arn:aws:iam::{A}:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token"}


@pytest.mark.parametrize(
    ("environ", "config", "complaint"),
    [
        (KEYS | OLD, "", "still expired; renew the credentials"),
        (WEB, "", "/nowhere/token: No such file or directory; set AWS_PROFILE"),
        ({}, "[default]\ncredential_process = /nowhere/tool\n", "/nowhere/tool: No such file or directory; set"),
        ({}, "[default]\ncredential_process = echo hidden\n", "not readable: JSONDecodeError; set AWS_PROFILE"),
        ({}, "no sections", "Unable to parse config file: .*; correct AWS_PROFILE, or the AWS config"),
        (KEYS | {"AWS_PROFILE": "gone"}, "", r"profile \(gone\) could not be found; correct AWS_PROFILE"),
    ],
)
def test_whatever_keeps_boto3_from_its_credentials_is_the_users_to_mend(
    environ: dict[str, str],
    config: str,
    complaint: str,
    asking: Asking,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "config").write_text(config)
    for name, value in (environ | {"AWS_CONFIG_FILE": str(tmp_path / "config")}).items():
        monkeypatch.setenv(name, value)
    asking.endpoint_url = None

    with pytest.raises(ConfigurationError, match=complaint) as caught:
        asking.start()
    assert "hidden" not in str(caught.value)


def test_an_unknown_profile_is_refused_with_what_was_meant(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profiles(monkeypatch, tmp_path, production="AKIA-1")
    asking.accounts = [{"id": A, "profile": "prodution"}]

    with pytest.raises(ConfigurationError, match=r'profile "prodution" is not in .*did you mean "production"'):
        asking.start()
    assert not wire.calls


def test_with_an_endpoint_on_this_machine_the_machines_own_credentials_stay_unused(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profiles(monkeypatch, tmp_path, default="AKIA-REAL")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-REAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    monkeypatch.setenv("AWS_PROFILE", "gone")
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")

    assert asking.run().statuses == {f"{A}/{EU}": "ok"}
    assert wire.asked("AssumeRole")[0].key == "emulator"


SECRETS = ("hidden", "outer-secret", "secret-1111", "token-1111", "ASIA-1111")


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "AccessDeniedException", "InternalFailure", "ExpiredToken"])
def test_no_secret_reaches_a_log_a_reason_or_a_repr_at_any_level(
    code: str, wire: Wire, asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("botocore.auth").setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    asking.accounts = [{"id": A, "role_arn": f"arn:aws:iam::{A}:role/reader", "external_id": "outer-secret"}]
    told = f"the canonical string was\nx-amz-security-token:token-{A}\n"
    wire.always(f"{A}/{EU}", lambda seen: refusal(code, told + seen.key))
    generator = asking.start()

    text = repr(list(generator)) + caplog.text + repr(generator.gi_frame)

    assert code in text
    assert not [s for s in SECRETS if s in text]
    assert not [r for r in caplog.records if r.name.startswith("botocore") and r.levelno < logging.INFO]


def test_a_role_answer_that_breaks_off_shows_no_credentials(
    wire: Wire, asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    whole = wire._sts(Seen("sts", "AssumeRole", A, EU, {}, "", "")).body
    wire.always(f"sts/{A}", Reply(whole[:-60]))

    only = asking.run().only

    assert (only.status, only.reason) == ("malformed", "AssumeRole: the answer is damaged")
    assert not [s for s in SECRETS if s in caplog.text + repr(only)]


def test_a_profile_that_was_renewed_elsewhere_is_read_again_and_proved_again(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profiles(monkeypatch, tmp_path, mine=f"AKIA-{A}-old")
    asking.accounts = [{"id": A, "profile": "mine"}]

    def expired(seen: Seen) -> Reply:
        if seen.key.endswith("new"):
            return page("a")
        profiles(monkeypatch, tmp_path, mine=f"AKIA-{A}-new")
        return refusal("ExpiredTokenException")

    wire.always(f"{A}/{EU}", expired)

    assert asking.run().names() == ["a"]
    assert [c.key for c in wire.asked("GetCallerIdentity")] == [f"AKIA-{A}-old", f"AKIA-{A}-new"]


def test_a_long_denial_keeps_its_end_which_names_the_policy(wire: Wire, asking: Asking) -> None:
    end = "with an explicit deny in a service control policy"
    wire.always(f"{A}/{EU}", refusal("AccessDeniedException", f"User: {'a-path/' * 200} {end}"))

    reason = str(asking.run().only.reason)

    assert reason.endswith(end)
    assert len(reason) == 500
