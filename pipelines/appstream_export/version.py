"""The version of this package, in its own module so that `extract` can import it alone."""

__version__ = "0.4.0"
