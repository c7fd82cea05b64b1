"""Check whether the warehouse can take a snapshot: by a trial write if it exists, else by its parent folder."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from appstream_export.errors import ConfigurationError, ExportError
from appstream_export.lake.storage import open_store, probe_location, validate_root_path
from appstream_export.preflight.current_state import CurrentState
from appstream_export.preflight.findings import Finding, Verdict
from appstream_export.settings import Settings

FREE_BYTES_MIN = 64 << 20  # DuckDB's first spill, and many snapshots of 50,000 items
SNAPSHOT_SIZE_FACTOR = 3  # a commit writes a new snapshot while the last one and its catalog are still there


def check_warehouse(settings: Settings, head: CurrentState | None) -> Iterator[Finding]:
    """Yield findings on the warehouse and its free space; `head` is None if it could not be read."""
    try:
        yield Finding(area="warehouse", reason=_check_writable(settings))
    except (ExportError, OSError) as error:
        yield build_problem_finding("warehouse", error)
        return
    if head is not None and not settings.warehouse.startswith("s3://"):
        yield _check_free_space(Path(settings.warehouse), head)


def build_problem_finding(area: str, error: Exception) -> Finding:
    """Return an exception as a finding, with its fix."""
    if isinstance(error, ExportError):
        fix = error.fix or "correct the cause that the reason names"
        return Finding(area=area, verdict=Verdict.PROBLEM, reason=error.message, fix=fix)
    reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
    return Finding(area=area, verdict=Verdict.PROBLEM, reason=reason, fix="give this user read and write access")


def _check_writable(settings: Settings) -> str:
    """Try in the folder what a commit needs, and return the result; raises ExportError or OSError."""
    if settings.warehouse.startswith("s3://"):
        open_store(settings.warehouse, s3=settings.s3, create=True)  # puts an empty object, twice: see S3Store
        return f"{settings.warehouse} can be read and written, and supports conditional writes"
    root = Path(settings.warehouse)
    if not root.exists():
        return _check_creatable(root, settings)
    open_store(settings.warehouse)
    return ", ".join((f"{root} can be read and written", *_probe_folder(settings)))


def _probe_folder(settings: Settings) -> list[str]:
    """Return what the folder does not offer; raises ConfigurationError where no commit can be made there."""
    return probe_location(settings.warehouse, file_mode=int(settings.lake.file_mode, 8))


def _check_creatable(root: Path, settings: Settings) -> str:
    validate_root_path(str(root))
    above = _find_existing_ancestor(root)
    if not above.is_dir():
        raise ConfigurationError(f"warehouse {root}: {above} is a file, not a folder", fix="choose another place")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"warehouse {root}: it does not exist, and this user may not create it in {above}",
            fix=f"create {root} for this user, or choose another warehouse",
        )
    return ", ".join((f"{root} does not exist yet; the first run creates it", *_probe_folder(settings)))


def _find_existing_ancestor(place: Path) -> Path:
    """Return the nearest existing folder or file at or above a place."""
    return next(p for p in (place, *place.parents) if p.exists())


def _check_free_space(root: Path, head: CurrentState) -> Finding:
    free = shutil.disk_usage(_find_existing_ancestor(root)).free
    needed = FREE_BYTES_MIN + SNAPSHOT_SIZE_FACTOR * head.size_bytes
    reason = f"{free / 1e9:,.1f} GB are free at {root}"
    if free >= needed:
        return Finding(area="space", reason=reason)
    fix = f"free some space: a run may need {needed / 1e6:,.0f} MB"
    return Finding(area="space", verdict=Verdict.PROBLEM, reason=reason, fix=fix)
