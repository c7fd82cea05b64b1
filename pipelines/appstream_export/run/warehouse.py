"""The warehouse that the settings name, and the accounts and tasks of its newest snapshot."""

from pathlib import Path

from appstream_export.errors import ConfigurationError
from appstream_export.extract import PreviousSnapshot
from appstream_export.lake.snapshots import get_task, load_head, load_head_rows
from appstream_export.lake.storage import Store, open_store
from appstream_export.settings import Settings


def load_previous_snapshot(settings: Settings) -> PreviousSnapshot | None:
    """Return the accounts and tasks of the newest snapshot, or None if there is none; create no warehouse."""
    store = open_existing_warehouse(settings)
    head = load_head(store) if store else None
    if store is None or head is None:
        return None
    tasks = frozenset(
        get_task(row) for row in load_head_rows(store, head, "scope_runs", ("resource", "account_id", "region"))
    )
    return PreviousSnapshot(accounts=load_head_rows(store, head, "accounts"), tasks=tasks)


def open_existing_warehouse(settings: Settings) -> Store | None:
    """Return the warehouse, or None if it does not exist yet; create none."""
    place = settings.warehouse
    try:
        is_there = place.startswith("s3://") or Path(place).exists()
    except OSError as error:
        fix = "give this user access to its parent folders, or choose another folder"
        raise ConfigurationError(f"warehouse {place}: {error.strerror}", fix=fix) from error
    return open_warehouse(settings) if is_there else None


def open_warehouse(settings: Settings, *, create: bool = False) -> Store:
    """Return the warehouse; with `create`, create it if it does not exist."""
    return open_store(settings.warehouse, file_mode=int(settings.lake.file_mode, 8), create=create, s3=settings.s3)
