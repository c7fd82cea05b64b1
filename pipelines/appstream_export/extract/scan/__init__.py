"""Scan: every task's pages, fetched by worker threads and retried within their deadlines."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
