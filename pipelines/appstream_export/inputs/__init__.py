"""Files that users write: CSV, account labels, prices, platforms' end of support."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
