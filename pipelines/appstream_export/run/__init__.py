"""One run: sweep, commit, catalog, checks, feeds. Called by the command line and by Dagster, knows neither.

Its steps are in steps.py; shards.py lets several processes share the sweep.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Event

from ulid import ULID

from appstream_export.contracts import Contract
from appstream_export.contracts.model import all_tables
from appstream_export.inputs.prices import read_prices
from appstream_export.lake.snapshots.staged_snapshot import Draft
from appstream_export.model import Watch
from appstream_export.run.publishing import republish
from appstream_export.run.request import Request, failed_of, limit
from appstream_export.run.result import RunResult
from appstream_export.run.stages import asked_and_written, finish, prepare, settle
from appstream_export.run.warehouse import existing_store, known
from appstream_export.settings import Settings

__all__ = ["Request", "RunResult", "existing_store", "failed_of", "known", "limit", "republish", "run"]


def run(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request = Request(),
    *,
    run_id: str | None = None,
    attempt_id: str | None = None,
    watch: Watch = Watch(),
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
    store, prepared = prepare(
        settings,
        contracts,
        request,
        run_id=run_id,
        attempt_id=attempt_id or run_id,
        started_at=moment or datetime.now(UTC),
        watch=watch,
        stop=stop,
    )
    if prepared.settled_by is not None:
        return settle(settings, contracts, prepared, store, prepared.settled_by, watch=watch, stop=stop)
    draft = Draft(store, all_tables(contracts), prepared.snapshot_id)
    try:
        outcomes = asked_and_written(settings, contracts, prepared, draft.write, watch=watch, stop=stop, moment=moment)
        return finish(settings, contracts, prepared, draft, outcomes, prices, watch=watch, stop=stop, moment=moment)
    except BaseException:
        draft.discard()
        raise
