"""The Superset bundle: what Superset will read, held against the feeds that it will ask."""

import ast
import io
import re
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from appstream_export.contracts import load_contracts
from appstream_export.errors import ContractError
from appstream_export.feeds import V2, build_version_feeds, publish_feeds
from appstream_export.feeds.superset import build_superset_bundle
from appstream_export.settings import FeedsSettings
from tests.lake.lakes import A, Lake, builder, ok

PLACE = "/data/feeds/v2/bi.duckdb"
FEEDS = build_version_feeds(V2, load_contracts(), FeedsSettings(account_labels=("team",)))


def documents(place: str = PLACE) -> dict[str, Any]:
    """Every file of a bundle, read as Superset reads it."""
    packed = build_superset_bundle(FEEDS, place, datetime(2026, 1, 1, tzinfo=UTC))
    with zipfile.ZipFile(io.BytesIO(packed)) as folder:
        return {name: yaml.safe_load(folder.read(name)) for name in folder.namelist()}


def of_kind(kind: str) -> list[Any]:
    """The documents of one folder."""
    return [document for name, document in documents().items() if f"/{kind}/" in name]


def test_a_dataset_for_each_feed_with_every_column_described() -> None:
    datasets = {d["table_name"]: d for d in of_kind("datasets")}

    joined = {name for name, dataset in datasets.items() if dataset["sql"]}
    assert datasets.keys() - joined == {feed.name for feed in FEEDS}
    assert joined >= {"builders", "builder_days", "builder_changes", "builder_exposures", "scopes"}
    assert all(c["description"] for d in datasets.values() for c in d["columns"])
    assert all("label_team" in {c["column_name"] for c in datasets[name]["columns"]} for name in joined)
    assert datasets["builder_days"]["main_dttm_col"] == "day"


def test_each_filter_applies_to_every_dataset_of_builders() -> None:
    [dashboard] = of_kind("dashboards")
    filters = [f["targets"][0]["column"]["name"] for f in dashboard["metadata"]["native_filter_configuration"]]
    joined = {d["table_name"]: {c["column_name"] for c in d["columns"]} for d in of_kind("datasets") if d["sql"]}

    assert filters == ["account", "region", "label_team", "state", "image_builder_key"]
    assert {name: set(filters) - columns for name, columns in joined.items() if set(filters) - columns} == {
        "scopes": {"state", "image_builder_key"}
    }


def test_the_snapshots_time_stays_above_every_page() -> None:
    [dashboard] = of_kind("dashboards")
    places = dashboard["position"]
    [head, tabs] = [places[name] for name in places["GRID_ID"]["children"]]

    assert places[head["children"][0]]["meta"]["sliceName"] == "Snapshot, UTC"
    assert [places[name]["meta"]["text"] for name in tabs["children"]] == [
        "Cost", "Builders", "To do", "Changes", "Coverage",
    ]  # fmt: skip
    parents = {
        child: name for name, place in places.items() if isinstance(place, dict) for child in place.get("children", ())
    }
    assert all(place["parents"][-1] == parents[name] for name, place in places.items() if name in parents)


def test_the_database_is_opened_for_reading_alone() -> None:
    [database] = of_kind("databases")

    assert database["sqlalchemy_uri"] == f"duckdb:///{PLACE}"
    assert database["extra"]["engine_params"]["connect_args"]["read_only"] is True
    assert not any(database[may] for may in ("allow_ctas", "allow_cvas", "allow_dml"))


OUTSIDE = (
    "from read_text('{secret}')",
    "from read_csv('{secret}')",
    "select * from '{secret}'",
    "from glob('{folder}/*')",
    "copy (select 1) to '{folder}/written.csv'",
    "copy (select 2) to '{folder}/written.parquet'",
    "attach '{folder}/written.db'",
    "export database '{folder}/written'",
    "load '{secret}'",
    "set enable_external_access = true",
    "reset enable_external_access",
    "set lock_configuration = false",
    "set allowed_directories = ['/']",
    "pragma enable_external_access = true",
)


def open_as_bundle(place: Path) -> duckdb.DuckDBPyConnection:
    """Open bi.duckdb with what the bundle carries, as duckdb-engine hands it on to DuckDB."""
    [database] = of_kind("databases")
    return duckdb.connect(str(place), **database["extra"]["engine_params"]["connect_args"])


def open_as_docs(place: Path) -> duckdb.DuckDBPyConnection:
    """Open bi.duckdb as the docs do it for DuckDB and SQLAlchemy."""
    text = Path("docs/connect.md").read_text()
    [locked] = set(re.findall(r"^locked = (.*)$", text, re.MULTILINE))
    return duckdb.connect(str(place), read_only=True, config=ast.literal_eval(locked))


def open_as_ibis(place: Path) -> duckdb.DuckDBPyConnection:
    """Open bi.duckdb and lock it once the client has set its options."""
    text = Path("docs/connect.md").read_text().partition("import ibis")[2].partition("```")[0]
    con = duckdb.connect(str(place), read_only=True)
    con.execute("set TimeZone = 'UTC'")
    for statement in re.findall(r'raw_sql\("(.*)"\)', text):
        con.execute(statement)
    return con


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bi.duckdb of a warehouse, and a secret of the server's in the folder above it."""
    folder = tmp_path_factory.mktemp("served")
    lake = Lake(folder / "warehouse")
    lake.commit(ok(A, builder("a")))
    lake.publish()
    publish_feeds(lake.store, load_contracts())
    (folder / "secret.csv").write_text("SECRET_KEY\nhush\n")
    return folder / "warehouse/feeds/v2/bi.duckdb"


@pytest.mark.slow
@pytest.mark.parametrize("connect", [open_as_bundle, open_as_docs, open_as_ibis])
def test_sql_of_others_reads_bi_duckdb_and_no_file_of_the_server(
    served: Path, connect: Callable[[Path], duckdb.DuckDBPyConnection]
) -> None:
    folder = served.parents[3]
    before = sorted(folder.rglob("*"))

    with closing(connect(served)) as con:
        assert con.execute("select name from image_builder_latest").fetchall() == [("a",)]
        for statement in OUTSIDE:
            with pytest.raises(duckdb.Error) as refused:
                con.execute(statement.format(secret=folder / "secret.csv", folder=folder)).fetchall()
            assert "hush" not in str(refused.value), statement
    assert sorted(folder.rglob("*")) == before


def test_the_catalog_reads_its_tables_and_nothing_beyond_them(served: Path) -> None:
    folder = served.parents[3]
    text = Path("docs/connect.md").read_text().partition("con = duckdb.connect(")[2].partition("```")[0]

    with closing(duckdb.connect(str(folder / "warehouse/warehouse.duckdb"), read_only=True)) as con:
        for statement in re.findall(r'execute\("(.*)"\)', text):
            con.execute(statement.replace("/srv/warehouse", str(folder / "warehouse")))
        assert con.execute("select name from image_builders").fetchall() == [("a",)]
        for statement in OUTSIDE:
            with pytest.raises(duckdb.Error):
                con.execute(statement.format(secret=folder / "secret.csv", folder=folder)).fetchall()


@pytest.mark.slow
def test_everything_that_is_named_is_there_and_importing_again_replaces_it() -> None:
    charts, [dashboard] = of_kind("charts"), of_kind("dashboards")
    datasets = {d["uuid"] for d in of_kind("datasets")}
    placed = {p["meta"]["uuid"] for p in dashboard["position"].values() if isinstance(p, dict) and p["type"] == "CHART"}

    assert {c["dataset_uuid"] for c in charts} <= datasets
    assert placed == {c["uuid"] for c in charts}
    assert len(placed) >= 20
    assert dashboard["metadata"]["native_filter_configuration"][0]["targets"][0]["datasetUuid"] in datasets
    assert documents() == documents()


@pytest.mark.parametrize(
    ("feed", "missing", "why"),
    [
        (
            "image_builder_latest",
            "state",
            "dashboard.toml: builders: the feed image_builder_latest has no column state",
        ),
        ("feed_status", "as_of_utc", 'dashboard.toml: "Snapshot, UTC": feed_status has no column as_of_utc'),
    ],
)
def test_a_feed_that_loses_a_column_of_the_dashboard_is_refused(feed: str, missing: str, why: str) -> None:
    shorter = [
        replace(f, columns=tuple(c for c in f.columns if c.name != missing)) if f.name == feed else f for f in FEEDS
    ]

    with pytest.raises(ContractError, match=f"^{re.escape(why)}$"):
        build_superset_bundle(shorter, PLACE, datetime.now(UTC))
    with pytest.raises(ContractError, match=f"there is no feed {feed}|reads {feed}, which does not exist"):
        build_superset_bundle([f for f in FEEDS if f.name != feed], PLACE, datetime.now(UTC))
