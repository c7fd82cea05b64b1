"""Assets of other teams read tables, marts and feeds: as Arrow or as a relation, and of one snapshot."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pytest

from appstream_export.defs import TableInputManager, WarehouseResource
from appstream_export.feeds import publish_feeds
from appstream_export.settings import FeedsSettings
from tests.lake.conftest import bucket, moto_s3
from tests.lake.lakes import A, Lake, builder, ok

__all__ = ["bucket", "moto_s3"]


class Read:
    """A warehouse of two snapshots: builder a, then a and b, with the feeds of both; and the file that names it."""

    def __init__(self, lake: Lake, folder: Path, more: str = "") -> None:
        self.lake = lake
        self.config = folder / "appstream-export.toml"
        self.config.write_text(f'warehouse = "{lake.store.root}"\n{more}')
        self.first = self.commit("a")
        publish_feeds(lake.store, lake.contracts)
        self.second = self.commit("a", "b")
        publish_feeds(lake.store, lake.contracts)
        lake.publish()

    def commit(self, *names: str) -> str:
        """Another snapshot, of builders with these names."""
        return self.lake.commit(ok(A, *(builder(name) for name in names))).snapshot_id

    def materialize(self, *assets: dg.AssetsDefinition, manager: Any = None) -> dg.ExecuteInProcessResult:
        """One run of these assets."""
        resources = {"warehouse": manager or TableInputManager(config=str(self.config))}
        made = {key for asset in assets for key in asset.keys}
        reads = {key for asset in assets for key in asset.dependency_keys} - made
        external = [dg.AssetSpec(key) for key in reads]
        return dg.materialize([*assets, *external], resources=resources, raise_on_error=False)


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """That warehouse in a folder."""
    folder = tmp_path_factory.mktemp("read")
    return Read(Lake(folder / "warehouse"), folder)


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Read]:
    """That warehouse in a folder, and in a bucket."""
    if request.param == "folder":
        yield request.getfixturevalue("in_folder")
        return
    s3 = request.getfixturevalue("bucket")
    yield Read(Lake(s3.place(), s3=s3.settings), tmp_path, f'[lake.s3]\nendpoint_url = "{s3.settings.endpoint_url}"\n')


def names(rows: pa.Table | duckdb.DuckDBPyRelation) -> list[str]:
    return sorted(rows.select("name").to_arrow_table()["name"].to_pylist() if not isinstance(rows, pa.Table) else
                  rows["name"].to_pylist())  # fmt: skip


def upstream(key: list[str], snapshot_id: str) -> dg.AssetsDefinition:
    """A table that this run materializes, as the snapshot job does."""

    @dg.asset(key=key)
    def made() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"snapshot_id": snapshot_id})

    return made


def downstream(key: list[str], kind: Any, **metadata: Any) -> dg.AssetsDefinition:
    """An asset of another team that takes the table as that type, and returns the names in it."""

    def by_team(rows: Any) -> dg.MaterializeResult:
        assert kind is Any or isinstance(rows, kind)
        return dg.MaterializeResult(metadata={"names": names(rows)})

    by_team.__annotations__["rows"] = kind
    reads = dg.AssetIn(key=key, input_manager_key="warehouse", metadata=metadata or None)
    return dg.asset(name="by_team", ins={"rows": reads})(by_team)


def seen(result: dg.ExecuteInProcessResult) -> Any:
    [made] = result.asset_materializations_for_node("by_team")
    return made.metadata["names"].value


def failure(result: dg.ExecuteInProcessResult) -> str:
    """The one line with which the step failed."""
    assert not result.success
    [event] = [e for e in result.all_events if e.is_step_failure]
    data = event.step_failure_data.user_failure_data or event.step_failure_data.error.cause.user_failure_data
    assert data is not None
    assert "\n" not in (data.description or "")
    return data.description or ""


@pytest.mark.slow
def test_tables_marts_feeds_and_sql_are_read_from_a_folder_and_from_a_bucket(read: Read) -> None:
    warehouse = WarehouseResource(config=str(read.config))

    assert names(warehouse.table("image_builders")) == ["a", "b"]
    assert names(warehouse.table("image_builder_overview", snapshot_id=read.first)) == ["a"]
    assert names(warehouse.feed("image_builders")) == ["a", "b"]
    assert names(warehouse.feed("image_builders", snapshot_id=read.first)) == ["a"]
    assert names(warehouse.feed("v2/image_builder_latest", snapshot_id=read.first)) == ["a"]
    assert names(warehouse.relation("image_builders").filter("name = 'b'")) == ["b"]
    assert warehouse.query("select count(*) as n from image_builders where name = ?", ["a"])["n"].to_pylist() == [1]
    with warehouse.connect(snapshot_id=read.first) as con:
        assert con.sql("select name from image_builders").fetchall() == [("a",)]
    result = read.materialize(upstream(["image_builders"], read.first), downstream(["image_builders"], pa.Table))
    assert seen(result) == ["a"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (["cloud", "image_builders"], duckdb.DuckDBPyRelation),
        (["cloud", "feeds", "image_builders"], Any),
        (["cloud", "feeds", "v2", "image_builder_latest"], Any),
        (["feeds", "image_builders"], duckdb.DuckDBPyRelation),
    ],
)
def test_an_input_is_of_the_snapshot_that_this_run_committed(key: list[str], kind: Any, in_folder: Read) -> None:
    """A run that commits later, before the step begins, changes nothing."""
    result = in_folder.materialize(upstream(key, in_folder.first), downstream(key, kind))

    assert seen(result) == ["a"]


@pytest.mark.parametrize(
    ("key", "metadata"),
    [
        (["bi", "builders"], {"table": "image_builders"}),
        (["b"], {"feed": "image_builders"}),
        (["b"], {"feed": "v2/image_builder_latest"}),
    ],
)
def test_an_input_with_a_key_of_the_hosts_own_names_its_table(
    key: list[str], metadata: dict[str, str], in_folder: Read
) -> None:
    assert seen(in_folder.materialize(downstream(key, pa.Table, **metadata))) == ["a", "b"]


def test_an_input_outside_a_run_is_of_the_newest_snapshot(in_folder: Read) -> None:
    manager = TableInputManager(warehouse=str(in_folder.lake.store.root))

    @dg.asset(ins={"rows": dg.AssetIn(key="image_builders", input_manager_key="warehouse")})
    def unused(rows: pa.Table) -> None: ...

    made = dg.Definitions(
        [unused, dg.AssetSpec("image_builders")], resources={"warehouse": manager, "io_manager": manager}
    )

    assert names(made.load_asset_value("image_builders", python_type=pa.Table)) == ["a", "b"]


@pytest.mark.parametrize(
    ("key", "snapshot_id", "kind", "says"),
    [
        ("image_bilders", "", Any, 'there is no table "image_bilders"; did you mean "image_builders"?'),
        ("feeds/image_bilders", "", Any, 'there is no feed "image_bilders"; did you mean "image_builders"?'),
        ("feeds/v2/dim_acount", "", Any, 'there is no feed "dim_acount"; did you mean "dim_account"?'),
        ("image_builders", "01GONE", Any, "snapshot 01GONE is no longer retained; read the newest one, or raise"),
        ("feeds/accounts", "01GONE", Any, "the feeds of snapshot 01GONE are not retained; raise [feeds]"),
        ("accounts", "", list, "input rows: it is annotated as [Any]; use pyarrow.Table or duckdb.DuckDBPyRelation"),
    ],
)
def test_what_cannot_be_read_is_one_line(key: str, snapshot_id: str, kind: Any, says: str, in_folder: Read) -> None:
    path = key.split("/")
    made = [upstream(path, snapshot_id)] if snapshot_id else []

    assert failure(in_folder.materialize(*made, downstream(path, kind))).startswith(says)


@pytest.mark.slow
def test_a_users_mart_is_read_with_the_settings_that_have_its_sql(in_folder: Read, tmp_path: Path) -> None:
    (tmp_path / "sql" / "marts").mkdir(parents=True)
    mart = "-- my_mart: One row per builder.\n-- reads: image_builders\n-- name varchar: Name.\n"
    (tmp_path / "sql" / "marts" / "my_mart.sql").write_text(f"{mart}select name from image_builders")
    config = tmp_path / "appstream-export.toml"
    config.write_text(f'warehouse = "{in_folder.lake.store.root}"\n[sql]\nfolder = "sql"\n')
    warehouse = WarehouseResource(config=str(config))

    assert names(warehouse.table("my_mart", snapshot_id=in_folder.first)) == ["a"]
    assert names(warehouse.query("from my_mart", snapshot_id=in_folder.first)) == ["a"]
    assert names(warehouse.relation("my_mart")) == ["a", "b"]
    with warehouse.connect() as con:
        assert con.sql("select count(*) from my_mart").fetchall() == [(2,)]
    manager = TableInputManager(config=str(config))
    own = downstream(["my_mart"], duckdb.DuckDBPyRelation)
    assert seen(in_folder.materialize(own, manager=manager)) == ["a", "b"]
    with pytest.raises(dg.Failure, match='there is no table "my_mart"'):
        WarehouseResource(warehouse=str(in_folder.lake.store.root)).relation("my_mart")


@pytest.mark.slow
def test_nothing_is_written(in_folder: Read, tmp_path: Path) -> None:
    warehouse = WarehouseResource(config=str(in_folder.config))
    out = tmp_path / "out.csv"

    with pytest.raises(dg.Failure, match="only statements that read are allowed"):
        warehouse.query(f"copy image_builders to '{out}'")
    with warehouse.connect() as con, pytest.raises(duckdb.Error):
        con.execute(f"copy (from image_builders) to '{out}'")
    with pytest.raises(duckdb.Error):
        warehouse.relation("image_builders").write_csv(str(out))
    assert not out.exists()

    @dg.asset(io_manager_key="warehouse")
    def stored() -> int:
        return 1

    assert failure(in_folder.materialize(stored)).startswith("stored: TableInputManager only reads; use it as input")


def test_a_warehouse_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(dg.Failure, match=r"^no configuration: there is no \./appstream-export\.toml"):
        WarehouseResource().table("accounts")
    with pytest.raises(dg.Failure, match=r"^no warehouse at \S+/nowhere; make one with"):
        WarehouseResource(warehouse="nowhere").table("accounts")


@pytest.mark.slow
@pytest.mark.parametrize("first", ["v1", "v2"])
def test_a_step_reads_feeds_of_both_versions_while_only_one_shows_the_newest_snapshot(
    first: str, tmp_path: Path
) -> None:
    warehouse = Read(Lake(tmp_path / "warehouse"), tmp_path)
    shown = tmp_path / "warehouse" / "feeds" / "v1" / "current.json"
    before = shown.read_bytes()
    warehouse.commit("a", "b", "c")
    publish_feeds(warehouse.lake.store, warehouse.lake.contracts)
    shown.chmod(0o600)
    shown.write_bytes(before)  # as between the moments in which the two versions change
    keys = {"v1": ["feeds", "image_builders"], "v2": ["feeds", "v2", "image_builder_latest"]}
    ordered = dict(zip(("first", "second"), (first, *(keys.keys() - {first})), strict=True))

    @dg.asset(ins={n: dg.AssetIn(key=keys[v], input_manager_key="warehouse") for n, v in ordered.items()})
    def by_team(first: pa.Table, second: pa.Table) -> dg.MaterializeResult:
        rows = dict(zip(ordered.values(), (first.num_rows, second.num_rows), strict=True))
        return dg.MaterializeResult(metadata={"names": rows})

    assert seen(warehouse.materialize(by_team)) == {"v1": 2, "v2": 3}


@pytest.mark.slow
def test_with_v2_alone_feeds_named_with_and_without_it_are_of_one_snapshot_while_others_publish(
    tmp_path: Path,
) -> None:
    warehouse, star = Read(Lake(tmp_path / "warehouse"), tmp_path), FeedsSettings(versions=("v2",))
    publish_feeds(warehouse.lake.store, warehouse.lake.contracts, star)

    class Raced(TableInputManager):
        def load_input(self, context: dg.InputContext) -> Any:
            rows = super().load_input(context)
            warehouse.commit("a", "b", "c")
            publish_feeds(warehouse.lake.store, warehouse.lake.contracts, star)
            return rows

    bare = dg.AssetIn(key="other", metadata={"feed": "image_builder_latest"}, input_manager_key="warehouse")
    full = dg.AssetIn(key=["feeds", "v2", "image_builder_latest"], input_manager_key="warehouse")

    @dg.asset(ins={"bare": bare, "full": full})
    def by_team(bare: pa.Table, full: pa.Table) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"names": [names(bare), names(full)]})

    result = warehouse.materialize(by_team, manager=Raced(config=str(warehouse.config)))

    assert seen(result) == [["a", "b"], ["a", "b"]]


@pytest.mark.slow
def test_inputs_of_a_step_are_of_one_snapshot_while_others_commit(in_folder: Read) -> None:
    """The last test of the module: it commits to the warehouse of the others."""

    class Raced(TableInputManager):
        def load_input(self, context: dg.InputContext) -> Any:
            rows = super().load_input(context)
            in_folder.commit("a", "b", "c")
            return rows

    @dg.asset(ins={n: dg.AssetIn(key=n, input_manager_key="warehouse") for n in ("image_builders", "agent_currency")})
    def by_team(image_builders: pa.Table, agent_currency: pa.Table) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"names": [names(image_builders), names(agent_currency)]})

    result = in_folder.materialize(by_team, manager=Raced(config=str(in_folder.config)))

    assert seen(result) == [["a", "b"], ["a", "b"]]
