"""`feeds` as a shell sees it, on the demo's warehouse."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Finished

Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def warehouse(demo: tuple[Path, Finished], tmp_path: Path) -> Path:
    """A copy of the demo's, to be changed."""
    return Path(shutil.copytree(demo[0] / "warehouse", tmp_path / "warehouse", symlinks=True))


@pytest.mark.slow
def test_feeds_are_published_verified_and_compared(warehouse: Path, told: Told) -> None:
    at = ("--warehouse", str(warehouse))
    first = (warehouse / "feeds" / "v1" / "latest").resolve()

    assert told("feeds", "verify", *at)[:2] == (0, f"feeds of {warehouse} match datapackage.json\n")
    code, out, err = told("feeds", "publish", *at)
    assert (code, err) == (0, "")
    assert out.startswith("15 feeds, ")
    assert [line.rpartition(" rows: ")[2] for line in out.splitlines()] == [
        f"{warehouse}/feeds/v1", f"{warehouse}/feeds/v2",
    ]  # fmt: skip
    assert told("feeds", "diff", *at) == (0, "next has every feed and column of current\n", "")

    (first / "coverage.parquet").unlink()
    assert told("feeds", "verify", first.name, *at)[:2] == (1, f"{first.name}/coverage.parquet: missing\n")
    assert told("feeds", "verify", *at)[0] == 0, "another generation is served"


def test_labels_of_the_settings_stay_columns_however_the_warehouse_is_named(
    warehouse: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(warehouse.parent)
    keys = 'accounts = [{ id = "111122223333" }]\nregions = ["eu-west-1"]\n[feeds]\naccount_labels = ["team"]\n'
    Path("appstream-export.toml").write_text(keys)
    labels = [
        told("feeds", "diff", *at)[1].count("label_team VARCHAR is gone") for at in ((), ("--warehouse", "warehouse"))
    ]
    elsewhere = told("feeds", "diff", "--warehouse", str(shutil.copytree("warehouse", "other", symlinks=True)))[1]

    assert labels == [0, 0]
    assert "column label_team VARCHAR is gone" in elsewhere


def test_a_column_that_a_dashboard_would_miss_ends_with_1(warehouse: Path, told: Told) -> None:
    star = warehouse / "feeds" / "v2"
    package = star / json.loads((star / "current.json").read_text())["datapackage"]
    other = warehouse / "other"
    other.mkdir()
    (other / "datapackage.json").write_text(package.read_text().replace('"name": "state_change_', '"name": "was_'))
    code, out, err = told("feeds", "diff", str(other), "--warehouse", str(warehouse))

    assert (code, err) == (1, "")
    column, hint = "v2/image_builder_latest: column", "renamed to state_change_reason_code?"
    assert f"breaks  {column} was_reason_code VARCHAR is gone; {hint}" in out
    assert f"adds  {column} state_change_reason_code VARCHAR" in out
    assert "the feed is gone" not in out, "it is compared with the version that it is of"


def test_without_feeds_the_way_to_them_is_named_and_the_exit_code_is_2(warehouse: Path, told: Told) -> None:
    shutil.rmtree(warehouse / "feeds")
    code, out, err = told("feeds", "verify", "--warehouse", str(warehouse))

    assert (code, out) == (2, "")
    assert "no feeds yet; publish them with: appstream-export feeds publish" in err
