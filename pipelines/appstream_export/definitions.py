"""Load the definitions for Dagster: `dagster job execute -m appstream_export.definitions -j snapshot`."""

import dagster as dg

from appstream_export.defs import (
    build_alert_sensor,
    build_asset_sources,
    build_asset_spec,
    build_dashboard_specs,
    build_freshness_policy,
    build_max_runtime_tag,
    build_schedules,
    build_sharded_job,
    build_snapshot_asset,
    is_external_asset,
    load_settings_or_default,
    maintain_warehouse,
    prune_runs,
)
from appstream_export.run import load_enabled_contracts


@dg.definitions
def defs() -> dg.Definitions:
    """Build the Dagster definitions from contracts, SQL headers, feeds and settings."""
    settings = load_settings_or_default()
    contracts = load_enabled_contracts(settings)
    assets = build_asset_sources(contracts, settings)
    own = [asset for asset in assets if not is_external_asset(asset, settings)]
    external = [build_asset_spec(asset, settings) for asset in assets if asset not in own]
    snapshot = build_snapshot_asset(contracts, own, settings, build_freshness_policy(settings))
    return dg.Definitions(
        assets=[snapshot, *external, *build_dashboard_specs(settings, assets)],
        jobs=[
            dg.define_asset_job(
                "snapshot",
                selection=dg.AssetSelection.assets(snapshot),
                description="Request every account and region, commit a snapshot, publish catalog, feeds and report.",
                tags=build_max_runtime_tag(settings),
            ),
            build_sharded_job(contracts, own, settings),
            maintain_warehouse,
            prune_runs,
        ],
        schedules=build_schedules(settings),
        sensors=[build_alert_sensor(settings)],
        executor=dg.in_process_executor,  # the run has its own threads; a process per step would only cost
    )
