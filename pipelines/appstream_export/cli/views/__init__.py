"""Output of commands: each view turns one result into lines for people and an object for JSON."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
