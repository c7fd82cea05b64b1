"""The tables of the design, in its order, and what their Parquet files look like."""

import os
from pathlib import Path

import pytest

from appstream_export.contracts import Table, list_snapshot_tables, load_contracts
from appstream_export.contracts.arrow_schema import build_arrow_schema

GOLDENS = Path(__file__).parent / "goldens"
FIRST, LAST = "snapshot_id account_id region", "observed_at"
CHILD = "image_builder_name position"
DESIGN = {
    "image_builders": """name arn display_name description state state_change_reason_code state_change_reason_message
        platform instance_type image_arn iam_role_arn created_time enable_default_internet_access directory_name
        organizational_unit_distinguished_name eni_id eni_private_ip_address appstream_agent_version
        latest_appstream_agent_version root_volume_size_gb disable_imdsv1 agent_s3_bucket_arn
        agent_screenshots_upload_enabled agent_screen_resolution agent_screen_image_format agent_user_control_mode
        extra_json""",
    "image_builder_subnets": f"{CHILD} subnet_id",
    "image_builder_security_groups": f"{CHILD} security_group_id",
    "image_builder_errors": f"{CHILD} error_code error_message error_timestamp",
    "image_builder_endpoints": f"{CHILD} endpoint_type vpce_id",
    "image_builder_ipv6_addresses": f"{CHILD} ipv6_address",
    "image_builder_agent_settings": f"{CHILD} agent_action permission",
}
OPERATIONAL = {
    "scope_runs": """resource account_id region status reason error_code request_id attempted_at finished_at pages items
        rows duplicates quarantined api_calls throttles retries duration_ms resume_token observed_at is_stale
        is_expected""",
    "snapshots": """seq kind run_id attempt_id started_at committed_at schema_version tool_version botocore_version
        endpoint_url discovery regions_source forced tasks_total tasks_ok tasks_failed tasks_skipped""",
    "accounts": "account_name ou_path state source first_seen_at last_seen_at labels_json",
    "quarantine": "resource account_id region item_name path level reason raw_json",
    "drift": "resource path kind example count",
    "prices": "region instance_type platform valid_from usd_per_hour disk_usd_per_gb_month source_sha256",
    "platform_support": "platform support_ends_on source_url read_on source_sha256",
    "image_builder_changes": """account_id region name change column_name old_value new_value observed_at
        previous_observed_at""",
}
TABLES = {table.name: table for table in list_snapshot_tables(load_contracts())}


def in_order(words: list[str], of: list[str]) -> bool:
    """Whether `words` stand in `of` in that order, others between them or not."""
    rest = iter(of)
    return all(word in rest for word in words)


def test_there_are_the_tables_of_the_design_and_no_others() -> None:
    assert {"image_builders", *DESIGN, *OPERATIONAL} == set(TABLES)
    assert [name for name in TABLES if name in DESIGN] == list(DESIGN)


@pytest.mark.parametrize("name", DESIGN)
def test_a_table_of_items_has_the_designs_columns_in_its_order(name: str) -> None:
    columns = [c.name for c in TABLES[name].columns]

    assert columns == [*FIRST.split(), *DESIGN[name].split(), LAST]


@pytest.mark.parametrize("name", OPERATIONAL)
def test_an_operational_table_has_the_designs_columns_in_its_order(name: str) -> None:
    columns = [c.name for c in TABLES[name].columns]

    assert columns[0] == "snapshot_id"
    assert in_order(OPERATIONAL[name].split(), columns)


def test_views_of_items_tell_account_and_staleness_before_the_time() -> None:
    views = {name: [c.name for c in TABLES[name].view_columns][-3:] for name in ("image_builders", "scope_runs")}

    assert views == {
        "image_builders": ["account_name", "is_stale", "observed_at"],
        "scope_runs": ["observed_at", "is_stale", "is_expected"],
    }


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_schema_of_its_files_is_the_golden_one(table: Table) -> None:
    golden = GOLDENS / f"{table.name}.txt"
    lines = [f"# {(build_arrow_schema(table).metadata or {})[b'comment'].decode()}"]
    lines += [f"{f.name}: {f.type}  # {(f.metadata or {})[b'comment'].decode()}" for f in build_arrow_schema(table)]
    text = "\n".join(lines) + "\n"
    if os.environ.get("UPDATE_GOLDENS") == "1":
        GOLDENS.mkdir(exist_ok=True)
        golden.write_text(text, "utf-8")

    assert golden.read_text("utf-8") == text


def test_no_type_is_one_that_other_engines_refuse() -> None:
    types = {str(field.type) for table in TABLES.values() for field in build_arrow_schema(table)}

    assert types == {"string", "int64", "bool", "double", "timestamp[us, tz=UTC]"}
