"""What all steps share: which run they are part of, and their results as yields or as events."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import dagster as dg

from appstream_export.defs.automation import build_max_runtime_tag
from appstream_export.defs.binding import COVERAGE_STEP, ExportAssets, ExportBinding
from appstream_export.defs.specs import EXPORT, TABLES
from appstream_export.run import RunResult
from appstream_export.settings import Settings

StepContext: TypeAlias = dg.AssetExecutionContext | dg.AssetCheckExecutionContext
DISCOVERY_PROBLEM = "discovery_problem"
"""The metadata of scope_runs that says why the accounts could not be listed."""
DATA_VERSION_TAG = "dagster/data_version"
"""Dagster's tag of materializations that are logged as events."""
_ASSET_RESUME_TAG = "dagster/is_asset_resume_retry"
"""Dagster's tag of runs that the webserver launches with "from asset failure"."""


@dataclass(frozen=True, kw_only=True)
class Materialized:
    """An asset that a step has made, by its default key."""

    key: dg.AssetKey
    metadata: Mapping[str, Any]
    data_version: dg.DataVersion | None
    """None: Dagster computes one from the code version and what was read."""


def build_materialization(assets: ExportAssets, made: Materialized) -> dg.AssetMaterialization:
    """Return the event of an asset that the step was not selected for."""
    tags = {DATA_VERSION_TAG: made.data_version.value} if made.data_version else {}
    return dg.AssetMaterialization(assets.get_key(made.key), metadata=made.metadata, tags=tags)


def resolve_run_id(run: dg.DagsterRun, instance: dg.DagsterInstance) -> str:
    """Return the id of the first run that this run continues, or its own id.

    A re-execution from failure continues its parent. A re-execution of all steps is a new run.
    """
    # A run without step keys executes all steps: the webserver launches re-executions of all steps like this.
    while run.parent_run_id and (run.step_keys_to_execute is not None or _ASSET_RESUME_TAG in run.tags):
        parent = instance.get_run_by_id(run.parent_run_id)
        if parent is None:
            return run.parent_run_id
        run = parent
    return run.run_id


def has_step(context: StepContext, name: str) -> bool:
    """Return whether this run has the step, executed or, if the run continues another one, done by that one."""
    return name in {node.name for node in context.job_def.nodes}


def is_export_run(context: StepContext, assets: ExportAssets) -> bool:
    """Return whether this run makes tables; the step of tables can also be there for its checks alone."""
    tables = {spec.key for spec in assets.list_specs((TABLES, EXPORT))}
    return not tables.isdisjoint(context.job_def.asset_layer.selected_asset_keys)


def has_last_step(context: StepContext, binding: ExportBinding) -> bool:
    """Return whether this run has a check of the last step, which then reports all checks and fails the run."""
    return has_step(context, binding.format_name(COVERAGE_STEP))


def has_other_assets(context: StepContext, assets: ExportAssets) -> bool:
    """Return whether this run makes assets of the host project too."""
    return not context.job_def.asset_layer.selected_asset_keys <= assets.keys


def is_continuing_after(context: StepContext | dg.OpExecutionContext, name: str) -> bool:
    """Return whether this run continues another one from failure, in which the step succeeded."""
    keys = context.run.step_keys_to_execute
    return bool(context.run.parent_run_id) and keys is not None and name not in keys


def add_max_runtime_tag(context: StepContext, assets: ExportAssets, settings: Settings) -> None:
    """Give this run the maximum time of a snapshot run, if it has none and no assets but those of the export.

    Dagster gives runs of the button Materialize no tags of jobs or steps, and monitoring reads tags of running runs.
    """
    run, selected = context.run, context.job_def.asset_layer.selected_asset_keys
    if dg.MAX_RUNTIME_SECONDS_TAG not in run.tags and selected and not has_other_assets(context, assets):
        context.instance.add_run_tags(run.run_id, build_max_runtime_tag(settings))


def yield_materializations(
    context: dg.AssetExecutionContext, assets: ExportAssets, materialized: Iterable[Materialized]
) -> Iterator[dg.MaterializeResult]:
    """Yield the materializations of the assets that the step was selected for; log the others as events of the run."""
    for made in materialized:
        key = assets.get_key(made.key)
        if key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata=made.metadata, data_version=made.data_version)
        else:
            context.log_event(build_materialization(assets, made))


def yield_checks(
    context: StepContext, assets: ExportAssets, results: Iterable[dg.AssetCheckResult], *, with_others: bool = False
) -> Iterator[dg.AssetCheckResult]:
    """Yield the results of the checks that the step was selected for; with `with_others`, log the others as events."""
    for result in results:
        key = bind_check(assets, result)
        if key in context.selected_asset_check_keys:
            yield result._replace(asset_key=key.asset_key)
        elif with_others:
            log_check(context, assets, result)


def log_check(context: StepContext, assets: ExportAssets, result: dg.AssetCheckResult) -> None:
    """Log the result of another step's check as an event of the run."""
    event = build_check_evaluation(assets, result)
    context.op_execution_context.log_event(event)  # ty: ignore[invalid-argument-type]  Dagster accepts it too


def find_step_config(context: StepContext | dg.OpExecutionContext, step: str) -> Mapping[str, Any]:
    """Return the configuration of a step of this run, or of the run that this one continues."""
    # Not from the run: Dagster stores no `config` of the job there, and gives it to the steps all the same.
    found: Any = context.get_step_execution_context().resolved_run_config.ops.get(step)
    return found.config if found else {}


def restore_discovery_problem(
    context: StepContext | dg.OpExecutionContext, assets: ExportAssets, result: RunResult
) -> RunResult:
    """Return a result with the discovery problem that an earlier step recorded.

    A run that commits nothing, because nothing is due, leaves it in the events of the run alone.
    """
    key, problem = assets.get_key(dg.AssetKey("scope_runs")), result.discovery_problem
    logs = context.instance.all_logs(context.run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    for event in (entry.dagster_event for entry in logs if entry.dagster_event):
        metadata = event.step_materialization_data.materialization.metadata
        if event.asset_key == key and DISCOVERY_PROBLEM in metadata:
            problem = problem or str(metadata[DISCOVERY_PROBLEM].value)
    return replace(result, discovery_problem=problem)


def bind_check(assets: ExportAssets, result: dg.AssetCheckResult) -> dg.AssetCheckKey:
    """Return the key of a check in this code location."""
    assert result.asset_key is not None  # noqa: S101  our results name their asset
    return assets.bind_check_key(dg.AssetCheckKey(result.asset_key, result.check_name or ""))


def build_check_evaluation(assets: ExportAssets, check: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """Return a check's result as an event, because a step may not yield results of the checks of other steps."""
    key = bind_check(assets, check)
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=check.passed,
        metadata=check.metadata,
        severity=check.severity,
        description=check.description,
    )
