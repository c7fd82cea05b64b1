"""The command line `appstream-export`: options, commands, and views of what they return. Knows no SQL of ours, no Arrow internals."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
