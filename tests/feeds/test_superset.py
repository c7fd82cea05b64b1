"""The Superset bundle: what Superset will read, held against the feeds that it will ask."""

import io
import zipfile
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
    assert database["extra"]["engine_params"]["connect_args"] == {"read_only": True}
    assert not any(database[may] for may in ("allow_ctas", "allow_cvas", "allow_dml"))


def test_everything_that_is_named_is_there_and_importing_again_replaces_it() -> None:
    charts, [dashboard] = of_kind("charts"), of_kind("dashboards")
    datasets = {d["uuid"] for d in of_kind("datasets")}
    placed = {p["meta"]["uuid"] for p in dashboard["position"].values() if isinstance(p, dict) and p["type"] == "CHART"}

    assert {c["dataset_uuid"] for c in charts} <= datasets
    assert placed == {c["uuid"] for c in charts}
    assert len(placed) >= 8
    assert dashboard["metadata"]["native_filter_configuration"][0]["targets"][0]["datasetUuid"] in datasets
    assert documents() == documents()


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
