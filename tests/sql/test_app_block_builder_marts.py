"""Marts of app block builders are those of image builders under another name."""

from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["image_builder_state_spans", "image_builder_daily", "running_image_builders"])
def test_marts_of_app_block_builders_are_those_of_image_builders(name: str) -> None:
    folder = Path(__file__).parents[2] / "sql" / "marts"
    copied = (folder / f"{name.replace('image_builder', 'app_block_builder')}.sql").read_text()
    own = (folder / f"{name}.sql").read_text().replace("image_builder", "app_block_builder")
    own = own.replace("image builder", "app block builder")
    # AWS reports no volume of theirs.
    own = own.replace("coalesce(b.root_volume_size_gb, e.last_facts[5]::bigint)", "e.last_facts[5]::bigint")

    assert copied.replace("\n--  ", "").split() == own.replace("\n--  ", "").split()
