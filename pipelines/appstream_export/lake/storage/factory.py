"""Choose the store of a warehouse by its location: a folder or an S3 bucket."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from appstream_export.errors import ConfigurationError, suggest_path
from appstream_export.lake.storage.base import Store, describe_os_error, validate_root_path
from appstream_export.lake.storage.folder_calls import FolderCalls
from appstream_export.lake.storage.local import LocalStore
from appstream_export.lake.storage.paths import COMMITS_FOLDER
from appstream_export.location import S3_SCHEME, expand_user, validate_location

if TYPE_CHECKING:
    from appstream_export.settings import S3Settings


_CALLS = FolderCalls()


def open_store(
    warehouse: str, *, file_mode: int = 0o600, create: bool = False, s3: "S3Settings | None" = None
) -> Store:
    """Return the store of a warehouse, for writing (`create` makes the folder) or reading; raises ConfigurationError.

    A bucket is contacted, so that a missing or forbidden one is reported before anything else happens.
    """
    if not warehouse.startswith("/"):  # the settings already checked what they made absolute
        validate_location(warehouse)
    if warehouse.startswith(S3_SCHEME):
        from appstream_export.lake.storage.s3 import open_s3  # imports botocore, which a local warehouse does not need
        from appstream_export.settings import S3Settings

        return open_s3(warehouse, s3 or S3Settings(), create=create)
    return _open_folder(warehouse, file_mode=file_mode, create=create)


def probe_location(warehouse: str, *, file_mode: int = 0o600, calls: FolderCalls = _CALLS) -> list[str]:
    """Try the operations of a commit in the warehouse's folder, or in its nearest existing parent.

    Returns the optional features that the folder lacks, as sentences; empty for a bucket. Raises ConfigurationError if
    no commit is possible.
    """
    if warehouse.startswith(S3_SCHEME):
        return []
    try:
        root = expand_user(warehouse).resolve()
        _validate_folder(root, create=True)
        folder = next(place for place in (root / COMMITS_FOLDER, root, *root.parents) if place.exists())
        missing = LocalStore(folder, file_mode=file_mode, calls=calls).probe_folder()
    except OSError as error:
        message, fix = describe_os_error(error)
        raise ConfigurationError(
            f"warehouse {warehouse}: no commit can be made here: {message}",
            fix=fix or "change its owner or its mode, mount it for writing, or choose another warehouse",
        ) from error
    return [f"{folder} {sentence}" for sentence in missing]


def _open_folder(warehouse: str, *, file_mode: int, create: bool) -> LocalStore:
    try:
        root = expand_user(warehouse).resolve()
        _validate_folder(root, create=create)
        store = LocalStore(root, file_mode=file_mode)
        if create:
            store._make_folder(root)
    except OSError as error:
        message, fix = describe_os_error(error)
        raise ConfigurationError(
            f"warehouse {warehouse}: {message}", fix=fix or "choose a folder that can be written"
        ) from error
    if create and not os.access(root, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"warehouse {root}: not writable for this user", fix="change its owner or choose another folder"
        )
    return store


def _validate_folder(root: Path, *, create: bool) -> None:
    if root.exists() and not root.is_dir():
        raise ConfigurationError(f"warehouse {root}: is a file, not a folder", fix="choose another place")
    if not root.exists() and not create:
        fix = suggest_path(root) or "make one with: appstream-export run"
        raise ConfigurationError(f"no warehouse at {root}", fix=fix)
    validate_root_path(str(root))
