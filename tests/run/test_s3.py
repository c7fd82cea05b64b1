"""The whole path into a bucket: run, retry, read, and refusals before AppStream is asked."""

import subprocess
import sys

import boto3
import pytest

from appstream_export.errors import ConfigurationError, SettingsError
from tests.export import Export
from tests.factories import image_builder

PLACE = "s3://lake/exports/appstream"
LEFT, RIGHT = "111122223333/eu-west-1", "444455556666/us-east-1"


@pytest.fixture
def to_s3(export: Export, monkeypatch: pytest.MonkeyPatch) -> Export:
    """The same export into a bucket of the same emulator, which readers find through the environment."""
    keys = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=export.aws.endpoint_url, **keys).create_bucket(Bucket="lake")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", export.aws.endpoint_url)
    export.more = {"warehouse": PLACE}
    return export


@pytest.mark.long
def test_a_run_into_a_bucket_is_read_like_one_into_a_folder(to_s3: Export) -> None:
    to_s3.aws.put(LEFT, image_builder("a"))
    to_s3.aws.put(RIGHT, image_builder("b"))
    first = to_s3.run()
    to_s3.aws.remove(LEFT, "a")
    to_s3.aws.fail(RIGHT, "deny")
    second = to_s3.run()

    assert (first.exit_code, second.exit_code, second.manifest.seq, second.catalog_problem) == (0, 3, 2, None)
    assert to_s3.sql("select name from image_builders") == ["b"]
    assert to_s3.statuses()[RIGHT] == "denied"
    assert to_s3.changes() == [("a", "deleted", None)]
    assert to_s3.sql("select count(*) from image_builders_history") == [3]

    to_s3.aws.heal()
    to_s3.aws.reset_calls()
    assert to_s3.run(retry_failed=True).exit_code == 0
    assert to_s3.calls() == [RIGHT]
    assert list(to_s3.folder.iterdir()) == [], "nothing of it on this machine"


@pytest.mark.long
def test_the_same_attempt_commits_once(to_s3: Export) -> None:
    made = to_s3.run(run_id="r", attempt_id="1")
    again = to_s3.run(run_id="r", attempt_id="1")

    assert (again.manifest, again.committed) == (made.manifest, False)


@pytest.mark.parametrize(
    ("warehouse", "says"),
    [
        ("s3://nowhere/w", "warehouse s3://nowhere/w: NoSuchBucket: .*; create the bucket, or correct its name"),
        ("s3://Lake", "not of the form s3://bucket/prefix"),
    ],
)
def test_a_bucket_that_is_not_there_is_refused_before_appstream_is_asked(
    to_s3: Export, warehouse: str, says: str
) -> None:
    to_s3.more = {"warehouse": warehouse}

    with pytest.raises(ConfigurationError, match=says) as refused:
        to_s3.run()
    assert (refused.value.exit_code, to_s3.calls()) == (2, [])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"warehouse": PLACE, "lake": {"s3": {"regoin": "x"}}},
            r'\[lake.s3\] unknown key "regoin"; did you mean "region"',
        ),
        ({"warehouse": PLACE, "lake": {"s3": {"region": "Europe"}}}, r'\[lake.s3\] region: "Europe" is not the name'),
        (
            {"warehouse": PLACE, "lake": {"s3": {"endpoint_url": "minio"}}},
            r'\[lake.s3\] endpoint_url: "minio" is not a URL such as',
        ),
        ({"warehouse": PLACE, "lake": {"catalog_root": "/mnt"}}, "there is no catalog file on S3; remove the key"),
        ({"warehouse": "w", "lake": {"s3": {"region": "eu-west-1"}}}, r"\[lake.s3\] is for warehouses on S3"),
    ],
)
def test_settings_of_s3_are_checked(to_s3: Export, more: dict[str, object], says: str) -> None:
    to_s3.more = more

    with pytest.raises(SettingsError, match=says):
        _ = to_s3.settings


def test_an_emulated_aws_holds_the_bucket_too_unless_the_settings_name_another_endpoint(to_s3: Export) -> None:
    assert to_s3.settings.s3.endpoint_url == to_s3.aws.endpoint_url
    to_s3.more = {"warehouse": PLACE, "lake": {"s3": {"endpoint_url": "https://minio.example.com"}}}
    assert to_s3.settings.s3.endpoint_url == "https://minio.example.com"


@pytest.mark.slow
@pytest.mark.usefixtures("without_checks")
def test_reading_a_folder_loads_no_boto3(export: Export) -> None:
    export.run()
    script = (
        "import sys, appstream_export\n"
        "print(appstream_export.connect(sys.argv[1]).sql('select count(*) from scope_runs').fetchall())\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'boto3', 'botocore', 'dagster'}))\n"
    )
    command = [sys.executable, "-c", script, export.warehouse]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[(4,)]\n[]\n"
