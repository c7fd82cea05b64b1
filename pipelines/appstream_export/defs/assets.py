"""The steps of a run: one commits all tables, one publishes marts, feeds and the report from the newest snapshot."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from hashlib import sha256
from threading import Event
from typing import Any

import dagster as dg
from pydantic import Field

from appstream_export.contracts import Contract, list_view_files
from appstream_export.defs.binding import OUTPUTS_STEP, TABLES_STEP, ExportAssets, ExportBinding
from appstream_export.defs.checks import (
    build_check_results,
    build_completeness_problems,
    build_completeness_results,
    explain_failure,
    format_counts,
    list_published_feeds,
)
from appstream_export.defs.context import as_dagster_failure
from appstream_export.defs.failed_scopes import build_failed_scopes_table
from appstream_export.defs.lineage import build_sources_table
from appstream_export.defs.monitoring import load_reported_settings, monitor_step, report_step_result
from appstream_export.defs.progress import LoggingRunListener
from appstream_export.defs.specs import (
    EXPORT,
    FEEDS,
    GROUPS,
    MARTS,
    REPORT,
    TABLES,
    AssetSource,
    build_feed_key,
)
from appstream_export.defs.steps import (
    DISCOVERY_PROBLEM,
    Materialized,
    add_max_runtime_tag,
    has_last_step,
    has_other_assets,
    has_step,
    is_export_run,
    log_check,
    resolve_run_id,
    restore_discovery_problem,
    yield_checks,
    yield_materializations,
)
from appstream_export.defs.stop import (
    STOPPED_AFTER_COMMIT,
    STOPPED_WHILE_PUBLISHING,
    handle_stop,
    raise_if_stopped,
)
from appstream_export.errors import ExportError
from appstream_export.lake.catalog import (
    TableCompleteness,
    connect_warehouse,
    count_items_by_state,
    count_rows,
    find_newest_snapshot_id,
    load_completeness,
)
from appstream_export.lake.snapshots import KIND_SWEEP
from appstream_export.lake.storage import REPORT_FILE
from appstream_export.model import ScanOptions
from appstream_export.run import (
    STAGES,
    Request,
    RunResult,
    execute_run,
    load_run_result,
    open_existing_warehouse,
    publish_stages,
    try_after_commit,
)
from appstream_export.settings import Settings

TABLE_GROUPS = (TABLES, EXPORT)


class SnapshotConfig(dg.Config):
    """Options of a single run, in addition to the settings; each has a default."""

    resources: list[str] = Field(default=[], description="Only these resources, even if they are not due.")
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
            resources=tuple(self.resources),
            accounts=tuple(self.accounts),
            regions=tuple(self.regions),
            scan_options=ScanOptions(names=tuple(self.names)),
            retry_failed=self.retry_failed,
            accept_drop=self.accept_drop,
        )


def build_tables_asset(
    binding: ExportBinding, assets: ExportAssets, check_specs: Sequence[dg.AssetCheckSpec], *, stops: bool
) -> dg.AssetsDefinition:
    """Build the step that requests AWS and commits all tables. `stops`: a red run stops assets downstream."""

    @dg.multi_asset(
        name=binding.format_name(TABLES_STEP),
        specs=assets.list_specs(TABLE_GROUPS),
        check_specs=assets.bind_checks(check_specs),
        can_subset=True,
        pool=binding.pool,
        description="Requests every account and region, commits one snapshot of all tables, and publishes the catalog.",
    )
    def snapshot(
        context: dg.AssetExecutionContext, config: SnapshotConfig
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        if context.selected_asset_keys:
            yield from TablesStep(context, binding, assets, stops=stops).run(config)
        else:
            yield from _check_tables(context, binding, assets)

    return snapshot


def _check_tables(
    context: dg.AssetExecutionContext, binding: ExportBinding, assets: ExportAssets
) -> Iterator[dg.AssetCheckResult]:
    """Yield the results of the selected checks from the warehouse, without a request to AWS."""
    settings, contracts = binding.load_settings(needs_accounts=False), binding.load_contracts()
    with as_dagster_failure():
        result = load_run_result(settings, contracts)
    checks = [*build_check_results(result, assets.sources), *check_completeness(result, settings, contracts)]
    yield from yield_checks(context, assets, checks)


@dataclass
class TablesStep:
    """One execution of the step of tables. Selecting some tables exports all of them: a snapshot is one commit."""

    context: dg.AssetExecutionContext
    binding: ExportBinding
    assets: ExportAssets
    _: KW_ONLY
    stops: bool

    def run(self, config: SnapshotConfig) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Run the export; yield what the step was selected for, and log what no later step yields as events of the run.

        The step of outputs publishes feeds and report, and the last step reports the other checks and fails the run.
        This step does the work of those that the run lacks, or that it stops by failing.
        """
        began = time.monotonic()
        settings, contracts = load_reported_settings(self.binding), self.binding.load_contracts()
        add_max_runtime_tag(self.context, self.assets, settings)
        self._log_selection()
        with as_dagster_failure(), handle_stop(self.context.log) as stop:
            with monitor_step(settings, starts_run=True):
                result = self._execute(settings, contracts, config, stop)
            fails_here, seconds = self._is_failing_here(result), round(time.monotonic() - began, 3)
            groups = TABLE_GROUPS if self._has_outputs and not fails_here else GROUPS
            materialized = collect_materialized(
                result, self.assets, contracts, settings, seconds, self.context.log, groups
            )
            yield from yield_materializations(self.context, self.assets, materialized)
            checks = [
                *build_check_results(result, self.assets.sources),
                *check_completeness(result, settings, contracts),
            ]
            yield from yield_checks(self.context, self.assets, checks, with_others=fails_here or not self._has_last)
        if fails_here or not self._has_last or stop.is_set():  # after a stop, no later step reports the end
            report_step_result(self.context, settings, result)
        raise_if_stopped(stop, self.context.log, STOPPED_AFTER_COMMIT)
        if result.exit_code:
            self._report_failure(result)

    def _execute(
        self, settings: Settings, contracts: Sequence[Contract], config: SnapshotConfig, stop: Event
    ) -> RunResult:
        listener = LoggingRunListener(self.context.log)
        is_judge = self.stops or not self._has_last
        stages = STAGES if not self._has_outputs else ("catalog", "checks") if is_judge else ("catalog",)
        result = execute_run(
            settings,
            contracts,
            replace(config.request, stages=stages),
            run_id=resolve_run_id(self.context.run, self.context.instance),
            attempt_id=f"{self.context.run.run_id}.{self.context.retry_number}",
            listener=listener,
            stop=stop,
        )
        if not self._has_outputs or not self._is_failing_here(result):
            return result
        # No later step follows, because this one is about to fail: publish feeds and report all the same.
        later = publish_stages(settings, contracts, ("feeds", "report"), listener=listener, stop=stop)
        return _replace_publication(result, later)

    @property
    def _has_outputs(self) -> bool:
        return has_step(self.context, self.binding.format_name(OUTPUTS_STEP))

    @property
    def _has_last(self) -> bool:
        return has_last_step(self.context, self.binding)

    def _is_failing_here(self, result: RunResult) -> bool:
        """Return whether this step fails: a red run, with `stop` always, else without a last step or other assets."""
        is_last = not self._has_last and not has_other_assets(self.context, self.assets)
        return result.exit_code != 0 and (self.stops or is_last)

    def _report_failure(self, result: RunResult) -> None:
        """Log why the run is red; raise Failure if that is this step's part."""
        self.context.log.error(explain_failure(result))
        if self._is_failing_here(result):
            raise dg.Failure(explain_failure(result), allow_retries=False)

    def _log_selection(self) -> None:
        total, selected = len(self.assets.list_sources(TABLE_GROUPS)), len(self.context.selected_asset_keys)
        if selected < total:
            self.context.log.info(f"{selected} of {total} tables are selected; a snapshot is one commit of all of them")


def check_completeness(
    result: RunResult, settings: Settings, contracts: Sequence[Contract]
) -> list[dg.AssetCheckResult]:
    """Return the results of `complete` for each table of the newest snapshot; none if it cannot be read."""
    own = settings.dagster
    is_error = own.on_incomplete == "stop" or own.incomplete_severity == "error"
    severity = dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN
    found, problem = try_after_commit(
        lambda: _load_completeness(settings, contracts), "its completeness could not be read"
    )
    if found is None:
        return [*build_completeness_problems(contracts, problem or "", severity)]
    return [*build_completeness_results(found, result, severity)]


def _load_completeness(settings: Settings, contracts: Sequence[Contract]) -> dict[str, TableCompleteness]:
    with connect_warehouse(settings.warehouse, s3=settings.s3) as con:
        return load_completeness(con, contracts)


def build_outputs_asset(binding: ExportBinding, assets: ExportAssets, groups: Sequence[str]) -> dg.AssetsDefinition:
    """Build the step that publishes marts, feeds and the report from the newest snapshot, without a request to AWS."""

    @dg.multi_asset(
        name=binding.format_name(OUTPUTS_STEP),
        specs=assets.list_specs(groups),
        can_subset=True,
        pool=binding.pool,
        description="Publishes catalog, feeds and report from the newest snapshot, without a request to AWS.",
    )
    def outputs(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        settings, is_export = binding.load_settings(needs_accounts=False), is_export_run(context, assets)
        published = _select_groups(context, assets, groups, is_export=is_export)
        add_max_runtime_tag(context, assets, settings)
        with as_dagster_failure(), handle_stop(context.log) as stop:
            contracts, stages = binding.load_contracts(), [STAGE_BY_GROUP[group] for group in published]
            listener = LoggingRunListener(context.log)
            with monitor_step(settings, is_export=is_export):
                result = publish_stages(settings, contracts, stages, listener=listener, stop=stop)
            made = [*collect_materialized(result, assets, contracts, settings, 0.0, context.log, published)]
            yield from yield_materializations(context, assets, made)
        if is_export and stop.is_set():
            report_step_result(context, settings, _load_result(context, binding, assets, result))
        raise_if_stopped(stop, context.log, STOPPED_WHILE_PUBLISHING)
        for problem in result.publishing_failures:
            context.log.error(problem)
        if is_export and len(made) < len(assets.list_sources(published)):
            # Dagster skips the last step if an asset before it was not made, and a red run would be green.
            _check_run(context, binding, assets, settings)
        elif result.publishing_failures:
            raise dg.Failure(" ".join(result.publishing_failures), allow_retries=False)

    return outputs


STAGE_BY_GROUP = {MARTS: "catalog", FEEDS: "feeds", REPORT: "report"}
_WHOLE_GROUPS = {MARTS: "all marts are views of one catalog", FEEDS: "all feeds are one generation"}
_WHOLE_EXPORT = "a run that exports the tables publishes everything"


def _load_result(
    context: dg.AssetExecutionContext, binding: ExportBinding, assets: ExportAssets, stopped: RunResult | None = None
) -> RunResult:
    """Return the result of this run. If publishing was `stopped`, the outputs that it left out do not count."""
    settings, run_id = binding.load_settings(needs_accounts=False), resolve_run_id(context.run, context.instance)
    with as_dagster_failure():
        found = load_run_result(settings, binding.load_contracts(), run_id=run_id)
    found = _replace_publication(found, stopped) if stopped else found
    return restore_discovery_problem(context, assets, found)


def _replace_publication(result: RunResult, published: RunResult) -> RunResult:
    """Return a result with the feeds and the report of a later one."""
    names = ("published_feeds", "feeds_problem", "report_problem", "is_reported", "left_out")
    return replace(result, **{name: getattr(published, name) for name in names})


def _check_run(
    context: dg.AssetExecutionContext, binding: ExportBinding, assets: ExportAssets, settings: Settings
) -> None:
    """Log the checks of the last step, which will not run, and raise Failure if the run is red."""
    result = _load_result(context, binding, assets)
    for check in build_check_results(result, assets.sources):
        log_check(context, assets, check)
    report_step_result(context, settings, result)
    if result.exit_code:
        raise dg.Failure(explain_failure(result), allow_retries=False)


def _select_groups(
    context: dg.AssetExecutionContext, assets: ExportAssets, groups: Sequence[str], *, is_export: bool
) -> list[str]:
    """Return the groups of the selected assets, in an export all groups; log where less than that is selected."""
    selected = {group: [s.key in context.selected_asset_keys for s in assets.list_specs([group])] for group in groups}
    for group, chosen in selected.items():
        if not all(chosen) and (is_export or any(chosen)):
            why = _WHOLE_EXPORT if is_export else _WHOLE_GROUPS[group]
            context.log.info(f"{sum(chosen)} of {len(chosen)} {group} are selected; {why}")
    return [group for group, chosen in selected.items() if is_export or any(chosen)]


def collect_materialized(
    result: RunResult,
    assets: ExportAssets,
    contracts: Sequence[Contract],
    settings: Settings,
    seconds: float,
    log: logging.Logger,
    groups: Sequence[str] = GROUPS,
) -> Iterator[Materialized]:
    """Yield each asset of these groups that the run materialized."""
    figures = _build_metadata_by_key(result, contracts, settings, seconds, log)
    snapshot_id = _find_readable_snapshot_id(result, settings)
    for asset in _list_materialized_assets(assets.list_sources(groups), result):
        known = assets.column_lineage.get(asset.key)
        lineage: dict[str, Any] = {"dagster/column_lineage": known} if known else {}
        if known and asset.group in (MARTS, FEEDS):  # those of tables are AWS's fields, and the event log is not small
            lineage["column_sources"] = build_sources_table(known)
        yield Materialized(
            key=asset.key,
            metadata={"snapshot_id": snapshot_id, **figures.get(asset.key, {}), **lineage},
            data_version=_build_data_version(result, asset),
        )


def _build_data_version(result: RunResult, asset: AssetSource) -> dg.DataVersion | None:
    """Return the digest of a table's files: it stays the same while the table is not due. None for other assets."""
    table = result.manifest.tables.get(asset.name) if asset.group in TABLE_GROUPS else None
    if table is None:
        return None
    return dg.DataVersion(sha256(" ".join(file.sha256 for file in table.files).encode()).hexdigest()[:16])


def _find_readable_snapshot_id(result: RunResult, settings: Settings) -> str:
    """Return the snapshot that readers can name: the newest of a run, if the head is a commit of expire or erase."""
    store = None if result.manifest.kind == KIND_SWEEP else open_existing_warehouse(settings)
    return find_newest_snapshot_id(store) if store else result.manifest.snapshot_id


def _list_materialized_assets(assets: Sequence[AssetSource], result: RunResult) -> Iterator[AssetSource]:
    """Return the committed assets, and the published ones whose publication succeeded."""
    is_made = {
        TABLES: True,
        EXPORT: True,
        MARTS: result.is_catalog_published,
        REPORT: result.is_reported,
    }
    feeds = list_published_feeds(result) if result.feeds_problem is None else {}
    return (asset for asset in assets if is_made.get(asset.group, asset.group == FEEDS and asset.name in feeds))


def _build_metadata_by_key(
    result: RunResult, contracts: Sequence[Contract], settings: Settings, seconds: float, log: logging.Logger
) -> dict[dg.AssetKey, dict[str, Any]]:
    """Return the metadata of each asset: figures that Dagster plots, and URIs."""
    found: dict[dg.AssetKey, dict[str, Any]] = {}
    for name, table in result.manifest.tables.items():
        uri = f"{settings.warehouse}/tables/{name}"
        size = sum(file.bytes for file in table.files)
        found[dg.AssetKey(name)] = {"dagster/row_count": table.rows, "dagster/uri": uri, "size_bytes": size}
    for name, feed in list_published_feeds(result).items():
        found[build_feed_key(name)] = {"dagster/row_count": feed.rows, "dagster/uri": feed.location}
    states, marts = _count_states_and_rows(result, contracts, settings, log)
    for name, counts in states.items():
        found[dg.AssetKey(name)] |= {"running": counts.get("RUNNING", 0), "states": format_counts(counts)}
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
        with connect_warehouse(settings.warehouse, s3=settings.s3, load_contracts=lambda: contracts) as con:
            views = [file.name for file in list_view_files(contracts)]
            return count_items_by_state(con, contracts), count_rows(con, views)
    except (ExportError, OSError) as error:  # the snapshot is committed; its checks must still be reported
        log.warning(f"rows and states could not be counted: {error}")
        return {}, {}


def _build_run_metadata(result: RunResult, seconds: float) -> dict[str, Any]:
    """Return the cost of the run and its failed scopes."""
    outcomes = result.outcomes.values()
    return {
        "seconds": seconds,
        "requested": len(result.outcomes),
        "failed": len(result.failures),
        "calls": sum(outcome.api_calls for outcome in outcomes),
        "throttles": sum(outcome.throttles for outcome in outcomes),
        "retries": sum(outcome.retries for outcome in outcomes),
        "failed_scopes": build_failed_scopes_table(result),
        **({DISCOVERY_PROBLEM: result.discovery_problem} if result.discovery_problem else {}),
    }
