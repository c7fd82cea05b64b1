"""Publication of report.html: the warehouse on one self-contained page, from SQL files and charts."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from appstream_export.contracts import Contract, list_sql_files
from appstream_export.feeds.generations import V2
from appstream_export.feeds.publish import PublishResult
from appstream_export.feeds.report.page import render_page
from appstream_export.feeds.report.star_views import StarViews
from appstream_export.lake.catalog import SharedConnection, open_feed_connection
from appstream_export.lake.storage import REPORT_FILE, Store, translate_storage_errors
from appstream_export.settings import Settings


def publish_report(
    store: Store,
    contracts: Sequence[Contract],
    settings: Settings,
    *,
    shared: SharedConnection | None = None,
    published: PublishResult | None = None,
) -> str:
    """Write the page to the warehouse and return its URI; raises StorageFailed or QueryError.

    `shared` is the connection of the run's other stages, and `published` the feeds that it has published.
    """
    if shared is None:
        with SharedConnection(store, contracts) as own:
            return own.call_with_retry(partial(publish_report, store, contracts, settings, shared=own))
    star = _find_star(published) if settings.feeds.history_days is None else None
    page = _render_newest(shared, contracts, settings.lake.freshness_timedelta, star)
    with translate_storage_errors(store):
        store.replace(REPORT_FILE, lambda place: _write_page(place, page), mode=int(settings.feeds.file_mode, 8))
    return store.resolve_uri(REPORT_FILE)


def render_report(store: Store, contracts: Sequence[Contract], *, freshness_interval: timedelta | None = None) -> str:
    """Return the page of the newest snapshot; raises ConfigurationError before the first, StorageFailed or QueryError.

    The page warns if it is older than `freshness_interval` allows.
    """
    with SharedConnection(store, contracts) as shared:
        return shared.call_with_retry(lambda: _render_newest(shared, contracts, freshness_interval))


def _render_newest(
    shared: SharedConnection,
    contracts: Sequence[Contract],
    freshness_interval: timedelta | None,
    star: PublishResult | None = None,
) -> str:
    with open_feed_connection(shared) as connection:
        views = StarViews(connection, contracts, star)
        files = list_sql_files(contracts, "report")
        return render_page(views.load_rows, files, freshness_interval=freshness_interval)


def _find_star(published: PublishResult | None) -> PublishResult | None:
    """Return the feeds of v2 among those that were published."""
    return next((found for found in (published, published and published.star) if found and found.version == V2), None)


def _write_page(place: str, page: str) -> None:
    Path(place).write_text(page, "utf-8")
