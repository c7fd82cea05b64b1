"""One export in a code location: its configuration, and the names of all its definitions."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import dagster as dg
import msgspec

from appstream_export.contracts import Contract
from appstream_export.defs.context import as_dagster_failure
from appstream_export.defs.lineage import build_column_lineage
from appstream_export.defs.specs import AssetSource, build_asset_spec
from appstream_export.defs.translator import ExportAssetData, ExportTranslator
from appstream_export.errors import SettingsError
from appstream_export.run import load_enabled_contracts
from appstream_export.settings import Settings, read_settings
from appstream_export.settings_file import find_settings_file

JOBS = SNAPSHOT, SHARDED, REPUBLISH, MAINTENANCE, PRUNE = (
    "snapshot", "snapshot_sharded", "republish", "maintenance", "prune_runs",
)  # fmt: skip
TABLES_STEP, OUTPUTS_STEP, COVERAGE_STEP = "snapshot_tables", "outputs", "coverage"
_KEY_PART = re.compile(r"[A-Za-z0-9_.-]+")
POOL = "warehouse"
"""Steps that write to the warehouse share this pool of one slot, so that they never overlap."""


@dataclass(frozen=True, kw_only=True)
class ExportBinding:
    """A configuration, and the names under which its definitions appear. Steps read the configuration again.

    Without `config`, the environment names it. `name_prefix` begins the names of jobs, steps, schedules, sensors and
    the pool. `schedule` replaces `[dagster] cron`.
    """

    config: Path | None = None
    key_prefix: tuple[str, ...] = ()
    group_prefix: str = ""
    name_prefix: str = ""
    schedule: str | None = None
    translator: ExportTranslator = field(default_factory=ExportTranslator)

    def load_settings(self, *, needs_accounts: bool = True) -> Settings:
        """Return the settings as they are now; raises Failure with one line if they are wrong."""
        with as_dagster_failure():
            return self._apply_schedule(read_settings(self.config, os.environ, needs_accounts=needs_accounts))

    def load_settings_or_default(self) -> Settings:
        """Return the settings for building definitions; the defaults if the environment names no file yet."""
        file = find_settings_file(self.config, os.environ)
        return self._apply_schedule(read_settings(file, os.environ, needs_accounts=False) if file else Settings())

    def load_contracts(self) -> Sequence[Contract]:
        """Return the enabled contracts as they are now, with the user's SQL."""
        with as_dagster_failure():
            return load_enabled_contracts(self.load_settings_or_default())

    def format_name(self, name: str) -> str:
        """Return the name of a job, step, schedule, sensor or pool in this code location."""
        return f"{self.name_prefix}{name}"

    @property
    def pool(self) -> str:
        """The pool of the steps that write to the warehouse."""
        return self.format_name(POOL)

    @property
    def job_names(self) -> frozenset[str]:
        """The names of all jobs of this export."""
        return frozenset(map(self.format_name, JOBS))

    def _apply_schedule(self, settings: Settings) -> Settings:
        if self.schedule is None:
            return settings
        return msgspec.structs.replace(settings, dagster=msgspec.structs.replace(settings.dagster, cron=self.schedule))


def parse_key_prefix(key_prefix: str | Sequence[str]) -> tuple[str, ...]:
    """Return the parts of a key prefix without empty ones; raises SettingsError for one that Dagster refuses."""
    parts = tuple(part for part in ([key_prefix] if isinstance(key_prefix, str) else key_prefix) if part)
    for part in parts:
        if not _KEY_PART.fullmatch(part):
            fix = 'give its parts as a list: ["cloud", "appstream"]'
            raise SettingsError(f"key_prefix {json.dumps(part)}: only letters, digits, _, - and . are allowed", fix=fix)
    return parts


def build_name_prefix(key_prefix: Sequence[str]) -> str:
    """Return the prefix of names that belongs to a key prefix: `cloud_appstream_` for `[cloud, appstream]`."""
    return "".join(re.sub(r"\W", "_", part, flags=re.ASCII) + "_" for part in key_prefix)


@dataclass(frozen=True, kw_only=True)
class ExportAssets:
    """The assets of an export in a code location. Other modules name assets by their default key, without prefix."""

    sources: tuple[AssetSource, ...]
    specs: Mapping[dg.AssetKey, dg.AssetSpec]
    """The spec of each asset by its default key."""
    external: tuple[AssetSource, ...] = ()
    """Assets that runs do not make, to which column lineage refers."""

    def get_key(self, default: dg.AssetKey) -> dg.AssetKey:
        """Return the key of an asset in this code location; keys of other assets are returned unchanged."""
        return self.specs[default].key if default in self.specs else default

    def list_sources(self, groups: Iterable[str]) -> list[AssetSource]:
        """Return the sources in these groups."""
        return [source for source in self.sources if source.group in groups]

    def list_specs(self, groups: Iterable[str]) -> list[dg.AssetSpec]:
        """Return the specs of the assets in these groups."""
        return [self.specs[source.key] for source in self.list_sources(groups)]

    @property
    def keys(self) -> frozenset[dg.AssetKey]:
        """The keys of all assets in this code location."""
        return frozenset(spec.key for spec in self.specs.values())

    def bind_checks(self, specs: Iterable[dg.AssetCheckSpec]) -> list[dg.AssetCheckSpec]:
        """Return specs of checks on the keys of this code location."""
        return [spec.replace_key(self.bind_check_key(spec.key)) for spec in specs]

    def bind_check_key(self, key: dg.AssetCheckKey) -> dg.AssetCheckKey:
        """Return the key of a check in this code location."""
        return dg.AssetCheckKey(self.get_key(key.asset_key), key.name)

    @cached_property
    def column_lineage(self) -> Mapping[dg.AssetKey, dg.TableColumnLineage]:
        """The column lineage of each asset by its default key, with the keys of this code location."""
        # Computed once per process, and only by steps: parsing all SQL takes most of a second.
        return {
            key: self._bind_lineage(found)
            for key, found in build_column_lineage((*self.external, *self.sources)).items()
        }

    def _bind_lineage(self, lineage: dg.TableColumnLineage) -> dg.TableColumnLineage:
        deps = {
            column: [dg.TableColumnDep(self.get_key(dep.asset_key), dep.column_name) for dep in found]
            for column, found in lineage.deps_by_column.items()
        }
        return dg.TableColumnLineage(deps)


def bind_assets(
    binding: ExportBinding,
    sources: Sequence[AssetSource],
    settings: Settings,
    freshness: Mapping[dg.AssetKey, dg.FreshnessPolicy],
) -> ExportAssets:
    """Return the assets of an export with the specs that the binding's translator gives them."""
    defaults = {source.key: build_asset_spec(source, settings, freshness.get(source.key)) for source in sources}
    # The translator is called twice: dependencies need the keys that it gives to the other assets.
    given = {source.key: _translate_asset(binding, source, defaults[source.key]) for source in sources}
    keyed = ExportAssets(sources=tuple(sources), specs=given)
    specs = {
        source.key: _translate_asset(binding, source, _bind_deps(keyed, defaults[source.key])) for source in sources
    }
    return ExportAssets(sources=tuple(sources), specs=specs)


def _translate_asset(binding: ExportBinding, source: AssetSource, spec: dg.AssetSpec) -> dg.AssetSpec:
    placed = spec.replace_attributes(
        key=spec.key.with_prefix(binding.key_prefix) if binding.key_prefix else spec.key,
        group_name=f"{binding.group_prefix}{source.group}",
    )
    data = ExportAssetData(name=source.name, group=source.group, resource=source.resource, spec=placed)
    return binding.translator.get_asset_spec(data)


def _bind_deps(assets: ExportAssets, spec: dg.AssetSpec) -> dg.AssetSpec:
    return spec.replace_attributes(deps=[assets.get_key(dep.asset_key) for dep in spec.deps])
