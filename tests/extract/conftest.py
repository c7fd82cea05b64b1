"""A raw AWS, and one way to ask it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.extract.asking import Asking
from tests.extract.wire import Wire


@pytest.fixture
def wire(way: None) -> Iterator[Wire]:  # noqa: ARG001  it prepares the test
    """An AWS that answers byte for byte as it is told, called in both ways."""
    with Wire() as running:
        yield running


@pytest.fixture
def asking(wire: Wire, tmp_path: Path) -> Asking:
    """An extraction from that AWS."""
    return Asking(wire.url, tmp_path)
