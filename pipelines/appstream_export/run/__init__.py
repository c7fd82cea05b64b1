"""Run: extract, normalize, commit, publish. The command line and Dagster call it; it knows neither."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
