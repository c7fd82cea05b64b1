"""Publication of report.html: the warehouse on one self-contained page, from SQL files and charts."""

from pathlib import Path

from appstream_export.feeds.report.page import QueryRunner, render_report
from appstream_export.lake.storage import REPORT_FILE, Store, translate_storage_errors
from appstream_export.settings import Settings


def publish_report(store: Store, run_query: QueryRunner, settings: Settings) -> str:
    """Write the page to the warehouse and return its URI; raises StorageFailed or QueryError."""
    page = render_report(run_query, freshness_interval=settings.lake.freshness_timedelta)
    with translate_storage_errors(store):
        store.replace(REPORT_FILE, lambda place: _write_page(place, page), mode=int(settings.feeds.file_mode, 8))
    return store.resolve_uri(REPORT_FILE)


def _write_page(place: str, page: str) -> None:
    Path(place).write_text(page, "utf-8")
