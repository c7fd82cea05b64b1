"""A code location of another team: our export, and downstream of it an asset of its own that takes a table."""

import dagster as dg
import pyarrow as pa

from appstream_export.defs import TableInputManager, export_definitions


@dg.asset(
    ins={"image_builders": dg.AssetIn(input_manager_key="appstream")},
    group_name="teams",
    description="Image builders, counted per account.",
)
def by_team(image_builders: pa.Table) -> None:
    """Read the table of the snapshot that the run committed."""


@dg.definitions
def defs() -> dg.Definitions:
    """Return our assets and theirs, and a job of all of them."""
    job = dg.define_asset_job("everything", executor_def=dg.in_process_executor)
    own = dg.Definitions(assets=[by_team], jobs=[job], resources={"appstream": TableInputManager()})
    return dg.Definitions.merge(own, export_definitions())
