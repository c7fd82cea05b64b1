"""Extract: accounts and regions become pages and outcomes. The only package with boto3 clients; knows no Arrow."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
