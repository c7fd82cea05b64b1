"""A home folder for libraries that require one at import."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def provide_home() -> Generator[None]:
    """Set HOME to the folder for temporary files while the block runs, if the user has no home folder.

    In containers a user id often has no passwd entry and no HOME. Altair needs the home folder at import, for a cache
    of sample data that the report never uses.
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
