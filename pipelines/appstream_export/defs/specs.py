"""Specifications of assets, rendered from contracts, SQL headers and feeds, which hold the descriptions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from hashlib import sha256
from textwrap import shorten

import dagster as dg

from appstream_export.contracts import (
    STAR_FOLDER,
    Column,
    Contract,
    SqlFile,
    Table,
    can_render_report,
    list_snapshot_tables,
    list_sql_files,
    list_view_files,
    strip_header,
)
from appstream_export.defs.sources import ExternalSource, list_external_sources
from appstream_export.feeds import (
    FEED_STATUS,
    VERSIONS,
    build_version_feeds,
    format_feed_name,
    insert_feed_scopes,
)
from appstream_export.lake.catalog import render_newest_select
from appstream_export.settings import Settings

SOURCES, TABLES, EXPORT, MARTS, FEEDS, REPORT, DASHBOARDS = GROUPS = (
    "sources", "tables", "export", "marts", "feeds", "report", "dashboards",
)  # fmt: skip
"""Groups of assets, upstream first: what is read, AWS's data, data about the export, derived views, outputs."""
_HISTORY = "_history"
_REPORT_DOC = "The warehouse on one self-contained page: image builders, their changes, and scopes that were not seen."
_SHORT = 80  # characters of a description, so that lists of assets are readable
_TYPE_WORDS: Mapping[str, str] = {
    "varchar": "string",
    "json": "string",
    "bigint": "integer",
    "double": "number",
    "timestamptz": "timestamp",
}
"""The word for a column's type in every group, if it is not the type's own name; a decimal is a number."""
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
    checks: tuple[SqlFile, ...] = ()
    """Files of checks that show on this asset."""
    sql: str = ""
    """The query that returns its rows, from which its columns are traced."""
    origins: Mapping[str, Sequence[dg.TableColumnDep]] = field(default_factory=dict)
    """The source columns of columns that no query returns."""
    kinds: frozenset[str] = frozenset()
    """Replace the kinds of the group."""

    @property
    def key(self) -> dg.AssetKey:
        """The asset key. Feeds have the names of tables, so their keys have a prefix; sources and v2 have parts."""
        return build_feed_key(self.name) if self.group == FEEDS else dg.AssetKey(self.name.split("/"))


def build_feed_key(name: str) -> dg.AssetKey:
    """Return the asset key of a feed, such as `feeds/image_builders` or `feeds/v2/dim_account`."""
    return dg.AssetKey([FEEDS, *name.split("/")])


def build_asset_sources(contracts: Sequence[Contract], settings: Settings) -> list[AssetSource]:
    """Return the sources of all assets of a run, each after the assets that it reads."""
    external = list_external_sources(contracts, settings)
    sources = [*_build_external_assets(external), *_build_table_sources(contracts, external)]
    sources += _build_mart_sources(contracts, asset_keys={asset.name: asset.key for asset in sources})
    known = {asset.name: asset.key for asset in sources}
    sources += _build_feed_sources(contracts, settings, known)
    sources += [_build_report_source(contracts, known)] if can_render_report(contracts) else []
    return _assign_checks(_sort_by_reads(sources), contracts)


def _sort_by_reads(sources: Iterable[AssetSource]) -> list[AssetSource]:
    """Return each asset after those that it reads: a step must report its materializations in this order."""
    by_key = {source.key: source for source in sources}
    order = TopologicalSorter({key: source.reads for key, source in by_key.items()}).static_order()
    return [by_key[key] for key in order]


def _assign_checks(sources: Sequence[AssetSource], contracts: Sequence[Contract]) -> list[AssetSource]:
    """Return the sources with their checks: each file belongs to the first asset that it reads."""
    names = {asset.name: asset.key for asset in reversed(sources)}  # reversed: a table wins over the feed of its name
    checks: dict[dg.AssetKey, list[SqlFile]] = {}
    for file in list_sql_files(contracts, "checks"):
        if key := next((names[name] for name in file.reads if name in names), None):
            checks.setdefault(key, []).append(file)
    return [replace(asset, checks=tuple(checks.get(asset.key, ()))) for asset in sources]


def _build_report_source(contracts: Sequence[Contract], asset_keys: Mapping[str, dg.AssetKey]) -> AssetSource:
    files = list_sql_files(contracts, REPORT)
    star = {file.name: file for file in list_sql_files(contracts, STAR_FOLDER)}
    files += [star[name] for name in sorted({read for file in files for read in file.reads if read in star})]
    reads = {read for file in files for read in file.reads}
    version = "".join(file.sql for file in files)
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
        description=shorten_doc(asset.doc),
        group_name=asset.group,
        kinds=set(asset.kinds or _KINDS[asset.group]),
        owners=settings.dagster.owners,
        tags=tags,
        code_version=sha256(asset.version.encode()).hexdigest()[:12],
        metadata={**_build_column_metadata(asset), **_build_text_metadata(asset), **asset.metadata},
        skippable=asset.group in (MARTS, FEEDS, REPORT),
        freshness_policy=freshness,
    )


def is_external_asset(asset: AssetSource, settings: Settings) -> bool:
    """Return whether no run makes the asset: a source, or an output that [feeds] disables."""
    made = {SOURCES: False, FEEDS: settings.feeds.publish, REPORT: settings.feeds.report}
    return not made.get(asset.group, True)


def build_dashboard_sources(settings: Settings, assets: Iterable[AssetSource]) -> Iterator[AssetSource]:
    """Yield the dashboard that the settings name, if any: external, downstream of the feeds in `assets`."""
    url = settings.dagster.dashboard_url
    if url:
        yield AssetSource(
            name="dashboard",
            group=DASHBOARDS,
            doc=_DASHBOARD_DOC,
            version=url,
            reads=tuple(asset.key for asset in assets if asset.group == FEEDS),
            metadata={"url": dg.MetadataValue.url(url)},
        )


def _build_external_assets(sources: Iterable[ExternalSource]) -> Iterator[AssetSource]:
    for source in sources:
        yield AssetSource(
            name=source.name,
            group=SOURCES,
            doc=source.doc,
            version=repr(source.columns),
            columns=source.columns,
            kinds=frozenset({source.kind}),
        )


def _build_table_sources(contracts: Sequence[Contract], external: Sequence[ExternalSource]) -> Iterator[AssetSource]:
    upstream = {contract.changes_table.name: [table.name for table in contract.tables] for contract in contracts}
    upstream |= {"scope_runs": ["accounts"], "snapshots": ["scope_runs"]}
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
            reads=(
                *(dg.AssetKey(source.name.split("/")) for source in external if table.name in source.origins),
                *map(dg.AssetKey, upstream.get(table.name, ())),
            ),
            metadata={"dagster/table_name": table.name},
            sql=render_newest_select(table),
            origins=_find_origins(table, external),
        )


def _find_origins(table: Table, external: Sequence[ExternalSource]) -> dict[str, list[dg.TableColumnDep]]:
    found: dict[str, list[dg.TableColumnDep]] = {}
    for source in external:
        for column, origin in source.origins.get(table.name, {}).items():
            found.setdefault(column, []).append(dg.TableColumnDep(dg.AssetKey(source.name.split("/")), origin))
    return found


def _describe_table(table: Table) -> str:
    return (
        f"{table.doc}\n\nKey within a snapshot: {', '.join(f'`{name}`' for name in table.key)}."
        if table.key
        else table.doc
    )


def _build_mart_sources(contracts: Sequence[Contract], asset_keys: Mapping[str, dg.AssetKey]) -> Iterator[AssetSource]:
    files = list_view_files(contracts)
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
    """Yield the sources of the feeds of each version that the settings publish; those of v2 are named `v2/<feed>`."""
    for version in (version for version in VERSIONS if version in settings.feeds.versions):
        feeds = [insert_feed_scopes(f, contracts) for f in build_version_feeds(version, contracts, settings.feeds)]
        others = tuple(build_feed_key(format_feed_name(version, f.name)) for f in feeds if f.name != FEED_STATUS)
        for feed in feeds:
            yield AssetSource(
                name=format_feed_name(version, feed.name),
                group=FEEDS,
                doc=f"{feed.doc}\n\nKey: `{feed.key}`.",
                version=feed.sql,
                columns=feed.columns,
                reads=others if feed.name == FEED_STATUS else _resolve_asset_keys(feed.reads, asset_keys),
                sql=feed.sql,
            )


def _resolve_asset_keys(reads: Iterable[str], asset_keys: Mapping[str, dg.AssetKey]) -> tuple[dg.AssetKey, ...]:
    """Return the keys of the assets among the tables and views read; a history counts as its table."""
    names = dict.fromkeys(name.removesuffix(_HISTORY) for name in reads)
    return tuple(asset_keys[name] for name in sorted(names) if name in asset_keys)


def _build_column_metadata(asset: AssetSource) -> dict[str, object]:
    if not asset.columns:
        return {}
    columns = [dg.TableColumn(name=c.name, type=get_type_word(c.type), description=c.doc) for c in asset.columns]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}


def _build_text_metadata(asset: AssetSource) -> dict[str, object]:
    """Return the whole description, if the asset's own is shorter, and the SQL of a mart or feed."""
    found: dict[str, object] = {} if asset.doc == shorten_doc(asset.doc) else {"about": dg.MetadataValue.md(asset.doc)}
    if asset.sql and asset.group in (MARTS, FEEDS):
        found["sql"] = dg.MetadataValue.md(f"```sql\n{strip_header(asset.sql)}\n```")
    return found


def shorten_doc(doc: str) -> str:
    """Return the first sentence of a description, cut after _SHORT characters.

    >>> shorten_doc("One row per builder. It has a key.")
    'One row per builder.'
    """
    sentence, dot, _ = doc.split("\n", 1)[0].partition(". ")
    return shorten(sentence + dot.strip(), _SHORT, placeholder=" …")


def get_type_word(kind: str) -> str:
    """Return the word for a column type of a contract, of DuckDB or of a feed.

    >>> get_type_word("TIMESTAMPTZ"), get_type_word("decimal(18,4)"), get_type_word("date")
    ('timestamp', 'number', 'date')
    """
    name = kind.lower()
    return "number" if name.startswith("decimal(") else _TYPE_WORDS.get(name, name)
