"""Checks find the rows that must not exist: each on tables that hold one such row, and nothing on a sound warehouse."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from appstream_export.contracts import list_sql_files, load_all_contracts, load_contracts
from appstream_export.feeds import publish_feeds
from appstream_export.lake.catalog import checks
from appstream_export.lake.catalog.checks import CheckResult
from appstream_export.run import build_check_inputs
from appstream_export.settings import ContractsSettings, FeedsSettings, LakeSettings, Settings
from tests.lake.lakes import A, B, Lake, at, bad, builder, failed, ok
from tests.sql.tables import insert_row, open_empty_tables

CHILD = {"account_id": "1", "region": "r", "image_builder_name": "a", "position": 0}
ITEM = {"account_id": "1", "region": "r", "name": "a"}
SCOPE = {"resource": "image_builders", "account_id": "1", "region": "r"}
LIMITS = ("check_limits", {"warn_drop_percent": 20})
AGE = ("scope_limits", {"resource": "image_builders", "scope_hours": 60})
PRICE = {"region": "*", "instance_type": "s", "platform": "*", "valid_from": at(0), "usd_per_hour": 1.0}
PRICED = ITEM | {"instance_type": "s", "platform": "w", "observed_at": at(48 * 60)}
COLUMN = {"feed": "accounts", "column_name": "team"}
# A row, or rows, that each check must find.
BROKEN: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "orphan_children": [("image_builder_errors", CHILD)],
    "duplicate_keys": [("image_builders", ITEM), ("image_builders", ITEM)],
    "unknown_scopes": [("image_builders", ITEM)],
    "negative_spans": [
        ("image_builder_state_spans", {"name": "a", "first_observed_at": at(2), "last_observed_at": at(1)})
    ],
    "coverage_holes": [("coverage", SCOPE | {"status": "denied", "is_expected": False})],
    "stale_scopes": [("coverage", SCOPE | {"is_stale": True, "is_expected": False, "observed_at": at(0)})],
    "unknown_prices": [("image_builders", ITEM | {"instance_type": "x", "observed_at": at(1)}), ("prices", PRICE)],
    "unknown_fields": [("drift", {"path": "New", "kind": "field"})],
    "ambiguous_keys": [("quarantine", {"level": "item", "reason": "ambiguous key: 2 items"})],
    "mart_keys": [("agent_currency", ITEM), ("agent_currency", ITEM)],
    "rows_fell": [("table_rows", {"table_name": "accounts", "previous_rows": 20, "found_rows": 15}), LIMITS],
    "old_scopes": [
        ("coverage", SCOPE | {"is_expected": False, "observed_at": at(0)}),
        ("snapshots", {"committed_at": at(61 * 60)}),
        AGE,
    ],
    "feed_columns_removed": [("feed_columns", COLUMN | {"previous_type": "VARCHAR"})],
    "feed_columns_added": [("feed_columns", COLUMN | {"next_type": "VARCHAR"})],
    "unreadable_values": [("quarantine", {"item_name": "a", "level": "value"})],
}
OVERLAP = {"name": "a", "first_observed_at": at(1), "last_observed_at": at(3), "next_observed_at": at(2)}
ALSO_BROKEN = [
    ("mart_keys", [("exposure", {"account_id": "1", "region": "r"})]),
    ("feed_columns_removed", [("feed_columns", COLUMN | {"previous_type": "VARCHAR", "next_type": "BIGINT"})]),
    ("negative_spans", [("image_builder_state_spans", OVERLAP)]),
    ("unknown_prices", [("image_builders", PRICED | {"root_volume_size_gb": 201}), ("prices", PRICE)]),
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A sound warehouse."""
    made = Lake(tmp_path_factory.mktemp("checks") / "warehouse")
    made.commit(ok(A, builder("a", subnets=["s"], errors=["e"])), ok(B), clock=lambda: at(2))
    return made


SOUND = [
    ("unknown_prices", [("image_builders", PRICED | {"root_volume_size_gb": 200}), ("prices", PRICE)]),
    ("unknown_prices", [("image_builders", ITEM | {"observed_at": at(1)})]),
    ("rows_fell", [("table_rows", {"table_name": "accounts", "previous_rows": 20, "found_rows": 16}), LIMITS]),
    ("rows_fell", [("table_rows", {"table_name": "accounts", "previous_rows": 4, "found_rows": 1}), LIMITS]),
    (
        "old_scopes",
        [
            ("coverage", SCOPE | {"is_expected": False, "observed_at": at(0)}),
            ("snapshots", {"committed_at": at(59 * 60)}),
            AGE,
        ],
    ),
]


def inputs(lake: Lake) -> dict[str, pa.Table]:
    """What checks read beside the catalog."""
    return build_check_inputs(lake.store, lake.contracts, Settings())


@pytest.fixture(scope="module")
def tables(lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """Every table and view that a check reads, without rows."""
    for name, rows in inputs(lake).items():
        lake.con.register(name, rows)
    reads = {name for check in list_sql_files(load_contracts(), "checks") for name in check.reads}
    con = open_empty_tables(lake, reads)
    yield con
    con.close()


@pytest.fixture
def empty(tables: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same, to be written to: no row outlives its test."""
    tables.execute("begin")
    yield tables
    tables.execute("rollback")


def found(results: list[CheckResult]) -> dict[str, int]:
    """Rows per check that found any."""
    return {result.name: result.rows for result in results if result.rows}


@pytest.mark.slow
def test_a_sound_warehouse_passes_all_of_them(lake: Lake) -> None:
    results = checks.run_checks(lake.con, inputs=inputs(lake))

    assert found(results) == {}
    assert all(result.is_passed and not result.is_error for result in results)
    assert [result.name for result in results] == sorted(BROKEN)


@pytest.mark.parametrize(("name", "rows"), [*BROKEN.items(), *ALSO_BROKEN])
def test_a_check_finds_its_rows_and_shows_them(
    name: str, rows: list[tuple[str, dict[str, Any]]], empty: duckdb.DuckDBPyConnection
) -> None:
    for table, row in rows:
        insert_row(empty, table, row)
    result = next(result for result in checks.run_checks(empty) if result.name == name)
    severity = next(check.severity for check in list_sql_files(load_contracts(), "checks") if check.name == name)

    assert (result.rows, len(result.examples)) == (1, 1)
    assert result.is_error is (severity == "error")
    assert "rows_found" not in result.examples[0]


def test_scopes_are_old_by_the_cadence_of_their_resource_if_that_is_longer(lake: Lake) -> None:
    cadence = {"image_builders": "10m", "fleets": "1d"}
    settings = Settings(lake=LakeSettings(freshness_interval="1h"), contracts=ContractsSettings(cadence=cadence))
    contracts = [
        contract for contract in load_all_contracts(None) if contract.name in ("fleets", "image_builders", "stacks")
    ]
    limits = build_check_inputs(lake.store, contracts, settings)["scope_limits"].to_pylist()
    unset = build_check_inputs(lake.store, contracts[1:2], Settings())["scope_limits"].to_pylist()

    assert {row["resource"]: row["scope_hours"] for row in limits} == {
        "fleets": 60,
        "image_builders": 2.5,
        "stacks": 2.5,
    }
    assert unset == [{"resource": "image_builders", "scope_hours": 60}]


@pytest.mark.parametrize(("name", "rows"), SOUND)
def test_what_is_within_its_limits_passes(
    name: str, rows: list[tuple[str, dict[str, Any]]], empty: duckdb.DuckDBPyConnection
) -> None:
    for table, row in rows:
        insert_row(empty, table, row)

    assert next(result for result in checks.run_checks(empty) if result.name == name).is_passed


@pytest.mark.slow
def test_rows_are_compared_with_the_snapshot_before_and_columns_with_the_feeds_that_are_served(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    lake = Lake(tmp_path_factory.mktemp("fell") / "warehouse")
    lake.commit(ok(A, *(builder(f"b{n}") for n in range(10))))
    publish_feeds(lake.store, lake.contracts, FeedsSettings(account_labels=("team",)))
    lake.commit(ok(A, *(builder(f"b{n}") for n in range(6))), forced=True)
    found_now = {result.name: result for result in checks.run_checks(lake.con, inputs=inputs(lake))}
    labels = {row["feed"] for row in found_now["feed_columns_removed"].examples}

    assert found_now["rows_fell"].examples == (
        {"table_name": "image_builders", "previous_rows": 10, "found_rows": 6, "percent_lost": 40.0},
    )
    assert {row["column_name"] for row in found_now["feed_columns_removed"].examples} == {"label_team"}
    assert {"accounts", "image_builders"} < labels
    assert found_now["feed_columns_removed"].is_error
    assert not found_now["feed_columns_removed"].blocks_feeds, "or no run could ever be green again"


def test_many_rows_are_counted_and_a_few_shown(empty: duckdb.DuckDBPyConnection) -> None:
    empty.execute("insert into raw_drift (path) select range::varchar from range(1000)")
    result = next(result for result in checks.run_checks(empty) if result.name == "unknown_fields")

    assert (result.rows, len(result.examples)) == (1000, checks.EXAMPLES_MAX)


def test_checks_of_what_is_not_there_are_left_out(empty: duckdb.DuckDBPyConnection) -> None:
    empty.execute("drop view drift")

    assert [name for name in BROKEN if name not in {r.name for r in checks.run_checks(empty)}] == ["unknown_fields"]


@pytest.mark.slow
def test_what_is_stale_odd_or_never_seen_is_worth_a_look(tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = Lake(tmp_path_factory.mktemp("worth") / "warehouse")
    lake.commit(ok(A, builder("a")), failed(B))
    lake.commit(failed(A), failed(B))
    lake.commit(ok(A, builder("a", state=None), quarantine=[bad("a", "State")]), failed(B))

    assert found(checks.run_checks(lake.con)) == {"coverage_holes": 1, "unreadable_values": 1}
