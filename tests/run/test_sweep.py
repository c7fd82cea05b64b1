"""What a sweep does to the process that it runs in."""

import gc
from collections.abc import Generator

import pytest

from pipelines.contracts import load_all
from pipelines.scope import Outcome, Page, Watch
from pipelines.sweep import GARBAGE_OBJECTS, sweep


def test_garbage_is_looked_for_more_rarely_only_while_a_sweep_goes_on() -> None:
    usual, meanwhile = gc.get_threshold(), []

    def answers() -> Generator[Page | Outcome]:
        meanwhile.append(gc.get_threshold()[0])
        yield from ()
        raise OSError("the last answer is a fault")

    with pytest.raises(OSError, match="the last answer"):
        sweep(answers(), load_all(), lambda _: None, known={}, watch=Watch())

    assert (meanwhile, gc.get_threshold()) == ([GARBAGE_OBJECTS], usual)
