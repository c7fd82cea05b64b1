"""Feeds: flat tables that dashboards read, published as one generation; the report and the Superset bundle."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
