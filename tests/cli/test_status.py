"""`status` for monitors: which snapshot readers see in each output, how far it lags, and an exit code for freshness."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from appstream_export.emulator import Emulator, make_image_builder
from appstream_export.feeds import publish_feeds
from appstream_export.settings import FeedsSettings
from tests.lake.lakes import A, Lake, builder, ok

Told = Callable[..., tuple[int, str, str]]
SCOPE = "111122223333/eu-west-1"
SETTINGS = """
regions = ["eu-west-1", "eu-south-1"]
accounts = [{{ id = "111122223333", role_arn = "arn:aws:iam::111122223333:role/reader" }}]
aws.endpoint_url = "{url}"
extract.max_attempts = 1
"""


FEEDS = ("feeds", "bi.duckdb", "feeds v2", "bi.duckdb v2")
STAR = FeedsSettings(versions=("v2",))


@pytest.fixture
def folder(tmp_path: Path, aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of two scopes, one of them in a region that is not enabled, in the current folder."""
    aws.put(SCOPE, make_image_builder("a", scope=SCOPE))
    aws.disable_region("111122223333", "eu-south-1")
    (tmp_path / "appstream-export.toml").write_text(SETTINGS.format(url=aws.endpoint_url))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lags(told: Told) -> dict[str, Any]:
    """Output by output, how many snapshots it is behind, from JSON."""
    return {
        output["output"]: output["snapshots_behind"] for output in json.loads(told("status", "--json")[1])["outputs"]
    }


@pytest.mark.long
def test_status_says_which_snapshot_each_output_shows_and_how_far_it_lags(folder: Path, told: Told) -> None:
    told("run", "--no-publish")
    nothing, words = lags(told), told("status")[1]
    told("run")
    served, paths = lags(told), told("status")[1]
    told("run", "--no-publish")
    left, text = lags(told), told("status")[1]
    shown = json.loads(told("status", "--json")[1])
    told("feeds", "publish")
    after = lags(told)

    assert nothing == dict.fromkeys(("catalog", *FEEDS, "report"))
    assert "report        is missing; publish it with: appstream-export report --warehouse " in words
    assert f"open it       appstream-export sql --warehouse {folder}/warehouse " in words
    assert served == dict.fromkeys(served, 0)
    assert f"report        {folder}/warehouse/report.html\n" in paths
    assert f"bi.duckdb v2  {folder}/warehouse/feeds/v2/bi.duckdb\n" in paths
    assert left == dict.fromkeys(served, 1)
    assert "report        shows snapshot 2 of " in text
    assert ", 1 snapshot behind; publish it with: appstream-export report --warehouse " in text
    assert {(output["seq"], output["problem"]) for output in shown["outputs"]} == {(2, None)}
    assert shown["seq"] == 3
    assert after == left | dict.fromkeys(FEEDS, 0)


@pytest.mark.slow
def test_with_v2_alone_status_names_the_same_outputs_before_and_after_they_are_published(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("appstream-export.toml").write_text('feeds.versions = ["v2"]\n')
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")))
    before, text = json.loads(told("status", "--json")[1]), told("status")[1]
    publish_feeds(lake.store, lake.contracts, STAR)
    after, places = json.loads(told("status", "--json")[1]), told("status")[1]
    star = f"{tmp_path}/warehouse/feeds/v2"
    Path("appstream-export.toml").unlink()
    elsewhere = json.loads(told("status", "--json", "--warehouse", "warehouse")[1])

    names = ["catalog", "feeds v2", "bi.duckdb v2", "report"]
    assert [[output["output"] for output in found["outputs"]] for found in (before, after, elsewhere)] == [names] * 3
    assert [found["feeds"] for found in (before, after, elsewhere)] == [None, star, star]
    assert f"bi.duckdb v2  is missing; publish it with: appstream-export feeds publish --warehouse {tmp_path}" in text
    assert f"feeds v2      {star}/current.json\nbi.duckdb v2  {star}/bi.duckdb\n" in places


@pytest.mark.slow
@pytest.mark.parametrize(("kept", "removed"), [("v1", "v2"), ("v2", "v1")])
def test_a_version_that_the_settings_want_is_missing_and_another_one_is_shown_while_it_is_served(
    kept: str, removed: str, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")), clock=lambda: datetime.now(UTC) - timedelta(days=2))
    publish_feeds(lake.store, lake.contracts, FeedsSettings(versions=(removed,)))  # ty: ignore[invalid-argument-type]
    Path("appstream-export.toml").write_text(
        f'feeds.versions = ["{kept}"]\nfeeds.report = false\nlake.freshness_interval = "1d"\n'
    )
    outputs = {output["output"]: output for output in json.loads(told("status", "--json")[1])["outputs"]}

    assert {name: output["snapshots_behind"] for name, output in outputs.items()} == dict.fromkeys(
        ("catalog", *FEEDS, "report")
    ) | {name: 0 for name in FEEDS if ("v2" in name) is (removed == "v2")}


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_expected_scopes_are_not_stale(aws: Emulator, told: Told) -> None:
    told("run", "--no-publish")
    _, text, _ = told("status")
    expected = json.loads(told("status", "--json")[1])["coverage"]
    aws.fail(SCOPE, "deny")
    told("run", "--no-publish")

    assert "1 disabled (expected)" in text
    assert "stale" not in text
    assert sum(group["stale"] for group in expected) == 0
    # no region of the account answers now, so that the other one's refusal proves nothing any more
    assert "stale         2 scopes, oldest rows from " in told("status")[1]


@pytest.mark.long
def test_a_bucket_has_the_same_outputs_but_a_catalog(
    folder: Path, aws: Emulator, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    boto3.client("s3", endpoint_url=aws.endpoint_url, region_name="us-east-1").create_bucket(Bucket="lake")
    file = folder / "appstream-export.toml"
    file.write_text(f'warehouse = "s3://lake/exports"\nlake.freshness_interval = "1h"\n{file.read_text()}')
    told("run")
    code, out, _ = told("status", "--json")
    served = lags(told)
    told("run", "--no-publish")

    assert (code, json.loads(out)["freshness"], json.loads(out)["catalog"]) == (0, "fresh", None)
    assert served == dict.fromkeys((*FEEDS, "report"), 0)
    assert lags(told) == dict.fromkeys((*FEEDS, "report"), 1)


@pytest.mark.slow
def test_damaged_outputs_are_named_and_do_not_end_status(folder: Path, told: Told) -> None:
    told("run")
    feeds = [f"feeds/{version}/{file}" for version in ("v1", "v2") for file in ("bi.duckdb", "current.json")]
    for name in ("warehouse.duckdb", "report.html", *feeds):
        place = folder / "warehouse" / name
        place.chmod(0o600)
        place.write_bytes(b"damaged")
    code, out, _ = told("status", "--json")

    assert code == 0
    assert [output for output in json.loads(out)["outputs"] if not output["problem"]] == []


AGES = {
    "in time": (timedelta(minutes=50), 0, "fresh"),
    "late by half": (timedelta(minutes=100), 0, "warn"),
    "a second one missed": (timedelta(minutes=160), 1, "late"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", AGES)
def test_the_exit_code_follows_the_freshness_setting(
    case: str, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    age, expected, word = AGES[case]
    monkeypatch.chdir(tmp_path)
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")), clock=lambda: datetime.now(UTC) - age)
    lake.publish()
    config = 'warehouse = "warehouse"\nfeeds = { publish = false, report = false }\n'
    Path("appstream-export.toml").write_text(config)
    unset = told("status", "--json")
    Path("appstream-export.toml").write_text(config + 'lake.freshness_interval = "1h"\n')
    code, out, _ = told("status", "--json")
    elsewhere = told("status", "--warehouse", "warehouse")[0]

    assert (unset[0], json.loads(unset[1])["freshness"]) == (0, "unjudged")
    assert (code, elsewhere, json.loads(out)["freshness"]) == (expected, expected, word)
    assert json.loads(out)["exit_code"] == code
    assert told("status")[1].splitlines()[0].endswith(", due every 1 hour")


@pytest.mark.slow
def test_what_is_not_published_yet_is_late_once_the_freshness_setting_says_so(tmp_path: Path, told: Told) -> None:
    lake = Lake(tmp_path / "warehouse")
    file = tmp_path / "appstream-export.toml"
    file.write_text('lake.freshness_interval = "1h"\n')
    lake.commit(ok(A, builder("a")))
    new = told("status", "--config", str(file), "--json")
    second = tmp_path / "other" / "appstream-export.toml"
    second.parent.mkdir()
    second.write_text(file.read_text())
    other = Lake(tmp_path / "other" / "warehouse")
    other.commit(ok(A, builder("a")), clock=lambda: datetime.now(UTC) - timedelta(hours=3))
    other.commit(ok(A, builder("a")))
    old = told("status", "--config", str(second))

    assert (new[0], json.loads(new[1])["freshness"]) == (0, "fresh")
    assert {output["freshness"] for output in json.loads(new[1])["outputs"]} == {"fresh"}
    assert old[0] == 1
    assert old[1].startswith("fresh         LATE in catalog, feeds, bi.duckdb, feeds v2, bi.duckdb v2, report:")


@pytest.mark.slow
def test_what_readers_see_may_be_late_though_the_warehouse_is_not(tmp_path: Path, told: Told) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")), clock=lambda: datetime.now(UTC) - timedelta(days=2))
    lake.publish()
    lake.commit(ok(A, builder("a")))
    file = tmp_path / "appstream-export.toml"
    file.write_text('lake.freshness_interval = "1h"\nfeeds = { publish = false, report = false }\n')
    late = told("status", "--config", str(file))
    lake.publish()

    assert late[0] == 1
    assert late[1].startswith("fresh      LATE in catalog: ")
    assert told("status", "--config", str(file))[0] == 0
