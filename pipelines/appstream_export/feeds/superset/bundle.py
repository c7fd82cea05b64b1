"""Superset dashboard as a bundle for Superset's import: a database, described datasets, charts and one dashboard.

Datasets are rendered from the feeds, charts and their positions from charts.toml. UUIDs are derived from names, so that
an import replaces the objects of an earlier import.
"""

import io
import json
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import yaml

from appstream_export.contracts import Column
from appstream_export.errors import ContractError
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.definitions import slugify_name

TOP = "appstream_export"
DATABASE = "AppStream export"
SCHEMA = "main"
COLUMNS = 12
"""Width of a dashboard row in units."""
CONNECT_ARGS: Mapping[str, Any] = {
    "read_only": True,
    # Superset runs its users' SQL with its own rights: it may read bi.duckdb, but no other file of the server.
    "config": {"enable_external_access": False, "lock_configuration": True},
}
_VERSION = "1.0.0"
_ACCOUNT = "NATIVE_FILTER-account"


def build_superset_bundle(feeds: Sequence[Feed], database: str, made_at: datetime) -> bytes:
    """Return the bundle as a ZIP file; `database` is the absolute path of bi.duckdb as Superset sees it.

    Raises ContractError if a chart reads a feed or a column that does not exist.
    """
    known = {feed.name: feed for feed in feeds}
    charts = tomllib.loads(files("appstream_export.feeds.superset").joinpath("charts.toml").read_text("utf-8"))["chart"]
    for chart in charts:
        _check_chart(chart, known)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as folder:
        for name, content in _build_documents(feeds, charts, database, made_at):
            folder.writestr(f"{TOP}/{name}.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return packed.getvalue()


def _build_documents(
    feeds: Sequence[Feed], charts: Sequence[Mapping[str, Any]], database: str, made_at: datetime
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "metadata", {"version": _VERSION, "type": "Dashboard", "timestamp": made_at.isoformat()}
    yield f"databases/{TOP}", _build_database(database)
    for feed in feeds:
        yield f"datasets/{TOP}/{feed.name}", _build_dataset(feed)
    for chart in charts:
        yield f"charts/{slugify_name(chart['name'])}", _build_chart(chart)
    yield "dashboards/image_builders", _build_dashboard(charts, feeds)


def _build_database(place: str) -> Mapping[str, Any]:
    return {
        "database_name": DATABASE,
        "sqlalchemy_uri": f"duckdb:///{place}",
        "cache_timeout": 0,
        "expose_in_sqllab": True,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "allow_csv_upload": False,
        "extra": {"engine_params": {"connect_args": CONNECT_ARGS}, "allows_virtual_table_explore": True},
        "uuid": _compute_uuid("database", DATABASE),
        "version": _VERSION,
    }


def _build_dataset(feed: Feed) -> Mapping[str, Any]:
    times = [column.name for column in feed.columns if column.type in ("DATE", "TIMESTAMP")]
    own = [name for name in times if name != "as_of_utc"]
    return {
        "table_name": feed.name,
        "main_dttm_col": (own or times or [None])[0],
        "description": feed.doc,
        "schema": SCHEMA,
        "sql": None,
        "filter_select_enabled": True,
        "metrics": [{"metric_name": "count", "verbose_name": "rows", "expression": "count(*)", "metric_type": "count"}],
        "columns": [_build_column(column) for column in feed.columns],
        "uuid": _compute_uuid("dataset", feed.name),
        "database_uuid": _compute_uuid("database", DATABASE),
        "version": _VERSION,
    }


def _build_column(column: Column) -> Mapping[str, Any]:
    return {
        "column_name": column.name,
        "verbose_name": column.name.removesuffix("_utc").replace("_", " "),
        "description": column.doc,
        "type": column.type,
        "is_dttm": column.type in ("DATE", "TIMESTAMP"),
        "is_active": True,
        "groupby": True,
        "filterable": True,
    }


def _build_chart(chart: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "slice_name": chart["name"],
        "description": chart.get("doc"),
        "viz_type": chart["viz"],
        "params": {"viz_type": chart["viz"], "adhoc_filters": _build_filters(chart), **chart.get("params", {})},
        "cache_timeout": None,
        "uuid": _compute_uuid("chart", chart["name"]),
        "dataset_uuid": _compute_uuid("dataset", chart["feed"]),
        "version": _VERSION,
    }


def _build_filters(chart: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "where" not in chart:
        return []
    return [{"expressionType": "SQL", "sqlExpression": chart["where"], "clause": "WHERE"}]


def _build_dashboard(charts: Sequence[Mapping[str, Any]], feeds: Sequence[Feed]) -> Mapping[str, Any]:
    return {
        "dashboard_title": "AppStream image builders",
        "description": "Rendered from the feeds of appstream-export.",
        "slug": "appstream-image-builders",
        "published": True,
        "css": "",
        "position": _build_positions(charts),
        "metadata": {"native_filter_configuration": [_build_account_filter(feeds)], "color_scheme": "supersetColors"},
        "uuid": _compute_uuid("dashboard", "image_builders"),
        "version": _VERSION,
    }


def _build_positions(charts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the positions of charts: row by row, in their order, as many in a row as fit."""
    rows: list[list[Mapping[str, Any]]] = [[]]
    for chart in charts:
        if sum(c["width"] for c in rows[-1]) + chart["width"] > COLUMNS:
            rows.append([])
        rows[-1].append(chart)
    # Superset expects a tree of ROOT, GRID, rows and charts. Its import finds a chart by uuid and sets the chartId.
    names = [f"ROW-{n}" for n in range(len(rows))]
    found: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"id": "ROOT_ID", "type": "ROOT", "children": ["GRID_ID"]},
        "GRID_ID": {"id": "GRID_ID", "type": "GRID", "children": names, "parents": ["ROOT_ID"]},
    }
    for name, row in zip(names, rows, strict=True):
        above = ["ROOT_ID", "GRID_ID"]
        places = {f"CHART-{slugify_name(chart['name'])}": chart for chart in row}
        found[name] = {"id": name, "type": "ROW", "children": list(places), "parents": above,
                       "meta": {"background": "BACKGROUND_TRANSPARENT"}}  # fmt: skip
        found |= {place: _build_chart_position(place, chart, [*above, name]) for place, chart in places.items()}
    return found


def _build_chart_position(name: str, chart: Mapping[str, Any], parents: Sequence[str]) -> Mapping[str, Any]:
    meta = {"uuid": _compute_uuid("chart", chart["name"]), "sliceName": chart["name"], "chartId": 0,
            "width": chart["width"], "height": chart["height"]}  # fmt: skip
    return {"id": name, "type": "CHART", "children": [], "parents": list(parents), "meta": meta}


def _build_account_filter(feeds: Sequence[Feed]) -> Mapping[str, Any]:
    """Return the filter by one or several accounts, for every chart whose feed has accounts."""
    filtered = [feed.name for feed in feeds if "account_name" in {column.name for column in feed.columns}]
    target = {"column": {"name": "account_name"}, "datasetUuid": _compute_uuid("dataset", "accounts")}
    if "accounts" not in filtered:
        raise ContractError("the feed accounts has no column account_name, which the dashboard's filter needs")
    return {
        "id": _ACCOUNT,
        "name": "Account",
        "filterType": "filter_select",
        "type": "NATIVE_FILTER",
        "targets": [target],
        "scope": {"rootPath": ["ROOT_ID"], "excluded": []},
        "controlValues": {"multiSelect": True, "enableEmptyFilter": False, "searchAllOptions": True},
        "defaultDataMask": {"extraFormData": {}, "filterState": {}},
        "cascadeParentIds": [],
    }


def _check_chart(chart: Mapping[str, Any], feeds: Mapping[str, Feed]) -> None:
    feed = feeds.get(chart["feed"])
    if feed is None:
        raise ContractError(f'charts.toml: "{chart["name"]}" reads the feed {chart["feed"]}, which does not exist')
    columns = {column.name for column in feed.columns}
    if missing := set(chart["reads"]) - columns:
        raise ContractError(f'charts.toml: "{chart["name"]}": the feed {feed.name} has no column {min(missing)}')
    text = json.dumps(chart.get("params", {})) + chart.get("where", "")
    if unused := next((name for name in chart["reads"] if name not in text), None):
        raise ContractError(f'charts.toml: "{chart["name"]}" lists {unused} in reads, but does not use it')


def _compute_uuid(kind: str, name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"appstream-export/superset/{kind}/{name}"))
