"""Which warehouse a command is about, and whose settings it has: the configuration's where that is about the same."""

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from appstream_export.emulator import Emulator
from tests.factories import image_builder
from tests.lake.lakes import A, Lake, builder, ok
from tests.pages import read_texts
from tests.slices import long_but

Told = Callable[..., tuple[int, str, str]]
VARIABLE = "APPSTREAM_EXPORT_WAREHOUSE"
CONFIG = """
warehouse = "{warehouse}"
regions = ["eu-west-1"]
accounts = [{{ id = "111122223333", role_arn = "arn:aws:iam::111122223333:role/reader" }}]
aws.endpoint_url = "{endpoint_url}"
lake.retention.monthly_months = 7
lake.freshness_interval = "2h"
feeds = {{ file_mode = "0644", account_labels = ["team"] }}
{more}
"""
CONFIGURED, DEFAULT = 7, 24


def configure(warehouse: str, endpoint_url: str = "http://127.0.0.1:1", more: str = "") -> None:
    """Write the configuration of the current folder."""
    text = CONFIG.format(warehouse=warehouse, endpoint_url=endpoint_url, more=more)
    Path("appstream-export.toml").write_text(text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current and home folder, with the configured `warehouse`, a link to it, and an `other` one."""
    for name in ("warehouse", "other"):
        lake = Lake(tmp_path / name)
        lake.commit(ok(A, builder(f"of-{name}")))
        lake.publish()
    (tmp_path / "link").symlink_to("warehouse")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    configure("warehouse")
    return tmp_path


def months_retained(told: Told, *words: str) -> int:
    """The policy by which `expire` would go."""
    code, out, err = told("expire", "--dry-run", "--json", *words)
    assert (code, err) == (0, "")
    return json.loads(out)["retention"]["monthly_months"]


SPELLINGS = ["warehouse", "warehouse/", "./other/../warehouse", "link", "~/warehouse", "{folder}/warehouse//"]


@pytest.mark.slow
@pytest.mark.parametrize("spelling", long_but(SPELLINGS, *SPELLINGS[:2]))
@pytest.mark.parametrize("way", ["flag", "environment"])
def test_the_configured_folder_keeps_its_settings_however_it_is_named(
    way: str, spelling: str, folder: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = spelling.format(folder=folder)
    if way == "environment":
        monkeypatch.setenv(VARIABLE, named)
    words = ("--warehouse", named) if way == "flag" else ()

    assert months_retained(told, *words) == CONFIGURED
    assert "label_team" in bundle(told, *words)


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("way", ["flag", "environment"])
def test_another_folder_has_the_defaults(way: str, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "environment":
        monkeypatch.setenv(VARIABLE, "other")
    words = ("--warehouse", "other") if way == "flag" else ()

    assert months_retained(told, *words) == DEFAULT
    assert "label_team" not in bundle(told, *words)


@pytest.mark.slow
def test_the_report_of_the_configured_warehouse_is_the_same_page_however_it_is_named(folder: Path, told: Told) -> None:
    def publish(name: str, *words: str) -> tuple[int, bool]:
        """Its mode, and whether it warns once it is twice as old as the configuration's freshness."""
        assert told("report", *words)[0] == 0
        file = folder / name / "report.html"
        return stat.S_IMODE(file.stat().st_mode), "18000" in read_texts(file)

    assert publish("warehouse") == publish("warehouse", "--warehouse", "link/") == (0o444, True)
    assert publish("other", "--warehouse", "other") == (0o440, False)


@pytest.mark.slow
def test_a_flag_is_nearer_than_a_typed_configuration_and_that_is_nearer_than_the_environment(
    folder: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(folder / "other"))
    config, flag = ("--config", "appstream-export.toml"), ("--warehouse", "other")

    def name(*words: str) -> str:
        return told("sql", "--format", "csv", "select name from image_builders", *words)[1].split()[1]

    assert (name(), name(*config), name(*config, *flag)) == ("of-other", "of-warehouse", "of-other")
    assert (months_retained(told), months_retained(told, *config)) == (DEFAULT, CONFIGURED)
    monkeypatch.delenv(VARIABLE)
    assert (name(), months_retained(told)) == ("of-warehouse", CONFIGURED)


@pytest.mark.slow
def test_reading_a_folder_that_is_named_needs_no_configuration(folder: Path, told: Told) -> None:
    (folder / "appstream-export.toml").write_text("regions = [")

    assert told("sql", "select 1 as one", "--format", "csv", "--warehouse", "other") == (0, "one\r\n1\r\n", "")
    assert told("status", "--warehouse", "other")[0] == 0
    assert told("sql", "select 1")[0] == 2


@pytest.mark.slow
def test_a_run_goes_to_the_warehouse_that_is_named_with_the_configuration_of_its_accounts(
    folder: Path, aws: Emulator, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.put("111122223333/eu-west-1", image_builder("a"))
    configure("warehouse", aws.endpoint_url)
    monkeypatch.setenv(VARIABLE, str(folder / "new"))

    def place(*words: str) -> str:
        code, out, _ = told("run", "--json", "--no-publish", *words)
        assert code == 0
        return json.loads(out)["warehouse"]

    assert place() == str(folder / "new")
    assert place("--config", "appstream-export.toml") == str(folder / "warehouse")
    assert place("--warehouse", "link/") == str(folder / "link")
    assert sorted(p.name for p in (folder / "warehouse" / "commits").iterdir()) == [f"{n:012}.json" for n in (1, 2, 3)]


@pytest.fixture
def bucket(aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, where the configuration of the current folder puts the warehouse."""
    keys = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=aws.endpoint_url, **keys).create_bucket(Bucket="lake")
    monkeypatch.chdir(tmp_path)
    configure(
        "s3://lake/exports",
        aws.endpoint_url,
        f'lake.s3 = {{ endpoint_url = "{aws.endpoint_url}", region = "eu-west-1" }}',
    )
    return aws.endpoint_url


@pytest.mark.slow
@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    "named", long_but(["", "s3://lake/exports", "s3://lake/exports/", "s3://lake/exports//"], "", "s3://lake/exports/")
)
@pytest.mark.parametrize("way", ["flag", "environment"])
def test_the_configured_bucket_keeps_its_settings_and_its_endpoint(
    way: str, named: str, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    if named and way == "environment":
        monkeypatch.setenv(VARIABLE, named)
    words = ("--warehouse", named) if named and way == "flag" else ()

    assert "label_team" in bundle(told, *words, "--root", "/data")
    assert months_retained(told, *words) == CONFIGURED
    assert "no snapshot in s3://lake/exports yet" in told("status", *words)[2]


@pytest.mark.slow
def test_another_bucket_has_the_defaults_and_is_reached_as_boto3_would(
    bucket: str, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket)
    words = ("--warehouse", "s3://lake/others/")

    assert "label_team" not in bundle(told, *words, "--root", "/data")
    assert months_retained(told, *words) == DEFAULT


def bundle(told: Told, *words: str) -> str:
    """All texts of the bundle that `dashboard superset` writes."""
    code, _, err = told("dashboard", "superset", "-o", "bundle.zip", *words)
    assert (code, err) == (0, "")
    with zipfile.ZipFile("bundle.zip") as archive:
        return "".join(archive.read(name).decode("utf-8", "replace") for name in archive.namelist())
