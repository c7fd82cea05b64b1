"""The same run over several processes or machines: one op plans, each shard's op sweeps its part, one commits.

The number of shards is fixed when the code is loaded, and not a DynamicOut: dagster-dask 0.29 leaves the steps behind
one out and ends green. Which executor runs them is configuration.
"""

import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from threading import Event

import dagster as dg

from pipelines.contracts import Contract, load_all
from pipelines.defs.assets import MENDED, POOL, SnapshotConfig, materialized
from pipelines.defs.checks import check_results, coverage_result
from pipelines.defs.resources import loaded, plainly
from pipelines.defs.specs import Shown, lineage
from pipelines.defs.watch import LoggingWatch
from pipelines.errors import BadSettings
from pipelines.lake import layout
from pipelines.lake.store import Store
from pipelines.run import RunResult
from pipelines.run.shards import Shard, Swept, decoded, encoded, finish_shards, plan_shards
from pipelines.run.steps import Prepared
from pipelines.run.supervision import supervised
from pipelines.run.warehouse import opened
from pipelines.settings import Settings

JOB = "snapshot_sharded"
EXECUTORS = {
    "in_process": ("dagster", "in_process_executor", "dagster"),
    "multiprocess": ("dagster", "multiprocess_executor", "dagster"),
    "dask": ("dagster_dask", "dask_executor", "appstream-export[dask]"),
    "celery": ("dagster_celery", "celery_executor", "dagster-celery"),
    "kubernetes": ("dagster_k8s", "k8s_job_executor", "dagster-k8s"),
}
"""By our name: module, name in it, and what to install."""
LOCAL_DASK = {"cluster": {"local": {"n_workers": 2, "host": "127.0.0.1", "dashboard_address": None}}}
_HANDED = "handed"
_DEAD = dg.RetryPolicy(max_retries=1)
"""For a step whose process dies; what the step itself raises is not asked again."""


class Handed(dg.IOManager):
    """Values between steps as JSON in the warehouse, which every machine of a run reaches anyway."""

    def handle_output(self, context: dg.OutputContext, obj: Prepared | Shard | Swept) -> None:
        """Under the run, the step and the output; a step that is done again replaces it."""
        with plainly(), _store().writing(layout.handed_path(*context.get_identifier())) as file:
            file.write(encoded(obj))

    def load_input(self, context: dg.InputContext) -> Prepared | Shard | Swept:
        """Raises Failure where the step behind it left nothing."""
        behind = context.upstream_output
        assert behind is not None  # noqa: S101  every input of ours comes from a step
        try:
            raw = _store().read_bytes(layout.handed_path(*behind.get_identifier()))
        except FileNotFoundError:
            raise dg.Failure(f"{behind.step_key} left nothing: see why it failed", allow_retries=False) from None
        return decoded(raw, behind.dagster_type.typing_type)


def snapshot_sharded(contracts: Sequence[Contract], assets: Sequence[Shown], settings: Settings) -> dg.JobDefinition:
    """The job; its executor and the number of its shards are the settings'."""
    numbers = range(1, settings.dagster.shards + 1)
    plan, commit = _plan(len(numbers)), _commit(contracts, assets)
    sweeps = [_sweep(number) for number in numbers]

    @dg.job(
        name=JOB,
        description="The same as snapshot, swept by several processes or machines, committed once.",
        executor_def=executor(settings),
        config=_execution(settings),
        resource_defs={_HANDED: dg.IOManagerDefinition.hardcoded_io_manager(Handed())},
    )
    def job() -> None:
        prepared, *shards = plan()
        commit(prepared, [sweep(shard) for sweep, shard in zip(sweeps, shards, strict=True)])

    return job


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """The one that `[dagster] executor` names; raises BadSettings where it is not installed."""
    named = settings.dagster.executor
    module, name, package = EXECUTORS[named]
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise BadSettings(f'[dagster] executor = "{named}": {module} is missing; install {package}') from error


def _execution(settings: Settings) -> dict[str, object]:
    """What a run has as its `execution`, unless it says so itself."""
    own = dict(settings.dagster.executor_config) or (LOCAL_DASK if settings.dagster.executor == "dask" else {})
    return {"execution": {"config": own}} if own else {}


def _plan(count: int) -> dg.OpDefinition:
    shards = {f"shard_{number:02}": dg.Out(Shard, io_manager_key=_HANDED) for number in range(1, count + 1)}

    @dg.op(
        pool=POOL,
        out={"prepared": dg.Out(Prepared, io_manager_key=_HANDED), **shards},
        description="Who is asked, and by whom.",
    )
    def plan(context: dg.OpExecutionContext, config: SnapshotConfig) -> Iterator[dg.Output]:
        with plainly():
            prepared, found = plan_shards(
                loaded(),
                load_all(),
                config.request,
                count,
                run_id=context.run.root_run_id or context.run.run_id,
                attempt_id=_attempt(context),
                watch=LoggingWatch(context.log),
                stop=Event(),
            )
        yield dg.Output(prepared, "prepared")
        for name, shard in zip(shards, found, strict=True):
            yield dg.Output(shard, name)

    return plan


def _sweep(number: int) -> dg.OpDefinition:
    @dg.op(
        name=f"sweep_{number:02}",
        out=dg.Out(Swept, io_manager_key=_HANDED),
        retry_policy=_DEAD,
        description="Asks its scopes in a process of its own. If that one dies, its scopes have failed, and no others.",
    )
    def sweep(context: dg.OpExecutionContext, shard: Shard) -> Swept:
        began = time.monotonic()
        with plainly():
            swept = supervised(loaded(), shard)
        failed = sum(outcome.status.is_failure for outcome in swept.outcomes)
        took_s = time.monotonic() - began
        context.log.info(f"{shard}: {len(swept.outcomes)} scopes asked, {failed} failed, {took_s:.1f} s")
        return swept

    return sweep


def _commit(contracts: Sequence[Contract], assets: Sequence[Shown]) -> dg.OpDefinition:
    columns = lineage(assets)

    @dg.op(pool=POOL, out=dg.Out(dg.Nothing), description="One commit of what all shards swept, and all that follows.")
    def commit(
        context: dg.OpExecutionContext, prepared: Prepared, swept: list[Swept]
    ) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output]:
        settings = loaded()
        with plainly():
            result = _result(context, settings, prepared, swept)
        seconds = round((result.manifest.committed_at - result.manifest.started_at).total_seconds(), 3)
        for key, told in materialized(result, assets, columns, contracts, settings, seconds):
            yield dg.AssetMaterialization(key, metadata=told)
        for check in check_results(result, assets):
            yield _evaluation(check)
        if result.exit_code:
            raise dg.Failure(f"{coverage_result(result).description} {MENDED}", allow_retries=False)
        yield dg.Output(None)

    return commit


def _result(
    context: dg.OpExecutionContext, settings: Settings, prepared: Prepared, swept: Sequence[Swept]
) -> RunResult:
    attempt, watch = _attempt(context), LoggingWatch(context.log)
    is_again = not prepared.facts.attempt_id.startswith(f"{context.run.run_id}.")
    return finish_shards(
        settings, load_all(), prepared, swept, again_as=attempt if is_again else None, watch=watch, stop=Event()
    )


def _attempt(context: dg.OpExecutionContext) -> str:
    return f"{context.run.run_id}.{context.retry_number}"


def _evaluation(check: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """The same as an event, which an op outside all assets may log."""
    assert check.asset_key is not None  # noqa: S101  ours name their asset
    return dg.AssetCheckEvaluation(
        asset_key=check.asset_key,
        check_name=check.check_name or "",
        passed=check.passed,
        metadata=check.metadata,
        severity=check.severity,
        description=check.description,
    )


def _store() -> Store:
    return opened(loaded())
