"""The definitions of an export, for a code location of its own or beside the assets of a host project."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from appstream_export.contracts import Contract
from appstream_export.defs.assets import TABLE_GROUPS, build_outputs_asset, build_tables_asset
from appstream_export.defs.automation import (
    build_alert_sensor,
    build_freshness_policy,
    build_job_tags,
    build_schedules,
)
from appstream_export.defs.binding import (
    REPUBLISH,
    SNAPSHOT,
    ExportAssets,
    ExportBinding,
    bind_assets,
    build_name_prefix,
    parse_key_prefix,
)
from appstream_export.defs.checks import build_completeness_specs, split_check_specs
from appstream_export.defs.coverage import build_coverage_checks
from appstream_export.defs.maintenance import build_maintenance_job, build_prune_job
from appstream_export.defs.sharded import build_sharded_job
from appstream_export.defs.specs import (
    FEEDS,
    MARTS,
    REPORT,
    build_asset_sources,
    build_dashboard_sources,
    is_external_asset,
)
from appstream_export.defs.translator import ExportTranslator
from appstream_export.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def export_definitions(
    config: str | Path | None = None,
    *,
    key_prefix: str | Sequence[str] = (),
    group_prefix: str = "",
    name_prefix: str | None = None,
    schedule: str | None = None,
    translator: ExportTranslator | None = None,
) -> dg.Definitions:
    """Return all definitions of an export: assets, checks, jobs, schedules and a sensor, without an executor.

    `config` is the settings file; without it, the environment names one, and defaults apply until it exists. Two
    exports in one code location need different key prefixes. `name_prefix` begins the names of jobs, steps, schedules,
    sensors and the pool; by default it follows from `key_prefix`. `schedule` is a cron expression that replaces
    `[dagster] cron`. Raises SettingsError with one line if the file is missing or wrong.
    """
    prefix = parse_key_prefix(key_prefix)
    binding = ExportBinding(
        config=Path(config).resolve() if config else None,
        key_prefix=prefix,
        group_prefix=group_prefix,
        name_prefix=build_name_prefix(prefix) if name_prefix is None else name_prefix,
        schedule=schedule,
        translator=translator or ExportTranslator(),
    )
    return build_definitions(binding)


def build_definitions(binding: ExportBinding) -> dg.Definitions:
    """Build the definitions of a binding from its settings, contracts, SQL headers and feeds."""
    settings, contracts = binding.load_settings_or_default(), binding.load_contracts()
    sources = build_asset_sources(contracts, settings)
    own = [source for source in sources if not is_external_asset(source, settings)]
    policy = build_freshness_policy(settings)
    assets = bind_assets(
        binding,
        [*sources, *build_dashboard_sources(settings, sources)],
        settings,
        {source.key: policy for source in own},
    )
    made = {source.key for source in own}
    external = [spec for key, spec in assets.specs.items() if key not in made]
    others = tuple(source for source in assets.sources if source.key not in made)
    # Events, checks and metadata are those of the assets that runs make.
    run_assets = ExportAssets(sources=tuple(own), specs=assets.specs, external=others)
    return dg.Definitions(
        assets=[*_build_steps(binding, run_assets, settings, contracts), *external],
        asset_checks=[_build_last_step(binding, run_assets, settings)],
        jobs=[
            *_build_asset_jobs(binding, run_assets, settings),
            build_sharded_job(binding, run_assets, settings),
            build_maintenance_job(binding, settings),
            build_prune_job(binding, run_assets, settings),
        ],
        schedules=build_schedules(binding, settings),
        sensors=[build_alert_sensor(binding, run_assets, settings)],
    )


def _build_steps(
    binding: ExportBinding, assets: ExportAssets, settings: Settings, contracts: Sequence[Contract]
) -> list[dg.AssetsDefinition]:
    stops = settings.dagster.on_incomplete == "stop"
    early, _ = _split_checks(assets, settings)
    complete = build_completeness_specs(contracts, is_blocking=stops)
    groups = [group for group in (MARTS, FEEDS, REPORT) if assets.list_sources([group])]
    return [
        build_tables_asset(binding, assets, [*complete, *early], stops=stops),
        build_outputs_asset(binding, assets, groups),
    ]


def _build_last_step(binding: ExportBinding, assets: ExportAssets, settings: Settings) -> dg.AssetChecksDefinition:
    _, late = _split_checks(assets, settings)
    return build_coverage_checks(binding, assets, late)


def _split_checks(assets: ExportAssets, settings: Settings) -> tuple[list[dg.AssetCheckSpec], list[dg.AssetCheckSpec]]:
    tables: set[dg.AssetKey] = {source.key for source in assets.list_sources(TABLE_GROUPS)}
    is_blocking = settings.dagster.on_incomplete == "stop"
    return split_check_specs(assets.sources, tables, is_blocking=is_blocking)


def _build_asset_jobs(
    binding: ExportBinding, assets: ExportAssets, settings: Settings
) -> "list[UnresolvedAssetJobDefinition]":
    outputs = [spec.key for spec in assets.list_specs((MARTS, FEEDS, REPORT))]
    tables = [spec.key for spec in assets.list_specs(TABLE_GROUPS)]
    jobs = {
        SNAPSHOT: (
            [*tables, *outputs],
            "Request every account and region, commit a snapshot, publish catalog, feeds and report.",
        ),
        REPUBLISH: (outputs, "Publish catalog, feeds and report again from the newest snapshot; request nothing."),
    }
    return [
        dg.define_asset_job(
            binding.format_name(name),
            selection=dg.AssetSelection.assets(*keys),
            description=doc,
            tags=build_job_tags(settings),
            # The run has its own threads; a process per step would only cost time.
            executor_def=dg.in_process_executor,
        )
        for name, (keys, doc) in jobs.items()
    ]
