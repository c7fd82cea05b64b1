"""The catalog: what its views show, that readers are never disturbed, and that it is never trusted when it is old."""

import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from pipelines.contracts.contract import all_tables
from pipelines.errors import SetupError
from pipelines.lake.catalog import connect, publish, query
from pipelines.lake.manifest import history
from tests.lake.lakes import A, B, Lake, bare, builder, failed, ok


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A warehouse of three snapshots, published; no test may change it."""
    lake = Lake(tmp_path_factory.mktemp("three") / "warehouse")
    for state in ("STOPPED", "PENDING", "RUNNING"):
        lake.commit(ok(A, builder("a", state=state, subnets=["s"])), failed(B))
    lake.publish()
    return lake


@pytest.fixture
def mine(three: Lake, tmp_path: Path) -> Lake:
    """A copy of it, to be changed."""
    copy = Lake(Path(shutil.copytree(three.store.root, tmp_path / "warehouse")))
    copy.minute, copy.scopes = three.minute, three.scopes
    copy.publish()
    return copy


def test_a_view_shows_the_newest_and_its_history_all_snapshots(three: Lake) -> None:
    assert three.sql("select name, state, account_name, is_stale from image_builders") == [
        ("a", "RUNNING", "team 1", False)
    ]
    at = [m.committed_at for m in history(three.store)]
    assert three.sql("select state, snapshot_at, account_name, is_stale from image_builders_history order by 2") == [
        ("STOPPED", at[0], "team 1", False),
        ("PENDING", at[1], "team 1", False),
        ("RUNNING", at[2], "team 1", False),
    ]
    assert three.sql("select count(*) from scope_runs_history") == [6]
    assert three.sql("select change, new_value from image_builder_changes_history order by snapshot_id")[1:] == [
        ("changed", "PENDING"),
        ("changed", "RUNNING"),
    ]
    assert three.sql("from snapshots") == three.sql("from snapshots_history")


def test_columns_stand_in_the_contracts_order_with_comments(three: Lake) -> None:
    names = three.sql("select column_name from (describe image_builder_subnets)")
    assert names == ["snapshot_id", "account_id", "region", "image_builder_name", "position", "subnet_id",
                     "account_name", "is_stale", "observed_at"]  # fmt: skip
    assert three.sql("select column_name from (describe image_builder_subnets_history)") == [*names, "snapshot_at"]
    without = three.sql(
        "select table_name, column_name from duckdb_columns() semi join duckdb_views() on table_name = view_name"
        " where comment is null and not internal"
    )
    assert without == []
    for table in all_tables(three.contracts):
        assert three.sql("select comment from duckdb_views() where view_name = ?", [table.name]) == [table.doc]


def test_types_are_the_contracts(three: Lake) -> None:
    types = dict(three.sql("select column_name, column_type from (describe image_builders)"))
    assert (types["name"], types["created_time"], types["root_volume_size_gb"], types["disable_imdsv1"]) == (
        "VARCHAR",
        "TIMESTAMP WITH TIME ZONE",
        "BIGINT",
        "BOOLEAN",
    )


def test_as_of_is_the_newest_snapshot_at_a_moment(three: Lake) -> None:
    first, second, third = (m.committed_at for m in history(three.store))

    def states(moment: str) -> list[str]:
        return three.sql(f"select state from image_builders_as_of({moment})")

    assert states(f"'{first.isoformat()}'") == ["STOPPED"]
    assert states(f"'{(second - timedelta(microseconds=1)).isoformat()}'") == ["STOPPED"]
    assert states(f"timestamptz '{second.isoformat()}'") == ["PENDING"]
    assert states(f"'{third:%Y-%m-%d %H:%M:%S.%f}'") == ["RUNNING"], "without a zone it is UTC"
    assert states(f"timestamp '{first:%Y-%m-%d %H:%M:%S.%f}'") == ["STOPPED"]
    assert states(f"'{first:%Y-%m-%dT%H:%M:%S.%f}Z'") == ["STOPPED"]
    assert states("'2001-01-01'") == [], "before the first there is nothing"
    for zone in ("", "Z", " UTC", "+00", "+0000", "+00:00"):
        later = f"{third + timedelta(minutes=1):%Y-%m-%d %H:%M}{zone}"
        assert states(f"'{later}'") == ["RUNNING"], "seconds may be left out"


def test_a_bare_date_means_its_end(three: Lake) -> None:
    last = history(three.store)[-1].committed_at.date()

    def states(day: date) -> list[list[str]]:
        return [three.sql(f"select state from image_builders_as_of({p}'{day}')") for p in ("", "date ")]

    assert states(last) == [["RUNNING"], ["RUNNING"]]
    assert states(last - timedelta(days=2)) == [[], []]


def test_as_of_a_date_is_the_same_in_every_time_zone(mine: Lake) -> None:
    last = history(mine.store)[-1].committed_at
    with duckdb.connect(str(mine.store.root / "warehouse.duckdb"), read_only=True) as con:
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
            con.execute(f"set TimeZone = '{zone}'")
            for moment in (f"{last:%Y-%m-%d}", f"{last:%Y-%m-%d %H:%M:%S.%f}"):
                assert con.sql(f"select state from image_builders_as_of('{moment}')").fetchall() == [("RUNNING",)]


def test_snapshots_as_of_knows_only_earlier_ones(three: Lake) -> None:
    second = history(three.store)[1].committed_at
    assert three.sql(f"select seq from snapshots_as_of('{second.isoformat()}') order by 1") == [1, 2]


def test_coverage_tells_age_and_reason(three: Lake) -> None:
    assert three.sql("select region, account_name, status, reason, age_hours is null from coverage order by 1") == [
        ("eu-west-1", "team 1", "ok", None, False),
        ("us-east-1", "team 1", "denied", "it was denied", True),
    ]
    assert three.sql("select age_hours > 0 from coverage where region = 'eu-west-1'") == [True]


def test_the_catalog_is_one_file_that_other_duckdbs_open(three: Lake) -> None:
    assert sorted(p.name for p in three.store.root.iterdir()) == ["commits", "tables", "warehouse.duckdb"]
    script = (
        "import duckdb, sys; con = duckdb.connect(sys.argv[1], read_only=True);"
        "print(con.sql('select name from image_builders').fetchall())"
    )
    path = str(three.store.root / "warehouse.duckdb")
    assert (
        subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True).stdout
        == "[('a',)]\n"
    )


def test_a_reader_keeps_what_it_opened_and_the_next_sees_the_new(mine: Lake) -> None:
    con = connect(str(mine.store.root))
    before = bare(query(con, "select state from image_builders"))
    mine.commit(ok(A, builder("a", state="DELETING")))
    mine.publish()

    assert bare(query(con, "select state from image_builders")) == before == ["RUNNING"]
    assert bare(query(con, "select count(*) from image_builders_history")) == [3]
    assert mine.sql("select state from image_builders") == ["DELETING"]


def test_an_old_catalog_is_not_trusted(mine: Lake) -> None:
    mine.commit(ok(A, builder("a", state="DELETING")))

    assert mine.sql("select state from image_builders") == ["DELETING"]
    assert mine.sql("select count(*) from image_builders_history") == [4]


def test_a_damaged_catalog_is_not_trusted(mine: Lake) -> None:
    catalog = mine.store.root / "warehouse.duckdb"
    catalog.unlink()
    catalog.write_bytes(b"not a database")

    assert mine.sql("select state from image_builders") == ["RUNNING"]


@pytest.mark.parametrize("name", ["moved", 'it\'s "moved" ü; drop'])
def test_a_moved_warehouse_reads_where_it_is_now(mine: Lake, tmp_path: Path, name: str) -> None:
    moved = Path(shutil.move(mine.store.root, tmp_path / name))

    con = connect(str(moved))
    assert bare(query(con, "select state from image_builders")) == ["RUNNING"]
    elsewhere = Lake(moved)
    elsewhere.publish()
    assert elsewhere.sql("select count(*) from image_builders_history") == [3]


def test_a_catalog_for_another_mount_names_its_files_there(mine: Lake, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    with pytest.raises(SetupError, match="not visible there"):
        publish(mine.store, mine.contracts, root=str(mount))
    mount.symlink_to(mine.store.root)
    catalog = publish(mine.store, mine.contracts, root=str(mount))

    with duckdb.connect(str(catalog), read_only=True) as con:
        assert (
            f"{mount}/tables/"
            in con.sql("select sql from duckdb_views() where view_name = 'image_builders'").fetchall()[0][0]
        )
        assert con.sql("select state from image_builders").fetchall() == [("RUNNING",)]
    assert mine.sql("select state from image_builders") == ["RUNNING"], "ours is made in memory then"


def test_there_is_nothing_to_connect_to_before_the_first_snapshot(lake: Lake) -> None:
    with pytest.raises(SetupError, match=r"no snapshot in .* yet: make one with: appstream-export run"):
        connect(str(lake.store.root))


def test_times_come_in_utc(three: Lake) -> None:
    assert three.sql("select current_setting('TimeZone')") == ["UTC"]
