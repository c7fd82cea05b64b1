"""Fixtures of the lake's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appstream_export.emulator import Emulator
from tests.lake.buckets import Bucket, Wire
from tests.lake.lakes import Lake


@pytest.fixture(scope="module")
def moto_s3() -> Iterator[Bucket]:
    """One S3 for all tests of a module: an emulator takes a second to start."""
    with Emulator() as aws, Wire(int(aws.endpoint_url.rpartition(":")[2])) as wire:
        yield Bucket(aws, wire)


@pytest.fixture
def bucket(moto_s3: Bucket) -> Iterator[Bucket]:
    """A bucket with a wire that works."""
    moto_s3.calm()
    yield moto_s3
    moto_s3.calm()


@pytest.fixture
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """An empty warehouse: in a folder, or in a bucket where a test asks for both (lakes.EVERYWHERE)."""
    if getattr(request, "param", "folder") == "folder":
        return Lake(tmp_path / "warehouse")
    bucket: Bucket = request.getfixturevalue("bucket")
    return Lake(bucket.place(), s3=bucket.settings)
