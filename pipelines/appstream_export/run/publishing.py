"""What follows a commit: catalog, checks, feeds, report. That any of it fails never undoes the snapshot."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Event

from appstream_export.contracts import Contract
from appstream_export.errors import ExportError
from appstream_export.feeds import PublishResult, has_published_feeds, publish_feeds
from appstream_export.lake.catalog import CheckResult, connect_warehouse, refresh_catalog, run_checks, run_query
from appstream_export.lake.storage import REPORT_FILE, Store
from appstream_export.model import RunListener
from appstream_export.run.request import Request
from appstream_export.run.result import RunResult
from appstream_export.run.warehouse import open_warehouse
from appstream_export.settings import Settings

_log = logging.getLogger(__name__)
_STOPPED = "the snapshot is committed, but the run was stopped before "


def publish_outputs(
    result: RunResult,
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request,
    store: Store,
    listener: RunListener,
    stop: Event,
) -> RunResult:
    """Publish what stands, also where this call committed nothing: the one that did may have been killed before."""
    unpublished = _publish_catalog(settings, contracts, store, listener) if request.publish else None
    checked, unchecked = ((), _STOPPED + "it was checked") if stop.is_set() else _run_checks(settings, listener)
    known = {} if unchecked else {result.manifest.seq: checked}
    is_fed = request.publish and settings.feeds.publish
    published = unfed = untold = None
    if is_fed and stop.is_set():
        unfed = _STOPPED + "its feeds were published"
    elif is_fed:
        published, unfed = _publish_feeds(settings, contracts, store, known, listener)
    is_reported = request.publish and settings.feeds.report
    if is_reported:
        untold = _STOPPED + "its report was written" if stop.is_set() else _publish_report(settings, store, listener)
    return replace(
        result,
        catalog_problem=unpublished,
        checks=checked,
        checks_problem=unchecked,
        published_feeds=published,
        feeds_problem=unfed,
        report_problem=untold,
        is_reported=is_reported and untold is None,
    )


def republish_outputs(settings: Settings, contracts: Sequence[Contract]) -> list[str]:
    """Make feeds and report anew where there are any, so that they show nothing that was erased; what failed."""
    store, watch = open_warehouse(settings), RunListener()
    is_fed, is_told = has_published_feeds(store), store.exists(REPORT_FILE)
    _, unfed = _publish_feeds(settings, contracts, store, {}, watch) if is_fed else (None, None)
    untold = _publish_report(settings, store, watch) if is_told else None
    return [problem for problem in (unfed, untold) if problem]


def _publish_catalog(
    settings: Settings, contracts: Sequence[Contract], store: Store, listener: RunListener
) -> str | None:
    listener.on_stage("catalog")
    return refresh_catalog(store, contracts, root=settings.lake.catalog_root)


def _run_checks(settings: Settings, listener: RunListener) -> tuple[tuple[CheckResult, ...], str | None]:
    """What the checks found, and why not all could be run."""
    listener.on_stage("checks")
    try:
        with connect_warehouse(settings.warehouse, s3=settings.s3) as con:
            return tuple(run_checks(con)), None
    except (ExportError, OSError) as error:
        _log.debug("checking failed", exc_info=True)
        return (), f"the snapshot is committed, but could not be checked: {error}"


def _publish_feeds(
    settings: Settings,
    contracts: Sequence[Contract],
    store: Store,
    checked: Mapping[int, Sequence[CheckResult]],
    listener: RunListener,
) -> tuple[PublishResult | None, str | None]:
    listener.on_stage("feeds")
    try:
        published = publish_feeds(store, contracts, settings.feeds, check_results=checked)
    except (ExportError, OSError) as error:
        _log.debug("publishing failed", exc_info=True)
        return None, f"the snapshot is committed, but its feeds could not be published: {error}"
    older = f"the snapshot is committed, but feeds show an older one: {published.problem}"
    return published, older if published.problem else None


def _publish_report(settings: Settings, store: Store, listener: RunListener) -> str | None:
    from appstream_export.feeds import publish_report

    listener.on_stage("report")
    try:
        with connect_warehouse(settings.warehouse, s3=settings.s3) as con:
            publish_report(store, lambda sql: run_query(con, sql), settings)
    except (ExportError, OSError) as error:
        _log.debug("the report could not be written", exc_info=True)
        return f"the snapshot is committed, but its report could not be written: {error}"
    return None
