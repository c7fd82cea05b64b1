"""Load the definitions for Dagster: `dagster job execute -m appstream_export.definitions -j snapshot`."""

import dagster as dg

from appstream_export.contracts import load_contracts
from appstream_export.defs import automation, sharded, specs
from appstream_export.defs.assets import build_snapshot_asset
from appstream_export.defs.context import load_settings_or_default
from appstream_export.defs.maintenance import maintain_warehouse, prune_runs


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that Dagster shows; rendered from contracts, SQL headers and feeds, with the settings' own words."""
    settings, contracts = load_settings_or_default(), load_contracts()
    assets = specs.build_asset_sources(contracts, settings)
    ours = [asset for asset in assets if not specs.is_external_asset(asset, settings)]
    made = build_snapshot_asset(contracts, ours, settings, automation.build_freshness_policy(settings))
    left = [specs.build_asset_spec(asset, settings) for asset in assets if asset not in ours]
    return dg.Definitions(
        assets=[
            made,
            *left,
            *specs.build_dashboard_specs(settings, (asset for asset in assets if asset.group == specs.FEEDS)),
        ],
        jobs=[
            dg.define_asset_job(
                "snapshot",
                selection=dg.AssetSelection.assets(made),
                description="Ask every account and region, commit a snapshot, publish catalog, feeds and report.",
                tags=automation.build_max_runtime_tag(settings),
            ),
            sharded.build_sharded_job(contracts, ours, settings),
            maintain_warehouse,
            prune_runs,
        ],
        schedules=automation.build_schedules(settings),
        sensors=[automation.build_alert_sensor(settings)],
        executor=dg.in_process_executor,  # the run has its own threads; a process per step would only cost
    )
