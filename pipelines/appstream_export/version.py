"""The version of this package, for whoever says who asks."""

__version__ = "0.4.0"
