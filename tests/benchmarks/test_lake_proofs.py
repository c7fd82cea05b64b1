"""A small slice of each of the lake's proofs in the tests; the whole: `uv run python -m benchmarks.proofs`.

tests/lake/test_operations.py and tests/lake/test_lives.py are slices of the others.
"""

from pathlib import Path

import pytest

from benchmarks.proofs import lake_flips, lake_kills, lake_races
from benchmarks.proofs.lake_places import BUCKET, FOLDER

# They start processes: beside the other tests, not beside each other.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("proofs")]


def test_a_killed_export_leaves_the_old_or_the_new_rows_and_readers_never_notice(tmp_path: Path) -> None:
    size = lake_kills.Size(kills=((FOLDER, 3),), readers=1, accounts=2, regions=1, items=20)

    assert lake_kills.prove(size, tmp_path).broken == []


@pytest.mark.parametrize("where", [FOLDER, BUCKET])
def test_processes_that_commit_at_once_give_one_line(where: str, tmp_path: Path) -> None:
    size = lake_races.Size(rounds=((where, 2),), processes=3)

    assert lake_races.prove(size, tmp_path).broken == []


def test_any_damage_to_any_kind_of_committed_file_is_found(tmp_path: Path) -> None:
    size = lake_flips.Size(flips=((FOLDER, 1),), per_kind=1)

    assert lake_flips.prove(size, tmp_path).broken == []
