"""How the assets of an export appear in a code location: a host project overrides one method."""

from dataclasses import dataclass

import dagster as dg


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportAssetData:
    """An asset of the export: its name, its group without prefix, its resource if it has one, and its default spec.

    Feeds of v2 have names such as `v2/dim_account`.
    """

    name: str
    group: str
    resource: str | None
    spec: dg.AssetSpec


@dataclass(frozen=True)
class ExportTranslator:
    """The specs of the assets of an export. Override `get_asset_spec` to change keys, groups, tags, owners or more.

    Dependencies, checks, column lineage and events follow a changed key.
    """

    def get_asset_spec(self, data: ExportAssetData) -> dg.AssetSpec:
        """Return the spec of an asset; by default `data.spec`, which has the export's prefixes, tags and owners."""
        return data.spec
