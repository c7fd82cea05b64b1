"""Assets as contracts, SQL headers and feeds describe them: nothing is said here that is not said there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import dagster as dg

from appstream_export.contracts import Column, Contract, Table, list_snapshot_tables, load_sql_files, load_view_files
from appstream_export.feeds import STATUS, build_feeds
from appstream_export.settings import Settings

TABLES, EXPORT, MARTS, FEEDS, REPORT, DASHBOARDS = GROUPS = (
    "tables", "export", "marts", "feeds", "report", "dashboards",
)  # fmt: skip
"""From left to right: what AWS said, what the export says of itself, what is derived, and who reads it."""
_HISTORY = "_history"
_STAMPS = frozenset({"snapshot_id", "as_of_utc"})  # of the reader's own making: they come from no column
_REPORT_DOC = "The warehouse on one page that stands alone: what there is, what changed, what was not seen."
_DASHBOARD_DOC = "The dashboard that people open. It reads the feeds; nothing of it is made here."
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
    """One asset to be: `name` is what the catalog or the feeds call it, `reads` are assets by their keys."""

    name: str
    group: str
    doc: str
    version: str
    """What its content depends on, as text; shown as a digest of it."""
    columns: tuple[Column, ...] = ()
    reads: tuple[dg.AssetKey, ...] = ()
    resource: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)

    @property
    def key(self) -> dg.AssetKey:
        """Feeds have the names of tables, so they alone have a folder."""
        return build_feed_key(self.name) if self.group == FEEDS else dg.AssetKey(self.name)


def build_feed_key(name: str) -> dg.AssetKey:
    """`feeds/image_builders`."""
    return dg.AssetKey([FEEDS, name])


def build_asset_sources(contracts: Sequence[Contract], settings: Settings) -> list[AssetSource]:
    """Everything that a run makes, each after what it reads."""
    made = [*_build_table_sources(contracts)]
    made += _build_mart_sources(asset_keys={asset.name: asset.key for asset in made})
    known = {asset.name: asset.key for asset in made}
    made += _build_feed_sources(contracts, settings, known)
    reads = {read for file in load_sql_files("report") for read in file.reads}
    version = "".join(file.sql for file in load_sql_files("report"))
    report = AssetSource(
        name="report", group=REPORT, doc=_REPORT_DOC, version=version, reads=_resolve_asset_keys(reads, known)
    )
    return [*made, report]


def build_asset_spec(
    asset: AssetSource, settings: Settings, freshness: dg.FreshnessPolicy | None = None
) -> dg.AssetSpec:
    """The asset as Dagster shows it before its first run. Not all are made by each run: publishing may fail."""
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
    """Whether runs leave it as it is, since publishing it is another job's affair: then it is outside Dagster."""
    return not {FEEDS: settings.feeds.publish, REPORT: settings.feeds.report}.get(asset.group, True)


def build_dashboard_specs(settings: Settings, feeds: Iterable[AssetSource]) -> Iterator[dg.AssetSpec]:
    """The dashboard that the settings name: outside Dagster, behind the feeds."""
    url = settings.dagster.dashboard_url
    if url:
        asset = AssetSource(
            name="dashboard",
            group=DASHBOARDS,
            doc=_DASHBOARD_DOC,
            version=url,
            reads=tuple(feed.key for feed in feeds),
            metadata={"url": dg.MetadataValue.url(url)},
        )
        yield build_asset_spec(asset, settings)


def build_column_lineage(assets: Iterable[AssetSource]) -> dict[dg.AssetKey, dg.TableColumnLineage]:
    """Columns by the columns that they come from: those of the same name in what an asset reads.

    What SQL renames or computes is left out rather than guessed; `_utc` is the same time without a zone.
    """
    by_key = {asset.key: asset for asset in assets}
    found = {key: _find_column_deps(asset, by_key) for key, asset in by_key.items()}
    return {key: dg.TableColumnLineage(deps) for key, deps in found.items() if deps}


def _find_column_deps(
    asset: AssetSource, by_key: Mapping[dg.AssetKey, AssetSource]
) -> dict[str, list[dg.TableColumnDep]]:
    read = [(key, {column.name for column in by_key[key].columns}) for key in asset.reads]
    deps: dict[str, list[dg.TableColumnDep]] = {}
    for column in (c.name for c in asset.columns if c.name not in _STAMPS):
        for name in (column, column.removesuffix("_utc")):
            if came := [dg.TableColumnDep(key, name) for key, names in read if name in names]:
                deps[column] = came
                break
    return deps


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
        )


def _describe_table(table: Table) -> str:
    return (
        f"{table.doc}\n\nKey within a snapshot: {', '.join(f'`{name}`' for name in table.key)}."
        if table.key
        else table.doc
    )


def _build_mart_sources(asset_keys: Mapping[str, dg.AssetKey]) -> Iterator[AssetSource]:
    files = load_view_files()
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
        )


def _build_feed_sources(
    contracts: Sequence[Contract], settings: Settings, asset_keys: Mapping[str, dg.AssetKey]
) -> Iterator[AssetSource]:
    """Feeds without a file of their own are a table of the same name, with the accounts' names beside it."""
    files = {file.name: file for file in load_sql_files(FEEDS)}
    labels = settings.feeds.account_labels
    made = build_feeds(contracts, labels)
    others = tuple(build_feed_key(feed.name) for feed in made if feed.name != STATUS)
    for feed in made:
        reads = list(files[feed.name].reads if feed.name in files else (feed.name,))
        if labels and "account_id" in {column.name for column in feed.columns}:
            reads.append("accounts")
        yield AssetSource(
            name=feed.name,
            group=FEEDS,
            doc=f"{feed.doc}\n\nKey: `{feed.key}`.",
            version=feed.sql,
            columns=feed.columns,
            reads=others if feed.name == STATUS else _resolve_asset_keys(reads, asset_keys),
        )


def _resolve_asset_keys(reads: Iterable[str], asset_keys: Mapping[str, dg.AssetKey]) -> tuple[dg.AssetKey, ...]:
    """Of the assets among what is read: a history is its table; what a run makes for itself is none."""
    names = dict.fromkeys(name.removesuffix(_HISTORY) for name in reads)
    return tuple(asset_keys[name] for name in sorted(names) if name in asset_keys)


def _build_column_metadata(asset: AssetSource) -> dict[str, object]:
    if not asset.columns:
        return {}
    columns = [dg.TableColumn(name=c.name, type=c.type, description=c.doc) for c in asset.columns]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}
