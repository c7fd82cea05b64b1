"""Specifications of assets, rendered from contracts, SQL headers and feeds, which hold the descriptions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import dagster as dg

from appstream_export.contracts import Column, Contract, Table, list_snapshot_tables, load_sql_files, load_view_files
from appstream_export.feeds import FEED_STATUS, build_feeds
from appstream_export.lake.catalog import render_newest_select
from appstream_export.settings import Settings

TABLES, EXPORT, MARTS, FEEDS, REPORT, DASHBOARDS = GROUPS = (
    "tables", "export", "marts", "feeds", "report", "dashboards",
)  # fmt: skip
"""Groups of assets, upstream first: data of AWS, data about the export, derived views, and outputs for readers."""
_HISTORY = "_history"
_REPORT_DOC = "The warehouse on one self-contained page: image builders, their changes, and scopes that were not seen."
_DASHBOARD_DOC = "The dashboard that reads the feeds. The export does not build it."
_KINDS: Mapping[str, frozenset[str]] = {
    TABLES: frozenset({"parquet", "duckdb"}),
    EXPORT: frozenset({"parquet", "duckdb"}),
    MARTS: frozenset({"duckdb", "sql"}),
    FEEDS: frozenset({"parquet", "table"}),
    REPORT: frozenset({"html"}),
    DASHBOARDS: frozenset({"dashboard"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetSource:
    """Source of an asset's spec: `name` is its name in the catalog or the feeds, `reads` are keys of other assets."""

    name: str
    group: str
    doc: str
    version: str
    """The definition of the asset as text; Dagster shows its digest."""
    columns: tuple[Column, ...] = ()
    reads: tuple[dg.AssetKey, ...] = ()
    resource: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    sql: str = ""
    """The query that returns its rows, from which its columns are traced."""

    @property
    def key(self) -> dg.AssetKey:
        """The asset key. Feeds have the names of tables, so only their keys have a prefix."""
        return build_feed_key(self.name) if self.group == FEEDS else dg.AssetKey(self.name)


def build_feed_key(name: str) -> dg.AssetKey:
    """Return the asset key of a feed, such as `feeds/image_builders`."""
    return dg.AssetKey([FEEDS, name])


def build_asset_sources(contracts: Sequence[Contract], settings: Settings) -> list[AssetSource]:
    """Return the sources of all assets of a run, each after the assets that it reads."""
    sources = [*_build_table_sources(contracts)]
    sources += _build_mart_sources(asset_keys={asset.name: asset.key for asset in sources})
    known = {asset.name: asset.key for asset in sources}
    sources += _build_feed_sources(contracts, settings, known)
    return [*sources, _build_report_source(known)]


def _build_report_source(asset_keys: Mapping[str, dg.AssetKey]) -> AssetSource:
    reads = {read for file in load_sql_files("report") for read in file.reads}
    version = "".join(file.sql for file in load_sql_files("report"))
    return AssetSource(
        name="report", group=REPORT, doc=_REPORT_DOC, version=version, reads=_resolve_asset_keys(reads, asset_keys)
    )


def build_asset_spec(
    asset: AssetSource, settings: Settings, freshness: dg.FreshnessPolicy | None = None
) -> dg.AssetSpec:
    """Return the spec of an asset. Assets that are published are skippable, because publishing may fail."""
    tags = {"stage": asset.group} | ({"resource": asset.resource} if asset.resource else {})
    return dg.AssetSpec(
        key=asset.key,
        deps=asset.reads,
        description=asset.doc,
        group_name=asset.group,
        kinds=set(_KINDS[asset.group]),
        owners=settings.dagster.owners,
        tags=tags,
        code_version=sha256(asset.version.encode()).hexdigest()[:12],
        metadata={**_build_column_metadata(asset), **asset.metadata},
        skippable=asset.group in (MARTS, FEEDS, REPORT),
        freshness_policy=freshness,
    )


def is_external_asset(asset: AssetSource, settings: Settings) -> bool:
    """Return whether [feeds] disables the asset in runs, so that it is external to Dagster."""
    return not {FEEDS: settings.feeds.publish, REPORT: settings.feeds.report}.get(asset.group, True)


def build_dashboard_specs(settings: Settings, assets: Iterable[AssetSource]) -> Iterator[dg.AssetSpec]:
    """Yield the spec of the dashboard that the settings name, if any: external, downstream of the feeds in `assets`."""
    url = settings.dagster.dashboard_url
    if url:
        dashboard = AssetSource(
            name="dashboard",
            group=DASHBOARDS,
            doc=_DASHBOARD_DOC,
            version=url,
            reads=tuple(asset.key for asset in assets if asset.group == FEEDS),
            metadata={"url": dg.MetadataValue.url(url)},
        )
        yield build_asset_spec(dashboard, settings)


def _build_table_sources(contracts: Sequence[Contract]) -> Iterator[AssetSource]:
    resources = {
        table.name: contract.name for contract in contracts for table in (*contract.tables, contract.changes_table)
    }
    for table in list_snapshot_tables(contracts):
        resource = resources.get(table.name)
        yield AssetSource(
            name=table.name,
            group=TABLES if resource else EXPORT,
            doc=_describe_table(table),
            version=repr(table),
            columns=table.view_columns,
            resource=resource,
            metadata={"dagster/table_name": table.name},
            sql=render_newest_select(table),
        )


def _describe_table(table: Table) -> str:
    return (
        f"{table.doc}\n\nKey within a snapshot: {', '.join(f'`{name}`' for name in table.key)}."
        if table.key
        else table.doc
    )


def _build_mart_sources(asset_keys: Mapping[str, dg.AssetKey]) -> Iterator[AssetSource]:
    files = load_view_files()
    # Views may read other views, so their keys are known before the first one is resolved.
    asset_keys = {**asset_keys, **{file.name: dg.AssetKey(file.name) for file in files}}
    for file in files:
        yield AssetSource(
            name=file.name,
            group=MARTS,
            doc=f"{file.doc}\n\nSQL: `{file.place}`.",
            version=file.sql,
            columns=file.columns,
            reads=_resolve_asset_keys(file.reads, asset_keys),
            metadata={"dagster/table_name": file.name},
            sql=file.sql,
        )


def _build_feed_sources(
    contracts: Sequence[Contract], settings: Settings, asset_keys: Mapping[str, dg.AssetKey]
) -> Iterator[AssetSource]:
    """Yield the sources of feeds. A feed without an SQL file reads the table of its name; labels come from accounts."""
    files = {file.name: file for file in load_sql_files(FEEDS)}
    labels = settings.feeds.account_labels
    feeds = build_feeds(contracts, labels)
    others = tuple(build_feed_key(feed.name) for feed in feeds if feed.name != FEED_STATUS)
    for feed in feeds:
        reads = list(files[feed.name].reads if feed.name in files else (feed.name,))
        if labels and "account_id" in {column.name for column in feed.columns}:
            reads.append("accounts")
        yield AssetSource(
            name=feed.name,
            group=FEEDS,
            doc=f"{feed.doc}\n\nKey: `{feed.key}`.",
            version=feed.sql,
            columns=feed.columns,
            reads=others if feed.name == FEED_STATUS else _resolve_asset_keys(reads, asset_keys),
            sql=feed.sql,
        )


def _resolve_asset_keys(reads: Iterable[str], asset_keys: Mapping[str, dg.AssetKey]) -> tuple[dg.AssetKey, ...]:
    """Return the keys of the assets among the tables and views read; a history counts as its table."""
    names = dict.fromkeys(name.removesuffix(_HISTORY) for name in reads)
    return tuple(asset_keys[name] for name in sorted(names) if name in asset_keys)


def _build_column_metadata(asset: AssetSource) -> dict[str, object]:
    if not asset.columns:
        return {}
    columns = [dg.TableColumn(name=c.name, type=c.type, description=c.doc) for c in asset.columns]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}
