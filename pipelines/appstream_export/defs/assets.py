"""The snapshot asset: one multi_asset, and so one step, for everything that a run commits and publishes."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from appstream_export.contracts import Contract, load_contracts, load_view_files
from appstream_export.defs.checks import NAMED_MAX, build_check_results, build_check_specs, explain_failure
from appstream_export.defs.context import as_dagster_failure, load_settings
from appstream_export.defs.lineage import build_column_lineage
from appstream_export.defs.progress import LoggingRunListener
from appstream_export.defs.specs import (
    EXPORT,
    FEEDS,
    MARTS,
    REPORT,
    TABLES,
    AssetSource,
    build_asset_spec,
    build_feed_key,
)
from appstream_export.defs.stop import handle_stop
from appstream_export.errors import ExportError
from appstream_export.lake.catalog import connect_warehouse, count_items_by_state, count_rows
from appstream_export.lake.storage import REPORT_FILE
from appstream_export.model import ScanOptions
from appstream_export.run import Request, RunResult, execute_run
from appstream_export.settings import Settings

POOL = "warehouse"
"""Steps that commit share this pool of one slot, so that snapshots never overlap."""
ASSET = "snapshot_tables"


class SnapshotConfig(dg.Config):
    """Options of a single run, in addition to the settings; each has a default."""

    accounts: list[str] = Field(default=[], description="Only these accounts; rows of other accounts are retained.")
    regions: list[str] = Field(default=[], description="Only these regions; rows of other regions are retained.")
    names: list[str] = Field(default=[], description="Only items with these names.")
    retry_failed: bool = Field(default=False, description="Only the scopes that failed in the newest snapshot.")
    accept_drop: bool = Field(
        default=False, description="Accept a large drop in items, and a shorter list of accounts."
    )

    @property
    def request(self) -> Request:
        """The request that these options describe."""
        return Request(
            accounts=tuple(self.accounts),
            regions=tuple(self.regions),
            scan_options=ScanOptions(names=tuple(self.names)),
            retry_failed=self.retry_failed,
            accept_drop=self.accept_drop,
        )


def build_snapshot_asset(
    contracts: Sequence[Contract],
    assets: Sequence[AssetSource],
    settings: Settings,
    freshness: dg.FreshnessPolicy | None,
) -> dg.AssetsDefinition:
    """Build the assets of a run as one step, because a snapshot is committed as a whole."""

    @dg.multi_asset(
        name=ASSET,
        specs=[build_asset_spec(asset, settings, freshness) for asset in assets],
        check_specs=build_check_specs(assets),
        can_subset=False,
        pool=POOL,
    )
    def snapshot(
        context: dg.AssetExecutionContext, config: SnapshotConfig
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        began = time.monotonic()
        loaded, result = _run_snapshot(context, config)
        seconds = round(time.monotonic() - began, 3)
        for key, metadata in collect_asset_metadata(result, assets, contracts, loaded, seconds, context.log):
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        yield from build_check_results(result, assets)
        if result.exit_code:
            context.log.error(explain_failure(result))

    return snapshot


def _run_snapshot(context: dg.AssetExecutionContext, config: SnapshotConfig) -> tuple[Settings, RunResult]:
    attempt = f"{context.run.run_id}.{context.retry_number}"
    settings = load_settings()
    run_id = resolve_run_id(context.run, context.instance)
    listener = LoggingRunListener(context.log)
    with as_dagster_failure(), handle_stop(context.log) as stop:
        return settings, execute_run(
            settings, load_contracts(), config.request, run_id=run_id, attempt_id=attempt, listener=listener, stop=stop
        )


def resolve_run_id(run: dg.DagsterRun, instance: dg.DagsterInstance) -> str:
    """Return the id of the first run that this run continues, or its own id.

    A re-execution from failure continues its parent. A re-execution of all steps is a new run.
    """
    # A run without step keys executes all steps: the webserver launches re-executions of all steps like this.
    while run.parent_run_id and run.step_keys_to_execute is not None:
        parent = instance.get_run_by_id(run.parent_run_id)
        if parent is None:
            return run.parent_run_id
        run = parent
    return run.run_id


def collect_asset_metadata(
    result: RunResult,
    assets: Sequence[AssetSource],
    contracts: Sequence[Contract],
    settings: Settings,
    seconds: float,
    log: logging.Logger,
) -> Iterator[tuple[dg.AssetKey, dict[str, Any]]]:
    """Yield the key and the metadata of each asset that the run materialized."""
    figures, columns = _build_metadata_by_key(result, contracts, settings, seconds, log), build_column_lineage(assets)
    for asset in _list_materialized_assets(assets, result):
        metadata = {"snapshot_id": result.manifest.snapshot_id, **figures.get(asset.key, {})}
        if asset.key in columns:
            metadata["dagster/column_lineage"] = columns[asset.key]
        yield asset.key, metadata


def _list_materialized_assets(assets: Sequence[AssetSource], result: RunResult) -> Iterator[AssetSource]:
    """Return the committed assets, and the published ones whose publication succeeded."""
    is_made = {
        TABLES: True,
        EXPORT: True,
        MARTS: result.catalog_problem is None,
        FEEDS: result.published_feeds is not None and result.feeds_problem is None,
        REPORT: result.is_reported,
    }
    return (asset for asset in assets if is_made[asset.group])


def _build_metadata_by_key(
    result: RunResult, contracts: Sequence[Contract], settings: Settings, seconds: float, log: logging.Logger
) -> dict[dg.AssetKey, dict[str, Any]]:
    """Return the metadata of each asset: figures that Dagster plots, and URIs."""
    found: dict[dg.AssetKey, dict[str, Any]] = {}
    for name, table in result.manifest.tables.items():
        uri = f"{settings.warehouse}/tables/{name}"
        size = sum(file.bytes for file in table.files)
        found[dg.AssetKey(name)] = {"dagster/row_count": table.rows, "dagster/uri": uri, "size_bytes": size}
    if published := result.published_feeds:
        for name, rows in published.rows.items():
            uri = f"{published.place}/{published.current.feeds[name]}"
            found[build_feed_key(name)] = {"dagster/row_count": rows, "dagster/uri": uri}
    states, marts = _count_states_and_rows(result, contracts, settings, log)
    for name, counts in states.items():
        found[dg.AssetKey(name)] |= {"running": counts.get("RUNNING", 0), "states": counts}
    for name, rows in marts.items():
        found[dg.AssetKey(name)] = {"dagster/row_count": rows}
    found[dg.AssetKey("scope_runs")] |= _build_run_metadata(result, seconds)
    page = f"{settings.warehouse}/{REPORT_FILE}"
    found[dg.AssetKey("report")] = {"page": dg.MetadataValue.path(page), "dagster/uri": page}
    return found


def _count_states_and_rows(
    result: RunResult, contracts: Sequence[Contract], settings: Settings, log: logging.Logger
) -> tuple[Mapping[str, Mapping[str, int]], Mapping[str, int]]:
    """Return the number of items in each state by table, and the rows of each mart; both empty if unreadable."""
    if result.catalog_problem or result.checks_problem:
        return {}, {}
    try:
        with connect_warehouse(settings.warehouse, s3=settings.s3) as con:
            return count_items_by_state(con, contracts), count_rows(con, [file.name for file in load_view_files()])
    except (ExportError, OSError) as error:  # the snapshot is committed; its checks must still be reported
        log.warning(f"rows and states could not be counted: {error}")
        return {}, {}


def _build_run_metadata(result: RunResult, seconds: float) -> dict[str, Any]:
    """Return the cost of the run and its failed scopes: all of them counted, at most NAMED_MAX named."""
    outcomes = result.outcomes.values()
    return {
        "seconds": seconds,
        "asked": len(result.outcomes),
        "failed": len(result.failures),
        "calls": sum(outcome.api_calls for outcome in outcomes),
        "throttles": sum(outcome.throttles for outcome in outcomes),
        "retries": sum(outcome.retries for outcome in outcomes),
        "failed_scopes": [
            outcome.task.format_place(with_resource=len(result.failed_ratios) > 1)
            for outcome in result.failures[:NAMED_MAX]
        ],
    }
