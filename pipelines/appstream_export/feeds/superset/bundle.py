"""Superset dashboard as a bundle for Superset's import: a database, described datasets, charts and one dashboard.

Datasets are the feeds of v2, and the joins that dashboard.toml describes; so does it charts and their pages. UUIDs are
derived from names, so that an import that overwrites replaces the objects of an earlier one.
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
from appstream_export.feeds.superset.datasets import Dataset, build_datasets

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
FILTERED = "builders"
"""The dataset whose values the filters offer."""


def build_superset_bundle(feeds: Sequence[Feed], database: str, made_at: datetime) -> bytes:
    """Return the bundle as a ZIP file; `database` is the absolute path of bi.duckdb of v2 as Superset sees it.

    Raises ContractError if a dataset or a chart reads a feed or a column that does not exist.
    """
    dashboard = tomllib.loads(files("appstream_export.feeds.superset").joinpath("dashboard.toml").read_text("utf-8"))
    datasets = {dataset.name: dataset for dataset in [*map(_describe_feed, feeds), *build_datasets(dashboard, feeds)]}
    charts = [chart for page in dashboard["page"] for chart in page["chart"]]
    for chart in charts:
        _check_chart(chart, datasets)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as folder:
        for name, content in _build_documents(dashboard["page"], datasets, database, made_at):
            folder.writestr(f"{TOP}/{name}.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return packed.getvalue()


def _build_documents(
    pages: Sequence[Mapping[str, Any]], datasets: Mapping[str, Dataset], database: str, made_at: datetime
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "metadata", {"version": _VERSION, "type": "Dashboard", "timestamp": made_at.isoformat()}
    yield f"databases/{TOP}", _build_database(database)
    for dataset in datasets.values():
        yield f"datasets/{TOP}/{dataset.name}", _build_dataset(dataset)
    for page in pages:
        for chart in page["chart"]:
            yield f"charts/{slugify_name(chart['name'])}", _build_chart(chart)
    yield "dashboards/image_builders", _build_dashboard(pages, datasets)


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


def _describe_feed(feed: Feed) -> Dataset:
    return Dataset(feed.name, feed.doc, None, tuple(feed.columns))


def _build_dataset(dataset: Dataset) -> Mapping[str, Any]:
    times = [column.name for column in dataset.columns if column.type in ("DATE", "TIMESTAMP")]
    own = [name for name in times if name != "as_of_utc"]
    return {
        "table_name": dataset.name,
        "main_dttm_col": (own or times or [None])[0],
        "description": dataset.doc,
        "schema": SCHEMA,
        "sql": dataset.sql,
        "filter_select_enabled": True,
        "metrics": [{"metric_name": "count", "verbose_name": "rows", "expression": "count(*)", "metric_type": "count"}],
        "columns": [_build_column(column) for column in dataset.columns],
        "uuid": _compute_uuid("dataset", dataset.name),
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
        "dataset_uuid": _compute_uuid("dataset", chart["data"]),
        "version": _VERSION,
    }


def _build_filters(chart: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "where" not in chart:
        return []
    return [{"expressionType": "SQL", "sqlExpression": chart["where"], "clause": "WHERE"}]


def _build_dashboard(pages: Sequence[Mapping[str, Any]], datasets: Mapping[str, Dataset]) -> Mapping[str, Any]:
    return {
        "dashboard_title": "AppStream image builders",
        "description": "Rendered from the feeds of appstream-export.",
        "slug": "appstream-image-builders",
        "published": True,
        "css": "",
        "position": _build_positions(pages),
        "metadata": {
            "native_filter_configuration": _build_filters_of_all(datasets[FILTERED]),
            "cross_filters_enabled": True,
            "color_scheme": "supersetColors",
        },
        "uuid": _compute_uuid("dashboard", "image_builders"),
        "version": _VERSION,
    }


def _build_positions(pages: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the positions of charts: the first page stays above the others, which are tabs.

    Superset expects a tree of ROOT, GRID, tabs, rows and charts. Its import finds a chart by uuid and sets the chartId.
    """
    head, *tabs = pages
    top = ["ROOT_ID", "GRID_ID"]
    rows = dict(_build_rows(head, top))
    found: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"id": "ROOT_ID", "type": "ROOT", "children": ["GRID_ID"]},
        "GRID_ID": {"id": "GRID_ID", "type": "GRID", "children": [*_list_rows(rows), "TABS"], "parents": ["ROOT_ID"]},
        "TABS": {"id": "TABS", "type": "TABS", "children": [f"TAB-{slugify_name(tab['name'])}" for tab in tabs],
                 "parents": top, "meta": {}},
    }  # fmt: skip
    for tab in tabs:
        name = f"TAB-{slugify_name(tab['name'])}"
        inside = dict(_build_rows(tab, [*top, "TABS", name]))
        meta = {"text": tab["name"], "defaultText": "Tab title", "placeholder": "Tab title"}
        found[name] = {"id": name, "type": "TAB", "children": _list_rows(inside), "parents": [*top, "TABS"],
                       "meta": meta}  # fmt: skip
        rows |= inside
    return found | rows


def _list_rows(places: Mapping[str, Any]) -> list[str]:
    return [name for name, place in places.items() if place["type"] == "ROW"]


def _build_rows(page: Mapping[str, Any], above: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of a page and their charts, in order, as many in a row as fit."""
    rows: list[list[Mapping[str, Any]]] = [[]]
    for chart in page["chart"]:
        if sum(c["width"] for c in rows[-1]) + chart["width"] > COLUMNS:
            rows.append([])
        rows[-1].append(chart)
    for number, row in enumerate(rows):
        name = f"ROW-{slugify_name(page['name'])}-{number}"
        places = {f"CHART-{slugify_name(chart['name'])}": chart for chart in row}
        yield name, {"id": name, "type": "ROW", "children": list(places), "parents": list(above),
                     "meta": {"background": "BACKGROUND_TRANSPARENT"}}  # fmt: skip
        for place, chart in places.items():
            yield place, _build_chart_position(place, chart, [*above, name])


def _build_chart_position(name: str, chart: Mapping[str, Any], parents: Sequence[str]) -> Mapping[str, Any]:
    meta = {"uuid": _compute_uuid("chart", chart["name"]), "sliceName": chart["name"], "chartId": 0,
            "width": chart["width"], "height": chart["height"]}  # fmt: skip
    return {"id": name, "type": "CHART", "children": [], "parents": list(parents), "meta": meta}


def _build_filters_of_all(dataset: Dataset) -> list[Mapping[str, Any]]:
    """Return the filters of the dashboard; each applies to every chart whose dataset has such a column."""
    labels = [column.name for column in dataset.columns if column.name.startswith(("label_", "tag_"))]
    names = {"account": "Account", "region": "Region", **{name: name.replace("_", " ").capitalize() for name in labels},
             "state": "State", "image_builder_key": "Builder"}  # fmt: skip
    return [_build_filter(column, name, dataset) for column, name in names.items()]


def _build_filter(column: str, name: str, dataset: Dataset) -> Mapping[str, Any]:
    return {
        "id": f"NATIVE_FILTER-{column}",
        "name": name,
        "filterType": "filter_select",
        "type": "NATIVE_FILTER",
        "targets": [{"column": {"name": column}, "datasetUuid": _compute_uuid("dataset", dataset.name)}],
        "scope": {"rootPath": ["ROOT_ID"], "excluded": []},
        "controlValues": {"multiSelect": True, "enableEmptyFilter": False, "searchAllOptions": True},
        "defaultDataMask": {"extraFormData": {}, "filterState": {}},
        "cascadeParentIds": [],
    }


def _check_chart(chart: Mapping[str, Any], datasets: Mapping[str, Dataset]) -> None:
    dataset = datasets.get(chart["data"])
    if dataset is None:
        raise ContractError(f'dashboard.toml: "{chart["name"]}" reads {chart["data"]}, which does not exist')
    columns = {column.name for column in dataset.columns}
    if missing := set(chart["reads"]) - columns:
        raise ContractError(f'dashboard.toml: "{chart["name"]}": {dataset.name} has no column {min(missing)}')
    text = json.dumps(chart.get("params", {})) + chart.get("where", "")
    if unused := next((name for name in chart["reads"] if name not in text), None):
        raise ContractError(f'dashboard.toml: "{chart["name"]}" lists {unused} in reads, but does not use it')


def _compute_uuid(kind: str, name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"appstream-export/superset/{kind}/{name}"))
