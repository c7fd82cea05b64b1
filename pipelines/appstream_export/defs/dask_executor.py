"""Run Dagster's steps on a Dask cluster: each is a task, monitored by its events like a step on Kubernetes.

Not dagster-dask: with 0.29 the steps behind a DynamicOut are left out and the run is green, and steps in a pool cannot
be sent to a Dask of 2026. If a worker is lost, Dask gives its step to another one.
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
"""A cluster that only this machine can reach; its certificate keeps other users of the machine out."""
HEALTH_S = 5
_FAILED_STATUSES = ("error", "cancelled", "lost")


class DaskStepHandler(StepHandler):
    """Steps as tasks of a cluster, which is made with the first of them where there is no address."""

    def __init__(self, address: str | None, workers: int) -> None:
        self._address, self._workers = address, workers
        self._client: Client | None = None
        self._futures: dict[str, Future] = {}

    @property
    def name(self) -> str:
        """What the event log calls it."""
        return "Dask"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Hand it to the cluster."""
        args = step_handler_context.execute_step_args
        key = _get_step_key(args)
        self._client = self._client or self._connect_client()
        future = self._client.submit(_execute_step, serialize_value(args), pure=False)
        self._futures[key] = future
        future.add_done_callback(_release_future)
        yield DagsterEvent.step_worker_starting(
            step_handler_context.get_step_context(key), f"{key} goes to Dask as {future.key}", metadata={}
        )

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """A step that no worker could bring to its end has failed."""
        future = self._futures.get(_get_step_key(step_handler_context.execute_step_args))
        if future is None or future.status in _FAILED_STATUSES:
            why = "another process gave it to Dask" if future is None else f"{future.status}: {future.exception()!r}"
            return CheckStepHealthResult.unhealthy(why)
        return CheckStepHealthResult.healthy()

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """A step that waits is not begun; one that runs goes on to its end, and nothing is made of it."""
        if future := self._futures.get(_get_step_key(step_handler_context.execute_step_args)):
            future.cancel()
        yield from ()

    def close(self) -> None:
        """Leave the cluster; one of our own ends."""
        if self._client:
            cluster = self._client.cluster
            self._client.close()
            if cluster:
                cluster.close()

    def _connect_client(self) -> "Client":
        from distributed import Client, LocalCluster  # an extra: this module can be looked at without
        from distributed.security import Security

        if self._address:
            return Client(self._address)
        # Without it whoever reaches the port runs code as this user: a scheduler takes tasks from everyone.
        return Client(LocalCluster(n_workers=self._workers, security=Security.temporary(), **LOCAL))


class DaskExecutor(StepDelegatingExecutor):
    """Whatever happens, the cluster is left at the end."""

    def __init__(self, steps: DaskStepHandler) -> None:
        super().__init__(steps, RetryMode.ENABLED, sleep_seconds=0.5, check_step_health_interval_seconds=HEALTH_S)
        self._steps = steps

    def execute(self, plan_context, execution_plan):  # noqa: ANN001, ANN201  as Dagster has it
        """All steps of a run."""
        try:
            yield from super().execute(plan_context, execution_plan)
        finally:
            self._steps.close()


@dg.executor(
    name="dask",
    requirements=dg.multiple_process_executor_requirements(),
    config_schema={
        "address": dg.Field(
            dg.Noneable(str), default_value=None, description="Of a scheduler; without one, a cluster on this machine."
        ),
        "workers": dg.Field(int, default_value=WORKERS, description="Processes of the cluster on this machine."),
    },
)
def build_dask_executor(context: dg.InitExecutorContext) -> DaskExecutor:
    """Each step on a worker of a Dask cluster."""
    own: Mapping[str, Any] = context.executor_config
    return DaskExecutor(DaskStepHandler(own["address"], own["workers"]))


def _execute_step(serialized_args: str) -> None:
    """On a worker: what `dagster api execute_step` does, in this very process, so that it ends with it."""
    args = deserialize_value(serialized_args, ExecuteStepArgs)
    assert args.instance_ref is not None  # noqa: S101  the executor gives it
    with dg.DagsterInstance.from_ref(args.instance_ref) as instance:
        run = instance.get_run_by_id(args.run_id)
        assert run is not None  # noqa: S101  who sent the step wrote the run down before
        for _ in _execute_step_command_body(args, instance, run):
            pass  # each event is written down as it comes


def _release_future(future: "Future") -> None:
    """Else Dask would do a step that has ended again, should the worker die on which it ended."""
    if future.status == "finished":
        future.release()


def _get_step_key(args: ExecuteStepArgs) -> str:
    assert args.step_keys_to_execute is not None  # noqa: S101  the executor names one
    return args.step_keys_to_execute[0]
