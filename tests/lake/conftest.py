"""Fixtures of the lake's tests."""

from pathlib import Path

import pytest

from tests.lake.lakes import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty warehouse."""
    return Lake(tmp_path / "warehouse")
