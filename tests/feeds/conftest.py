"""Feeds are published from a lake, in a folder or in a bucket; the report is looked at in a browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests import browser
from tests.lake.conftest import bucket, lake, moto_s3

__all__ = ["bucket", "lake", "moto_s3"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of a module."""
    with browser.chromium() as running:
        yield running
