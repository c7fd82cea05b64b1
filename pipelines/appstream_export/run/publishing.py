"""Publish the outputs of a snapshot: catalog, checks, feeds, report. A failure never undoes the snapshot."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from appstream_export.contracts import Contract, can_render_report
from appstream_export.errors import describe_error
from appstream_export.feeds import PublishResult, list_served_versions, publish_feeds
from appstream_export.lake.catalog import CheckResult, SharedConnection, refresh_catalog, run_checks
from appstream_export.lake.storage import REPORT_FILE, Store
from appstream_export.model import RunListener
from appstream_export.run.check_inputs import build_check_inputs
from appstream_export.run.context import RunContext
from appstream_export.run.request import Request
from appstream_export.run.warehouse import open_warehouse
from appstream_export.settings import Settings

T = TypeVar("T")
_log = logging.getLogger(__name__)
# A stop does not skip the catalog: without it, readers do not see the snapshot.
_STOPPED = {
    stage: f"the snapshot is committed, but the run was stopped before {what}"
    for stage, what in (
        ("checks", "it was checked"),
        ("feeds", "its feeds were published"),
        ("report", "its report was written"),
    )
}


@dataclass(frozen=True, kw_only=True)
class Publication:
    """The outputs of a snapshot, and the problem of each output that could not be published.

    The snapshot remains committed, whatever the problems are.
    """

    catalog_problem: str | None = None
    is_catalog_published: bool = False
    """True if the catalog shows the snapshot, or there is none because the warehouse is a bucket."""
    checks: tuple[CheckResult, ...] = ()
    """Results of sql/checks for the newest snapshot; empty if the checks could not run."""
    checks_problem: str | None = None
    """The reason if the checks could not run."""
    published_feeds: PublishResult | None = None
    """The feeds that are served now; None if this run did not publish any."""
    feeds_problem: str | None = None
    """The reason if feeds could not be published, or show an older snapshot."""
    report_problem: str | None = None
    is_reported: bool = False
    """True if report.html shows the snapshot; False if this run did not write it."""
    left_out: frozenset[str] = frozenset()
    """Stages that a stop skipped: `checks`, `feeds`, `report`. They have a problem, but do not count as failures."""


def publish_outputs(context: RunContext, request: Request, store: Store, head_seq: int) -> Publication:
    """Publish the newest snapshot, even if this run committed none: the run that did may have been killed too early."""
    is_publisher = request.publish and not {"feeds", "report"}.isdisjoint(request.stages)
    with SharedConnection(store, context.contracts, keeps_parts=is_publisher) as shared:
        return _publish_stages(context, request, store, head_seq, shared)


def _publish_stages(
    context: RunContext, request: Request, store: Store, head_seq: int, shared: SharedConnection
) -> Publication:
    due, left_out = _list_due_stages(context, request), set[str]()

    def run_stage(stage: str, act: Callable[[], tuple[T | None, str | None]]) -> tuple[T | None, str | None]:
        """Return the result of a stage and its problem; neither if it is not due."""
        if stage not in due:
            return None, None
        if stage in _STOPPED and context.stop.is_set():
            left_out.add(stage)
            return None, _STOPPED[stage]
        return act()

    _, catalog_problem = run_stage("catalog", lambda: _publish_catalog(context, store))
    checks, checks_problem = run_stage("checks", lambda: _run_checks(context, store, shared))
    # Publishing feeds reuses these results, so that the checks run only once.
    check_results = {} if checks is None else {head_seq: checks}
    feeds, feeds_problem = run_stage("feeds", lambda: _publish_feeds(context, store, check_results, shared))
    _, report_problem = run_stage("report", lambda: _publish_report(context, store, shared, feeds))
    return Publication(
        catalog_problem=catalog_problem,
        is_catalog_published="catalog" in due and catalog_problem is None,
        checks=checks or (),
        checks_problem=checks_problem,
        published_feeds=feeds,
        feeds_problem=feeds_problem,
        report_problem=report_problem,
        is_reported="report" in due and report_problem is None,
        left_out=frozenset(left_out),
    )


def _list_due_stages(context: RunContext, request: Request) -> set[str]:
    """Return the requested stages that settings and contracts allow."""
    feeds, publishes = context.settings.feeds, request.publish
    is_due = {
        "catalog": publishes,
        "checks": True,
        "feeds": publishes and feeds.publish,
        "report": publishes and feeds.report and can_render_report(context.contracts),
    }
    return {stage for stage in request.stages if is_due.get(stage, False)}


def republish_outputs(settings: Settings, contracts: Sequence[Contract]) -> list[str]:
    """Publish feeds and report again if they exist, so that they show no erased data; return the problems."""
    context = RunContext(settings=settings, contracts=contracts, listener=RunListener(), stop=Event())
    store = open_warehouse(settings)
    has_feeds = bool(list_served_versions(store))
    has_report = store.exists(REPORT_FILE) and can_render_report(contracts)
    with SharedConnection(store, contracts, keeps_parts=True) as shared:
        feeds, feeds_problem = _publish_feeds(context, store, {}, shared) if has_feeds else (None, None)
        _, report_problem = _publish_report(context, store, shared, feeds) if has_report else (None, None)
    return [problem for problem in (feeds_problem, report_problem) if problem]


def _publish_catalog(context: RunContext, store: Store) -> tuple[None, str | None]:
    def publish() -> str | None:
        return refresh_catalog(store, context.contracts, root=context.settings.lake.catalog_root)

    problem, failure = _try_stage(context, "catalog", publish, "its catalog could not be published")
    return None, problem or failure


def _run_checks(
    context: RunContext, store: Store, shared: SharedConnection
) -> tuple[tuple[CheckResult, ...] | None, str | None]:
    """Return the results of the checks, or None and the problem."""

    def run() -> tuple[CheckResult, ...]:
        with shared.open_newest("checks") as con:
            inputs = build_check_inputs(store, context.contracts, context.settings)
            return tuple(run_checks(con, context.contracts, inputs))

    return _try_stage(context, "checks", lambda: shared.call_with_retry(run), "could not be checked")


def _publish_feeds(
    context: RunContext, store: Store, check_results: Mapping[int, Sequence[CheckResult]], shared: SharedConnection
) -> tuple[PublishResult | None, str | None]:
    def publish() -> PublishResult:
        settings = context.settings.feeds
        return publish_feeds(store, context.contracts, settings, check_results=check_results, shared=shared)

    why = "its feeds could not be published"
    published, problem = _try_stage(context, "feeds", lambda: shared.call_with_retry(publish), why)
    if published and published.problem:
        problem = f"the snapshot is committed, but feeds show an older one: {published.problem}"
    return published, problem


def _publish_report(
    context: RunContext, store: Store, shared: SharedConnection, feeds: PublishResult | None
) -> tuple[None, str | None]:
    def publish() -> None:
        from appstream_export.feeds import publish_report  # here, because this import may fail too

        publish_report(store, context.contracts, context.settings, shared=shared, published=feeds)

    why = "its report could not be written"
    return _try_stage(context, "report", lambda: shared.call_with_retry(publish), why)


def _try_stage(context: RunContext, stage: str, publish: Callable[[], T], problem: str) -> tuple[T | None, str | None]:
    context.listener.on_stage(stage)
    return try_after_commit(publish, problem)


def try_after_commit(act: Callable[[], T], problem: str) -> tuple[T | None, str | None]:
    """Call `act` after a commit; return its result, or None and the problem in one line.

    The snapshot is committed, so an exception of any kind must not end the run; only a stop does.
    """
    try:
        return act(), None
    except Exception as error:  # noqa: BLE001  whatever fails, the snapshot is committed
        _log.debug("failed after the commit", exc_info=True)
        return None, f"the snapshot is committed, but {problem}: {describe_error(error)}"
