"""Runs and feeds: every commit publishes, failed scopes or not; a publication that fails undoes nothing."""

import json
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest

from appstream_export.cli.views import run
from appstream_export.feeds.verify import verify_feeds
from appstream_export.lake.storage.factory import open_store
from tests.export import Export
from tests.factories import image_builder

DENIED = "100000000007"
FEEDS = {"feeds": {"account_labels": ["team"]}}


@pytest.fixture
def fed(export: Export) -> Export:
    """The same export with feeds."""
    export.more = dict(FEEDS)
    return export


def served(export: Export, feed: str) -> list[dict[str, Any]]:
    """Rows of a feed, as current.json leads to it."""
    v1 = Path(export.warehouse, "feeds", "v1")
    current = json.loads((v1 / "current.json").read_text())
    return pq.read_table(v1 / current["feeds"][feed], partitioning=None).to_pylist()


@pytest.mark.long
def test_one_of_thirty_accounts_is_denied_for_three_runs_and_dashboards_do_not_freeze(fed: Export) -> None:
    fed.accounts = tuple(f"1000000000{n:02}" for n in range(30))
    fed.regions = ("eu-west-1",)
    for account in fed.accounts:
        fed.aws.put(f"{account}/eu-west-1", image_builder("a", State="RUNNING"))
    results, moments = [fed.run()], [served(fed, "coverage")[0]["as_of_utc"]]
    fed.aws.fail(f"{DENIED}/eu-west-1", "deny")
    for _ in range(3):
        results.append(fed.run())
        rows = served(fed, "image_builders")
        moments.append(rows[0]["as_of_utc"])

        assert results[-1].feeds_problem is None
        assert len(rows) == 30
        assert {r["image_builder_key"] for r in rows if r["is_stale"]} == {f"{DENIED}/eu-west-1/a"}
        assert {r["as_of_utc"] for r in rows} == {results[-1].manifest.committed_at.replace(tzinfo=None)}
        (scope,) = (r for r in served(fed, "coverage") if r["is_stale"])
        assert (scope["account_id"], scope["status"]) == (DENIED, "denied")
        assert {r["observed_at_utc"] < moments[0] for r in rows if r["is_stale"]} == {True}
        assert scope["observed_at_utc"] < moments[0] < min(r["observed_at_utc"] for r in rows if not r["is_stale"])

    generations = Path(fed.warehouse, "feeds", "v1", "generations")
    assert [r.exit_code for r in results] == [0, 3, 3, 3]
    assert [r.manifest.seq for r in results] == [1, 2, 3, 4]
    assert {p.name for p in generations.iterdir()} == {r.manifest.snapshot_id for r in results}
    assert moments == sorted({*moments})
    assert [r["outcome"] for r in served(fed, "export_runs")] == ["complete", "partial", "partial", "partial"]
    package = json.loads((generations.parent / "latest" / "datapackage.json").read_text())
    assert package["coverage"]["stale_scopes"] == [f"image_builders/{DENIED}/eu-west-1"]
    assert verify_feeds(open_store(fed.warehouse)) == []


@pytest.mark.slow
def test_feeds_that_cannot_be_written_undo_nothing_and_are_told_in_one_line(fed: Export) -> None:
    fed.aws.put("111122223333/eu-west-1", image_builder("a"))
    Path(fed.warehouse).mkdir()
    Path(fed.warehouse, "feeds").write_text("in the way")
    result = fed.run()
    told = [*run.render_run_lines(run.summarize_run(result, fed.contracts, fed.warehouse, ""))]

    assert (result.exit_code, fed.sql("select name from image_builders")) == (3, ["a"])
    assert result.feeds_problem is not None
    assert result.feeds_problem.startswith("the snapshot is committed, but its feeds could not be published: ")
    assert told[-1].startswith(result.feeds_problem)
    assert "feeds publish --warehouse" in told[-1]


@pytest.mark.parametrize("how", ["flag", "setting"])
def test_a_run_that_is_told_so_leaves_feeds_and_report_as_they_are(how: str, fed: Export) -> None:
    fed.more = {"feeds": {"publish": how == "flag", "report": how == "flag"}}
    made = fed.run(publish=how == "setting")

    assert not Path(fed.warehouse, "feeds").exists()
    assert (Path(fed.warehouse, "report.html").exists(), made.is_reported) == (False, False)


@pytest.mark.slow
def test_a_run_into_a_bucket_publishes_there(fed: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=fed.aws.endpoint_url, **keys)
    s3.create_bucket(Bucket="lake")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", fed.aws.endpoint_url)
    fed.more = FEEDS | {"warehouse": "s3://lake/exports"}
    fed.aws.put("111122223333/eu-west-1", image_builder("a"))
    result = fed.run()

    current = json.load(s3.get_object(Bucket="lake", Key="exports/feeds/v1/current.json")["Body"])
    named = {f"exports/feeds/v1/{path}" for path in (*current["feeds"].values(), current["datapackage"])}
    found = s3.list_objects_v2(Bucket="lake", Prefix="exports/feeds/v1/generations/")["Contents"]
    assert result.feeds_problem is None
    assert named == {entry["Key"] for entry in found}
    assert verify_feeds(open_store("s3://lake/exports")) == []
