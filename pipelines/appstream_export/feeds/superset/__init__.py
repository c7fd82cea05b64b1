"""The Superset dashboard bundle, rendered from feeds."""

from appstream_export.feeds.superset.bundle import build_superset_bundle

__all__ = ["build_superset_bundle"]
