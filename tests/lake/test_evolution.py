"""A warehouse outlives its contracts and its format: what was written once stays readable.

`goldens/warehouse_N` is a small warehouse as format N was released, `goldens/warehouse_N.json` what it must answer.
UPDATE_GOLDENS=1 writes the one of today's format where it is missing; released ones are never written again.
"""

import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appstream_export.contracts import Column, Contract, Table, load_contracts
from appstream_export.errors import ConfigurationError
from appstream_export.lake.catalog.connect import connect_warehouse
from appstream_export.lake.maintenance.expire import expire_snapshots
from appstream_export.lake.maintenance.vacuum import vacuum_warehouse
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.snapshots.manifest import FORMAT, load_history
from appstream_export.lake.storage.paths import build_manifest_path
from appstream_export.settings import RetentionSettings
from tests.lake.lakes import A, B, C, Lake, at, bad, builder, failed, ok, widen

GOLDENS = Path(__file__).parent / "goldens"
QUESTIONS = (
    "select account_id, region, name, state, created_time, disable_imdsv1, extra_json, is_stale, observed_at"
    " from image_builders order by 1, 2, 3",
    "select s.seq, t.image_builder_name, t.position, t.subnet_id from image_builder_subnets_history as t"
    " join snapshots as s using (snapshot_id) order by all",
    "select s.seq, c.name, c.change, c.column_name, c.old_value, c.new_value, c.observed_at"
    " from image_builder_changes_history as c join snapshots as s using (snapshot_id) order by all",
    "select s.seq, r.account_id, r.region, r.status, r.reason, r.observed_at, r.is_stale"
    " from scope_runs_history as r join snapshots as s using (snapshot_id) order by all",
    "select seq, kind, run_id, items, changes, tasks_failed from snapshots order by seq",
    "select item_name, path, level, reason, raw_json from quarantine order by all",
)


def answers(lake: Lake) -> list[Any]:
    """What a golden warehouse says, as JSON."""
    return json.loads(json.dumps([lake.sql(question) for question in QUESTIONS], default=str))


def made(folder: Path) -> Lake:
    """A warehouse with something of everything in it, in today's format."""
    lake = Lake(folder)
    first = builder("a", state="STOPPED", subnets=["s1", "s2"], created_time=at(0), disable_imdsv1=True)
    lake.commit(ok(A, first, builder("b", errors=["E"])), failed(B), ok(C, builder("c", extra_json='{"New": 1}')))
    then = builder("a", state="RUNNING", subnets=["s2"], created_time=at(0), disable_imdsv1=True)
    lake.commit(ok(A, then, quarantine=[bad("a", "Arn")]), ok(B), failed(C))
    never = RetentionSettings(hourly_days=0, daily_days=0, monthly_months=0)
    expire_snapshots(lake.store, now=datetime.now(UTC) + timedelta(days=1), policy=never, tool_version="0")
    return lake


@pytest.fixture(params=range(1, FORMAT + 1), ids="format {}".format)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Lake, list[Any]]:
    """A copy of a released warehouse, and what it must answer."""
    folder = GOLDENS / f"warehouse_{request.param}"
    said = folder.with_suffix(".json")
    if not said.exists() and os.environ.get("UPDATE_GOLDENS"):
        lake = Lake(folder) if folder.exists() else made(folder)
        said.write_text(json.dumps(answers(lake), indent=1) + "\n")
    copy = Lake(Path(shutil.copytree(folder, tmp_path / "warehouse")))
    copy.minute, copy.scopes = 2, [A, B, C]
    return copy, json.loads(said.read_text())


def test_a_warehouse_of_every_released_format_still_reads(golden: tuple[Lake, list[Any]]) -> None:
    lake, said = golden

    assert answers(lake) == said
    assert verify_warehouse(lake.store).problems == ()


def test_runs_go_on_in_a_warehouse_of_every_released_format(golden: tuple[Lake, list[Any]]) -> None:
    lake, said = golden
    before = len(said[2])
    manifest = lake.commit(ok(A, builder("a", state="DELETING", subnets=["s2"], created_time=at(0))), failed(B), ok(C))

    assert (manifest.schema_version, manifest.seq) == (FORMAT, len(said[4]) + 1)
    assert sorted({(c[0], c[1], c[2]) for c in lake.changes()}, key=str) == [
        ("a", "changed", "disable_imdsv1"), ("a", "changed", "state"), ("c", "deleted", None)
    ]  # fmt: skip
    policy = RetentionSettings(hourly_days=0, daily_days=0, monthly_months=0)
    expire_snapshots(lake.store, now=datetime.now(UTC) + timedelta(days=1), policy=policy, tool_version="0")
    assert len(lake.sql(QUESTIONS[2])) == before + 3
    assert verify_warehouse(lake.store).problems == ()


def test_a_newer_format_is_refused_by_all_with_what_to_do_and_nothing_is_touched(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    path = Path(lake.store.resolve_uri(build_manifest_path(1)))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": FORMAT + 1, "tables": "unheard of"}))
    before = lake.files()

    for act in (
        lambda: lake.commit(ok(A, builder("b"))),
        lambda: connect_warehouse(str(lake.store.root)),
        lake.publish,
        lambda: expire_snapshots(lake.store, now=at(9), policy=RetentionSettings(), tool_version="0"),
        lambda: vacuum_warehouse(lake.store, lake.contracts, now=at(9), grace=timedelta()),
    ):
        with pytest.raises(ConfigurationError, match=rf"format {FORMAT + 1} by a newer .*; upgrade appstream-export"):
            act()
    assert lake.files() == before


def test_a_new_column_is_null_in_older_snapshots(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    [contract] = load_contracts()
    lake.contracts = [widen(contract, Column("mood", "string", "New at AWS.", "Mood"))]
    lake.commit(ok(A, builder("a", mood="good")))
    lake.publish()

    assert lake.sql("select mood from image_builders_history order by snapshot_at") == [None, "good"]


@pytest.mark.slow
def test_a_new_column_proves_nothing_until_both_snapshots_have_it(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    [contract] = load_contracts()
    lake.contracts = [widen(contract, Column("mood", "string", "New at AWS.", "Mood"))]
    lake.commit(ok(A, builder("a", mood="good")))
    assert lake.changes() == []

    lake.commit(ok(A, builder("a", mood="bad")))
    assert lake.changes() == [("a", "changed", "mood", "good", "bad")]


@pytest.mark.slow
def test_a_new_child_table_begins_without_changes(lake: Lake) -> None:
    [contract] = load_contracts()
    whole, subnets = contract.tables, "image_builder_subnets"
    lake.contracts = [replace(contract, tables=tuple(table for table in whole if table.name != subnets))]
    lake.commit(ok(A, builder("a", errors=["E"])))
    lake.contracts = [contract]
    lake.commit(ok(A, builder("a", subnets=["s"], errors=["E"])))
    lake.publish()
    assert lake.changes() == []
    assert lake.sql(f"select subnet_id from {subnets}_history") == ["s"]

    lake.commit(ok(A, builder("a", errors=["E"])))
    assert [change[:3] for change in lake.changes()] == [("a", "changed", subnets)]


def test_a_column_that_is_gone_is_still_in_the_files_and_hides_nothing(lake: Lake) -> None:
    [contract] = load_contracts()
    lake.contracts = [widen(contract, Column("mood", "string", "New at AWS.", "Mood"))]
    lake.commit(ok(A, builder("a", mood="good", state="STOPPED")))
    lake.contracts = [contract]
    lake.commit(ok(A, builder("a", state="RUNNING")))
    lake.publish()

    assert lake.sql("select state from image_builders_history order by snapshot_at") == ["STOPPED", "RUNNING"]
    assert [change[2] for change in lake.changes()] == ["state"]
    old = load_history(lake.store)[0].tables["image_builders"]
    assert old.columns["mood"] == "string"


@pytest.mark.slow
def test_a_column_of_another_type_is_cast_as_far_as_it_goes(lake: Lake) -> None:
    [contract] = load_contracts()
    lake.contracts = [widen(contract, Column("mood", "string", "", "Mood"))]
    lake.commit(ok(A, builder("a", mood="7"), builder("b", mood="good")))
    lake.contracts = [widen(contract, Column("mood", "integer", "", "Mood"))]
    lake.commit(ok(A, builder("a", mood=8), builder("b")))
    lake.publish()

    assert lake.sql("select mood from image_builders_history order by snapshot_at, name") == [7, None, 8, None]
    assert lake.changes() == [], "columns of two types prove nothing"


FLEET = Contract(
    name="fleets",
    doc="",
    service="appstream",
    operation="DescribeFleets",
    items="Fleets",
    item_name="fleet",
    tables=(
        Table(
            "fleets",
            "One row per fleet.",
            tuple(
                Column(name, kind, "", source)
                for name, kind, source in (
                    ("snapshot_id", "string", ""), ("account_id", "string", ""), ("region", "string", ""),
                    ("name", "string", "Name"), ("size", "integer", "Size"), ("observed_at", "timestamp", ""),
                )
            ),
            ("account_id", "region", "name"),
            resource="fleets",
        ),
    ),
    ignored={},
    file=Path("fleets.toml"),
)  # fmt: skip


@pytest.mark.slow
def test_a_contract_that_came_later_begins_its_history_then(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    lake.contracts = [*load_contracts(), FLEET]
    lake.commit(ok(A, builder("a")))
    lake.publish()

    assert (lake.sql("select count(*) from fleets"), lake.sql("select count(*) from fleets_history")) == ([0], [0])
    assert lake.sql("select count(*) from image_builders_history") == [2]
    assert lake.changes() == []


@pytest.mark.slow
def test_a_contract_that_is_gone_leaves_its_history(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="STOPPED")))
    lake.commit(ok(A, builder("a", state="RUNNING")))
    lake.contracts = [FLEET]
    lake.commit(planned=[])
    lake.publish()

    assert lake.sql("select name, state from image_builders_history order by snapshot_at") == [
        ("a", "STOPPED"), ("a", "RUNNING")
    ]  # fmt: skip
    assert lake.sql("select count(*) from image_builder_changes_history") == [2]
    assert lake.sql("select count(*) from duckdb_views() where view_name = 'image_builders'") == [0]
    expire_snapshots(
        lake.store,
        now=datetime.now(UTC) + timedelta(days=1),
        policy=RetentionSettings(hourly_days=0, daily_days=0, monthly_months=0),
        tool_version="0",
    )
    lake.publish()
    assert lake.sql("select change from image_builder_changes_history order by 1") == ["changed", "first_seen"]


def test_a_contract_that_comes_back_begins_anew(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    lake.contracts = [FLEET]
    lake.commit(planned=[])
    lake.contracts = load_contracts()
    lake.commit(ok(A, builder("a"), builder("b")))

    assert [change[:2] for change in lake.changes()] == [("a", "first_seen"), ("b", "first_seen")]
    assert lake.sql("select count(*) from image_builders_history") == [3]
