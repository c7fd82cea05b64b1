"""Preflight: what would stop a run (`doctor`) and what it would request (`plan`); commits nothing."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
