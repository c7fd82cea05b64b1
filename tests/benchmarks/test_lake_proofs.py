"""A small slice of each of the lake's proofs in the tests; the whole: `uv run python -m benchmarks.proofs`.

tests/lake/test_operations.py and tests/lake/test_lives.py are slices of the others.
"""

from pathlib import Path

import pytest
from hypothesis.stateful import rule

from benchmarks.proofs import lake_flips, lake_kills, lake_lives, lake_operations, lake_races
from benchmarks.proofs.lake_places import BUCKET, FOLDER
from tests.lake.machine import Lives
from tests.lake.stores import Mode

# They start processes: beside the other tests, not beside each other.
pytestmark = pytest.mark.slow


@pytest.mark.long
def test_a_killed_export_leaves_the_old_or_the_new_rows_and_readers_never_notice(tmp_path: Path) -> None:
    size = lake_kills.Size(kills=((FOLDER, 3),), readers=1, accounts=2, regions=1, items=20)

    assert lake_kills.prove(size, tmp_path).broken == []


@pytest.mark.parametrize("where", [FOLDER, BUCKET])
def test_processes_that_commit_at_once_give_one_line(where: str, tmp_path: Path) -> None:
    size = lake_races.Size(rounds=((where, 2),), processes=3)

    assert lake_races.prove(size, tmp_path).broken == []


@pytest.mark.long
def test_any_damage_to_any_kind_of_committed_file_is_found(tmp_path: Path) -> None:
    size = lake_flips.Size(flips=((FOLDER, 1),), per_kind=1)

    assert lake_flips.prove(size, tmp_path).broken == []


@pytest.mark.long
def test_operations_are_failed_in_several_processes_which_tell_how_far_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    modes = (Mode.FULL, Mode.LOST)
    size = lake_operations.Size(acts=("publish",), modes=modes, steps=((FOLDER, 1),))

    found = lake_operations.prove(size, tmp_path)

    assert (found.broken, found.tables[0].rows) == ([], [[FOLDER, "publish", 2, 2, 4, 0, 0]])
    assert [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()] == ["1 of 2", "2 of 2"]


@pytest.mark.long
def test_a_life_that_goes_wrong_is_told_as_the_calls_that_lead_there() -> None:
    class Short(Lives):
        @rule()
        def break_it(self) -> None:
            raise AssertionError("broken")

    lived = lake_lives.live(lake_lives.Part(seed=1, lives=10, steps=3), Short)

    assert "AssertionError: broken" in str(lived.wrong)
    assert "state.break_it()" in str(lived.wrong)
