"""AWS clients: credentials, regions, signing, rate limits and errors. Each call goes through `Clients`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
