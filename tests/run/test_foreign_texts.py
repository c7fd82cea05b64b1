"""What programs and servers say about a failure may hold secrets: no output repeats them."""

import http.server
import logging
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    MetadataRetrievalError,
    ProxyConnectionError,
    SSLError,
)

from appstream_export.aws_profiles import find_process_program
from appstream_export.cli.main import main
from appstream_export.emulator import Emulator, make_image_builder
from appstream_export.emulator.faults import ERROR_FAULTS
from appstream_export.errors import ConfigurationError, ExportError, StorageFailed, describe_error, replace_secrets
from appstream_export.extract.aws.credentials import CredentialSource
from appstream_export.extract.aws.errors import build_scope_error
from appstream_export.lake.storage.factory import open_store
from appstream_export.settings import S3Settings, Settings
from tests.defs.exports import execute

SECRET = "hunter2-Canary9"
KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.{SECRET}"
TEXTS = {
    "a proxy's password": f'Failed to connect to proxy URL: "http://user:{SECRET}@proxy:3128"',
    "a password with a slash": f"no route to http://user:a/{SECRET}@proxy:3128",
    "a user alone": f"no route to https://{SECRET}@proxy",
    "a presigned URL": f"GET https://b.s3.amazonaws.com/key?a=1&X-Amz-Signature={SECRET}&X-Amz-Expires=60 failed",
    "an older presigned URL": f"GET https://b.s3.amazonaws.com/k?AWSAccessKeyId=x&Signature={SECRET}&Expires=1",
    "a web token": f"InvalidIdentityToken: cannot read {JWT}: it expired",
    "a bearer": f"sent 'Authorization: Bearer {SECRET}'",
    "a bearer alone": f"with bearer {SECRET}",
    "basic": f"Authorization: Basic {SECRET}==",
    "a header": f"host:sts\nx-amz-security-token:{SECRET}\n",
    "JSON": f'{{"Version": 1, "SecretAccessKey": "{SECRET}", "x": 1}}',
    "a pair": f"login failed: user=me;password={SECRET};tries=3",
    "an argument": f"usage: tool --api-token={SECRET} get",
}


def endless(say: str) -> str:
    return f"{say} " * 50


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_looks_like_a_secret_is_masked_in_every_error(text: str) -> None:
    shown = [replace_secrets(text), str(StorageFailed(text)), describe_error(ValueError(text))]
    shown += [build_scope_error(ValueError(text), "x").reason, str(ExportError(text, fix="do this"))]

    assert not [s for s in shown if SECRET in s]
    assert all("***" in s for s in shown)


def test_what_is_no_secret_is_shown() -> None:
    for text in (
        "the session token: it expired",
        "set [aws] regional_session_tokens = true",
        "User: arn:aws:sts::111122223333:assumed-role/reader/me@example.com is not authorized",
        "arn:aws:iam::111122223333:role/service/OrganizationAccountAccessRole",
        "s3://bucket/me@home/x and https://sts.eu-west-1.amazonaws.com:443/?Action=AssumeRole",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ):
        assert (replace_secrets(text), build_scope_error(ValueError(text), "x").reason) == (
            text,
            f"x: ValueError: {text}",
        )


def test_a_secret_key_in_a_text_from_outside_is_masked() -> None:
    assert KEY not in build_scope_error(ValueError(f"got {KEY}"), "x").reason


OPAQUE = endless(f"words that have no pattern, {SECRET}")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (CredentialRetrievalError(provider="custom-process", error_msg=OPAQUE), "x: its credential_process returned"),
        (CredentialRetrievalError(provider="container-role", error_msg=OPAQUE), "x: container-role returned no cre"),
        (
            MetadataRetrievalError(error_msg=f"Received non 200 response 403 from container metadata: {OPAQUE}"),
            "x: the metadata service returned no credentials (HTTP 403)",
        ),
        (
            ProxyConnectionError(proxy_url=f"http://u:{SECRET}@p", error=""),
            "x: proxy http://***@p did not connect to AWS",
        ),
        (SSLError(endpoint_url=f"https://u:{SECRET}@e", error="bad"), "x: SSL validation failed for https://***@e bad"),
        (HTTPClientError(error=f"Failed to parse: http://u:{SECRET}@p"), "x: An HTTP Client raised an unhandled exc"),
    ],
)
def test_errors_of_botocore_show_nothing_that_others_said_of_credentials(error: BotoCoreError, shown: str) -> None:
    made = build_scope_error(error, "x")

    assert made.reason.startswith(shown)
    assert SECRET not in made.reason


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (f"/opt/bin/vault-tool --password {SECRET}", "vault-tool"),
        (f"'/opt/my tools/vault' {SECRET}", "vault"),
        (f'"/opt/vault --password {SECRET}"', None),
        (f"TOKEN={SECRET} vault", None),
        ("'without its end", None),
    ],
)
def test_of_a_credential_process_only_a_plain_name_is_shown(command: str, program: str | None) -> None:
    steps = {"p": {"role_arn": "r", "source_profile": "q"}, "q": {"credential_process": command}}
    session = SimpleNamespace(profile="p", full_config={"profiles": steps})

    assert find_process_program(session, None) == program


PROCESSES = {
    "stderr": f'import sys; sys.exit("{SECRET}")',
    "a version": f'print(\'{{"Version": "{SECRET}"}}\')',
    "no JSON": f'print("{SECRET}")',
    "a missing key": f'print(\'{{"Version": 1, "AccessKeyId": "{SECRET}", "SessionToken": "{SECRET}"}}\')',
}


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Profiles whose credential_process fails in every way, with a secret in what it says and in its arguments."""
    blocks = {}
    for number, (way, script) in enumerate(PROCESSES.items()):
        file = tmp_path / f"tool{number}.py"
        file.write_text(script)
        blocks[f"p{number}"] = f"{sys.executable} {file} --password={SECRET}"
        blocks[f"quoted{number}"] = f'"{sys.executable}-{way} {SECRET}"'
    config = tmp_path / "aws-config"
    config.write_text("".join(f"[profile {name}]\ncredential_process = {run}\n" for name, run in blocks.items()))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    return blocks


def configure(aws: Emulator, folder: Path, profiles: dict[str, str]) -> Path:
    """An account for each profile, one that AWS denies in words with secrets, and one that is well."""
    well, denied = "111122223333", "444455556666"
    blocks = [f'[[accounts]]\nid = "{n:012}"\nprofile = "{name}"\n' for n, name in enumerate(profiles, 1)]
    blocks += [f'[[accounts]]\nid = "{a}"\nrole_arn = "arn:aws:iam::{a}:role/r"\n' for a in (well, denied)]
    aws.put(f"{well}/eu-west-1", make_image_builder("b", scope=f"{well}/eu-west-1"))
    aws.fail(f"{denied}/*", "deny")
    file = folder / "appstream-export.toml"
    top = f'warehouse = "warehouse"\nregions = ["eu-west-1"]\n{"".join(blocks)}'
    more = "[feeds]\ncsv = true\n[extract]\nmax_attempts = 1\n"
    file.write_text(f'{top}[aws]\nendpoint_url = "{aws.endpoint_url}"\n{more}')
    return file


@pytest.fixture
def hostile(aws: Emulator, tmp_path: Path, profiles: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of an export whose every failure comes in words with a secret."""
    said = "; ".join(TEXTS.values()).replace("{", "{{").replace("}", "}}")
    monkeypatch.setitem(ERROR_FAULTS, "deny", replace(ERROR_FAULTS["deny"], message=said[:400]))  # ty: ignore[invalid-argument-type]
    return configure(aws, tmp_path, profiles)


def leaked(folder: Path) -> list[str]:
    """Files below a folder that hold the secret, in their bytes or decoded."""
    found = []
    for file in (f for f in folder.rglob("*") if f.is_file()):
        contents = [file.read_bytes()]
        if file.suffix == ".parquet":
            contents.append(repr(pq.read_table(file, partitioning=None).to_pylist()).encode())
        if file.name == "bi.duckdb":
            with duckdb.connect(str(file), read_only=True) as con:
                names = [name for (name,) in con.sql("select table_name from duckdb_tables()").fetchall()]
                contents += [repr(con.sql(f'from "{name}"').fetchall()).encode() for name in names]
        found += [str(file)] if any(SECRET.encode() in content for content in contents) else []
    return found


@pytest.mark.slow
def test_no_secret_of_a_failure_is_in_the_streams_the_log_or_the_warehouse_of_a_run(
    hostile: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    codes = [main(["--config", str(hostile), "--debug", command, "--json"]) for command in ("run", "status", "doctor")]
    said = capsys.readouterr()

    assert codes[0] == 3
    assert "its credential_process (python" in said.out
    assert "run the profile's credential_process by hand" in said.out
    assert SECRET not in said.out + said.err + caplog.text
    assert leaked(hostile.parent / "warehouse") == []


@pytest.mark.long
def test_no_secret_of_a_failure_is_in_what_dagster_keeps(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(hostile))
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "python_logs: {python_log_level: DEBUG, managed_python_loggers: [root, botocore, urllib3, appstream_export]}\n"
    )
    with dg.DagsterInstance.from_config(str(home)) as instance, execute(instance) as red:
        assert not red.success
        events = repr([entry.to_json() for entry in instance.all_logs(red.run_id)])

    assert "its credential_process (python" in events
    assert SECRET not in events
    assert leaked(home) == []


def test_a_bucket_whose_profile_runs_a_failing_program_repeats_none_of_it(profiles: dict[str, str]) -> None:
    s3 = S3Settings(profile=next(iter(profiles)), endpoint_url="http://127.0.0.1:9", region="eu-west-1")
    with pytest.raises(ConfigurationError, match="credential_process returned no credentials") as caught:
        open_store("s3://bucket/prefix", s3=s3)

    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None, "a traceback would print it"


class Refusing(http.server.BaseHTTPRequestHandler):
    """The metadata service of a container that refuses, and says too much."""

    def do_GET(self) -> None:
        """Refuse."""
        self.send_response(403)
        self.end_headers()
        self.wfile.write(f"the token {SECRET} is not known".encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_what_a_containers_metadata_service_says_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_address[1]}/?key={SECRET}"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", place)
        monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
        with pytest.raises(ExportError, match=r"container-role returned no credentials \(HTTP 403\)") as caught:
            CredentialSource(Settings(), None).get_credentials()
        server.shutdown()

    assert SECRET not in str(caught.value)


def test_an_error_of_sts_on_the_way_to_credentials_is_masked() -> None:
    answer = {"Error": {"Code": "InvalidIdentityToken", "Message": f"cannot read {JWT}"}}
    made = build_scope_error(ClientError(answer, "AssumeRoleWithWebIdentity"), "boto3's default chain")

    assert made.reason == "boto3's default chain: InvalidIdentityToken: cannot read ***"
