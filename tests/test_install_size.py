"""The install stays light, and docs/install.md states what it weighs."""

import importlib.util
import re
from importlib.metadata import metadata
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "install.md"
BASE_MB_MAX = 360


@pytest.fixture(scope="module")
def base_mb() -> float:
    """The installed files of the dependencies without extras, without .pyc."""
    spec = importlib.util.spec_from_file_location("weigh_install", PAGE.with_name("weigh_install.py"))
    assert spec is not None
    assert spec.loader is not None
    weigh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weigh)
    return sum(weigh.measure_dependencies().values()) / weigh.MEGABYTE


def test_the_dependencies_without_extras_stay_light(base_mb: float) -> None:
    assert base_mb <= BASE_MB_MAX, "run `just weigh`, which shows the largest distributions"


def test_the_page_states_what_the_dependencies_weigh(base_mb: float) -> None:
    stated = re.search(r"without extras\*\* \| \*\*([\d.]+)\*\*", PAGE.read_text())

    assert stated is not None, "run `just weigh`"
    assert float(stated[1]) == pytest.approx(base_mb, rel=0.05), "run `just weigh`"


def test_the_page_describes_and_weighs_each_extra() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text().partition("## Extras")[2], re.M)

    for extra in metadata("appstream-export").get_all("Provides-Extra") or []:
        assert rows.count(extra) == 2, f"{extra}: describe it, then run `just weigh`"
