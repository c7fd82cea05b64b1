"""A slice of the failed operations in the tests; all: `uv run python -m benchmarks.proofs lake_operations`.

Prime steps, another one for each mode, so that the slices meet different operations.
"""

from itertools import count
from pathlib import Path

import pytest

from tests.lake.buckets import Bucket
from tests.lake.lakes import Lake
from tests.lake.stores import Mode
from tests.lake.trials import ACTS, Trials

STEPS = {Mode.KILL: 23, Mode.FULL: 19, Mode.EIO: 29, Mode.LOST: 13}


@pytest.mark.parametrize("act", ACTS)
def test_whatever_operation_fails_readers_see_the_old_or_the_new_snapshot_and_the_next_run_heals(
    act: str, tmp_path: Path
) -> None:
    numbers = count()
    trials = Trials(lambda: Lake(tmp_path / f"warehouse-{next(numbers)}"))

    failed = {mode: trials.each(act, mode, start=3, step=step).operations for mode, step in STEPS.items()}

    assert all(failed[mode] for mode in Mode if act != "publish" or mode is Mode.KILL)


@pytest.mark.parametrize(("act", "mode"), [("commit", Mode.KILL), ("raced commit", Mode.LOST), ("erase", Mode.EIO)])
def test_on_s3_too(act: str, mode: Mode, bucket: Bucket) -> None:
    trials = Trials(lambda: Lake(bucket.place(), s3=bucket.settings))

    assert trials.each(act, mode, start=5, step=40).operations
