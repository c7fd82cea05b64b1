"""The report page."""

from appstream_export.feeds.report.page import render_report
from appstream_export.feeds.report.publish import publish_report

__all__ = ["publish_report", "render_report"]
