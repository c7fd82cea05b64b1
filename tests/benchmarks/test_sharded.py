"""Shards beside one process, at a size that proves only that each leaves every builder."""

import pytest

from benchmarks import sharded
from benchmarks.children import Aws
from benchmarks.world import World


@pytest.mark.slow
@pytest.mark.parametrize("shards", [1, 2])
def test_one_process_and_shards_leave_every_builder(shards: int) -> None:
    with Aws(World(accounts=2)) as aws:
        seconds, builders = sharded.measured(aws, 40, shards)

    assert builders == 40 * aws.world.items
    assert 0 < seconds < sharded.RUN_S
