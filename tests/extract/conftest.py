"""A raw AWS, and one way to ask it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.extract.asking import Asking
from tests.extract.wire import Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    """An AWS that answers byte for byte as it is told."""
    with Wire() as running:
        yield running


@pytest.fixture
def asking(wire: Wire, tmp_path: Path) -> Asking:
    """An extraction from that AWS."""
    return Asking(wire.url, tmp_path)
