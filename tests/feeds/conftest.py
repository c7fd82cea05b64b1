"""Feeds are published from a lake, in a folder or in a bucket; the report is looked at in a browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests import browser
from tests.feeds.stars import star
from tests.lake.conftest import bucket, lake, moto_s3
from tests.lake.lakes import Lake

__all__ = ["bucket", "lake", "moto_s3"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of a module."""
    with browser.chromium() as running:
        yield running


@pytest.fixture(scope="session")
def published_star(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A warehouse with the star and its CSV files; no test may change it."""
    return star(tmp_path_factory.mktemp("star") / "warehouse", csv=True)
