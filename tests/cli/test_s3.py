"""Commands on a warehouse in a bucket: reached as the configuration says, or as the environment does."""

from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from appstream_export.emulator import Emulator
from tests.factories import image_builder

PLACE = "s3://lake/exports"
NAMES = ("sql", "--format", "ndjson", "select name from image_builders")
Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def configured(aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """An AWS with a builder and a bucket, and a folder whose configuration leads there."""
    aws.put("111122223333/eu-west-1", image_builder("a"))
    keys = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=aws.endpoint_url, **keys).create_bucket(Bucket="lake")
    (tmp_path / "appstream-export.toml").write_text(
        f"""
        warehouse = "{PLACE}"
        regions = ["eu-west-1"]
        accounts = [{{ id = "111122223333", role_arn = "arn:aws:iam::111122223333:role/reader" }}]
        aws.endpoint_url = "{aws.endpoint_url}"
        lake.s3 = {{ endpoint_url = "{aws.endpoint_url}", region = "eu-west-1" }}
        """
    )
    monkeypatch.chdir(tmp_path)
    return aws


@pytest.mark.slow
@pytest.mark.usefixtures("configured")
def test_commands_reach_the_bucket_as_the_configuration_says(told: Told) -> None:
    assert told("run")[0] == 0
    assert told("status")[::2] == (0, "")
    assert told(*NAMES) == (0, '{"name":"a"}\n', "")
    assert "install httpfs;" in told("catalog")[1]


@pytest.mark.long
def test_reading_commands_need_only_the_environment(
    configured: Emulator, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told("run")
    monkeypatch.setenv("AWS_ENDPOINT_URL", configured.endpoint_url)

    assert told(*NAMES, "--warehouse", f"{PLACE}/") == (0, '{"name":"a"}\n', "")
    code, _, said = told(*NAMES, "--warehouse", "s3://nowhere")
    assert (code, said.count("\n")) == (2, 1)
    assert "NoSuchBucket" in said


@pytest.mark.slow
@pytest.mark.usefixtures("configured")
def test_the_doctor_tries_conditional_writes_and_names_a_bucket_that_is_not_there(told: Told) -> None:
    code, out, _ = told("doctor", "--json")
    wrong, said, _ = told("doctor", "--warehouse", "s3://nowhere")

    assert (code, wrong) == (0, 1)
    assert f"{PLACE} can be read and written, and supports conditional writes" in out
    assert "1 scope, warehouse: s3://nowhere: NoSuchBucket" in said
    assert "fix: create the bucket, or correct its name" in said
    assert "no snapshot in" in told("status")[2]
