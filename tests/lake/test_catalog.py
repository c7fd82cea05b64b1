"""The catalog: what its views show, that readers are never disturbed, and that it is never trusted when it is old."""

import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest

from appstream_export.contracts import Contract, load_all_contracts, load_contract_set
from appstream_export.contracts.model import list_snapshot_tables
from appstream_export.errors import ConfigurationError, QueryError
from appstream_export.lake.catalog.connect import (
    connect_warehouse,
    export_catalog,
    open_catalog_connection,
    publish_catalog,
)
from appstream_export.lake.catalog.file import create_views
from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.catalog.views import (
    render_file_views,
    render_table_views,
    render_table_views_for_creation,
)
from appstream_export.lake.duckdb import open_duckdb
from appstream_export.lake.maintenance.erase import erase_account
from appstream_export.lake.maintenance.expire import expire_snapshots
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.snapshots.manifest import Manifest, load_history
from appstream_export.settings import RetentionSettings
from tests.lake.lakes import EVERYWHERE_IN_CI, A, B, C, Lake, bare, builder, failed, ok
from tests.lake.stores import Around
from tests.slices import long_but


@pytest.fixture(autouse=True)
def catalogs_begin_with_a_template() -> None:
    """Not here: each warehouse's first catalog is made from nothing."""


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


@pytest.mark.slow
def test_a_view_shows_the_newest_and_its_history_all_snapshots(three: Lake) -> None:
    assert three.sql("select name, state, account_name, is_stale from image_builders") == [
        ("a", "RUNNING", "team 1", False)
    ]
    at = [m.committed_at for m in load_history(three.store)]
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
    assert names == ["snapshot_id", "account_id", "region", "image_builder_name", "image_builder_key", "position",
                     "subnet_id", "account_name", "is_stale", "observed_at"]  # fmt: skip
    assert three.sql("select column_name from (describe image_builder_subnets_history)") == [*names, "snapshot_at"]
    without = three.sql(
        "select table_name, column_name from duckdb_columns() semi join duckdb_views() on table_name = view_name"
        " where comment is null and not internal and schema_name = 'main'"
    )
    assert without == []
    for table in list_snapshot_tables(three.contracts):
        told = three.sql(
            "select comment from duckdb_views() where view_name = ? and schema_name = 'main'", [table.name]
        )
        assert told == [table.doc]


@pytest.mark.slow
@pytest.mark.parametrize("before", long_but(["published", "damaged", "of another DuckDB"], "published"))
def test_a_catalog_says_the_same_whatever_it_began_with(mine: Lake, before: str) -> None:
    catalog = mine.store.root / "warehouse.duckdb"
    content = catalog.read_bytes()
    earlier = everything_in(catalog)
    catalog.chmod(0o600)
    if before == "damaged":
        catalog.write_bytes(content[:5000] + bytes(5000) + content[10_000:])
    if before == "of another DuckDB":
        foreign = re.sub(rb"views [0-9a-f]{64}\n(?=commit \d+\n\Z)", b"views " + b"0" * 64 + b"\n", content[:-72])
        catalog.write_bytes(foreign + f"sha256 {sha256(foreign).hexdigest()}\n".encode())
    mine.commit(ok(A, builder("a", state="DELETING")))
    mine.publish()
    begun = everything_in(catalog)
    catalog.unlink()
    mine.publish()

    assert begun == everything_in(catalog) != earlier
    assert read_elsewhere(catalog, "select state from image_builders") == [("DELETING",)]


def test_types_are_the_contracts(three: Lake) -> None:
    types = dict(three.sql("select column_name, column_type from (describe image_builders)"))
    assert (types["name"], types["created_time"], types["root_volume_size_gb"], types["disable_imdsv1"]) == (
        "VARCHAR",
        "TIMESTAMP WITH TIME ZONE",
        "BIGINT",
        "BOOLEAN",
    )


def test_as_of_is_the_newest_snapshot_at_a_moment(three: Lake) -> None:
    first, second, third = (m.committed_at for m in load_history(three.store))

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
    last = load_history(three.store)[-1].committed_at.date()

    def states(day: date) -> list[list[str]]:
        return [three.sql(f"select state from image_builders_as_of({p}'{day}')") for p in ("", "date ")]

    assert states(last) == [["RUNNING"], ["RUNNING"]]
    assert states(last - timedelta(days=2)) == [[], []]


def test_as_of_a_date_is_the_same_in_every_time_zone(mine: Lake) -> None:
    last = load_history(mine.store)[-1].committed_at
    with duckdb.connect(str(mine.store.root / "warehouse.duckdb"), read_only=True) as con:
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
            con.execute(f"set TimeZone = '{zone}'")
            for moment in (f"{last:%Y-%m-%d}", f"{last:%Y-%m-%d %H:%M:%S.%f}"):
                assert con.sql(f"select state from image_builders_as_of('{moment}')").fetchall() == [("RUNNING",)]


def test_snapshots_as_of_knows_only_earlier_ones(three: Lake) -> None:
    second = load_history(three.store)[1].committed_at
    assert three.sql(f"select seq from snapshots_as_of('{second.isoformat()}') order by 1") == [1, 2]


def test_coverage_tells_age_and_reason(three: Lake) -> None:
    assert three.sql("select region, account_name, status, reason, age_hours is null from coverage order by 1") == [
        ("eu-west-1", "team 1", "ok", None, False),
        ("us-east-1", "team 1", "denied", "it was denied", True),
    ]
    assert three.sql("select age_hours > 0 from coverage where region = 'eu-west-1'") == [True]


def test_the_catalog_is_one_file_that_other_duckdbs_open(three: Lake) -> None:
    assert sorted(p.name for p in three.store.root.iterdir()) == ["commits", "contracts", "tables", "warehouse.duckdb"]
    script = (
        "import duckdb, sys; con = duckdb.connect(sys.argv[1], read_only=True);"
        "print(con.sql('select name from image_builders').fetchall())"
    )
    path = str(three.store.root / "warehouse.duckdb")
    assert (
        subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True).stdout
        == "[('a',)]\n"
    )


class Overtaken(Around):
    """A store in which an erase is through between what a reader finds and what it reads."""

    def __init__(self, store: Any, act: Callable[[], object]) -> None:
        super().__init__(store)
        self.acts = [act]

    def read_files(self, paths: Iterable[str]) -> Iterator[bytes]:
        """Manifests; then the files that they name are gone."""
        found = list(self._store.read_files(paths))
        while self.acts:
            self.acts.pop()()
        yield from found


@pytest.mark.slow
def test_a_publisher_that_was_overtaken_does_not_leave_the_older_catalog(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))

    def newer() -> None:
        lake.commit(ok(A, builder("b")))
        lake.publish()

    publish_catalog(Overtaken(lake.store, newer), lake.contracts)

    assert verify_warehouse(lake.store).problems == (), "an older one would be a note"


@pytest.mark.slow
def test_a_catalog_of_another_history_is_not_trusted(mine: Lake) -> None:
    mine.commit(ok(A, builder("a", state="DELETING")))
    mine.publish()
    mine.store.remove("commits/000000000004.json")  # as after a backup was restored
    mine.commit(ok(A, builder("a", state="REBOOTING")), attempt="after the backup")

    assert mine.sql("select state from image_builders") == ["REBOOTING"]


@pytest.mark.slow
def test_a_reader_whose_files_are_erased_meanwhile_reads_the_new_snapshot(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(C, builder("c")))

    def erased() -> None:
        now, account = datetime.now(UTC), C.partition("/")[0]
        assert erase_account(lake.store, lake.contracts, account, now=now, tool_version="0").is_gone

    with open_catalog_connection(Overtaken(lake.store, erased), lambda: lake.contracts, rebuild=True) as con:
        assert con.sql("select name from image_builders").fetchall() == [("a",)]


def test_a_reader_keeps_what_it_opened_and_the_next_sees_the_new(mine: Lake) -> None:
    con = connect_warehouse(str(mine.store.root))
    before = bare(run_query(con, "select state from image_builders"))
    mine.commit(ok(A, builder("a", state="DELETING")))
    mine.publish()

    assert bare(run_query(con, "select state from image_builders")) == before == ["RUNNING"]
    assert bare(run_query(con, "select count(*) from image_builders_history")) == [3]
    assert mine.sql("select state from image_builders") == ["DELETING"]


@pytest.mark.slow
@pytest.mark.parametrize("is_own", [False, True])
def test_who_has_read_the_header_before_a_catalog_is_replaced_still_finds_its_blocks(
    lake: Lake, tmp_path: Path, is_own: bool
) -> None:
    """DuckDB opens a file, reads its header, and opens it again: by then it may be the next one."""
    whole, header = dict[int, tuple[bytes, list[Any]]](), 3 * 4096
    for number in range(1, 9):
        lake.commit(ok(A, *[builder(f"{n}") for n in range(number)]))
        file = export_catalog(tmp_path / "c.duckdb", lake.store, lake.contracts) if is_own else lake.publish()
        whole[number] = file.read_bytes(), _catalog_of(file)
    torn = tmp_path / "torn.duckdb"
    for number in range(1, 8):
        torn.write_bytes(whole[number][0][:header] + whole[number + 1][0][header:])

        assert _catalog_of(torn) == whole[number][1]
    assert len({len(content) for content, _ in whole.values()}) > 1, "some of them grew"


def _catalog_of(file: Path) -> list[Any]:
    with closing(duckdb.connect(str(file), read_only=True)) as con:
        shown = con.sql("select seq, digest from lake.shows").fetchall()
        views = con.sql("select view_name, sql, comment from duckdb_views() where not internal order by all").fetchall()
        return [shown, views, con.sql("select count(*) from image_builders").fetchall()]


@pytest.mark.slow
def test_an_old_catalog_is_not_trusted(mine: Lake) -> None:
    mine.commit(ok(A, builder("a", state="DELETING")))

    assert mine.sql("select state from image_builders") == ["DELETING"]
    assert mine.sql("select count(*) from image_builders_history") == [4]


def test_a_damaged_catalog_is_not_trusted(mine: Lake) -> None:
    catalog = mine.store.root / "warehouse.duckdb"
    catalog.unlink()
    catalog.write_bytes(b"not a database")

    assert mine.sql("select state from image_builders") == ["RUNNING"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("moved", marks=pytest.mark.slow), 'it\'s "moved" ü; drop'])
def test_a_moved_warehouse_reads_where_it_is_now(mine: Lake, tmp_path: Path, name: str) -> None:
    moved = Path(shutil.move(mine.store.root, tmp_path / name))

    con = connect_warehouse(str(moved))
    assert bare(run_query(con, "select state from image_builders")) == ["RUNNING"]
    elsewhere = Lake(moved)
    elsewhere.publish()
    assert elsewhere.sql("select count(*) from image_builders_history") == [3]


def everything_in(catalog: Path) -> list[object]:
    """Views, columns and macros, with comments."""
    return [
        read_elsewhere(catalog, f"select {columns} from {source} where not internal order by all")
        for source, columns in (
            ("duckdb_views()", "schema_name, view_name, sql, comment"),
            ("duckdb_columns()", "schema_name, table_name, column_index, column_name, data_type, comment"),
            ("duckdb_functions()", "schema_name, function_name, macro_definition"),
        )
    ]


def read_elsewhere(catalog: Path, statement: str) -> list[tuple[object, ...]]:
    """What a DuckDB of somebody else's reads from the file."""
    with duckdb.connect(str(catalog), read_only=True) as con:
        return con.execute(statement).fetchall()


@pytest.mark.slow
@pytest.mark.parametrize(
    "is_there", [pytest.param(True, marks=pytest.mark.slow), False], ids=["visible here", "not visible here"]
)
def test_a_catalog_for_another_mount_names_its_files_there(mine: Lake, tmp_path: Path, is_there: bool) -> None:
    mount = tmp_path / "mo unt"
    if is_there:
        mount.symlink_to(mine.store.root)
    catalog = publish_catalog(mine.store, mine.contracts, root=f"{mount}/")
    assert catalog is not None
    if not is_there:
        with pytest.raises(duckdb.IOException, match="No files found"):
            read_elsewhere(catalog, "from image_builders")
        mount.symlink_to(mine.store.root)

    named = read_elsewhere(catalog, "select sql from duckdb_views() where sql like '%image_builders/%'")
    assert f"{mount}/tables/" in str(named)
    assert str(mine.store.root) not in str(named)
    assert read_elsewhere(catalog, "select state, snapshot_id is null from image_builders") == [("RUNNING", False)]
    assert read_elsewhere(catalog, "select count(*) from image_builders_as_of('2030-01-01')") == [(1,)]
    assert mine.sql("select state from image_builders") == ["RUNNING"], "ours is made in memory then"


@pytest.mark.parametrize("root", ["data", "/data/*", "/data/a=b"])
def test_a_root_that_readers_could_not_use_is_refused(mine: Lake, root: str) -> None:
    with pytest.raises(ConfigurationError, match=r"absolute path|as patterns|Hive partition"):
        publish_catalog(mine.store, mine.contracts, root=root)


@pytest.mark.slow
def test_a_catalog_of_ones_own_is_written_anywhere_and_over_an_older_one_alone(mine: Lake, tmp_path: Path) -> None:
    file = tmp_path / "mine.duckdb"
    for state in ("RUNNING", "DELETING"):
        mine.commit(ok(A, builder("a", state=state)))
        assert export_catalog(file, mine.store, mine.contracts) == file
        assert read_elsewhere(file, "select state from image_builders") == [(state,)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o400

    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as con:
        con.execute("create table precious as select 1")
    for place, says in ((other, "not a catalog of this program"), (tmp_path / "no/where.duckdb", "no such folder")):
        with pytest.raises(ConfigurationError, match=says):
            export_catalog(place, mine.store, mine.contracts)
    assert read_elsewhere(other, "from precious") == [(1,)]


@pytest.mark.parametrize(("mode", "published"), long_but([(0o600, 0o400), (0o640, 0o440), (0o664, 0o444)], 0o640))
def test_the_catalog_can_be_read_by_those_who_may_read_files_and_written_by_nobody(
    tmp_path: Path, mode: int, published: int
) -> None:
    lake = Lake(tmp_path / "w", file_mode=mode)
    lake.commit(ok(A))
    lake.publish()

    assert stat.S_IMODE((lake.store.root / "warehouse.duckdb").stat().st_mode) == published


WRITER = """
import os, sys, duckdb
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    duckdb.connect(sys.argv[1])
except duckdb.IOException as error:
    print("Permission denied" in str(error))
with duckdb.connect(sys.argv[1], read_only=True) as con:
    print(con.sql("select count(*) > 9 from duckdb_views()").fetchall())
"""


def test_who_opens_the_catalog_for_writing_is_refused_and_locks_nobody_out(three: Lake) -> None:
    """As somebody who is not root, whom no mode would refuse; in a folder that he may enter."""
    with TemporaryDirectory() as folder:
        file = Path(shutil.copy2(three.store.root / "warehouse.duckdb", folder))
        for place in (file.parent, file):
            place.chmod(stat.S_IMODE(place.stat().st_mode) | 0o444 | 0o111 * place.is_dir())
        done = subprocess.run([sys.executable, "-c", WRITER, str(file)], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("True\n[(True,)]\n", "")


def test_a_log_that_a_writer_left_beside_the_catalog_is_not_replayed(mine: Lake) -> None:
    wal = mine.store.root / "warehouse.duckdb.wal"
    wal.write_bytes(b"of a file that was replaced long ago")
    mine.publish()

    assert not wal.exists()


def states_as_of(lake: Lake, moment: str) -> list[object]:
    with connect_warehouse(str(lake.store.root), s3=lake.s3, as_of=moment) as con:
        return [bare(run_query(con, f"select {what} from image_builders{table}")) for what, table in (
            ("state", ""), ("count(*)", "_history"), ("state", "_as_of('2100-01-01')")
        )]  # fmt: skip


@pytest.mark.slow
@EVERYWHERE_IN_CI
def test_a_whole_connection_is_as_of_a_moment(lake: Lake) -> None:
    for state in ("STOPPED", "RUNNING"):
        lake.commit(ok(A, builder("a", state=state)), failed(B))
    first, second = (manifest.committed_at for manifest in load_history(lake.store))

    assert states_as_of(lake, first.isoformat()) == [["STOPPED"], [1], ["STOPPED"]]
    assert states_as_of(lake, f"{second:%Y-%m-%d}") == [["RUNNING"], [2], ["RUNNING"]], "a bare date is its end"
    with pytest.raises(QueryError, match=r"^as of 2001-01-01 23:59:59Z: there was no snapshot; the oldest snapshot is"):
        connect_warehouse(str(lake.store.root), s3=lake.s3, as_of="2001-01-01")


@pytest.mark.parametrize("moment", ["", "yesterday", "2026-13-01", "99999999-01-01", "infinity", "'; drop view x"])
def test_what_is_no_moment_is_refused_in_one_line(three: Lake, moment: str) -> None:
    with pytest.raises(QueryError, match=r"^as of .* not a time such as 2026-01-31 \(its end, UTC\)") as refused:
        connect_warehouse(str(three.store.root), as_of=moment)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_as_of_a_moment_before_a_thinning_the_changes_of_dropped_snapshots_are_there(mine: Lake) -> None:
    moments = [manifest.committed_at for manifest in load_history(mine.store)]
    changes = "select c.new_value from image_builder_changes_history as c order by snapshot_at, change"
    before = [
        bare(run_query(connect_warehouse(str(mine.store.root), as_of=m.isoformat()), changes)) for m in moments[1:]
    ]
    nothing = RetentionSettings(hourly_days=0, daily_days=0, monthly_months=0)
    expire_snapshots(mine.store, now=moments[-1], policy=nothing, tool_version="0", clock=lambda: moments[-1])

    assert len(before[1]) == len(before[0]) + 1
    after = bare(run_query(connect_warehouse(str(mine.store.root), as_of=moments[2].isoformat()), changes))
    assert after == before[1]
    with pytest.raises(QueryError, match="there was no snapshot"):
        connect_warehouse(str(mine.store.root), as_of=moments[1].isoformat())


def test_there_is_nothing_to_connect_to_before_the_first_snapshot(lake: Lake) -> None:
    with pytest.raises(ConfigurationError, match=r"no snapshot in .* yet: make one with: appstream-export run"):
        connect_warehouse(str(lake.store.root))


def test_times_come_in_utc(three: Lake) -> None:
    assert three.sql("select current_setting('TimeZone')") == ["UTC"]


_OBJECTS_SQL = (
    "select schema_name, view_name, sql, comment from duckdb_views() where not internal order by all",
    "select table_name, column_index, column_name, data_type, comment from duckdb_columns() where not internal"
    " order by all",
    "select function_name, parameters, macro_definition from duckdb_functions() where not internal order by all",
)
_Render = Callable[[Sequence[Contract], Sequence[Manifest]], tuple[str, ...]]


def create_objects(lake: Lake, contracts: Sequence[Contract], render: _Render) -> list[list[tuple[Any, ...]]]:
    history = load_history(lake.store)
    with closing(open_duckdb(lake.store)) as con:
        for statement in (*render_file_views(contracts, history, lake.store.resolve_uri), *render(contracts, history)):
            con.execute(statement)
        return [con.execute(query).fetchall() for query in _OBJECTS_SQL]


def test_views_that_are_created_with_placeholders_equal_those_that_are_bound_from_the_bottom_up(three: Lake) -> None:
    contracts = load_all_contracts(None)
    placed = create_objects(three, contracts, render_table_views_for_creation)

    assert placed == create_objects(three, contracts, render_table_views)
    assert len(placed[0]) > 2 * len(contracts)


def test_a_view_on_a_users_view_has_its_columns_whatever_the_header_says(three: Lake, tmp_path: Path) -> None:
    (tmp_path / "marts").mkdir()
    header = "-- {}: One row.\n-- reads: {}\n-- n bigint: A text, in truth.\n"
    (tmp_path / "marts" / "mine.sql").write_text(header.format("mine", "accounts") + "select 'x' as n from accounts")
    (tmp_path / "marts" / "atop.sql").write_text(header.format("atop", "mine") + "select n from mine")
    contracts = load_contract_set(sql_folder=tmp_path)
    with closing(open_duckdb(three.store)) as con:
        create_views(con, contracts, load_history(three.store), three.store.resolve_uri())

        kinds = con.execute("select data_type from duckdb_columns() where table_name = 'atop'").fetchall()
        assert kinds == [("VARCHAR",)]
        assert con.execute("select distinct n from atop").fetchall() == [("x",)]
