"""What later steps of a run need, in other processes: stages for the newest snapshot, and the result of the run."""

from collections.abc import Collection, Sequence
from threading import Event

from appstream_export.contracts import Contract, can_render_report
from appstream_export.errors import ConfigurationError, ExportError, describe_error
from appstream_export.feeds import PublishResult, load_published_feeds, load_served_outputs
from appstream_export.lake.snapshots import KIND_SWEEP, Manifest, find_attempt, load_head, load_history
from appstream_export.lake.storage import Store
from appstream_export.model import RunListener
from appstream_export.run.context import RunContext
from appstream_export.run.publishing import Publication, publish_outputs, try_after_commit
from appstream_export.run.request import Request
from appstream_export.run.result import (
    RunResult,
    TaskResults,
    build_run_result,
    load_discovery_problem,
    load_task_results,
)
from appstream_export.run.warehouse import open_existing_warehouse
from appstream_export.settings import Settings

_BEHIND = "the snapshot is committed, but the {} shows an older one, or cannot be read: see the log of its publication"


def publish_stages(
    settings: Settings,
    contracts: Sequence[Contract],
    stages: Sequence[str],
    *,
    listener: RunListener = RunListener(),
    stop: Event,
) -> RunResult:
    """Perform stages for the newest snapshot without a request to AWS, and return them as a result without outcomes.

    Raises ConfigurationError if there is no snapshot.
    """
    context = RunContext(settings=settings, contracts=contracts, listener=listener, stop=stop)
    store, head = _open_newest_snapshot(settings)
    publication = publish_outputs(context, Request(stages=tuple(stages)), store, head.seq)
    return build_run_result(
        head, TaskResults(), publication, is_committed=False, discovery_problem=None, max_failed_ratio=0.0
    )


def load_run_result(
    settings: Settings,
    contracts: Sequence[Contract],
    *,
    run_id: str | None = None,
    listener: RunListener = RunListener(),
) -> RunResult:
    """Return the result of a run, or of the newest one, from the warehouse; request and publish nothing.

    The outcomes are those of the run's newest snapshot; a run that committed none had nothing to request. A scope that
    is no longer covered and that the guard retains counts as failed, as in the run itself. Checks and outputs are those
    of the newest snapshot. Raises ConfigurationError if there is no snapshot.
    """
    store, head = _open_newest_snapshot(settings)
    sweep = _find_newest_sweep(store, head)
    own = find_attempt(store, run_id=run_id, attempt_id=run_id) if run_id else sweep
    manifest = own or sweep
    results, problem = try_after_commit(
        lambda: load_task_results(store, manifest, (), requested=None if own else ()),
        "the outcomes of its scopes could not be read",
    )
    context = RunContext(settings=settings, contracts=contracts, listener=listener, stop=Event())
    return build_run_result(
        manifest,
        results or TaskResults(outcomes_problem=problem),
        _load_publication(context, store, head, sweep),
        is_committed=False,
        discovery_problem=load_discovery_problem(store, manifest) if own and manifest.kind == KIND_SWEEP else None,
        max_failed_ratio=settings.extract.max_failed_ratio,
    )


def _open_newest_snapshot(settings: Settings) -> tuple[Store, Manifest]:
    store = open_existing_warehouse(settings)
    head = load_head(store) if store else None
    if store is None or head is None:
        raise ConfigurationError(f"there is no snapshot at {settings.warehouse}", fix="run the job snapshot first")
    return store, head


def _find_newest_sweep(store: Store, head: Manifest) -> Manifest:
    """Return the newest snapshot that a run committed; the head may be one that an erase or expire committed."""
    if head.kind == KIND_SWEEP:
        return head
    history = load_history(store, pass_damage=True)
    return next((manifest for manifest in reversed(history) if manifest.kind == KIND_SWEEP), head)


def _load_publication(context: RunContext, store: Store, head: Manifest, sweep: Manifest) -> Publication:
    """Run the checks, and compare each output with the newest snapshot."""
    due, shown = context.settings.feeds, {head.snapshot_id, sweep.snapshot_id}
    checked = publish_outputs(context, Request(stages=("checks",)), store, head.seq)
    served = {output.name: output for output in load_served_outputs(store)}
    is_catalog_behind = "catalog" in served and (served["catalog"].seq or 0) < sweep.seq
    has_report, is_reported = due.report and can_render_report(context.contracts), served["report"].snapshot_id in shown
    feeds, feeds_problem = _load_feeds(store, sweep, {*due.versions}) if due.publish else (None, None)
    return Publication(
        catalog_problem=_BEHIND.format("catalog") if is_catalog_behind else None,
        is_catalog_published=not is_catalog_behind,
        checks=checked.checks,
        checks_problem=checked.checks_problem,
        published_feeds=feeds,
        feeds_problem=feeds_problem,
        report_problem=_BEHIND.format("report") if has_report and not is_reported else None,
        is_reported=is_reported,
    )


def _load_feeds(store: Store, sweep: Manifest, versions: Collection[str]) -> tuple[PublishResult | None, str | None]:
    """Return the feeds of these versions that readers see, and why one of them does not show the newest snapshot."""
    try:
        feeds = load_published_feeds(store, versions)
    except (ExportError, OSError) as error:
        return None, f"the feeds cannot be read: {describe_error(error)}"
    served = [version for version in (feeds, feeds and feeds.star) if version]
    if len(served) == len(versions) and all(version.current.seq >= sweep.seq for version in served):
        return feeds, None
    if problem := next((version.problem for version in served if version.problem), None):
        return feeds, f"the snapshot is committed, but feeds show an older one: {problem}"
    return feeds, _BEHIND.format("generation of feeds")
