"""Contracts: the AWS operation of each resource, and the tables that its answer becomes (`schemas/*.toml`, `sql/`)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
