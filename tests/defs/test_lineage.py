"""Where each column comes from: as a person reads the SQL, for our files and for what users may write."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from appstream_export.contracts import load_contracts
from appstream_export.defs import specs
from appstream_export.defs.lineage import build_column_lineage, build_sources_table
from appstream_export.lake.catalog import ColumnTracer
from appstream_export.settings import parse_settings

BY_HAND = {
    "image_builders.account_name": "accounts.account_name",
    "image_builder_subnets.is_stale": "scope_runs.is_stale",
    "image_builders.state": "aws/appstream/image_builders.State",
    "image_builder_subnets.subnet_id": "aws/appstream/image_builders.VpcConfig.SubnetIds[]",
    "accounts.account_name": "aws/organizations/accounts.Name",
    "coverage.account_name": "accounts.account_name",
    "coverage.age_hours": "scope_runs.observed_at",
    "scope_days.day": "scope_runs.observed_at",
    "agent_currency.state": "image_builders.state",
    "agent_currency.released_on": "image_builders.appstream_agent_version",
    "agent_currency.is_latest": "image_builders.latest_appstream_agent_version",
    "agent_currency.agent_age_days": "image_builders.appstream_agent_version image_builders.observed_at",
    "exposure.reaches_internet": "image_builders.enable_default_internet_access",
    "exposure.allows_imdsv1": "image_builders.disable_imdsv1",
    "exposure.has_ipv6": "image_builder_ipv6_addresses.image_builder_name",
    "export_runs.outcome": "snapshots.discovery snapshots.tasks_failed snapshots.tasks_ok",
    "export_runs.hours_since_previous": "snapshots.committed_at",
    "image_builder_state_spans.state": "image_builder_changes.change image_builder_changes.new_value"
    " image_builder_changes.old_value image_builders.state",
    "image_builder_state_spans.account_name": "accounts.account_name",
    "image_builder_state_spans.first_observed_at": "image_builder_changes.observed_at image_builders.observed_at",
    "image_builder_network.subnet_id": "image_builder_subnets.subnet_id",
    "image_builder_overview.subnet_ids": "image_builder_subnets.subnet_id",
    "image_builder_overview.subnets": "image_builder_subnets.account_id image_builder_subnets.image_builder_name"
    " image_builder_subnets.region",
    "image_builder_overview.last_error_at": "image_builder_errors.error_timestamp",
    "image_builder_overview.usd_per_hour": "image_builders.instance_type image_builders.observed_at"
    " image_builders.platform image_builders.region prices.usd_per_hour",
    "image_builder_overview.status": "scope_runs.status",
    "image_builder_daily.platform": "image_builder_life_days.life image_builder_life_days.platform",
    "image_builder_life_days.image_builder_key": "image_builder_span_months.image_builder_key",
    "running_image_builders.running_hours_at_least": "image_builder_state_spans.active_since"
    " image_builder_state_spans.last_observed_at",
    "feeds/image_builders.created_time_utc": "image_builders.created_time",
    "feeds/image_builders.image_builder_key": "image_builders.image_builder_key",
    "image_builder_daily.image_builder_key": "image_builder_life_days.image_builder_key",
    "feeds/image_builders.label_cost_centre": "accounts.labels_json",
    "feeds/image_builder_changes.changed_in_snapshot_utc": "snapshots.committed_at",
    "feeds/coverage.age_hours": "coverage.observed_at",
    "feeds/v2/dim_region.accounts": "image_builder_changes.account_id image_builder_changes.region"
    " image_builders.account_id image_builders.region scope_runs.account_id scope_runs.region",
    "feeds/v2/dim_account.label_cost_centre": "accounts.labels_json",
    "feeds/v2/fact_image_builder_day.usd_per_hour": "image_builder_life_days.usd_per_hour",
    "feeds/v2/image_builder_latest.state": "image_builders.state",
    "feeds/v2/image_builder_subnets.subnet_id": "image_builder_subnets.subnet_id",
}
SCHEMAS = {"orders": ["id", "customer", "total", "tags"], "customers": ["id", "name"]}
WRITTEN = {
    "select * from orders": "id customer total tags",
    "select o.* exclude (tags), c.name as who from orders as o join customers as c on o.customer = c.id": (
        "id customer total who=name"
    ),
    "select id, name from customers union all select total, customer from orders": "id=id,total name=name,customer",
    "select 1 as id, name from customers union all by name select customer as name, id from orders": (
        "id name=name,customer"
    ),
    "select unnest(tags) as tag from orders": "tag=tags",
    "select t.tag from orders, unnest(orders.tags) as t(tag)": "tag=tags",
    "select (select max(name) from customers as c where c.id = o.customer) as who from orders as o": "who=name",
    "select exists (select 1 from customers) as any_there, id from orders": "id",
    "with recursive c as (select id, 1 as d from orders union all select id, d + 1 from c) from c": "id",
    "select row_number() over (order by total) as place from orders": "place=total",
    "select count(*) as n, customer from orders group by all": "n=customer customer",
    "select total as cents, cents / 100 as euros from orders": "cents=total euros=total",
    "select {'a': id, 'b': total}.b as picked from orders": "picked=total",
    "select name from customers_as_of('2026-01-01')": "name",
    "select name, snapshot_at from customers_history": "name snapshot_at=committed_at",
    "from orders select id where total > 1 qualify row_number() over (partition by customer) = 1": "id",
    "pivot orders on customer using sum(total)": "",
    "select 'x' as letter, range as n from range(10)": "",
}


@pytest.fixture(scope="module")
def assets() -> list[specs.AssetSource]:
    """All assets, with a label as a column of the feeds."""
    raw = {"feeds": {"account_labels": ["Cost Centre"]}, "organization": {"role_name": "reader"}}
    settings = parse_settings(raw, Path("appstream-export.toml"), needs_accounts=False)
    return specs.build_asset_sources(load_contracts(), settings)


@pytest.fixture(scope="module")
def lineage(assets: list[specs.AssetSource]) -> Mapping[dg.AssetKey, dg.TableColumnLineage]:
    """The column lineage of all assets."""
    return build_column_lineage(assets)


@pytest.mark.slow
@pytest.mark.parametrize("column", BY_HAND)
def test_a_column_comes_from_where_a_person_reads_it_in_the_sql(
    column: str, lineage: Mapping[dg.AssetKey, dg.TableColumnLineage]
) -> None:
    asset, _, name = column.partition(".")
    deps = lineage[dg.AssetKey.from_user_string(asset)].deps_by_column[name]

    assert " ".join(f"{dep.asset_key.to_user_string()}.{dep.column_name}" for dep in deps) == BY_HAND[column]


def test_the_sources_of_columns_are_a_table_where_dagster_draws_none(
    lineage: Mapping[dg.AssetKey, dg.TableColumnLineage],
) -> None:
    table = build_sources_table(lineage[dg.AssetKey("agent_currency")])
    rows = {record.data["column"]: record.data["from"] for record in table.records}

    assert rows["state"] == "image_builders: state"
    assert rows["agent_age_days"] == "image_builders: appstream_agent_version, observed_at"


def test_every_source_is_a_column_of_an_asset_to_the_left(
    assets: list[specs.AssetSource], lineage: Mapping[dg.AssetKey, dg.TableColumnLineage]
) -> None:
    columns = {asset.key: {column.name for column in asset.columns} for asset in assets}
    found = [(key, c, dep) for key, of in lineage.items() for c, deps in of.deps_by_column.items() for dep in deps]

    assert len(found) > 600
    assert [each for each in found if each[2].column_name not in columns[each[2].asset_key]] == []
    assert [each for each in found if each[1] not in columns[each[0]] or each[0] == each[2].asset_key] == []


def test_every_column_of_a_view_a_mart_and_a_feed_has_its_sources(
    assets: list[specs.AssetSource],
    lineage: Mapping[dg.AssetKey, dg.TableColumnLineage],
    caplog: pytest.LogCaptureFixture,
) -> None:
    build_column_lineage(assets)
    derived = [asset for asset in assets if asset.group in ("marts", "feeds") and "feed_status" not in asset.name]
    lost = [
        f"{asset.name}.{column.name}"
        for asset in derived
        for column in asset.columns
        if column.name not in lineage[asset.key].deps_by_column
        and not (asset.group == "feeds" and column.name in ("snapshot_id", "as_of_utc"))
    ]

    written = ["way", "is_exposure"]  # in the SQL
    assert lost == [f"v2/fact_image_builder_exposure.{name}" for name in written]
    assert caplog.messages == []


@pytest.mark.parametrize("query", WRITTEN)
def test_sql_that_users_may_write_is_traced(query: str) -> None:
    expected = {
        column: set((sources or column).split(","))
        for column, _, sources in (part.partition("=") for part in WRITTEN[query].split())
    }
    found = ColumnTracer(SCHEMAS).trace_query("theirs", query)

    assert {column: {name for _, name in sources} for column, sources in found.items()} == expected


def test_sql_that_cannot_be_traced_costs_one_line_and_its_own_columns_alone(caplog: pytest.LogCaptureFixture) -> None:
    tracer = ColumnTracer(SCHEMAS)

    assert tracer.trace_query("torn", "select id from (orders") == {}
    assert tracer.trace_query("half", "select o.id, z.a, z.b from orders as o") == {"id": {("orders", "id")}}
    assert [line.partition(":")[0] for line in caplog.messages] == ["torn", "half"]
    assert caplog.messages[1] == "half: no column lineage of a, b"
