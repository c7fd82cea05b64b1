"""What Dagster shows beside data: failed scopes as a table, one count, short descriptions, SQL, sources and types."""

import logging
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from appstream_export.contracts import load_contract_set, load_contracts
from appstream_export.defs import specs
from appstream_export.defs.checks import build_check_specs, build_coverage_result
from appstream_export.defs.failed_scopes import build_failed_scopes_table
from appstream_export.defs.progress import LoggingRunListener
from appstream_export.run import execute_run
from appstream_export.settings import parse_settings
from tests.export import Export
from tests.factories import image_builder

SICK = "111122223333/eu-west-1"
CONFIGURED = {
    "regions": ["eu-west-1"],
    "accounts": [{"id": "111122223333"}],
    "organization": {"role_name": "reader"},
    "account_labels_file": "accounts.csv",
    "feeds": {"prices": "prices.csv"},
}


@pytest.fixture(scope="module")
def assets() -> dict[str, dg.AssetSpec]:
    """The specs of all assets, with every source that settings can name."""
    settings = parse_settings(CONFIGURED, Path("appstream-export.toml"))
    sources = specs.build_asset_sources(load_contracts(), settings)
    return {source.key.to_user_string(): specs.build_asset_spec(source, settings) for source in sources}


def test_each_asset_comes_after_what_it_reads() -> None:
    """Dagster refuses materializations of one step in another order."""
    settings = parse_settings(CONFIGURED, Path("appstream-export.toml"))
    before = set()
    for source in specs.build_asset_sources(load_contracts(), settings):
        assert before.issuperset(source.reads), source.name
        before.add(source.key)


def deps(asset: dg.AssetSpec) -> set[str]:
    return {dep.asset_key.to_user_string() for dep in asset.deps}


def rows(table: dg.TableMetadataValue) -> list[Any]:
    return [record.data for record in table.records]


@pytest.mark.slow
def test_failed_scopes_are_a_table_with_the_time_of_their_rows_the_reason_and_the_fix(export: Export) -> None:
    export.aws.put(SICK, image_builder("a"))
    export.aws.fail("444455556666/us-east-1", "deny")
    export.run()
    export.aws.fail(SICK, "deny")
    result = export.run()
    seen, never = rows(build_failed_scopes_table(result))

    assert list(seen) == ["account", "region", "status", "since", "reason", "fix"]
    assert (seen["account"], seen["region"], seen["status"]) == ("111122223333", "eu-west-1", "denied")
    assert seen["since"] == f"{result.seen_at[result.failures[0].task]:%Y-%m-%d %H:%M}"
    assert "AccessDeniedException" in seen["reason"]
    assert seen["fix"] == "allow the operation in the role's policy, or remove the scope from the settings"
    assert never["since"] == "never seen"
    shown = build_coverage_result(result).metadata
    assert (shown["failed"].value, shown["failed_ratio"].value) == (2, 0.5)


@pytest.mark.slow
def test_failed_scopes_of_two_resources_name_their_resource(export: Export) -> None:
    export.contracts = list(load_contract_set(resources=["image_builders", "fleets"]))
    export.aws.fail(SICK, "deny")
    [failed] = rows(build_failed_scopes_table(export.run()))

    assert list(failed) == ["resource", "account", "region", "status", "since", "reason", "fix"]
    assert (failed["resource"], failed["account"]) == ("image_builders", "111122223333")


@pytest.mark.slow
def test_failures_are_counted_once_in_the_log_and_in_the_verdict(
    export: Export, caplog: pytest.LogCaptureFixture
) -> None:
    export.regions = ("eu-west-1", "eu-west-2", "us-east-1", "us-east-2", "us-west-2", "ap-south-1")
    export.aws.fail("*/eu-west-1", "deny")
    export.aws.fail("*/us-east-2", "deny_scp")
    log = logging.getLogger("tests.progress")
    caplog.set_level(logging.INFO, log.name)
    result = execute_run(export.settings, export.contracts, listener=LoggingRunListener(log))
    lines = [record.message for record in caplog.records if record.name == log.name]
    verdict = build_coverage_result(result).description or ""

    assert lines[-4:] == [
        "12/12 scopes, 0 items, 4 not answered",
        "committing the snapshot",
        "publishing the catalog",
        "running the checks",
    ]
    assert verdict.startswith("2 of 12 requested scopes failed (2 more did not answer, as expected), such as ")
    assert not any("failed" in line for line in lines)


def test_descriptions_are_one_short_sentence_and_the_rest_is_beside_them(assets: dict[str, dg.AssetSpec]) -> None:
    """So `dg list defs --columns key,description` reads at 80 columns."""
    cut = {name: asset.description or "" for name, asset in assets.items() if "about" in asset.metadata}

    assert [name for name, asset in assets.items() if not 20 < len(asset.description or "") <= 80] == []
    assert assets["agent_currency"].description == "One row per image builder: the age of its AppStream agent."
    assert "SQL: `sql/marts/agent_currency.sql`" in assets["agent_currency"].metadata["about"].value
    assert all(cut[name].removesuffix(" …") in assets[name].metadata["about"].value for name in cut)


def test_marts_and_feeds_show_their_sql_without_its_header(assets: dict[str, dg.AssetSpec]) -> None:
    shown = {name: asset.metadata["sql"].value for name, asset in assets.items() if "sql" in asset.metadata}

    assert {assets[name].group_name for name in shown} == {"marts", "feeds"}
    assert len(shown) == sum(asset.group_name in ("marts", "feeds") for asset in assets.values())
    assert shown["agent_currency"].startswith("```sql\nwith dated as (\n")
    assert shown["feeds/coverage"].startswith("```sql\nselect\n")
    assert shown["feeds/v2/dim_scope"].startswith("```sql\nwith unread as (\n")


def test_a_type_has_one_word_in_every_group(assets: dict[str, dg.AssetSpec]) -> None:
    schemas = [a.metadata["dagster/column_schema"] for a in assets.values() if "dagster/column_schema" in a.metadata]

    assert {column.type for schema in schemas for column in schema.columns} == {
        "string", "integer", "number", "boolean", "date", "timestamp",
    }  # fmt: skip


def test_tables_about_aws_have_their_upstreams_and_what_is_read_stands_on_the_left(
    assets: dict[str, dg.AssetSpec],
) -> None:
    aws = "aws/appstream/image_builders"
    members = {column.name for column in assets[aws].metadata["dagster/column_schema"].columns}

    assert {"Name", "VpcConfig.SubnetIds[]", "AgentAccessConfig.Settings[].Permission"} <= members
    assert {name for name, asset in assets.items() if asset.group_name == "sources"} == {
        aws, "aws/organizations/accounts", "settings/accounts", "files/account_labels", "files/prices",
    }  # fmt: skip
    assert deps(assets["image_builders"]) == deps(assets["quarantine"]) == deps(assets["drift"]) == {aws}
    assert {"image_builders", "image_builder_subnets"} < deps(assets["image_builder_changes"])
    assert deps(assets["scope_runs"]) == {aws, "accounts"}
    assert deps(assets["accounts"]) == {"aws/organizations/accounts", "settings/accounts", "files/account_labels"}
    assert deps(assets["prices"]) == {"files/prices"}
    assert deps(assets["snapshots"]) == {"scope_runs"}


def test_feeds_of_both_versions_have_what_they_read_as_upstreams(assets: dict[str, dg.AssetSpec]) -> None:
    v2 = {name for name in assets if name.startswith("feeds/v2/")}

    assert deps(assets["feeds/image_builders"]) == {"image_builders"}
    assert deps(assets["feeds/v2/fact_image_builder_day"]) == {"image_builder_life_days", "scope_days"}
    assert deps(assets["feeds/v2/dim_region"]) == {"image_builder_changes", "image_builders", "scope_runs"}
    assert deps(assets["feeds/v2/image_builder_subnets"]) == {"image_builder_subnets"}
    assert deps(assets["feeds/v2/feed_status"]) == v2 - {"feeds/v2/feed_status"}


@pytest.mark.parametrize("versions", [("v1",), ("v2",), ("v1", "v2")])
def test_only_feeds_that_the_settings_publish_are_assets(versions: tuple[str, ...]) -> None:
    settings = parse_settings(
        CONFIGURED | {"feeds": {"versions": [*versions], "account_labels": ["team"]}}, Path("appstream-export.toml")
    )
    sources = specs.build_asset_sources(load_contracts(), settings)
    found = {source.key.to_user_string() for source in sources}
    status = {f"feeds/{'v2/' * (version == 'v2')}feed_status" for version in versions}

    assert {name for name in found if name.endswith("feed_status")} == status
    assert ("feeds/image_builders" in found, "feeds/v2/dim_account" in found) == ("v1" in versions, "v2" in versions)
    checks = [spec for spec in build_check_specs(sources) if spec.name == "feeds_are_published"]
    assert {spec.asset_key.to_user_string() for spec in checks} == status
