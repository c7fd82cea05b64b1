"""Some failed operations on every run of the tests; all: `uv run python -m benchmarks.proofs lake_operations`."""

from itertools import count
from pathlib import Path

import pytest

from tests.lake.buckets import Bucket
from tests.lake.lakes import A, Lake, ok
from tests.lake.stores import Mode
from tests.lake.told import Told
from tests.lake.trials import ACTS, Trials

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


def test_what_goes_wrong_with_one_operation_is_told_and_the_next_is_failed_all_the_same(tmp_path: Path) -> None:
    def untold(told: Told, _: object) -> None:
        told.lake.commit(ok(A), planned=[A])

    trials = Trials(lambda: Lake(tmp_path / "warehouse"), {"untold": (ACTS["commit"][0], untold)})

    tally = trials.each("untold", Mode.LOST, start=9, step=9)

    assert (tally.operations, tally.old) == (1, 1)
    assert [broken.partition(":")[0] for broken in tally.broken] == ["operation 18, None"]


@pytest.mark.long
@pytest.mark.parametrize(("act", "mode", "number"), [("commit", Mode.KILL, 47), ("erase", Mode.LOST, 10)])
def test_on_s3_too(act: str, mode: Mode, number: int, bucket: Bucket) -> None:
    trials = Trials(lambda: Lake(bucket.place(), s3=bucket.settings))

    assert trials.one(act, mode, number)
