"""Profiles that cannot work here are refused with the reason before anything waits; those of `aws login` work."""

import hashlib
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore.session
import pytest

from appstream_export.aws_profiles import ProfileError, check_profile, refuse_mfa_prompts
from appstream_export.errors import ConfigurationError
from appstream_export.extract.aws.credentials import CredentialSource
from appstream_export.installation import format_install_command
from appstream_export.lake.storage import open_store
from appstream_export.settings import AccountSettings, S3Settings, Settings
from tests.extract.asking import EU, A, Asking
from tests.extract.wire import Wire

ROLE = f"role_arn = arn:aws:iam::{A}:role/reader\n"
MFA = f"{ROLE}mfa_serial = arn:aws:iam::{A}:mfa/me\nsource_profile = keys\n"
KEYS = "[profile keys]\naws_access_key_id = AKIA-1\naws_secret_access_key = hidden\n"
SESSION = "arn:aws:sts::111122223333:assumed-role/admin/me"


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    return file


@pytest.mark.parametrize(
    ("text", "profile", "complaint"),
    [
        (f"[profile mine]\n{MFA}{KEYS}", "mine", r'"mine" requires an MFA code \(arn:.*:mfa/me\); a run cannot enter'),
        (
            f"[profile outer]\n{ROLE}source_profile = mine\n[profile mine]\n{MFA}{KEYS}",
            "outer",
            r'profile "mine" \(a source of profile "outer"\) requires an MFA code',
        ),
        (f"[default]\n{MFA}{KEYS}", None, 'profile "default" requires an MFA code'),
    ],
)  # fmt: skip
def test_a_profile_that_would_ask_for_an_mfa_code_is_refused_at_once(
    text: str, profile: str | None, complaint: str, config: Path, wire: Wire, asking: Asking,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    config.write_text(text)
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
    asking.endpoint_url, asking.accounts = None, [{"id": A} | ({"profile": profile} if profile else {})]

    with pytest.raises(ConfigurationError, match=complaint) as refused:
        asking.start()

    assert "get a session first" in str(refused.value.fix)
    assert (wire.calls, *capfd.readouterr()) == ([], "", "")


@pytest.mark.parametrize("profile", ["default", "mine"])
def test_keys_of_the_environment_go_before_a_profile_that_would_ask(
    profile: str, config: Path, wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(f"[default]\n{MFA}[profile mine]\n{MFA}{KEYS}")
    if profile == "mine":
        monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"AKIA-{A}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    asking.endpoint_url, asking.accounts = None, [{"id": A}]

    assert asking.run().statuses == {f"{A}/{EU}": "ok"}


def test_half_a_pair_of_keys_is_one_line(asking: Asking, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"AKIA-{A}")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    asking.endpoint_url, asking.accounts = None, [{"id": A}]

    with pytest.raises(ConfigurationError, match="AWS_SECRET_ACCESS_KEY") as refused:
        asking.start()
    assert "\n" not in str(refused.value)


def test_a_session_of_ours_never_gets_to_the_prompt(config: Path) -> None:
    config.write_text(f"[profile mine]\n{MFA}{KEYS}")
    source = CredentialSource(Settings(accounts=(AccountSettings(id=A, profile="mine"),)), "mine")
    credentials = source._open_session().get_credentials()

    with pytest.raises(ProfileError, match='botocore would prompt: "Enter MFA code'):
        _ = credentials.access_key


def test_botocore_itself_never_gets_to_its_prompt(config: Path) -> None:
    config.write_text(f"[profile mine]\n{MFA}{KEYS}")
    session = botocore.session.Session(profile="mine")
    refuse_mfa_prompts(session)
    credentials = session.get_credentials()

    with pytest.raises(
        ProfileError, match='botocore would prompt: "Enter MFA code for arn:aws:iam::111122223333:mfa/me"'
    ):
        _ = credentials.access_key


def test_the_warehouses_bucket_refuses_it_too(config: Path) -> None:
    config.write_text(f"[profile mine]\n{MFA}{KEYS}")

    with pytest.raises(ConfigurationError, match='the warehouse\'s bucket: profile "mine" requires an MFA code'):
        open_store("s3://bucket/prefix", s3=S3Settings(profile="mine"))


def write_login(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session that `aws login` leaves."""
    monkeypatch.setenv("AWS_LOGIN_CACHE_DIRECTORY", str(folder))
    expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = {"accessKeyId": f"AKIA-{A}", "secretAccessKey": "hidden", "sessionToken": "t", "accountId": A}
    token = {"accessToken": keys | {"expiresAt": expires}, "refreshToken": "r", "dpopKey": "k", "clientId": "c"}
    name = hashlib.sha256(SESSION.encode()).hexdigest()
    (folder / f"{name}.json").write_text(json.dumps(token))


def test_a_profile_of_aws_login_works(
    config: Path, wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config.write_text(f"[profile me]\nlogin_session = {SESSION}\n")
    write_login(tmp_path, monkeypatch)
    asking.accounts = [{"id": A, "profile": "me"}]

    assert asking.run().statuses == {f"{A}/{EU}": "ok"}
    assert {call.key for call in wire.calls} == {f"AKIA-{A}"}


def test_without_its_package_it_is_refused_with_the_command_that_installs_it(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(f"[profile me]\nlogin_session = {SESSION}\n")
    session = botocore.session.Session(profile="me")
    monkeypatch.setitem(sys.modules, "awscrt", None)

    with pytest.raises(ProfileError, match=r'profile "me" uses `aws login`, which needs .* awscrt') as refused:
        check_profile(session, "me")

    assert refused.value.fix == format_install_command("crt")


def test_a_login_that_is_not_there_says_how_to_sign_in(
    config: Path, asking: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config.write_text(f"[default]\nlogin_session = {SESSION}\n")
    monkeypatch.setenv("AWS_LOGIN_CACHE_DIRECTORY", str(tmp_path / "none"))
    asking.endpoint_url, asking.accounts = None, [{"id": A}]

    with pytest.raises(ConfigurationError) as refused:
        asking.start()

    assert refused.value.fix == "sign in again: aws login --profile NAME"
