"""The plan of a run: its accounts, tasks and skipped tasks. Calls AWS only for discovery and lists of regions."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from threading import Event

from appstream_export.contracts import ACCOUNT, ONE_ACCOUNT, Contract, check_parents
from appstream_export.extract.accounts import ACTIVE, Account
from appstream_export.extract.aws import (
    build_scopes,
    find_partition,
    get_home_region,
    get_region_patterns,
    list_endpoints,
)
from appstream_export.extract.discovery import (
    ControlPlaneClient,
    Discovery,
    PreviousSnapshot,
    ServiceRegions,
    discover_accounts,
    find_absent_regions,
    find_service_regions,
    list_unlisted_literals,
)
from appstream_export.inputs import Labels, read_labels
from appstream_export.model import SHARED_ACCOUNT_ID, Scope, Task
from appstream_export.settings import AUTO, Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All tasks of a full run, in order of accounts. `skipped` has the reason for each task that is not requested.

    `discovery` is the source of the accounts: listed, organization, or last_known (because of `discovery_problem`).
    `regions_source` is the source of the regions: settings, ssm, or botocore (because of `regions_problem`). `calls` is
    the number of AWS calls. `unlisted` are tasks of regions that the settings name literally and that neither AWS's nor
    botocore's list has for the service.
    """

    accounts: tuple[Account, ...]
    tasks: tuple[Task, ...]
    skipped: Mapping[Task, str] = field(default_factory=dict)
    discovery: str = "listed"
    discovery_problem: str | None = None
    regions_source: str = "settings"
    regions_problem: str | None = None
    calls: int = 0
    unlisted: frozenset[Task] = frozenset()
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """The URL of each service that is not reached at AWS's own."""


def plan_extraction(
    settings: Settings,
    contracts: Sequence[Contract],
    previous: PreviousSnapshot | None = None,
    *,
    accept_drop: bool = False,
    run_id: str = "plan",
    stop: Event | None = None,
) -> Plan:
    """Find accounts and regions, and build every task of a full run.

    `previous` is None before the first snapshot. `accept_drop` accepts a list that lacks many known accounts.

    Raises ConfigurationError if the user must change something, NothingExtracted if discovery fails and there is no
    earlier snapshot, Interrupted once `stop` is set.
    """
    check_parents(contracts)
    labels = read_labels(settings.account_labels_file)
    endpoints = _list_endpoints(settings, contracts)
    services = {c.service for c in contracts} if settings.regions == AUTO else set()
    client = ControlPlaneClient(settings, run_id=run_id, stop=stop or Event())
    literals = list_unlisted_literals(settings, {c.service for c in contracts})
    found, service_regions, absent = _discover_accounts_and_regions(
        settings, client, services, literals, previous, accept_drop=accept_drop
    )
    accounts = _apply_labels(found.accounts, labels)
    tasks = _build_tasks(settings, contracts, accounts, service_regions, previous)
    states = {a.id: a.state for a in accounts if a.state not in (None, ACTIVE)}
    return Plan(
        accounts=accounts,
        tasks=tasks,
        skipped={t: f"account is {states[t.scope.account_id]}" for t in tasks if t.scope.account_id in states},
        discovery=found.source,
        discovery_problem=found.problem,
        # Of several services, the least reliable source: botocore sorts before ssm.
        regions_source=min((o.source for o in service_regions.values()), default="settings"),
        regions_problem=next((o.problem for o in service_regions.values() if o.problem), None),
        calls=client.calls,
        unlisted=_select_unlisted_tasks(settings, contracts, accounts, tasks, absent),
        endpoints=endpoints,
    )


def _list_endpoints(settings: Settings, contracts: Sequence[Contract]) -> dict[str, str]:
    hub = settings.organization.admin_profile if settings.organization else None
    profiles = [hub, *(account.profile for account in settings.accounts)]
    return list_endpoints(settings, {c.service for c in contracts}, profiles)


def _discover_accounts_and_regions(
    settings: Settings,
    client: ControlPlaneClient,
    services: Collection[str],
    literals: Mapping[str, Collection[str]],
    previous: PreviousSnapshot | None,
    *,
    accept_drop: bool,
) -> tuple[Discovery, dict[str, ServiceRegions], dict[str, frozenset[str]]]:
    """Return accounts, regions of services, and regions that no list has: all that may need calls to AWS."""

    def run_discovery() -> tuple[Discovery, dict[str, ServiceRegions], dict[str, frozenset[str]]]:
        found = discover_accounts(settings, client, previous, accept_drop=accept_drop)
        regions = {service: find_service_regions(client, service) for service in services}
        absent = {s: find_absent_regions(client, s, own, regions.get(s)) for s, own in literals.items()}
        return found, regions, absent

    if settings.organization is None and not services and not literals:
        return run_discovery()  # the settings name all accounts and regions: no call is needed
    client.check_setup()
    try:
        return client.run_unless_stopped(run_discovery)
    finally:
        client.close()


def _apply_labels(accounts: Sequence[Account], labels: Mapping[str, Labels]) -> tuple[Account, ...]:
    unknown_ids = labels.keys() - {a.id for a in accounts}
    if unknown_ids:
        _log.info("ignored the labels of %d accounts that are not in this run", len(unknown_ids))
    found = ((a, labels.get(a.id, {})) for a in accounts)
    return tuple(replace(a, labels=own, name=a.name or own.get("name")) for a, own in found)


def _build_tasks(
    settings: Settings,
    contracts: Sequence[Contract],
    accounts: Sequence[Account],
    service_regions: Mapping[str, ServiceRegions],
    previous: PreviousSnapshot | None,
) -> tuple[Task, ...]:
    tasks: dict[Task, None] = {}
    for contract in contracts:
        live = service_regions.get(contract.service)
        scopes = build_scopes(settings, accounts, contract.service, live.regions if live else None)
        found = _merge_scopes(contract.calls.once_per, scopes)
        tasks |= dict.fromkeys(Task(contract.name, scope) for scope in found)
        # SSM's list is complete. botocore's may lack regions of the last snapshot, whose rows would then end.
        if previous and (live is None or live.source != "ssm"):
            tasks |= dict.fromkeys(_retain_previous_tasks(contract, settings, accounts, previous))
    by_name = {contract.name: contract for contract in contracts}
    return tuple(task for task in tasks if all(parent in tasks for parent in _list_parent_tasks(task, by_name)))


def _merge_scopes(once_per: str | None, scopes: Sequence[Scope]) -> list[Scope]:
    """Return the scopes of a contract: all, the home region of each account, or each region of the shared account."""
    if once_per == ACCOUNT:
        scopes = [Scope(s.account_id, get_home_region(find_partition(s.region))) for s in scopes]
    elif once_per == ONE_ACCOUNT:
        scopes = [Scope(SHARED_ACCOUNT_ID, s.region) for s in scopes]
    return list(dict.fromkeys(scopes))


def _list_parent_tasks(task: Task, contracts: Mapping[str, Contract]) -> Iterator[Task]:
    """Yield the tasks that a follow-up needs, its own parent first."""
    while (parent := contracts[task.resource].calls.parent) is not None:
        task = Task(parent, task.scope)
        yield task


def add_parent_tasks(tasks: Sequence[Task], planned: Sequence[Task], contracts: Sequence[Contract]) -> list[Task]:
    """Return the tasks with those that their calls follow from, in the order of `planned`.

    A follow-up is complete only by the answer that its parent gives in the same run, so the parent is requested again.
    """
    by_name = {contract.name: contract for contract in contracts}
    if not any(contract.calls.parent for contract in contracts):
        return list(tasks)
    wanted = set(tasks).union(*(_list_parent_tasks(task, by_name) for task in tasks))
    return [task for task in planned if task in wanted]


def _select_unlisted_tasks(
    settings: Settings,
    contracts: Sequence[Contract],
    accounts: Sequence[Account],
    tasks: Sequence[Task],
    absent: Mapping[str, Collection[str]],
) -> frozenset[Task]:
    """Return the tasks whose account names a region literally that no list has; wildcards match listed regions only."""
    services = {c.name: c.service for c in contracts}
    patterns = {a.id: get_region_patterns(settings, a) for a in accounts}
    return frozenset(
        task
        for task in tasks
        if task.scope.region in absent.get(services[task.resource], ())
        and task.scope.region in patterns.get(task.scope.account_id, ())
    )


def _retain_previous_tasks(
    contract: Contract, settings: Settings, accounts: Sequence[Account], previous: PreviousSnapshot
) -> list[Task]:
    """Return tasks of the snapshot that `auto` or a wildcard matches, since botocore's list may lack an AWS region."""
    patterns = {a.id: get_region_patterns(settings, a) for a in accounts}
    if contract.calls.once_per == ONE_ACCOUNT:
        patterns[SHARED_ACCOUNT_ID] = tuple({pattern for own in patterns.values() for pattern in own})
    return sorted(
        task
        for task in previous.tasks
        if task.resource == contract.name
        and any(fnmatchcase(task.scope.region, pattern) for pattern in patterns.get(task.scope.account_id, ()))
    )
