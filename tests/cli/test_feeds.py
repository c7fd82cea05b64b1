"""`feeds` as a shell sees it, on the demo's warehouse."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appstream_export.feeds import list_served_versions, publish_feeds
from appstream_export.lake.snapshots import load_head
from appstream_export.settings import FeedsSettings
from tests.cli.conftest import Finished
from tests.lake.lakes import A, C as B, Lake, builder, ok

Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def warehouse(demo: tuple[Path, Finished], tmp_path: Path) -> Path:
    """A copy of the demo's, to be changed."""
    return Path(shutil.copytree(demo[0] / "warehouse", tmp_path / "warehouse", symlinks=True))


@pytest.mark.slow
def test_feeds_are_published_verified_and_compared(warehouse: Path, told: Told) -> None:
    at = ("--warehouse", str(warehouse))
    star = warehouse / "feeds" / "v2"
    first = star / json.loads((star / "current.json").read_text())["generation"]

    assert told("feeds", "verify", *at)[:2] == (0, f"feeds of {warehouse} match datapackage.json\n")
    code, out, err = told("feeds", "publish", *at)
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"\d+ feeds, [\d,]+ rows: {star}\n", out), "the version that the warehouse has, and no other"
    assert told("feeds", "diff", *at) == (0, "next has every feed and column of current\n", "")

    (first / "dim_scope.parquet").unlink()
    assert told("feeds", "verify", first.name, *at)[:2] == (1, f"v2: {first.name}/dim_scope.parquet: missing\n")
    assert told("feeds", "verify", *at)[0] == 0, "another generation is served"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["feeds publish", f"erase --account {B[:12]}", "repair"])
@pytest.mark.parametrize("versions", [("v1",), ("v2",), ("v1", "v2")], ids="+".join)
def test_away_from_the_settings_the_versions_of_feeds_stay_those_that_are_served(
    versions: tuple[Any, ...], command: str, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")), ok(B, builder("b")))
    publish_feeds(lake.store, lake.contracts, FeedsSettings(versions=versions))
    before = {v: (tmp_path / f"warehouse/feeds/{v}/current.json").read_bytes() for v in versions}
    if command == "repair":
        newest = load_head(lake.store)
        assert newest
        lake.store.remove(next(file.path for file in newest.tables["image_builders"].files if file.rows))
    code, out, err = told(*command.split(), "--warehouse", "warehouse")
    after = {v: (tmp_path / f"warehouse/feeds/{v}/current.json").read_bytes() for v in list_served_versions(lake.store)}

    assert code == 0, (out, err)
    assert [*after] == [*versions]
    assert all(after[v] != before[v] for v in versions), "each is published again"


@pytest.mark.slow
def test_away_from_the_settings_both_versions_are_published_if_none_is_served(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")))

    assert told("feeds", "publish", "--warehouse", "warehouse")[0] == 0
    assert list_served_versions(lake.store) == ["v1", "v2"]


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
