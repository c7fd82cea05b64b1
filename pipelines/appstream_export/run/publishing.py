"""Publish what shows a snapshot: catalog, checks, feeds, report. A failure of any of them never undoes the snapshot."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event

from appstream_export.contracts import Contract
from appstream_export.errors import ExportError
from appstream_export.feeds import PublishResult, has_published_feeds, publish_feeds
from appstream_export.lake.catalog import CheckResult, connect_warehouse, refresh_catalog, run_checks, run_query
from appstream_export.lake.storage import REPORT_FILE, Store
from appstream_export.model import RunListener
from appstream_export.run.context import RunContext
from appstream_export.run.request import Request
from appstream_export.run.warehouse import open_warehouse
from appstream_export.settings import Settings

_log = logging.getLogger(__name__)
_STOPPED = "the snapshot is committed, but the run was stopped before "


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The outputs that show a snapshot, and the problem of each that could not be brought up to it."""

    catalog_problem: str | None = None
    checks: tuple[CheckResult, ...] = ()
    checks_problem: str | None = None
    published_feeds: PublishResult | None = None
    feeds_problem: str | None = None
    report_problem: str | None = None
    is_reported: bool = False


def publish_outputs(context: RunContext, request: Request, store: Store, head_seq: int) -> Publication:
    """Publish the newest snapshot, also where this run committed none: the one that did may have been killed before."""
    settings, stop = context.settings, context.stop
    catalog_problem = _publish_catalog(context, store) if request.publish else None
    checks, checks_problem = ((), _STOPPED + "it was checked") if stop.is_set() else _run_checks(context)
    check_results = {} if checks_problem else {head_seq: checks}
    published_feeds = feeds_problem = report_problem = None
    publishes_feeds = request.publish and settings.feeds.publish
    if publishes_feeds and stop.is_set():
        feeds_problem = _STOPPED + "its feeds were published"
    elif publishes_feeds:
        published_feeds, feeds_problem = _publish_feeds(context, store, check_results)
    publishes_report = request.publish and settings.feeds.report
    if publishes_report:
        report_problem = _STOPPED + "its report was written" if stop.is_set() else _publish_report(context, store)
    return Publication(
        catalog_problem=catalog_problem,
        checks=checks,
        checks_problem=checks_problem,
        published_feeds=published_feeds,
        feeds_problem=feeds_problem,
        report_problem=report_problem,
        is_reported=publishes_report and report_problem is None,
    )


def republish_outputs(settings: Settings, contracts: Sequence[Contract]) -> list[str]:
    """Publish feeds and report again where there are any, so that they show nothing that was erased.

    Returns the problems.
    """
    context = RunContext(settings=settings, contracts=contracts, listener=RunListener(), stop=Event())
    store = open_warehouse(settings)
    has_feeds, has_report = has_published_feeds(store), store.exists(REPORT_FILE)
    feeds_problem = _publish_feeds(context, store, {})[1] if has_feeds else None
    report_problem = _publish_report(context, store) if has_report else None
    return [problem for problem in (feeds_problem, report_problem) if problem]


def _publish_catalog(context: RunContext, store: Store) -> str | None:
    context.listener.on_stage("catalog")
    return refresh_catalog(store, context.contracts, root=context.settings.lake.catalog_root)


def _run_checks(context: RunContext) -> tuple[tuple[CheckResult, ...], str | None]:
    """Return the checks' results, or none and the problem."""
    settings = context.settings
    context.listener.on_stage("checks")
    try:
        with connect_warehouse(settings.warehouse, s3=settings.s3) as con:
            return tuple(run_checks(con)), None
    except (ExportError, OSError) as error:
        _log.debug("checking failed", exc_info=True)
        return (), f"the snapshot is committed, but could not be checked: {error}"


def _publish_feeds(
    context: RunContext, store: Store, check_results: Mapping[int, Sequence[CheckResult]]
) -> tuple[PublishResult | None, str | None]:
    context.listener.on_stage("feeds")
    try:
        published = publish_feeds(store, context.contracts, context.settings.feeds, check_results=check_results)
    except (ExportError, OSError) as error:
        _log.debug("publishing failed", exc_info=True)
        return None, f"the snapshot is committed, but its feeds could not be published: {error}"
    older = f"the snapshot is committed, but feeds show an older one: {published.problem}"
    return published, older if published.problem else None


def _publish_report(context: RunContext, store: Store) -> str | None:
    from appstream_export.feeds import publish_report

    settings = context.settings
    context.listener.on_stage("report")
    try:
        with connect_warehouse(settings.warehouse, s3=settings.s3) as con:
            publish_report(store, lambda sql: run_query(con, sql), settings)
    except (ExportError, OSError) as error:
        _log.debug("the report could not be written", exc_info=True)
        return f"the snapshot is committed, but its report could not be written: {error}"
    return None
