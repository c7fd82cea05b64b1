"""report.html: the warehouse on one page that stands alone. Knows SQL files and charts; no DuckDB, no AWS."""

from pathlib import Path

from appstream_export.feeds.report.page import Ask, render
from appstream_export.lake.storage.base import Store, storage_errors
from appstream_export.lake.storage.paths import REPORT
from appstream_export.settings import Settings

__all__ = ["publish", "render"]


def publish(store: Store, ask: Ask, settings: Settings) -> str:
    """Write the page of what `ask` sees into the warehouse and return its place; raises StorageFailed, BadQuery."""
    page = render(ask, expected_every=settings.lake.interval)
    with storage_errors(store):
        store.replace(REPORT, lambda place: _write(place, page), mode=int(settings.feeds.file_mode, 8))
    return store.uri(REPORT)


def _write(place: str, page: str) -> None:
    Path(place).write_text(page, "utf-8")
