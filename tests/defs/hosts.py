"""A host project as another team has it: assets and an executor of its own, beside exports of ours."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from appstream_export.defs import ExportAssetData, ExportTranslator, export_definitions

PREFIX = ["cloud", "appstream"]


@dataclass(frozen=True)
class HostTranslator(ExportTranslator):
    """Another team owns the assets, and the page is one of its own group under another name."""

    def get_asset_spec(self, data: ExportAssetData) -> dg.AssetSpec:
        spec = data.spec.replace_attributes(owners=["team:host"])
        return spec.replace_attributes(key="page", group_name="pages") if data.name == "report" else spec


@dg.asset
def accounts() -> None:
    """An asset of the host with the name of one of ours."""


@dg.asset(deps=[[*PREFIX, "image_builders"]])
def report() -> None:
    """What the host makes of our table."""


def host_definitions() -> dg.Definitions:
    """The host's project; the export is configured by the environment."""
    export = export_definitions(key_prefix=PREFIX, group_prefix="appstream_", translator=HostTranslator())
    return dg.Definitions.merge(dg.Definitions(assets=[accounts, report], executor=dg.multiprocess_executor), export)


def host_job() -> dg.JobDefinition:
    """A job of the host of all assets, in one process."""
    job = dg.define_asset_job("everything", executor_def=dg.in_process_executor)
    return dg.Definitions.merge(host_definitions(), dg.Definitions(jobs=[job])).resolve_job_def("everything")


def run_assets(
    definitions: dg.Definitions, instance: dg.DagsterInstance, *assets: str, checks: Sequence[str] = ()
) -> dg.ExecuteInProcessResult:
    """What the button Materialize does with these assets, and Execute with these checks, such as `a/b:complete`."""
    check_keys = {dg.AssetCheckKey(as_key(asset), name) for asset, _, name in (c.partition(":") for c in checks)}
    job = definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={as_key(asset) for asset in assets}, asset_check_selection=check_keys if checks else None
    )
    return job.execute_in_process(instance=instance, raise_on_error=False)


def as_key(text: str) -> dg.AssetKey:
    """The key that Dagster shows so."""
    return dg.AssetKey(text.split("/"))
