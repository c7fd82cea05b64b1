"""The snapshot job on several processes or machines: an op plans, an op per shard sweeps it, and an op commits.

The settings choose the executor; the steps do not depend on it.
"""

import os
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from threading import Event

import dagster as dg
from pydantic import Field

from appstream_export.contracts import Contract, load_contracts
from appstream_export.defs.assets import POOL, SnapshotConfig, collect_asset_metadata, resolve_run_id
from appstream_export.defs.automation import build_max_runtime_tag
from appstream_export.defs.checks import build_check_results, explain_failure
from appstream_export.defs.context import WORKERS, as_dagster_failure, load_settings
from appstream_export.defs.progress import LoggingRunListener
from appstream_export.defs.specs import AssetSource
from appstream_export.defs.stop import handle_stop
from appstream_export.errors import SettingsError
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
    open_warehouse,
    plan_shards,
    run_shard_process,
)
from appstream_export.settings import Settings

JOB = "snapshot_sharded"
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

    def handle_output(self, context: dg.OutputContext, obj: PreparedRun | Shard | ShardResult) -> None:
        """Store the value at a path of run, step and output; a repeated step replaces it."""
        with as_dagster_failure(), _open_store().open_output(_build_output_path(context)) as file:
            file.write(encode_message(obj))

    def load_input(self, context: dg.InputContext) -> PreparedRun | Shard | ShardResult:
        """Read the value of the upstream step; raises Failure if there is none."""
        upstream = context.upstream_output
        assert upstream is not None  # noqa: S101  every input of this job comes from a step
        try:
            raw = _open_store().read_bytes(_build_output_path(upstream))
        except FileNotFoundError:
            why = "see why it failed; if gc or erase deleted the value: re-execute all steps"
            raise dg.Failure(f"{upstream.step_key} left no value: {why}", allow_retries=False) from None
        return decode_message(raw, upstream.dagster_type.typing_type)


def build_sharded_job(
    contracts: Sequence[Contract], assets: Sequence[AssetSource], settings: Settings
) -> dg.JobDefinition:
    """Build the job; the settings choose its executor and the number of shards."""
    commit = _build_commit_op(contracts, assets)

    @dg.job(
        name=JOB,
        description="Like snapshot, but several processes or machines sweep the scopes. There is a single commit.",
        tags=build_max_runtime_tag(settings, count_shard_rounds(settings), GRACE_S),
        executor_def=resolve_executor(settings),
        config=_build_execution_config(settings),
        resource_defs={_IO_MANAGER_KEY: dg.IOManagerDefinition.hardcoded_io_manager(WarehouseIOManager())},
    )
    def job() -> None:
        prepared, shards = plan_sweep()
        commit(prepared, shards.map(sweep_shard).collect())

    return job


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


def _build_execution_config(settings: Settings) -> dict[str, object]:
    """Return the job's default `execution` configuration; a run may override it."""
    own = dict(settings.dagster.executor_config)
    return {"execution": {"config": own}} if own else {}


@dg.op(
    name="plan",
    pool=POOL,
    out={
        "prepared": dg.Out(PreparedRun, io_manager_key=_IO_MANAGER_KEY),
        "shards": dg.DynamicOut(Shard, io_manager_key=_IO_MANAGER_KEY),
    },
    description="Plans which scopes to request, and divides them into shards.",
)
def plan_sweep(context: dg.OpExecutionContext, config: ShardedConfig) -> Iterator[dg.Output | dg.DynamicOutput]:
    """Prepare the run up to its first request for items, and split its tasks into shards."""
    settings = load_settings()
    with as_dagster_failure():
        prepared, shards = plan_shards(
            settings,
            load_contracts(),
            config.request,
            config.shards or settings.dagster.shards,
            run_id=resolve_run_id(context.run, context.instance),
            attempt_id=_format_attempt_id(context),
            listener=LoggingRunListener(context.log),
            stop=Event(),
        )
    yield dg.Output(prepared, "prepared")
    for shard in shards:
        yield dg.DynamicOutput(shard, mapping_key=f"{shard.number:02}", output_name="shards")


@dg.op(
    name="sweep",
    out=dg.Out(ShardResult, io_manager_key=_IO_MANAGER_KEY),
    retry_policy=_RETRY_POLICY,
    description="Requests its scopes in a separate process. If that process is killed, only its scopes fail.",
)
def sweep_shard(context: dg.OpExecutionContext, shard: Shard) -> ShardResult:
    """Sweep the shard in a separate process; failures of AWS become outcomes, not errors."""
    began = time.monotonic()
    try:
        with as_dagster_failure():
            swept = run_shard_process(load_settings(), shard)
    except dg.DagsterExecutionInterruptedError:
        # The retry policy, which is for crashes, would run an interrupted step again, and the run would go on.
        raise dg.Failure("the run was stopped; nothing was committed", allow_retries=False) from None
    failed = sum(outcome.status.is_failure for outcome in swept.outcomes)
    took_s = time.monotonic() - began
    context.log.info(f"{shard}: {len(swept.outcomes)} scopes requested, {failed} failed, {took_s:.1f} s")
    return swept


def _build_commit_op(contracts: Sequence[Contract], assets: Sequence[AssetSource]) -> dg.OpDefinition:

    @dg.op(
        pool=POOL, out=dg.Out(dg.Nothing), description="Commits the results of all shards at once, then publishes them."
    )
    def commit(
        context: dg.OpExecutionContext, prepared: PreparedRun, swept: list[ShardResult]
    ) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output]:
        settings = load_settings()
        with as_dagster_failure():
            result = _finish_shards(context, settings, prepared, swept)
        seconds = round((result.manifest.committed_at - result.manifest.started_at).total_seconds(), 3)
        for key, metadata in collect_asset_metadata(result, assets, contracts, settings, seconds, context.log):
            yield dg.AssetMaterialization(key, metadata=metadata)
        for check in build_check_results(result, assets):
            yield _build_check_evaluation(check)
        if result.exit_code:
            raise dg.Failure(explain_failure(result), allow_retries=False)
        yield dg.Output(None)

    return commit


def _finish_shards(
    context: dg.OpExecutionContext, settings: Settings, prepared: PreparedRun, swept: Sequence[ShardResult]
) -> RunResult:
    attempt, listener = _format_attempt_id(context), LoggingRunListener(context.log)
    # A plan of an earlier Dagster run: this is a re-execution, which may request the failed scopes again.
    is_retry = not prepared.facts.attempt_id.startswith(f"{context.run.run_id}.")
    with handle_stop(context.log) as stop:
        return commit_shards(
            settings,
            load_contracts(),
            prepared,
            swept,
            retry_attempt_id=attempt if is_retry else None,
            listener=listener,
            stop=stop,
        )


def _format_attempt_id(context: dg.OpExecutionContext) -> str:
    return f"{context.run.run_id}.{context.retry_number}"


def _build_check_evaluation(check: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """Return the check's result as an event, because an op of a job may not yield results of asset checks."""
    assert check.asset_key is not None  # noqa: S101  build_check_results sets it
    return dg.AssetCheckEvaluation(
        asset_key=check.asset_key,
        check_name=check.check_name or "",
        passed=check.passed,
        metadata=check.metadata,
        severity=check.severity,
        description=check.description,
    )


def _build_output_path(output: dg.OutputContext) -> str:
    """Return a path of run, step and output; the step `sweep[01]` becomes `sweep-01`, which is safe in file names."""
    return build_handover_path(*(word.replace("[", "-").rstrip("]") for word in output.get_identifier()))


def _open_store() -> Store:
    return open_warehouse(load_settings())
