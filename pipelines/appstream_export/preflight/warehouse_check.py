"""Whether the warehouse would take a snapshot: tried where it is, foreseen where it is not there yet."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ulid import ULID

from appstream_export.errors import ConfigurationError, ExportError
from appstream_export.lake.storage import COMMITS_FOLDER, UNFINISHED_PREFIX, open_store, validate_root_path
from appstream_export.preflight.current_state import CurrentState
from appstream_export.preflight.findings import Finding, Verdict
from appstream_export.settings import Settings

FREE_BYTES_MIN = 64 << 20  # what DuckDB may spill at first, and a snapshot of 50,000 items many times over
SNAPSHOT_SIZE_FACTOR = 3  # a commit writes a snapshot anew while the last one and its catalog stand


def check_warehouse(settings: Settings, head: CurrentState | None) -> Iterator[Finding]:
    """The warehouse and its room. `head` is None where it could not be read, which is its own finding."""
    try:
        yield Finding(area="warehouse", reason=_check_writable(settings))
    except (ExportError, OSError) as error:
        yield build_problem_finding("warehouse", error)
        return
    if head is not None and not settings.warehouse.startswith("s3://"):
        yield _check_free_space(Path(settings.warehouse), head)


def build_problem_finding(area: str, error: Exception) -> Finding:
    """What was raised, as a finding: our errors end with their fix, behind the last semicolon."""
    reason, _, fix = str(error).rpartition("; ")
    if isinstance(error, ExportError):
        told, fix = (reason, fix) if reason else (fix, "correct what the reason names")
        return Finding(area=area, verdict=Verdict.PROBLEM, reason=told, fix=fix)
    told = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
    return Finding(area=area, verdict=Verdict.PROBLEM, reason=told, fix="let this user read and write there")


def _check_writable(settings: Settings) -> str:
    """Write and take away what a commit would begin with; raises ExportError or OSError."""
    if settings.warehouse.startswith("s3://"):
        open_store(settings.warehouse, s3=settings.s3, create=True)  # puts an empty object, twice: see S3Store.check
        return f"{settings.warehouse} can be read and written, and knows conditional writes"
    root = Path(settings.warehouse)
    if not root.exists():
        return _check_creatable(root)
    store = open_store(settings.warehouse, file_mode=int(settings.lake.file_mode, 8))
    trial = f"{COMMITS_FOLDER}/{UNFINISHED_PREFIX}{ULID()}"  # readers leave such names out, and gc removes them
    try:
        store.put_if_absent(trial, b"")
    except OSError as error:
        fix = "change its owner or its mode, mount it for writing, or choose another warehouse"
        raise ConfigurationError(
            f"warehouse {root}: no commit can be made here: {error.strerror or error}; {fix}"
        ) from error
    store.remove(trial)
    return f"{root} can be read and written"


def _check_creatable(root: Path) -> str:
    validate_root_path(str(root))
    above = _find_existing_ancestor(root)
    if not above.is_dir():
        raise ConfigurationError(f"warehouse {root}: {above} is a file, not a folder; choose another place")
    if not os.access(above, os.W_OK | os.X_OK):
        fix = f"make {root} for this user, or choose another warehouse"
        raise ConfigurationError(f"warehouse {root}: is not there, and this user may make nothing in {above}; {fix}")
    return f"{root} is not there yet; the first run makes it"


def _find_existing_ancestor(place: Path) -> Path:
    """The nearest folder or file above a place that is there."""
    return next(p for p in (place, *place.parents) if p.exists())


def _check_free_space(root: Path, head: CurrentState) -> Finding:
    free, needed = (
        shutil.disk_usage(_find_existing_ancestor(root)).free,
        FREE_BYTES_MIN + SNAPSHOT_SIZE_FACTOR * head.size_bytes,
    )
    told = f"{free / 1e9:,.1f} GB are free at {root}"
    if free >= needed:
        return Finding(area="space", reason=told)
    fix = f"make room: a run may need {needed / 1e6:,.0f} MB"
    return Finding(area="space", verdict=Verdict.PROBLEM, reason=told, fix=fix)
