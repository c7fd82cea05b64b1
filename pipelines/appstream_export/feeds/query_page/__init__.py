"""A named query's answer on a page: its chart, its rows and its SQL, from the JavaScript libraries of the report."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
