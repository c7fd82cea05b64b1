"""Some failed operations on every run of the tests; all: `uv run python -m benchmarks.proofs lake_operations`."""

from itertools import count
from pathlib import Path

import pytest

from tests.lake.buckets import Bucket
from tests.lake.lakes import Lake
from tests.lake.stores import Mode
from tests.lake.trials import Trials

pytestmark = pytest.mark.slow

FAILED = (
    ("first commit", Mode.FULL, 33),
    ("commit", Mode.KILL, 47),
    ("commit", Mode.EIO, 30),
    ("raced commit", Mode.LOST, 38),
    ("publish", Mode.KILL, 8),
    ("thin", Mode.EIO, 9),
    ("gc", Mode.KILL, 40),
    ("erase", Mode.LOST, 10),
    ("erase", Mode.KILL, 60),
)


@pytest.mark.parametrize(("act", "mode", "number"), FAILED)
def test_whatever_operation_fails_readers_see_the_old_or_the_new_snapshot_and_the_next_run_heals(
    act: str, mode: Mode, number: int, tmp_path: Path
) -> None:
    numbers = count()
    trials = Trials(lambda: Lake(tmp_path / f"warehouse-{next(numbers)}"))

    assert trials.one(act, mode, number), "it has fewer operations by now: name another one"


@pytest.mark.parametrize(("act", "mode", "number"), [("commit", Mode.KILL, 47), ("erase", Mode.LOST, 10)])
def test_on_s3_too(act: str, mode: Mode, number: int, bucket: Bucket) -> None:
    trials = Trials(lambda: Lake(bucket.place(), s3=bucket.settings))

    assert trials.one(act, mode, number)
