"""report.html: the warehouse on one page that stands alone. Knows SQL files and charts; no files, no DuckDB, no AWS."""

from pipelines.feeds.report.page import render

__all__ = ["render"]
