"""Context of steps: the settings, the warehouse, and failures as one line without a traceback."""

import os
from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from appstream_export.errors import ExportError
from appstream_export.lake.storage import Store
from appstream_export.run import open_existing_warehouse
from appstream_export.settings import Settings, find_settings_file, read_settings

WORKERS = 2
"""Number of workers of a Dask cluster on this machine, unless `executor_config` sets it."""


@contextmanager
def as_dagster_failure() -> Generator[None]:
    """Raise an ExportError as a Failure with its message. Dagster does not retry it: the run already did if useful."""
    try:
        yield
    except ExportError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def load_settings(*, needs_accounts: bool = True) -> Settings:
    """Return the settings that the environment names; each step reads them again."""
    with as_dagster_failure():
        return read_settings(environ=os.environ, needs_accounts=needs_accounts)


def load_settings_or_default() -> Settings:
    """Return the settings for building the definitions; the defaults if there is no settings file yet."""
    file = find_settings_file(None, os.environ)
    return read_settings(file, os.environ, needs_accounts=False) if file else Settings()


def require_warehouse(settings: Settings) -> Store:
    """Return the warehouse of an earlier run; raises Failure if there is none."""
    with as_dagster_failure():
        store = open_existing_warehouse(settings)
    if store is None:
        raise dg.Failure(
            f"there is no warehouse at {settings.warehouse}: run the job snapshot first", allow_retries=False
        )
    return store
