"""No credential reaches a file, a log, a traceback or a text, whatever AWS does and however loud the logs are."""

import io
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from appstream_export.contracts import load_contracts
from appstream_export.emulator import FAULTS, Emulator, Fault, make_image_builder
from appstream_export.emulator.faults import ERROR_FAULTS
from appstream_export.errors import ExportError
from appstream_export.extract import plan_extraction
from appstream_export.extract.accounts import list_configured_accounts
from appstream_export.run import RunResult, execute_run
from appstream_export.settings import Settings, read_settings
from tests.defs.jobs import rebuilt, snapshot_job
from tests.export import Export

HUB = "123456789012"  # where moto puts keys that it does not know
KEYS = {"secret": "canary/secret+key/of/the+hub/0123456789", "token": "canary-session-token-of-the-hub"}
LITERAL, OF_ENVIRON = "canary-external-id-in-the-file", "canary-external-id-of-the-environment"
OWN = (*KEYS.values(), LITERAL, OF_ENVIRON)
EVERYTHING = 1  # below DEBUG, as some libraries log
LOUD_SCRIPT = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from pathlib import Path
from appstream_export.contracts import load_contracts
from appstream_export.run import execute_run
from appstream_export.settings import read_settings
settings = read_settings(Path(sys.argv[1]))
print(settings)
print(execute_run(settings, load_contracts()))
"""
COMMAND = """
import sys
from appstream_export.cli.main import main
sys.exit(main(["--config", sys.argv[1], "--debug", "run"]))
"""


@pytest.fixture
def loud(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Everything that any logger says at a level, tracebacks included, botocore's turned up beforehand."""
    text, level = io.StringIO(), getattr(request, "param", EVERYTHING)
    handler, root = logging.StreamHandler(text), logging.getLogger()
    names = ("", "botocore", "botocore.auth", "botocore.parsers", "botocore.hooks", "urllib3", "boto3")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(level)
    root.addHandler(handler)
    yield text
    root.removeHandler(handler)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The profile `hub`, far from the files that are searched."""
    file = tmp_path_factory.mktemp("aws") / "credentials"
    secret, token = KEYS["secret"], KEYS["token"]
    file.write_text(
        f"[hub]\naws_access_key_id = AKIACANARY00HUB00\naws_secret_access_key = {secret}\naws_session_token = {token}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("CANARY", OF_ENVIRON)


def faulty(aws: Emulator, folder: Path, **extract: Any) -> Settings:
    """An account per fault, another per fault of STS, and one that is well; by roles behind a profile, and by it."""
    kinds = [*((kind, "DescribeImageBuilders") for kind in FAULTS), *((kind, "AssumeRole") for kind in ERROR_FAULTS)]
    blocks = [f'[[accounts]]\nid = "{HUB}"\nprofile = "hub"\n']
    for n, (kind, operation) in enumerate([*kinds, (None, "")], 1):
        account = f"{n:012}"
        scope = f"{account}/eu-west-1"
        aws.put(scope, *(make_image_builder(f"b{i}", scope=scope) for i in range(3)))
        if kind:
            aws.fail(f"{account}/*", Fault(kind, operation=operation, delay_s=0.1))
        secret = LITERAL if n % 2 else "env:CANARY"
        role = f'role_arn = "arn:aws:iam::{account}:role/reader"\nexternal_id = "{secret}"'
        blocks.append(f'[[accounts]]\nid = "{account}"\nprofile = "hub"\n{role}\n')
    head = {"max_attempts": 2, "page_size": 2} | extract
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in head.items())
    file = folder / "config" / "appstream-export.toml"
    file.parent.mkdir(exist_ok=True)
    top = 'warehouse = "../warehouse"\nregions = ["eu-west-1"]\n'
    file.write_text(f'{top}{"".join(blocks)}[aws]\nendpoint_url = "{aws.endpoint_url}"\n[extract]\n{lines}\n')
    return read_settings(file)


def given_by_sts() -> set[str]:
    """Secret keys and session tokens of every role session so far, and proof that the external ids were sent."""
    assert {role.external_id for role in _roles()} == {LITERAL, OF_ENVIRON}
    return _sessions_of_sts()


def _sessions_of_sts() -> set[str]:
    return {secret for role in _roles() for secret in (role.secret_access_key, role.session_token)}


def _roles() -> list[Any]:
    from moto.sts.models import sts_backends

    backends: list[Any] = [backend for _, _, backend in sts_backends.iter_backends()]
    return [role for backend in backends for role in backend.assumed_roles]


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the warehouse byte by byte, and what compressed files hold."""
    for file in folder.rglob("*"):
        if file.is_file():
            yield str(file), file.read_bytes()
        if file.suffix == ".parquet":
            table = pq.read_table(file, partitioning=None)
            yield f"{file} decoded", repr((table.schema.metadata, table.to_pylist())).encode()


def shown(result: RunResult, settings: Settings) -> str:
    people = list_configured_accounts(settings)
    return f"{result} {result!r} {settings} {settings.accounts!r} {people} {people[1].external_id}"


def canaries_in(text: bytes | str, secrets: set[str]) -> list[str]:
    raw = text.encode() if isinstance(text, str) else text
    return [secret for secret in secrets if secret.encode() in raw]


@pytest.mark.slow
@pytest.mark.parametrize("compatible", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("loud", [EVERYTHING, pytest.param(logging.INFO, marks=pytest.mark.slow)], indirect=True)
def test_no_secret_is_in_any_byte_that_a_run_leaves(
    compatible: bool, aws: Emulator, tmp_path: Path, loud: io.StringIO
) -> None:
    settings = faulty(aws, tmp_path, use_documented_client_api=compatible)
    result = execute_run(settings, load_contracts())
    secrets = {*OWN, *given_by_sts()}

    assert len(secrets) > 40
    assert {str(o.status) for o in result.outcomes.values()} >= {"ok", "denied", "throttled", "malformed", "mismatched"}
    found = {name: hit for name, content in written(tmp_path / "warehouse") if (hit := canaries_in(content, secrets))}
    assert found == {}
    assert "Starting new HTTP connection" not in loud.getvalue()  # the libraries were silenced, not merely quiet
    assert canaries_in(loud.getvalue() + shown(result, settings), secrets) == []
    tables = [t.name for c in load_contracts() for t in c.tables]
    export = Export(aws, tmp_path)
    told = [export.sql(f"select * from {table}") for table in (*tables, "scope_runs", "snapshots", "accounts")]
    assert canaries_in(repr(told), secrets) == []


@pytest.mark.slow
def test_no_secret_is_in_the_traceback_of_a_run_that_ends_badly(
    aws: Emulator, tmp_path: Path, loud: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = faulty(aws, tmp_path)
    aws.heal()
    aws.fail("*", "deny")
    texts = [_traceback_of(lambda: execute_run(settings, load_contracts()))]
    given = given_by_sts()
    wrong = settings.warehouse + "/../config/appstream-export.toml"
    for old, new in (("external_id = ", "external_idd = "), (f'"{LITERAL}"', "12345"), ("[[accounts]]", "[[accounts")):
        file = Path(wrong).with_name("wrong.toml")
        file.write_text(Path(wrong).read_text().replace(old, new))
        texts.append(_traceback_of(lambda file=file: read_settings(file)))
    monkeypatch.delenv("CANARY")
    texts.append(_traceback_of(lambda: execute_run(settings, load_contracts())))

    assert "NothingExtracted" in texts[0]
    assert all("Traceback" in text for text in texts)
    assert canaries_in("".join(texts) + loud.getvalue(), {*OWN, *given}) == []


def _traceback_of(what: Any) -> str:
    with pytest.raises(ExportError) as caught:
        what()
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value)


@pytest.mark.long
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(LOUD_SCRIPT, id="every logger at DEBUG", marks=pytest.mark.slow),
        pytest.param(COMMAND, id="--debug run"),
    ],
)
def test_no_secret_is_in_the_streams_of_a_process(script: str, aws: Emulator, tmp_path: Path) -> None:
    faulty(aws, tmp_path)
    file = str(tmp_path / "config" / "appstream-export.toml")
    ran = subprocess.run([sys.executable, "-c", script, file], capture_output=True, env=os.environ, timeout=240)

    assert b"denied" in ran.stdout + ran.stderr
    assert canaries_in(ran.stdout + ran.stderr, {*OWN, *given_by_sts()}) == []


@pytest.mark.slow
def test_no_secret_is_in_what_a_discovery_says_or_leaves(aws: Emulator, tmp_path: Path, loud: io.StringIO) -> None:
    aws.create_organization({HUB: "hub", "000000000001": "member", "000000000002": "other"})
    file = tmp_path / "appstream-export.toml"
    file.write_text(
        f'regions = "auto"\n[organization]\nrole_name = "reader"\nexternal_id = "env:CANARY"\nadmin_profile = "hub"\n'
        f'admin_role_arn = "arn:aws:iam::{HUB}:role/lister"\n[aws]\nendpoint_url = "{aws.endpoint_url}"\n'
        "[extract]\nmax_attempts = 1\n"
    )
    settings, texts = read_settings(file), []
    for kind in ERROR_FAULTS:
        for operation in ("ListAccounts", "AssumeRole"):
            aws.fail("*", Fault(kind, operation=operation))
            texts.append(_traceback_of(lambda: plan_extraction(settings, load_contracts())))
            aws.heal()
    for operation in ("ListRoots", "ListOrganizationalUnitsForParent", "GetParametersByPath"):
        aws.fail("*", Fault("deny", operation=operation))
    assert execute_run(settings, load_contracts()).exit_code == 0

    secrets = {*KEYS.values(), OF_ENVIRON, *_sessions_of_sts()}
    assert len(secrets) > 10
    assert "ListAccounts: ThrottlingException" in "".join(texts)
    assert "botocore's own list for appstream" in loud.getvalue()
    assert canaries_in("".join(texts) + loud.getvalue(), secrets) == []
    assert {name: hit for name, content in written(tmp_path) if (hit := canaries_in(content, secrets))} == {}


@pytest.mark.long
def test_no_secret_is_in_what_dagster_keeps(aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty(aws, tmp_path)
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(tmp_path / "config" / "appstream-export.toml"))
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    job = rebuilt(snapshot_job)
    with dg.DagsterInstance.from_config(str(home)) as instance, dg.execute_job(job, instance) as result:
        check = next(c for c in result.get_asset_check_evaluations() if c.check_name == "coverage")
        shown = check.metadata["failed_scopes"]
        assert isinstance(shown, dg.TableMetadataValue)
        assert any("DescribeImageBuilders: AccessDenied" in str(record.data["reason"]) for record in shown.records)

    kept = {name: hit for name, content in written(home) if (hit := canaries_in(content, {*OWN, *given_by_sts()}))}
    assert kept == {}
