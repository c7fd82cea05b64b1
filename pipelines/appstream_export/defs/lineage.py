"""Column lineage: the source columns of each column of an asset, from the SQL that builds it."""

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from appstream_export.defs.specs import FEEDS, AssetSource
from appstream_export.lake.catalog import FEED_SNAPSHOT, FEED_SNAPSHOT_COLUMNS, ColumnTracer, SourceColumn

_STAMPS = frozenset({"snapshot_id", "as_of_utc"})  # the same in all rows of a feed: when it was published


def build_column_lineage(assets: Iterable[AssetSource]) -> dict[dg.AssetKey, dg.TableColumnLineage]:
    """Return the source columns of each column, by asset.

    This parses all SQL, which takes most of a second: call it where lineage is reported, not where definitions load.
    Columns whose sources are not assets are left out.
    """
    assets = list(assets)
    by_name = {asset.name: asset for asset in assets if asset.group != FEEDS}
    columns = {name: [column.name for column in asset.columns] for name, asset in by_name.items()}
    tracer = ColumnTracer({**columns, FEED_SNAPSHOT: FEED_SNAPSHOT_COLUMNS})
    found = {
        asset.key: _build_column_deps(asset, tracer.trace_query(asset.key.to_user_string(), asset.sql), by_name)
        for asset in assets
        if asset.sql
    }
    return {key: dg.TableColumnLineage(deps) for key, deps in found.items() if deps}


def build_sources_table(lineage: dg.TableColumnLineage) -> dg.TableMetadataValue:
    """Return the sources of each column as a table, because Dagster's own pages draw no lineage of columns."""
    records = [
        dg.TableRecord({"column": column, "from": _format_sources(deps)})
        for column, deps in lineage.deps_by_column.items()
    ]
    columns = [
        dg.TableColumn("column", "string", "Column of this asset."),
        dg.TableColumn("from", "string", "Columns that its values are taken or computed from."),
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def _format_sources(deps: Sequence[dg.TableColumnDep]) -> str:
    """Format sources by asset, such as `image_builders: state, name; accounts: state`, which browsers can wrap."""
    by_asset: dict[str, list[str]] = {}
    for dep in deps:
        by_asset.setdefault(dep.asset_key.to_user_string(), []).append(dep.column_name)
    return "; ".join(f"{asset}: {', '.join(columns)}" for asset, columns in by_asset.items())


def _build_column_deps(
    asset: AssetSource, sources: Mapping[str, Iterable[SourceColumn]], by_name: Mapping[str, AssetSource]
) -> dict[str, list[dg.TableColumnDep]]:
    stamps = _STAMPS if asset.group == FEEDS else frozenset()
    deps = {
        column: [
            dg.TableColumnDep(by_name[table].key, name)
            for table, name in sorted(found)
            # A table's view reads the files of the table itself, which are not a source.
            if table in by_name and by_name[table].key != asset.key
        ]
        for column, found in sources.items()
        if column not in stamps
    }
    return {column: [*found] for column, found in {**deps, **asset.origins}.items() if found}
