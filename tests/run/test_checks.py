"""A run checks what it committed, and knows its prices before it writes anything."""

from dataclasses import replace
from pathlib import Path

import pytest

from appstream_export.contracts import load_contract, mark_sensitive_fields
from appstream_export.errors import ContractError, SettingsError
from appstream_export.lake.catalog.checks import CheckResult
from appstream_export.model import Task
from appstream_export.normalize import TaskBatcher
from appstream_export.run import RunResult
from appstream_export.status import Status
from tests.export import Export
from tests.factories import image_builder, page

HEAD = "region,instance_type,platform,usd_per_hour,disk_usd_per_gb_month,valid_from\n"


def found(result: RunResult) -> dict[str, int]:
    """Rows per check that found any."""
    return {check.name: check.rows for check in result.checks if check.rows}


@pytest.mark.slow
def test_a_run_tells_what_its_checks_found_and_commits_all_the_same(export: Export) -> None:
    export.aws.put("111122223333/eu-west-1", image_builder("a", State="RUNNING", InstanceType="small"))
    first = export.run()
    export.aws.fail("111122223333/eu-west-1", "deny")
    second = export.run()

    assert (found(first), first.exit_code, len(first.checks)) == ({}, 0, 15)
    assert (found(second), second.committed) == ({"stale_scopes": 1}, True)
    assert second.checks_problem is None


@pytest.mark.slow
def test_a_check_of_severity_error_makes_the_run_end_with_3(export: Export) -> None:
    sound = export.run()
    broken = CheckResult(name="orphan_children", doc="Rows.", severity="error", rows=2)
    odd = CheckResult(name="drift", doc="Rows.", severity="warn", rows=2)

    assert [replace(sound, checks=told).exit_code for told in ((), (odd,), (odd, broken))] == [0, 0, 3]


IMAGES = """
doc = "AppStream images, with a key that does not identify them."
service = "appstream"
operation = "DescribeImages"
items = "Images"
item_name = "image"
[images]
doc = "One row per image."
key = ["display_name"]
display_name = { from = "DisplayName", type = "string", doc = "Name shown to people." }
name = { from = "Name", type = "string", doc = "Name." }
"""


@pytest.mark.slow
def test_a_run_begins_with_what_lint_refuses_and_warns_of_the_rest(
    export: Export, caplog: pytest.LogCaptureFixture
) -> None:
    (export.folder / "images.toml").write_text(IMAGES)
    images = load_contract(export.folder / "images.toml")
    known = export.contracts
    export.contracts = [*known, replace(images, operation="DescribeSessions", items="Sessions")]
    with pytest.raises(ContractError, match=r'images.toml: operation = "DescribeSessions" needs StackName, FleetName'):
        export.run()
    assert export.calls() == []

    export.contracts = [*known, images]
    assert export.run().exit_code == 0
    assert "images.toml: [images]: botocore" in caplog.text


@pytest.mark.slow
def test_names_and_page_size_mean_the_resources_that_take_them(export: Export) -> None:
    text = IMAGES.replace("DescribeImages", "DescribeUsageReportSubscriptions").replace(
        '"Images"', '"UsageReportSubscriptions"'
    )
    text = text.replace("DisplayName", "S3BucketName").replace('"Name"', '"Schedule"').replace("images", "reports")
    (export.folder / "reports.toml").write_text(text)
    export.contracts = [*export.contracts, load_contract(export.folder / "reports.toml")]
    scope = "111122223333/eu-west-1"
    export.accounts, export.regions = (scope[:12],), (scope[13:],)
    export.aws.put(scope, image_builder("a"), image_builder("b"))

    result = export.run(names=("a",), page_size=5)

    assert {task.resource: str(o.status) for task, o in result.outcomes.items()} == {
        "image_builders": "filtered",
        "reports": "ok",
    }


@pytest.mark.slow
def test_each_resource_has_a_failed_ratio_of_its_own_and_may_reach_the_accepted_one(export: Export) -> None:
    sound = export.run()
    answers = list(sound.outcomes.values())
    images = [replace(o, task=Task("images", o.task.scope), status=Status.DENIED, reason="no") for o in answers[:2]]
    mixed = replace(sound, outcomes={o.task: o for o in (*answers, *images)}, max_failed_ratio=0.5)

    assert mixed.failed_ratios == {"image_builders": 0.0, "images": 1.0}
    assert (mixed.insufficient_resources, mixed.exit_code) == (["images"], 3)
    half = replace(mixed, outcomes=mixed.outcomes | {images[0].task: replace(images[0], status=Status.OK, reason=None)})
    assert (half.failed_ratios["images"], half.insufficient_resources, half.exit_code) == (0.5, [], 0)
    assert replace(half, max_failed_ratio=0.49).exit_code == 3


ACCOUNTS = """
doc = "Accounts, without a word of what is sensitive."
service = "organizations"
operation = "ListAccounts"
items = "Accounts"
item_name = "member"
[members]
doc = "One row per account."
key = ["id"]
id = { from = "Id", type = "string", doc = "Id." }
status = { from = "Status", type = "string", doc = "Status." }
"""


def test_what_aws_calls_sensitive_reaches_no_table(tmp_path: Path) -> None:
    (tmp_path / "members.toml").write_text(ACCOUNTS)
    contract = mark_sensitive_fields(load_contract(tmp_path / "members.toml"))
    batcher = TaskBatcher(contract, {})
    secret = {"Email": "secret@example.com", "Name": ["secret"]}
    items = [{"Id": "1", "Status": 7, "New": 1, **secret}, {"Id": "", **secret}, {"Id": "2", **secret}]
    batcher.add(0, page(*items, {"Id": "2", "Status": "ACTIVE", **secret}, "secret"))
    batcher.end_task(0, retain_rows=True)
    batch = batcher.flush()
    told = repr([table.to_pylist() for table in batch.tables.values()]) + repr(batch.drift)

    assert "secret" not in told
    assert batch.tables["members"]["id"].to_pylist() == ["1"]
    assert sorted(batch.tables["quarantine"]["level"].to_pylist()) == ["item"] * 4 + ["value"]
    assert set(batch.drift) >= {("New", "field", "1")}
    assert "Email" not in repr(batch.drift)


@pytest.mark.slow
def test_a_key_that_does_not_identify_items_makes_the_run_red_and_other_resources_are_published(export: Export) -> None:
    (export.folder / "images.toml").write_text(IMAGES)
    export.contracts = [*export.contracts, load_contract(export.folder / "images.toml")]
    export.more = {"feeds": {"publish": True, "report": False}}
    scope = "111122223333/eu-west-1"
    export.aws.put(scope, image_builder("a", State="RUNNING"))
    export.aws.put(scope, {"Name": "i", "DisplayName": "same"}, operation="DescribeImages")
    first = export.run()
    export.aws.put(scope, {"Name": "j", "DisplayName": "same"}, operation="DescribeImages")
    export.aws.put(scope, image_builder("b", State="RUNNING"))
    second = export.run()

    assert (first.exit_code, second.exit_code) == (0, 3)
    assert [(c.name, {row["resource"] for row in c.examples}) for c in second.failed_checks] == [
        ("ambiguous_keys", {"images"})
    ]
    assert export.sql("select name from images") == ["i"]  # as it was: of the two nobody knows which it is
    assert export.sql("select count(*) from image_changes where change = 'deleted'") == [0]
    assert second.published_feeds is not None
    assert (second.feeds_problem, second.published_feeds.rows["image_builders"]) == (None, 2)


@pytest.mark.slow
def test_prices_come_into_the_snapshot_and_what_they_do_not_know_is_told(export: Export) -> None:
    (export.folder / "prices.csv").write_text(f"{HEAD}*,small,*,0.5,0.1,\n")
    export.more = {"feeds": {"prices": "prices.csv"}}
    for name, size in (("a", "small"), ("b", "large")):
        export.aws.put("111122223333/eu-west-1", image_builder(name, State="RUNNING", InstanceType=size))

    assert found(export.run()) == {"unknown_prices": 1}
    assert export.sql("select name, is_priced from running_image_builders order by 1") == [("a", True), ("b", False)]


def test_a_bad_price_list_ends_a_run_before_anything_is_written_or_asked(export: Export) -> None:
    (export.folder / "prices.csv").write_text(f"{HEAD}*,small,*,cheap,0.1,\n")
    export.more = {"feeds": {"prices": "prices.csv"}}

    with pytest.raises(SettingsError, match=r'prices.csv line 2: usd_per_hour "cheap" is not a price'):
        export.run()
    assert not Path(export.warehouse).exists()
    assert export.calls() == []
