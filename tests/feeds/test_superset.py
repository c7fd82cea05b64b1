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
from appstream_export.feeds import publish_feeds
from appstream_export.feeds.definitions import build_feeds
from appstream_export.feeds.superset import build_superset_bundle
from tests.lake.lakes import A, B, Lake, builder, failed, ok

PLACE = "/data/feeds/v1/bi.duckdb"
FEEDS = build_feeds(load_contracts(), ["team"])


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

    assert datasets.keys() == {feed.name for feed in FEEDS}
    assert all(c["description"] for d in datasets.values() for c in d["columns"])
    assert "label_team" in {c["column_name"] for c in datasets["image_builders"]["columns"]}
    assert datasets["image_builder_daily"]["main_dttm_col"] == "day"


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
    "copy (from image_builders) to '{folder}/written.parquet'",
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
    """Open bi.duckdb as the docs do it for SQLAlchemy."""
    text = Path("docs/connect.md").read_text()
    [locked] = re.findall(r"^locked = (.*)$", text, re.MULTILINE)
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
    return folder / "warehouse/feeds/v1/bi.duckdb"


@pytest.mark.slow
@pytest.mark.parametrize("connect", [open_as_bundle, open_as_docs, open_as_ibis])
def test_sql_of_others_reads_bi_duckdb_and_no_file_of_the_server(
    served: Path, connect: Callable[[Path], duckdb.DuckDBPyConnection]
) -> None:
    folder = served.parents[3]
    before = sorted(folder.rglob("*"))

    with closing(connect(served)) as con:
        assert con.execute("select name from image_builders").fetchall() == [("a",)]
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
    assert len(placed) >= 8
    assert dashboard["metadata"]["native_filter_configuration"][0]["targets"][0]["datasetUuid"] in datasets
    assert documents() == documents()


@pytest.mark.slow
def test_the_sql_of_every_chart_runs_on_published_feeds(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a", state="RUNNING", errors=["E"])), failed(B))
    publish_feeds(lake.store, load_contracts())
    tables = {d["uuid"]: d["table_name"] for d in of_kind("datasets")}

    with duckdb.connect(str(tmp_path / "warehouse/feeds/v1/bi.duckdb"), read_only=True) as con:
        for chart in of_kind("charts"):
            params = chart["params"]
            metrics = [*params.get("metrics", []), *([params["metric"]] if "metric" in params else [])]
            asked = ["count(*)" if m == "count" else m["sqlExpression"] for m in metrics] + params.get(
                "all_columns", []
            )
            where = "".join(f" where {f['sqlExpression']}" for f in params["adhoc_filters"])
            con.sql(f"select {', '.join(asked)} from {tables[chart['dataset_uuid']]}{where}").fetchall()


def test_a_feed_that_loses_a_column_of_a_chart_is_refused() -> None:
    shorter = [
        replace(f, columns=tuple(c for c in f.columns if c.name != "state")) if f.name == "image_builders" else f
        for f in FEEDS
    ]

    with pytest.raises(ContractError, match='"Up now": the feed image_builders has no column state'):
        build_superset_bundle(shorter, PLACE, datetime.now(UTC))
