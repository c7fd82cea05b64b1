"""Feeds: what dashboards read. Flat tables with plain types, described, and replaced all at once.

`definitions` says what a feed is: rendered from contracts (rendered.py), or a file of sql/feeds/. `publish` writes a
generation of all of them and lets `current.json` point to it; `shelf` is where they lie; `datapackage` describes them
to programs; `verify` and `diff` look at what was published. Nothing here opens a DuckDB: lake.outlet does.
"""

from appstream_export.feeds.publish import PublishResult, has_published_feeds, publish_feeds

__all__ = ["PublishResult", "has_published_feeds", "publish_feeds"]
