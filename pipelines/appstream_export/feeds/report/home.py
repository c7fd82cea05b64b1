"""A home folder for libraries that demand one when they are imported."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def provide_home() -> Generator[None]:
    """Set HOME to the folder for temporary files while the block runs, where this user has no home at all.

    In containers a user id often has no passwd entry, and no HOME. Altair asks for the home as it is imported, for a
    cache of sample data that we never use.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()
        try:
            yield
        finally:
            del os.environ["HOME"]
    else:
        yield
