"""Normalize: flatten nested items into the Arrow tables of their contracts. Pure functions: no AWS, no files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
