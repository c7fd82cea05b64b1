"""One run: sweep, commit, catalog, checks, feeds. Called by the command line and by Dagster, knows neither.

Its steps are in steps.py; shards.py lets several processes share the sweep.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Event

from ulid import ULID

from appstream_export.contracts import Contract
from appstream_export.contracts.model import list_snapshot_tables
from appstream_export.inputs.prices import read_prices
from appstream_export.lake.snapshots.staged_snapshot import StagedSnapshot
from appstream_export.model import RunListener
from appstream_export.run.publishing import republish_outputs
from appstream_export.run.request import Request, filter_tasks, select_failed_tasks
from appstream_export.run.result import RunResult
from appstream_export.run.stages import commit_and_publish, finish_unchanged, prepare_run, sweep_tasks
from appstream_export.run.warehouse import load_previous_snapshot, open_existing_warehouse
from appstream_export.settings import Settings

__all__ = [
    "Request",
    "RunResult",
    "execute_run",
    "filter_tasks",
    "load_previous_snapshot",
    "open_existing_warehouse",
    "republish_outputs",
    "select_failed_tasks",
]


def execute_run(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request = Request(),
    *,
    run_id: str | None = None,
    attempt_id: str | None = None,
    listener: RunListener = RunListener(),
    stop: Event | None = None,
    moment: datetime | None = None,
) -> RunResult:
    """Find out who is asked, ask AWS, commit a snapshot, then publish its catalog, check it, publish feeds and report.

    `run_id` names the intent: a later attempt under the same one asks only what failed. `attempt_id` names the try:
    it commits at most once. Both default to a new ULID. `moment` is for an emulated AWS with a life of its own: the
    run takes place then. Raises SetupError before any write, NothingSeen or another CommitError when nothing was
    committed, Interrupted when `stop` was set. Set during the commit, it leaves out what follows but the catalog.
    """
    run_id = run_id or str(ULID())
    stop = stop or Event()
    prices = read_prices(settings.feeds.prices)
    store, prepared = prepare_run(
        settings,
        contracts,
        request,
        run_id=run_id,
        attempt_id=attempt_id or run_id,
        started_at=moment or datetime.now(UTC),
        listener=listener,
        stop=stop,
    )
    if prepared.result_seq is not None:
        return finish_unchanged(settings, contracts, prepared, store, prepared.result_seq, listener=listener, stop=stop)
    draft = StagedSnapshot(store, list_snapshot_tables(contracts), prepared.snapshot_id)
    try:
        outcomes = sweep_tasks(settings, contracts, prepared, draft.write, listener=listener, stop=stop, moment=moment)
        return commit_and_publish(
            settings, contracts, prepared, draft, outcomes, prices, listener=listener, stop=stop, moment=moment
        )
    except BaseException:
        draft.discard()
        raise
