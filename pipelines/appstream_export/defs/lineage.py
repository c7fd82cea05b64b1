"""Column lineage: the source columns of each column of an asset."""

from collections.abc import Iterable, Mapping

import dagster as dg

from appstream_export.defs.specs import AssetSource

_STAMPS = frozenset({"snapshot_id", "as_of_utc"})  # set by the reader, not taken from a column


def build_column_lineage(assets: Iterable[AssetSource]) -> dict[dg.AssetKey, dg.TableColumnLineage]:
    """Return the source columns of each column, by asset: columns of the same name in the assets that it reads.

    Columns that SQL renames or computes are left out, because they could only be guessed. `x_utc` comes from `x`, the
    same time with a zone.
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
