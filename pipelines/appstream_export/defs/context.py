"""What steps stand on: the settings, the warehouse, and failures that are one line instead of a traceback."""

import os
from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from appstream_export import settings as configuration
from appstream_export.errors import ExportError
from appstream_export.lake.storage.base import Store
from appstream_export.run import existing_store
from appstream_export.settings import Settings

WORKERS = 2
"""Of a Dask cluster of our own, unless `executor_config` says how many."""


@contextmanager
def plainly() -> Generator[None]:
    """Our own errors end the step with their message. Nothing is retried here: a run has done so where it helps."""
    try:
        yield
    except ExportError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def loaded() -> Settings:
    """The settings that the environment names; each step reads them anew."""
    with plainly():
        return configuration.load(environ=os.environ)


def described() -> Settings:
    """The settings for what is shown before anything runs; the defaults where there is no file yet."""
    file = configuration.find_file(None, os.environ)
    return configuration.load(file, os.environ) if file else Settings()


def warehouse(settings: Settings) -> Store:
    """The warehouse of an earlier run."""
    with plainly():
        store = existing_store(settings)
    if store is None:
        raise dg.Failure(
            f"there is no warehouse at {settings.warehouse}: run the job snapshot first", allow_retries=False
        )
    return store
