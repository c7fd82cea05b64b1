"""The snapshot job on several processes or machines: an op plans, an op per shard sweeps it, and an op commits.

The settings choose the executor; the steps do not depend on it.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from threading import Event

import dagster as dg
from pydantic import Field

from appstream_export.contracts import Contract
from appstream_export.defs.assets import SnapshotConfig, check_completeness, collect_materialized
from appstream_export.defs.automation import build_job_tags
from appstream_export.defs.binding import SHARDED, ExportAssets, ExportBinding
from appstream_export.defs.checks import build_check_results, explain_failure
from appstream_export.defs.context import WORKERS, as_dagster_failure
from appstream_export.defs.monitoring import load_reported_settings, monitor_step, report_step_result, report_stop
from appstream_export.defs.progress import LoggingRunListener
from appstream_export.defs.steps import (
    build_check_evaluation,
    build_materialization,
    find_step_config,
    is_continuing_after,
    resolve_run_id,
    restore_discovery_problem,
)
from appstream_export.defs.stop import STOPPED_AFTER_COMMIT, handle_stop, raise_if_stopped
from appstream_export.errors import ExportError, SettingsError
from appstream_export.installation import format_install_command
from appstream_export.lake.storage import Store, build_handover_path
from appstream_export.run import (
    GRACE_S,
    PreparedRun,
    RunResult,
    Shard,
    ShardResult,
    commit_shards,
    decode_message,
    encode_message,
    execute_run,
    load_run_result,
    open_warehouse,
    plan_shards,
    run_shard_process,
)
from appstream_export.settings import Settings

PLAN_STEP, COMMIT_STEP = "plan", "commit"
EXECUTORS = {
    "in_process": ("dagster", "in_process_executor", "dagster", "dagster"),
    "multiprocess": ("dagster", "multiprocess_executor", "dagster", "dagster"),
    "dask": ("appstream_export.defs.dask_executor", "build_dask_executor", "distributed", "appstream-export[dask]"),
    "celery": ("dagster_celery", "celery_executor", "dagster_celery", "dagster-celery"),
    "kubernetes": ("dagster_k8s", "k8s_job_executor", "dagster_k8s", "dagster-k8s"),
}
"""Executors by their name in the settings: module, attribute, required module, and distribution to install."""
_IO_MANAGER_KEY = "handed"
_RETRY_POLICY = dg.RetryPolicy(max_retries=1)
"""Retry a step whose process was killed; errors that the step raises are not retried."""


class ShardedConfig(SnapshotConfig):
    """Options of a single sharded run: those of a run, and the number of shards."""

    shards: int | None = Field(
        default=None,
        ge=1,
        le=16,
        description="Maximum number of shards, at most one per account; default: [dagster] shards.",
    )


class WarehouseIOManager(dg.IOManager):
    """IO manager that stores values between steps as JSON in the warehouse, which all machines of a run can reach."""

    def __init__(self, binding: ExportBinding) -> None:
        self._binding = binding

    def handle_output(self, context: dg.OutputContext, obj: PreparedRun | Shard | ShardResult) -> None:
        """Store the value at a path of run, step and output; a repeated step replaces it."""
        with as_dagster_failure(), self._open_store().open_output(_build_output_path(context)) as file:
            file.write(encode_message(obj))

    def load_input(self, context: dg.InputContext) -> PreparedRun | Shard | ShardResult:
        """Read the value of the upstream step; raises Failure if there is none."""
        upstream = context.upstream_output
        assert upstream is not None  # noqa: S101  every input of this job comes from a step
        try:
            raw = self._open_store().read_bytes(_build_output_path(upstream))
        except FileNotFoundError:
            why = "see why it failed; if gc or erase deleted the value: re-execute all steps"
            raise dg.Failure(f"{upstream.step_key} left no value: {why}", allow_retries=False) from None
        return decode_message(raw, upstream.dagster_type.typing_type)

    def _open_store(self) -> Store:
        return open_warehouse(self._binding.load_settings(needs_accounts=False))


def build_sharded_job(binding: ExportBinding, assets: ExportAssets, settings: Settings) -> dg.JobDefinition:
    """Build the job; the settings choose its executor and the number of shards."""
    plan_sweep, sweep_shard = _build_plan_op(binding), _build_sweep_op(binding)
    commit, cover = _build_commit_op(binding, assets), _build_coverage_op(binding, assets)

    @dg.job(
        name=binding.format_name(SHARDED),
        description="Like snapshot, but several processes or machines sweep the scopes. There is a single commit.",
        tags=build_job_tags(settings, count_shard_rounds(settings), GRACE_S),
        executor_def=configure_executor(settings),
        resource_defs={_IO_MANAGER_KEY: dg.IOManagerDefinition.hardcoded_io_manager(WarehouseIOManager(binding))},
    )
    def job() -> None:
        prepared, shards = plan_sweep()
        cover(commit(prepared, shards.map(sweep_shard).collect()))

    return job


def configure_executor(settings: Settings) -> dg.ExecutorDefinition:
    """Return the executor with `executor_config` as its defaults; a run's own `execution: config:` overrides them.

    A `config` of the job would do the same, but then the launchpad would not show the defaults of its steps.
    """
    own, executor = dict(settings.dagster.executor_config), resolve_executor(settings)
    if not own:
        return executor
    schema = dg.Field(dg.Permissive(), is_required=False, default_value={})
    return executor.configured(lambda config: own | config, name=executor.name, config_schema=schema)


def resolve_executor(settings: Settings) -> dg.ExecutorDefinition:
    """Return the executor that `[dagster] executor` names; raises SettingsError if it is not installed."""
    executor = settings.dagster.executor
    module, name, needs, package = EXECUTORS[executor]
    if find_spec(needs) is None:
        extra = package.partition("[")[2][:-1]
        fix = format_install_command(extra) if extra else format_install_command(package=package)
        raise SettingsError(f'[dagster] executor = "{executor}": {needs} is missing', fix=fix)
    return getattr(import_module(module), name)


def count_shard_rounds(settings: Settings) -> int:
    """Return how many shards may run one after another: all of them if the limit of the executor is unknown."""
    own, shards = settings.dagster.executor_config, settings.dagster.shards
    at_once = {
        "in_process": 1,
        "multiprocess": own.get("max_concurrent") or os.cpu_count(),
        "dask": None if own.get("address") else own.get("workers", WORKERS),
    }.get(settings.dagster.executor, own.get("max_concurrent"))
    # Rounded up: 5 shards, 2 at once, take 3 rounds.
    return -(-shards // at_once) if isinstance(at_once, int) and at_once > 0 else shards


def _build_plan_op(binding: ExportBinding) -> dg.OpDefinition:
    @dg.op(
        name=binding.format_name(PLAN_STEP),
        pool=binding.pool,
        out={
            "prepared": dg.Out(PreparedRun, io_manager_key=_IO_MANAGER_KEY),
            "shards": dg.DynamicOut(Shard, io_manager_key=_IO_MANAGER_KEY),
        },
        description="Plans which scopes to request, and divides them into shards.",
    )
    def plan_sweep(context: dg.OpExecutionContext, config: ShardedConfig) -> Iterator[dg.Output | dg.DynamicOutput]:
        prepared, shards = _plan_shards(context, config, binding)
        yield dg.Output(prepared, "prepared")
        for shard in shards:
            yield dg.DynamicOutput(shard, mapping_key=f"{shard.number:02}", output_name="shards")

    return plan_sweep


def _plan_shards(
    context: dg.OpExecutionContext, config: ShardedConfig, binding: ExportBinding
) -> tuple[PreparedRun, list[Shard]]:
    settings = load_reported_settings(binding)
    with as_dagster_failure(), monitor_step(settings, starts_run=True):
        return plan_shards(
            settings,
            binding.load_contracts(),
            config.request,
            config.shards or settings.dagster.shards,
            run_id=resolve_run_id(context.run, context.instance),
            attempt_id=_format_attempt_id(context),
            listener=LoggingRunListener(context.log),
            stop=Event(),
        )


def _build_sweep_op(binding: ExportBinding) -> dg.OpDefinition:
    @dg.op(
        name=binding.format_name("sweep"),
        out=dg.Out(ShardResult, io_manager_key=_IO_MANAGER_KEY),
        retry_policy=_RETRY_POLICY,
        description="Requests its scopes in a separate process. If that process is killed, only its scopes fail.",
    )
    def sweep_shard(context: dg.OpExecutionContext, shard: Shard) -> ShardResult:
        began, swept = time.monotonic(), _sweep_in_process(context, binding, shard)
        failed = sum(outcome.status.is_failure for outcome in swept.outcomes)
        took = f"{time.monotonic() - began:.1f} s"
        context.log.info(f"{shard}: {len(swept.outcomes)} scopes requested, {failed} failed, {took}")
        return swept

    return sweep_shard


def _sweep_in_process(context: dg.OpExecutionContext, binding: ExportBinding, shard: Shard) -> ShardResult:
    try:
        with as_dagster_failure():
            return run_shard_process(binding.load_settings(), shard, config=binding.config)
    except dg.DagsterExecutionInterruptedError:
        _report_stop_once(context, binding.load_settings(needs_accounts=False))
        # The retry policy, which is for crashes, would run an interrupted step again, and the run would go on.
        raise dg.Failure("the run was stopped; nothing was committed", allow_retries=False) from None


def _report_stop_once(context: dg.OpExecutionContext, settings: Settings) -> None:
    """Report the end of a stopped run, unless the process of another shard has reported it."""
    is_first = True
    with suppress(ExportError):  # a warehouse that cannot be written must not hide the end
        store = open_warehouse(settings)
        is_first = store.put_if_absent(build_handover_path(context.run.run_id, "stopped"), b"{}")
    if is_first:
        report_stop(settings)


def _build_commit_op(binding: ExportBinding, assets: ExportAssets) -> dg.OpDefinition:
    @dg.op(
        name=binding.format_name(COMMIT_STEP),
        pool=binding.pool,
        out=dg.Out(dg.Nothing),
        description="Commits the results of all shards at once, then publishes them.",
    )
    def commit(
        context: dg.OpExecutionContext, prepared: PreparedRun, swept: list[ShardResult]
    ) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output]:
        settings, contracts = binding.load_settings(), binding.load_contracts()
        with as_dagster_failure(), handle_stop(context.log) as stop:
            with monitor_step(settings):
                result = _finish_shards(context, settings, contracts, prepared, swept, stop)
            yield from _build_events(context, assets, contracts, settings, result)
        if stop.is_set():
            report_step_result(context, settings, result)
        raise_if_stopped(stop, context.log, STOPPED_AFTER_COMMIT)
        yield dg.Output(None)

    return commit


def _finish_shards(
    context: dg.OpExecutionContext,
    settings: Settings,
    contracts: Sequence[Contract],
    prepared: PreparedRun,
    swept: Sequence[ShardResult],
    stop: Event,
) -> RunResult:
    # A plan of an earlier Dagster run: this is a re-execution, which may request the failed scopes again.
    is_retry = not prepared.facts.attempt_id.startswith(f"{context.run.run_id}.")
    return commit_shards(
        settings,
        contracts,
        prepared,
        swept,
        retry_attempt_id=_format_attempt_id(context) if is_retry else None,
        listener=LoggingRunListener(context.log),
        stop=stop,
    )


def _build_events(
    context: dg.OpExecutionContext,
    assets: ExportAssets,
    contracts: Sequence[Contract],
    settings: Settings,
    result: RunResult,
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """Yield the materializations of a result, and the check `complete` of each table."""
    seconds = round((result.manifest.committed_at - result.manifest.started_at).total_seconds(), 3)
    for made in collect_materialized(result, assets, contracts, settings, seconds, context.log):
        yield build_materialization(assets, made)
    for check in check_completeness(result, settings, contracts):
        yield build_check_evaluation(assets, check)


def _build_coverage_op(binding: ExportBinding, assets: ExportAssets) -> dg.OpDefinition:
    @dg.op(
        name=binding.format_name("cover"),
        pool=binding.pool,
        ins={"committed": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        description="Reports whether every scope was seen and every output published; if not, the run fails here.",
    )
    def cover(
        context: dg.OpExecutionContext,
    ) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output]:
        settings, contracts = binding.load_settings(), binding.load_contracts()
        is_continued = is_continuing_after(context, binding.format_name(COMMIT_STEP))
        with monitor_step(settings, starts_run=is_continued):
            result = _find_result(context, binding, settings, contracts, is_continued=is_continued)
        if not is_continued:
            result = restore_discovery_problem(context, assets, result)
        else:
            yield from _build_events(context, assets, contracts, settings, result)
        for check in build_check_results(result, assets.sources):
            yield build_check_evaluation(assets, check)
        report_step_result(context, settings, result)
        if result.exit_code:
            raise dg.Failure(explain_failure(result), allow_retries=False)
        yield dg.Output(None)

    return cover


def _find_result(
    context: dg.OpExecutionContext,
    binding: ExportBinding,
    settings: Settings,
    contracts: Sequence[Contract],
    *,
    is_continued: bool,
) -> RunResult:
    """Return the result of this run; if it continues another one, request the scopes that failed there first."""
    run_id = resolve_run_id(context.run, context.instance)
    with as_dagster_failure(), handle_stop(context.log) as stop:
        if not is_continued:
            return load_run_result(settings, contracts, run_id=run_id)
        request = ShardedConfig(**find_step_config(context, binding.format_name(PLAN_STEP))).request
        listener, attempt_id = LoggingRunListener(context.log), _format_attempt_id(context)
        return execute_run(
            settings, contracts, request, run_id=run_id, attempt_id=attempt_id, listener=listener, stop=stop
        )


def _format_attempt_id(context: dg.OpExecutionContext) -> str:
    return f"{context.run.run_id}.{context.retry_number}"


def _build_output_path(output: dg.OutputContext) -> str:
    """Return a path of run, step and output; the step `sweep[01]` becomes `sweep-01`, which is safe in file names."""
    return build_handover_path(*(word.replace("[", "-").rstrip("]") for word in output.get_identifier()))
