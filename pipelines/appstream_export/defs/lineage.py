"""Column lineage: which columns of its sources a column of an asset comes from."""

from collections.abc import Iterable, Mapping

import dagster as dg

from appstream_export.defs.specs import AssetSource

_STAMPS = frozenset({"snapshot_id", "as_of_utc"})  # set by the reader: they come from no column


def build_column_lineage(assets: Iterable[AssetSource]) -> dict[dg.AssetKey, dg.TableColumnLineage]:
    """Return the columns that each column comes from, by asset: those of the same name in what the asset reads.

    What SQL renames or computes is left out rather than guessed; `_utc` is the same time without a zone.
    """
    by_key = {asset.key: asset for asset in assets}
    found = {key: _find_column_deps(asset, by_key) for key, asset in by_key.items()}
    return {key: dg.TableColumnLineage(deps) for key, deps in found.items() if deps}


def _find_column_deps(
    asset: AssetSource, by_key: Mapping[dg.AssetKey, AssetSource]
) -> dict[str, list[dg.TableColumnDep]]:
    sources = [(key, {column.name for column in by_key[key].columns}) for key in asset.reads]
    deps: dict[str, list[dg.TableColumnDep]] = {}
    for column in (c.name for c in asset.columns if c.name not in _STAMPS):
        for name in (column, column.removesuffix("_utc")):
            if matches := [dg.TableColumnDep(key, name) for key, names in sources if name in names]:
                deps[column] = matches
                break
    return deps
