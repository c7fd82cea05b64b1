"""Load the definitions for Dagster: `dagster job execute -m appstream_export.definitions -j snapshot`."""

import dagster as dg

from appstream_export.contracts import load_contracts
from appstream_export.defs import (
    FEEDS,
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


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that Dagster shows; rendered from contracts, SQL headers and feeds, with the settings' own words."""
    settings, contracts = load_settings_or_default(), load_contracts()
    assets = build_asset_sources(contracts, settings)
    ours = [asset for asset in assets if not is_external_asset(asset, settings)]
    made = build_snapshot_asset(contracts, ours, settings, build_freshness_policy(settings))
    left = [build_asset_spec(asset, settings) for asset in assets if asset not in ours]
    return dg.Definitions(
        assets=[
            made,
            *left,
            *build_dashboard_specs(settings, (asset for asset in assets if asset.group == FEEDS)),
        ],
        jobs=[
            dg.define_asset_job(
                "snapshot",
                selection=dg.AssetSelection.assets(made),
                description="Ask every account and region, commit a snapshot, publish catalog, feeds and report.",
                tags=build_max_runtime_tag(settings),
            ),
            build_sharded_job(contracts, ours, settings),
            maintain_warehouse,
            prune_runs,
        ],
        schedules=build_schedules(settings),
        sensors=[build_alert_sensor(settings)],
        executor=dg.in_process_executor,  # the run has its own threads; a process per step would only cost
    )
