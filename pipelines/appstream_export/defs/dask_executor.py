"""Executor that runs each step as a task of a Dask cluster and monitors it by its events, like steps on Kubernetes.

It replaces dagster-dask: version 0.29 skips the steps behind a DynamicOut and still reports success, and it cannot send
steps of a pool to a Dask of 2026. If a worker is lost, Dask runs its step on another worker.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._cli.api import _execute_step_command_body
from dagster._core.events import DagsterEvent
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import deserialize_value, serialize_value

from appstream_export.defs.context import WORKERS

if TYPE_CHECKING:
    from distributed import Client, Future

LOCAL = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
"""Arguments for a cluster that only this machine can reach; its certificate keeps out other users of the machine."""
HEALTH_S = 5
_FAILED_STATUSES = ("error", "cancelled", "lost")


class DaskStepHandler(StepHandler):
    """Handler that submits steps to a cluster; without an address, the first step starts a local cluster."""

    def __init__(self, address: str | None, workers: int) -> None:
        self._address, self._workers = address, workers
        self._client: Client | None = None
        self._futures: dict[str, Future] = {}

    @property
    def name(self) -> str:
        """The name of the handler in the event log."""
        return "Dask"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Submit the step to the cluster."""
        args = step_handler_context.execute_step_args
        key = _get_step_key(args)
        self._client = self._client or self._connect_client()
        # pure=False: a retried step may have the same arguments, for which Dask would return the earlier result.
        future = self._client.submit(_execute_step, serialize_value(args), pure=False)
        self._futures[key] = future
        future.add_done_callback(_release_future)
        yield DagsterEvent.step_worker_starting(
            step_handler_context.get_step_context(key), f"{key} is submitted to Dask as {future.key}", metadata={}
        )

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Report the step as unhealthy if no worker could finish it, or if another process submitted it."""
        future = self._futures.get(_get_step_key(step_handler_context.execute_step_args))
        if future is None or future.status in _FAILED_STATUSES:
            why = (
                "another process submitted it to Dask" if future is None else f"{future.status}: {future.exception()!r}"
            )
            return CheckStepHealthResult.unhealthy(why)
        return CheckStepHealthResult.healthy()

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Cancel the step: it does not start; if it is already running, it ends and its result is discarded."""
        if future := self._futures.get(_get_step_key(step_handler_context.execute_step_args)):
            future.cancel()
        yield from ()

    def close(self) -> None:
        """Disconnect from the cluster, and stop it if this handler started it."""
        if self._client:
            cluster = self._client.cluster
            self._client.close()
            if cluster:
                cluster.close()

    def _connect_client(self) -> "Client":
        from distributed import Client, LocalCluster  # an extra: this module must be importable without it
        from distributed.security import Security

        if self._address:
            return Client(self._address)
        # A Dask scheduler runs any client's tasks: without TLS, every user of this machine could run code as this one.
        return Client(LocalCluster(n_workers=self._workers, security=Security.temporary(), **LOCAL))


class DaskExecutor(StepDelegatingExecutor):
    """Executor that disconnects from the cluster at the end of a run, also after an error."""

    def __init__(self, steps: DaskStepHandler) -> None:
        super().__init__(steps, RetryMode.ENABLED, sleep_seconds=0.5, check_step_health_interval_seconds=HEALTH_S)
        self._steps = steps

    def execute(self, plan_context, execution_plan):  # noqa: ANN001, ANN201  the base class's types are private
        """Yield the events of all steps of a run."""
        try:
            yield from super().execute(plan_context, execution_plan)
        finally:
            self._steps.close()


@dg.executor(
    name="dask",
    requirements=dg.multiple_process_executor_requirements(),
    config_schema={
        "address": dg.Field(
            dg.Noneable(str),
            default_value=None,
            description="Address of a Dask scheduler; without it, a cluster on this machine.",
        ),
        "workers": dg.Field(int, default_value=WORKERS, description="Processes of the cluster on this machine."),
    },
)
def build_dask_executor(context: dg.InitExecutorContext) -> DaskExecutor:
    """Build the executor that runs each step on a worker of a Dask cluster."""
    own: Mapping[str, Any] = context.executor_config
    return DaskExecutor(DaskStepHandler(own["address"], own["workers"]))


def _execute_step(serialized_args: str) -> None:
    """Run a step like `dagster api execute_step`, but within the worker's process, so that both end together."""
    args = deserialize_value(serialized_args, ExecuteStepArgs)
    assert args.instance_ref is not None  # noqa: S101  the executor sets it
    with dg.DagsterInstance.from_ref(args.instance_ref) as instance:
        run = instance.get_run_by_id(args.run_id)
        assert run is not None  # noqa: S101  the run is stored before its steps are sent
        for _ in _execute_step_command_body(args, instance, run):
            pass  # the generator stores each event itself


def _release_future(future: "Future") -> None:
    """Release a finished step; else Dask would run it again if the worker that ran it is lost."""
    if future.status == "finished":
        future.release()


def _get_step_key(args: ExecuteStepArgs) -> str:
    assert args.step_keys_to_execute is not None  # noqa: S101  the executor names one
    return args.step_keys_to_execute[0]
