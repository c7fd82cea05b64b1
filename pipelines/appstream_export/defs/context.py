"""Context of steps: the settings, the warehouse, and failures as one line without a traceback."""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from appstream_export.errors import ExportError
from appstream_export.lake.storage import Store
from appstream_export.run import open_existing_warehouse
from appstream_export.settings import Settings

WORKERS = 2
"""Number of workers of a Dask cluster on this machine, unless `executor_config` sets it."""


@contextmanager
def as_dagster_failure() -> Generator[None]:
    """Raise an ExportError as a Failure with its message. Dagster does not retry it: the run already did if useful."""
    try:
        yield
    except ExportError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def require_warehouse(settings: Settings) -> Store:
    """Return the warehouse of an earlier run; raises Failure if there is none."""
    with as_dagster_failure():
        store = open_existing_warehouse(settings)
    if store is None:
        raise dg.Failure(
            f"there is no warehouse at {settings.warehouse}: run the job snapshot first", allow_retries=False
        )
    return store
