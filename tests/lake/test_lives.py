"""Slices of any life of a warehouse; the long form: `uv run python -m benchmarks.proofs lake_lives`.

A life that went wrong once is kept here as a test of its own: the calls that Hypothesis prints.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.lake.machine import Lives

pytestmark = pytest.mark.slow

FEW = settings(
    max_examples=5, stateful_step_count=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def test_in_any_life_readers_see_what_the_model_says() -> None:
    run_state_machine_as_test(Lives, settings=FEW)
