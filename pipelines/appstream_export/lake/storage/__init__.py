"""Storage: the port for all file operations of a warehouse, implemented for a folder and for S3."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
