"""The last step of a run: it reports the checks, and fails the run if the rule of exit code 3 says so.

It is the last one, and its checks block nothing, so that assets of the host project run on what the run committed.
"""

import time
from collections.abc import Iterator, Sequence
from threading import Event

import dagster as dg

from appstream_export.defs.assets import SnapshotConfig, check_completeness, collect_materialized
from appstream_export.defs.binding import COVERAGE_STEP, TABLES_STEP, ExportAssets, ExportBinding
from appstream_export.defs.checks import build_check_results, explain_failure
from appstream_export.defs.context import as_dagster_failure
from appstream_export.defs.monitoring import monitor_step, report_step_result
from appstream_export.defs.progress import LoggingRunListener
from appstream_export.defs.specs import FEEDS, MARTS, REPORT
from appstream_export.defs.steps import (
    add_max_runtime_tag,
    bind_check,
    build_materialization,
    find_step_config,
    is_continuing_after,
    is_export_run,
    log_check,
    resolve_run_id,
    restore_discovery_problem,
    yield_checks,
)
from appstream_export.defs.stop import STOPPED_AFTER_COMMIT, handle_stop, raise_if_stopped
from appstream_export.run import RunResult, execute_run, load_run_result, report_run_start


def build_coverage_checks(
    binding: ExportBinding, assets: ExportAssets, check_specs: Sequence[dg.AssetCheckSpec]
) -> dg.AssetChecksDefinition:
    """Build the last step. Re-executed from failure, it requests the failed scopes, commits and publishes again.

    Checks that are executed alone, without the step of tables, are evaluated on the newest snapshot and fail nothing.
    """
    specs = [_add_deps(spec, assets) for spec in assets.bind_checks(check_specs)]
    own = {spec.key for spec in specs}

    @dg.multi_asset_check(
        name=binding.format_name(COVERAGE_STEP),
        specs=specs,
        can_subset=True,
        pool=binding.pool,
        description="Reports whether every scope was seen and every output published; if not, the run fails here.",
    )
    def coverage(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        settings, is_export = binding.load_settings(needs_accounts=False), is_export_run(context, assets)
        continues = is_export and is_continuing_after(context, binding.format_name(TABLES_STEP))
        with as_dagster_failure(), handle_stop(context.log) as stop, monitor_step(settings, is_export=is_export):
            if continues:
                result = _request_failed_scopes(context, binding, assets, stop)
            else:
                result = _find_result(context, binding, assets)
        checks = [c for c in build_check_results(result, assets.sources) if bind_check(assets, c) in own]
        yield from yield_checks(context, assets, checks, with_others=is_export)
        if is_export:
            report_step_result(context, settings, result)
        if continues:
            raise_if_stopped(stop, context.log, STOPPED_AFTER_COMMIT)
        if result.exit_code and is_export:
            raise dg.Failure(explain_failure(result), allow_retries=False)

    return coverage


def _add_deps(spec: dg.AssetCheckSpec, assets: ExportAssets) -> dg.AssetCheckSpec:
    """Add dependencies to a check, so that its step runs after the outputs whichever checks are selected."""
    outputs = [key for output in assets.list_specs((MARTS, FEEDS, REPORT)) if (key := output.key) != spec.asset_key]
    return dg.AssetCheckSpec(
        spec.name, asset=spec.asset_key, description=spec.description, additional_deps=outputs, metadata=spec.metadata,
        blocking=spec.blocking,
    )  # fmt: skip


def _find_result(context: dg.AssetCheckExecutionContext, binding: ExportBinding, assets: ExportAssets) -> RunResult:
    """Return the result of this run; of the newest one if this run has no step of tables."""
    settings = binding.load_settings(needs_accounts=False)
    add_max_runtime_tag(context, assets, settings)
    is_export = is_export_run(context, assets)
    run_id = resolve_run_id(context.run, context.instance) if is_export else None
    result = load_run_result(settings, binding.load_contracts(), run_id=run_id)
    return restore_discovery_problem(context, assets, result) if is_export else result


def _request_failed_scopes(
    context: dg.AssetCheckExecutionContext, binding: ExportBinding, assets: ExportAssets, stop: Event
) -> RunResult:
    """Request the scopes that failed in the run that this one continues, and publish; log what lands as events."""
    began, step = time.monotonic(), context.op_execution_context
    settings, contracts = binding.load_settings(), binding.load_contracts()
    add_max_runtime_tag(context, assets, settings)
    report_run_start(settings)
    result = execute_run(
        settings,
        contracts,
        SnapshotConfig(**find_step_config(context, binding.format_name(TABLES_STEP))).request,
        run_id=resolve_run_id(context.run, context.instance),
        attempt_id=f"{context.run.run_id}.{step.retry_number}",
        listener=LoggingRunListener(context.log),
        stop=stop,
    )
    seconds = round(time.monotonic() - began, 3)
    for made in collect_materialized(result, assets, contracts, settings, seconds, context.log):
        step.log_event(build_materialization(assets, made))
    for check in check_completeness(result, settings, contracts):
        log_check(context, assets, check)
    return result
