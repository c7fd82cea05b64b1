"""Packaged contracts on the demo's AWS: what each table holds and each question answers is what that AWS has."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from appstream_export.contracts import load_packaged_contracts
from appstream_export.emulator import Emulator, Estate
from appstream_export.lake.catalog import connect_warehouse, get_named_query, run_named_query
from appstream_export.run import RunResult
from tests.export import Export

# Who shares an image, who borrows it, who packages applications, and who tags nothing.
ACCOUNTS = ("004815162342", "612340987123", "839201746582", "705518293746")
REGIONS = ("us-east-1", "eu-west-1")
SCOPES = [f"{account}/{region}" for account in ACCOUNTS for region in REGIONS]
Item = dict[str, Any]
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Export, RunResult]]:
    """One run of every packaged contract on a part of the demo's AWS."""
    with Emulator() as aws:
        Estate().populate_emulator(aws)
        export = Export(aws, tmp_path_factory.mktemp("estate"))
        export.accounts, export.regions, export.contracts = ACCOUNTS, REGIONS, load_packaged_contracts()
        yield export, export.run()


def held(export: Export, operation: str, **fields: Any) -> list[tuple[str, str, Item]]:
    """The items of all scopes, with account and region, that have these fields."""
    return [
        (*scope.split("/"), item)
        for scope in SCOPES
        for item in export.aws.list_items(scope, operation=operation)
        if all(item.get(name) == value for name, value in fields.items())
    ]


def places(found: list[tuple[str, str, Item]]) -> list[tuple[str, str, str]]:
    return sorted((account, region, item["Name"]) for account, region, item in found)


def answer(export: Export, name: str, **parameters: str) -> list[dict[str, Any]]:
    """The rows of a named query, all of them where it would cut them."""
    con, query = connect_warehouse(export.warehouse), get_named_query(name, export.contracts)
    every = {"top": "1000"} if any(param.name == "top" for param in query.params) else {}
    return run_named_query(con, query, every | parameters).to_pylist()


def answered(export: Export, name: str, **parameters: str) -> list[tuple[str, str, str]]:
    return sorted({(row["account"], row["region"], row["name"]) for row in answer(export, name, **parameters)})


def builders(export: Export) -> list[tuple[str, str, Item]]:
    return held(export, "DescribeImageBuilders")


def test_every_task_is_answered_and_nothing_is_unknown(seen: tuple[Export, RunResult]) -> None:
    export, result = seen

    assert (result.exit_code, export.sql("from quarantine"), export.sql("from drift")) == (0, [], [])
    assert set(export.sql("select distinct status from scope_runs")) == {"ok"}


@pytest.mark.parametrize(
    ("table", "operation", "fields"),
    [
        ("app_block_builders", "DescribeAppBlockBuilders", {}),
        ("app_blocks", "DescribeAppBlocks", {}),
        ("applications", "DescribeApplications", {}),
        ("entitlements", "DescribeEntitlements", {}),
        ("fleets", "DescribeFleets", {}),
        ("images", "DescribeImages", {"Visibility": "PRIVATE"}),
        ("shared_images", "DescribeImages", {"Visibility": "SHARED"}),
        ("stacks", "DescribeStacks", {}),
    ],
)
def test_a_table_has_the_items_of_its_operation(
    seen: tuple[Export, RunResult], table: str, operation: str, fields: Item
) -> None:
    export, _ = seen

    assert sorted(export.sql(f"select account_id, region, name from {table}")) == places(
        held(export, operation, **fields)
    )


def test_public_images_are_read_once_per_region(seen: tuple[Export, RunResult]) -> None:
    export, _ = seen
    names = {item["Name"] for _, _, item in held(export, "DescribeImages", Visibility="PUBLIC")}

    assert sorted(export.sql("select region, name from public_images")) == sorted(
        (region, name) for region in REGIONS for name in names
    )


def test_follow_ups_have_their_parents_key(seen: tuple[Export, RunResult]) -> None:
    export, _ = seen
    entitled = export.sql("select account_id, region, stack_name, entitlement_name, application_identifier "
                          "from entitled_applications")  # fmt: skip

    assert sorted(entitled) == sorted(
        (account, region, item["StackName"], item["Name"], "browser")
        for account, region, item in held(export, "DescribeEntitlements")
    )
    assert export.sql("select distinct image_name, shared_account_id from image_permissions order by all") == [
        ("office-shared", "427819350264"),
        ("office-shared", "612340987123"),
    ]
    stacks = places(held(export, "DescribeStacks"))
    assert sorted(export.sql("select account_id, region, stack_name from fleet_stacks")) == stacks
    assert export.sql("select application_arn, fleet_name from fleet_applications order by all") == sorted(
        (item["Arn"], "media-elastic") for _, _, item in held(export, "DescribeApplications")
    )


def test_builders_of_images_that_aws_withdrew(seen: tuple[Export, RunResult]) -> None:
    export, _ = seen
    images = {(region, item["Arn"]) for _, region, item in held(export, "DescribeImages")}
    lost = [(a, r, b) for a, r, b in builders(export) if "ImageArn" in b and (r, b["ImageArn"]) not in images]

    assert lost
    assert answered(export, "image_gone") == places(lost)


def test_builders_made_from_old_images(seen: tuple[Export, RunResult]) -> None:
    export, _ = seen
    images = {(region, item["Arn"]): item for _, region, item in held(export, "DescribeImages")}
    [today] = export.sql("select max(utc_day(committed_at)) from snapshots")
    truth = [
        (account, region, builder["Name"], builder["State"], image["Visibility"].lower(), image["Name"],
         (today - datetime.fromtimestamp(image["PublicBaseImageReleasedDate"], UTC).date()).days, None)
        for account, region, builder in builders(export)
        if (image := images.get((region, builder.get("ImageArn"))))
    ]  # fmt: skip
    rows = [tuple(row.values()) for row in answer(export, "made_from_old_images", days="0")]
    least = str(rows[len(rows) // 2][6])

    assert len(builders(export)) > len(rows) > 0, "withdrawn images have no age"
    assert rows == sorted(truth, key=lambda row: (-row[6], *row[:3]))
    assert [tuple(row.values()) for row in answer(export, "made_from_old_images", days=least)] == [
        row for row in rows if row[6] >= int(least)
    ]


def test_builders_whose_images_no_fleet_uses(seen: tuple[Export, RunResult]) -> None:
    export, _ = seen
    used = {fleet.get("ImageArn") for _, _, fleet in held(export, "DescribeFleets")}
    makers = {
        (account, region, image["ImageBuilderName"])
        for account, region, image in held(export, "DescribeImages")
        if image["Arn"] in used
    }

    assert answered(export, "unused_builders", days="0") == sorted({*places(builders(export))} - makers)


def test_stuck_builders(seen: tuple[Export, RunResult]) -> None:
    export, _ = seen
    passing = [(a, r, b) for a, r, b in builders(export) if b["State"] in ("PENDING", "UPDATING_AGENT", "SNAPSHOTTING")]

    assert answered(export, "stuck", minutes="0") == places(passing)
    assert answered(export, "stuck") == []


def test_untagged_builders_are_those_of_the_account_that_tags_nothing(seen: tuple[Export, RunResult]) -> None:
    export, _ = seen
    bare = places([one for one in builders(export) if one[0] == "705518293746"])
    without_exemption = [
        one for one in builders(export) if one[0] == "705518293746" or "gpu-test" not in one[2]["Name"]
    ]

    assert answered(export, "untagged") == bare
    assert answered(export, "untagged", tag="Skip_Stop") == places(without_exemption)


def test_costs_and_hours_by_tag(seen: tuple[Export, RunResult]) -> None:
    export, _ = seen
    owners = {row["value"]: row["builders"] for row in answer(export, "cost_per_tag")}
    running = answer(export, "running_per_tag", hours="0")

    assert owners == {
        value: len([one for one in builders(export) if one[0] == account])
        for account, value in zip(ACCOUNTS, ("shared", "engineering", "media", None), strict=True)
    }
    assert {row["name"] for row in running if row["is_exempt"]} == {
        b["Name"]
        for account, _, b in builders(export)
        if "gpu-test" in b["Name"] and b["State"] in ("RUNNING", "PENDING", "UPDATING_AGENT", "REBOOTING")
        and account != "705518293746"
    }  # fmt: skip


def test_tags_that_the_tagging_api_does_not_list_are_read_per_item(seen: tuple[Export, RunResult]) -> None:
    export, _ = seen
    packaged = export.sql("select distinct app_block_builder_name, tag_key, tag_value from app_block_builder_tags")
    builders_of = [one for one in builders(export) if one[0] == "839201746582"]
    images_tagged = {
        row["value"]: row["resources"] for row in answer(export, "tag_values") if row["kind"] == "image-builder"
    }

    assert sorted(packaged) == [("media-packager", "Skip_Stop", "true"), ("media-packager", "owner", "media")]
    assert set(export.sql("select app_block_name, tag_key, tag_value from app_block_tags")) == {
        ("media-blender", "owner", "media")
    }
    assert export.sql("from application_tags") == []
    assert images_tagged["media"] == len(builders_of)
    assert [
        (row["kind"], row["resources"]) for row in answer(export, "tag_values", tag="Skip_Stop")
        if row["kind"] != "image-builder"
    ] == [("app-block-builder", len(REGIONS))]  # fmt: skip
    assert [(row["value"], row["builders"]) for row in answer(export, "app_block_builder_cost_per_tag")] == [
        ("media", len(REGIONS))
    ]


def test_idle_fleets_and_those_that_break_a_rule(seen: tuple[Export, RunResult]) -> None:
    export, _ = seen
    idle = places([one for one in held(export, "DescribeFleets") if one[2]["Name"].endswith("-idle")])

    assert answered(export, "idle_fleets") == answered(export, "compliance") == idle
    assert {row["broken_rule"] for row in answer(export, "compliance")} == {
        "internet access", "idle timeout", "disconnect timeout", "session length",
    }  # fmt: skip
    assert answered(export, "compliance", idle_seconds="0") != idle


def test_app_block_builders_have_spans_hours_and_costs_as_image_builders_have(seen: tuple[Export, RunResult]) -> None:
    export, _ = seen
    up = places(held(export, "DescribeAppBlockBuilders", State="RUNNING"))

    for mart in ("app_block_builder_state_spans", "app_block_builder_daily", "running_app_block_builders"):
        assert sorted(export.sql(f"select account_id, region, name from {mart}")) == up
