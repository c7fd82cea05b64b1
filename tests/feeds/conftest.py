"""Fixtures of the tests of feeds and of the report."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests import browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of a module."""
    with browser.chromium() as running:
        yield running
