"""Catalog: DuckDB views over committed files, connections that read them, named queries and checks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
