"""Slices of any life of a warehouse; the long form: `uv run python -m benchmarks.proofs lives`."""

from hypothesis import HealthCheck, settings

from tests.lake.machine import Lives

TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=5, stateful_step_count=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
