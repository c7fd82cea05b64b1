"""The warehouse that the settings name, and the accounts and tasks of its newest snapshot."""

from collections.abc import Mapping
from pathlib import Path

from appstream_export.errors import ConfigurationError
from appstream_export.extract import Plan, PreviousSnapshot
from appstream_export.lake.snapshots import get_task, load_head, load_last_known_rows
from appstream_export.lake.storage import Store, find_bucket_endpoint, open_store
from appstream_export.location import S3_SCHEME
from appstream_export.settings import Settings


def load_previous_snapshot(settings: Settings) -> PreviousSnapshot | None:
    """Return the accounts and tasks of the newest snapshot, or None if there is none; create no warehouse."""
    store = open_existing_warehouse(settings)
    head = load_head(store) if store else None
    if store is None or head is None:
        return None
    tasks = frozenset(
        get_task(row) for row in load_last_known_rows(store, head, "scope_runs", ("resource", "account_id", "region"))
    )
    return PreviousSnapshot(accounts=load_last_known_rows(store, head, "accounts"), tasks=tasks)


def list_run_endpoints(settings: Settings, plan: Plan) -> dict[str, str]:
    """Return the URL of each service that a run does not reach at AWS's own, the warehouse's bucket (`s3`) included."""
    found = dict(plan.endpoints)
    if settings.warehouse.startswith(S3_SCHEME) and (bucket := find_bucket_endpoint(settings.s3)):
        found["s3"] = bucket
    return found


def list_foreign_endpoints(settings: Settings, plan: Plan) -> dict[str, str]:
    """Return the endpoints to show before a run: none where `[aws] endpoint_url` names one emulator of everything."""
    endpoints = list_run_endpoints(settings, plan)
    is_emulated = settings.is_local_aws and set(endpoints.values()) == {settings.aws.endpoint_url}
    return {} if is_emulated else endpoints


def format_endpoints(endpoints: Mapping[str, str]) -> str | None:
    """Return a line such as `sts: https://a; appstream, ssm: https://b`, one URL alone where all share it."""
    if not endpoints:
        return None
    by_url: dict[str, list[str]] = {}
    for service, url in sorted(endpoints.items()):
        by_url.setdefault(url, []).append(service)
    if len(by_url) == 1 and len(endpoints) > 1:
        return next(iter(by_url))
    return "; ".join(f"{', '.join(services)}: {url}" for url, services in by_url.items())


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
