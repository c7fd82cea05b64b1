"""Storage: the port for every file operation of a warehouse, for a folder and for S3."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
