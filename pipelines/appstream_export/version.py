"""The version of this package. Apart from its root, so that `extract` can name it and import nothing else."""

__version__ = "0.4.0"
