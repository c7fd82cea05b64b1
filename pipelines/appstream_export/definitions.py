"""Load the definitions for Dagster: `dagster job execute -m appstream_export.definitions -j snapshot`."""

import dagster as dg

from appstream_export.contracts import load_all
from appstream_export.defs import automation, sharded, specs
from appstream_export.defs.assets import snapshot_asset
from appstream_export.defs.context import described
from appstream_export.defs.maintenance import maintenance, prune_runs


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that Dagster shows; rendered from contracts, SQL headers and feeds, with the settings' own words."""
    settings, contracts = described(), load_all()
    assets = specs.shown(contracts, settings)
    ours = [asset for asset in assets if not specs.is_left(asset, settings)]
    made = snapshot_asset(contracts, ours, settings, automation.freshness(settings))
    left = [specs.spec(asset, settings) for asset in assets if asset not in ours]
    return dg.Definitions(
        assets=[made, *left, *specs.dashboard(settings, (asset for asset in assets if asset.group == specs.FEEDS))],
        jobs=[
            dg.define_asset_job(
                "snapshot",
                selection=dg.AssetSelection.assets(made),
                description="Ask every account and region, commit a snapshot, publish catalog, feeds and report.",
                tags=automation.max_runtime(settings),
            ),
            sharded.snapshot_sharded(contracts, ours, settings),
            maintenance,
            prune_runs,
        ],
        schedules=automation.schedules(settings),
        sensors=[automation.alert(settings)],
        executor=dg.in_process_executor,  # the run has its own threads; a process per step would only cost
    )
