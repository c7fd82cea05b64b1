"""The request of a run: its options beyond the settings, and the tasks that they select."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from appstream_export.errors import SettingsError, suggest_correction
from appstream_export.extract import parse_resumed_task
from appstream_export.lake.snapshots import Manifest, get_task, is_failed, load_head, load_last_known_rows
from appstream_export.lake.storage import Store
from appstream_export.model import ScanOptions, Task
from appstream_export.settings import Settings

STAGES = ("catalog", "checks", "feeds", "report")
"""The stages after a commit, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Options of a run beyond the settings. Resources, accounts and regions limit what is read; the rest is carried.

    Named resources are requested even if they are not due.
    """

    resources: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    scan_options: ScanOptions = ScanOptions()
    retry_failed: bool = False
    accept_drop: bool = False
    publish: bool = True
    stages: tuple[str, ...] = STAGES
    """The stages after the commit that this process performs; a later step performs the others."""


def filter_tasks(planned: Sequence[Task], request: Request) -> list[Task]:
    """Return the tasks of the requested resources, accounts and regions; raises SettingsError if none is left."""
    for flag, wanted, known in (
        ("--resources", request.resources, {t.resource for t in planned}),
        ("--accounts", request.accounts, {t.scope.account_id for t in planned}),
        ("--regions", request.regions, {t.scope.region for t in planned}),
    ):
        for word in wanted:
            if word not in known:
                near = suggest_correction(word, sorted(known))
                raise SettingsError(f"{flag} {word}: not covered", fix=near or "add it to the settings first")
    chosen = [
        t
        for t in planned
        if (not request.resources or t.resource in request.resources)
        and (not request.accounts or t.scope.account_id in request.accounts)
        and (not request.regions or t.scope.region in request.regions)
    ]
    if not chosen:
        raise SettingsError("no scope to read: no chosen account is read in a chosen region")
    if (token := request.scan_options.starting_token) is None:
        return chosen
    chosen = [
        t for t in chosen if str(t) == parse_resumed_task(token)
    ] or chosen  # our token names its task, AWS's does not
    if len(chosen) > 1:
        raise SettingsError("--starting-token continues one scope: name it with --accounts and --regions")
    return chosen


def resolve_scan_options(settings: Settings, request: Request) -> ScanOptions:
    """Return the scan options of the request; the settings fill in the options that it leaves out."""
    options, defaults = request.scan_options, settings.extract
    return replace(
        options,
        names=options.names or defaults.names,
        page_size=options.page_size or defaults.page_size,
        max_items=options.max_items or defaults.max_items,
    )


def select_unfinished_tasks(
    store: Store, limited: Sequence[Task], request: Request, earlier: Manifest | None
) -> list[Task]:
    """Return all tasks; with --retry-failed, or in a later attempt of the same run, only those that failed.

    A later attempt also requests tasks that the earlier one did not know, because its discovery may have failed.
    """
    if not request.retry_failed and earlier is None:
        return list(limited)
    head = load_head(store)
    runs = {get_task(row): row for row in load_last_known_rows(store, head, "scope_runs")} if head else None
    return select_failed_tasks(limited, runs, with_new=not request.retry_failed)


def select_failed_tasks(
    tasks: Sequence[Task], runs: Mapping[Task, Mapping[str, Any]] | None, *, with_new: bool = False
) -> list[Task]:
    """Return the tasks that failed last time; `with_new` adds those that the newest snapshot (`runs`) lacks."""
    if runs is None:
        raise SettingsError("--retry-failed: there is no snapshot yet", fix="run without it")
    return [t for t in tasks if (is_failed(runs[t]) if t in runs else with_new)]
