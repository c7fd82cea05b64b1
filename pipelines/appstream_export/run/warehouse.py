"""The warehouse that the settings name, and what its newest snapshot knows."""

from pathlib import Path

from appstream_export.errors import SetupError
from appstream_export.extract import Known
from appstream_export.lake.snapshots import manifest
from appstream_export.lake.snapshots.commit import head_rows
from appstream_export.lake.snapshots.task_transitions import task_of
from appstream_export.lake.storage.base import Store, open_store
from appstream_export.settings import Settings


def known(settings: Settings) -> Known | None:
    """What the newest snapshot knows, for a plan; None before the first. Makes no warehouse."""
    store = existing_store(settings)
    head = manifest.head(store) if store else None
    if store is None or head is None:
        return None
    tasks = frozenset(
        task_of(row) for row in head_rows(store, head, "scope_runs", ("resource", "account_id", "region"))
    )
    return Known(accounts=head_rows(store, head, "accounts"), tasks=tasks)


def existing_store(settings: Settings) -> Store | None:
    """The warehouse, None where it is not there yet; makes none."""
    place = settings.warehouse
    try:
        is_there = place.startswith("s3://") or Path(place).exists()
    except OSError as error:
        fix = "let this user into the folders above it, or choose another folder"
        raise SetupError(f"warehouse {place}: {error.strerror}; {fix}") from error
    return opened(settings) if is_there else None


def opened(settings: Settings, *, create: bool = False) -> Store:
    """The warehouse; with `create` it is made where there is none."""
    return open_store(settings.warehouse, file_mode=int(settings.lake.file_mode, 8), create=create, s3=settings.s3)
