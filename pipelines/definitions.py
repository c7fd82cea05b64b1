"""Entry for Dagster: `dagster dev -w workspace.yaml`, `dagster job execute -m pipelines.definitions -j snapshot`."""

import dagster as dg

from pipelines.contracts import load_all
from pipelines.defs.assets import snapshot_asset


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, checks and jobs; rendered from the contracts that came along."""
    asset = snapshot_asset(load_all())
    return dg.Definitions(
        assets=[asset],
        jobs=[
            dg.define_asset_job(
                "snapshot",
                selection=dg.AssetSelection.assets(asset),
                description="Ask every account and region, commit a snapshot, publish the catalog.",
            )
        ],
        executor=dg.in_process_executor,  # the run has its own threads; a process per step would only cost
    )
