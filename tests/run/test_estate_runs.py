"""Resources beside image builders in whole runs: off, denied, read once per region, and shared by processes."""

from pathlib import Path
from typing import Any

import pytest

from appstream_export.cli.main import main
from appstream_export.contracts import list_member_actions, list_sql_files, list_view_files, load_packaged_contracts
from appstream_export.emulator import Emulator
from appstream_export.lake.catalog import connect_warehouse, run_query
from appstream_export.model import SHARED_ACCOUNT_ID
from appstream_export.run import load_enabled_contracts
from appstream_export.settings import Settings, parse_settings, read_settings
from tests.export import REGIONS, Export
from tests.factories import image_builder
from tests.run.test_shards import finished, planned, swept

ACCOUNT = "111122223333"
HERE = f"{ACCOUNT}/eu-west-1"
SETTINGS = f"""regions = ["eu-west-1"]
[[accounts]]
id = "{ACCOUNT}"
role_arn = "arn:aws:iam::{ACCOUNT}:role/reader"
[aws]
endpoint_url = "URL"
[extract]
max_attempts = 1
[feeds]
publish = false
report = false
[contracts]
resources = ["image_builders", "stacks", "entitlements"]
"""
Capture = pytest.CaptureFixture[str]


def list_everything(settings: Settings) -> tuple[set[str], set[str]]:
    """Names of all that the settings switch on, and the IAM actions that it needs."""
    from appstream_export.defs.specs import build_asset_sources

    contracts = load_enabled_contracts(settings)
    files = [
        *list_view_files(contracts),
        *(f for kind in ("feeds", "checks", "queries") for f in list_sql_files(contracts, kind)),
    ]
    names = {source for file in files for source in (file.name, *file.reads)}
    names |= {asset.key.path[-1] for asset in build_asset_sources(contracts, settings)}
    names |= {table.name for contract in contracts for table in (*contract.tables, contract.changes_table)}
    return names, set(list_member_actions(contracts))


def test_what_is_off_has_no_permission_table_view_feed_asset_check_or_question() -> None:
    packaged = load_packaged_contracts()
    others = {table.name for c in packaged if c.name != "image_builders" for table in (*c.tables, c.changes_table)}
    every = {"contracts": {"resources": [contract.name for contract in packaged]}}
    on, actions_on = list_everything(parse_settings(every, Path("appstream-export.toml"), needs_accounts=False))
    names, actions = list_everything(Settings())

    assert {name.removesuffix("_history") for name in names} & others == set()
    assert names & {"image_builder_lineage", "idle_fleets", "compliance", "untagged", "cost_per_tag"} == set()
    assert actions == {"appstream:DescribeImageBuilders"}
    assert others < on
    assert len(actions_on) > 14


@pytest.fixture
def config(aws: Emulator, tmp_path: Path) -> Path:
    """Settings with stacks and entitlements on, and the AWS that they read."""
    aws.put(HERE, image_builder("a"))
    aws.put(HERE, {"Name": "cad"}, operation="DescribeStacks")
    aws.put(HERE, {"Name": "all", "StackName": "cad"}, operation="DescribeEntitlements")
    file = tmp_path / "appstream-export.toml"
    file.write_text(SETTINGS.replace("URL", aws.endpoint_url))
    return file


def call(capsys: Capture, config: Path, *words: str) -> tuple[int, str]:
    code = main(["--config", str(config), *words])
    return code, "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("denied", "failed"),
    [("DescribeEntitlements", ["entitlements"]), ("DescribeStacks", ["entitlements", "stacks"])],
    ids=["a follow-up", "its parent"],
)
def test_doctor_names_the_permission_that_a_resource_lacks_also_where_others_follow_from_it(
    aws: Emulator, config: Path, capsys: Capture, denied: str, failed: list[str]
) -> None:
    passed = call(capsys, config, "doctor")
    aws.fail(HERE, "deny", operation=denied)
    code, text = call(capsys, config, "doctor")

    assert passed == (0, "Passed: warehouse, space, discovery, regions, clock, role (1), 3 of 3 calls.\n")
    assert code != 0
    assert f"appstream:{denied}" in text
    assert all(name in text for name in failed)
    assert "DescribeImageBuilders" not in text


@pytest.mark.slow
def test_a_resource_without_its_permission_fails_alone_and_names_it(
    aws: Emulator, config: Path, capsys: Capture
) -> None:
    aws.fail(HERE, "deny", operation="DescribeStacks")
    code, text = call(capsys, config, "run")
    con = connect_warehouse(read_settings(config).warehouse)
    statuses = run_query(con, "select resource, status from scope_runs order by all").to_pylist()

    assert code == 3
    assert [tuple(row.values()) for row in statuses] == [
        ("entitlements", "denied"), ("image_builders", "ok"), ("stacks", "denied"),
    ]  # fmt: skip
    assert run_query(con, "select name from image_builders").to_pylist() == [{"name": "a"}]
    assert "appstream:DescribeStacks" in text


@pytest.mark.slow
def test_public_images_are_read_once_per_region_by_one_process_and_by_several(export: Export) -> None:
    for region in REGIONS:
        for account in export.accounts:
            image = {"Name": "base", "Arn": f"arn:aws:appstream:{region}::image/base", "Visibility": "PUBLIC"}
            export.aws.put(f"{account}/{region}", image, operation="DescribeImages")

    def read(warehouse: str) -> tuple[list[Any], int]:
        calls = sum(c.operation == "DescribeImages" for c in export.aws.calls)
        export.aws.reset_calls()
        assert warehouse in export.warehouse
        return export.sql("select account_id, region, name from public_images order by all"), calls

    export.more = {"warehouse": "alone", "contracts": {"resources": ["image_builders", "public_images"]}}
    export.contracts = load_enabled_contracts(export.settings)
    assert export.run().exit_code == 0
    alone = read("alone")
    export.more |= {"warehouse": "shared"}
    prepared, shards = planned(export)
    assert finished(export, prepared, swept(export, shards)).exit_code == 0

    assert read("shared") == alone == ([(SHARED_ACCOUNT_ID, region, "base") for region in REGIONS], len(REGIONS))
