"""Feeds are published from a lake, in a folder or in a bucket."""

from tests.lake.conftest import bucket, lake, moto_s3

__all__ = ["bucket", "lake", "moto_s3"]
