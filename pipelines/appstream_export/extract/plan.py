"""The plan of a run: who is asked where, who is not and why. Asks AWS for discovery and `auto` regions alone."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from threading import Event

from appstream_export.contracts import Contract
from appstream_export.extract.accounts import Account
from appstream_export.extract.aws.regions import patterns_of, scopes
from appstream_export.extract.discovery.control_plane import Hub
from appstream_export.extract.discovery.discover import Discovery, Known, discover
from appstream_export.extract.discovery.service_regions import Offer, offer
from appstream_export.inputs.account_labels import Labels, read_labels
from appstream_export.model import Task
from appstream_export.settings import AUTO, Settings

ACTIVE = "ACTIVE"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All tasks of a full run, in order of accounts. Skipped ones are among them, with the reason of each.

    `discovery` says where the accounts come from: listed, organization, or last_known, and then `discovery_problem`
    says why. `regions_source` says who named the regions: settings, ssm, or botocore (`auto` where SSM gave none, for
    the `regions_problem`). `calls` were needed to find out.
    """

    accounts: tuple[Account, ...]
    tasks: tuple[Task, ...]
    skipped: Mapping[Task, str] = field(default_factory=dict)
    discovery: str = "listed"
    discovery_problem: str | None = None
    regions_source: str = "settings"
    regions_problem: str | None = None
    calls: int = 0


def plan(
    settings: Settings,
    contracts: Sequence[Contract],
    known: Known | None = None,
    *,
    force: bool = False,
    run_id: str = "plan",
    stop: Event | None = None,
) -> Plan:
    """Find accounts and regions. `known` is the newest snapshot's, None before the first; `force` accepts a short list.

    Raises SetupError for what the user must change, NothingSeen where the first discovery of all fails, Interrupted
    once `stop` is set.
    """
    labels = read_labels(settings.accounts_file)
    services = {c.service for c in contracts} if settings.regions == AUTO else set()
    hub = Hub(settings, run_id=run_id, stop=stop or Event())
    found, offers = _asked(settings, hub, services, known, force=force)
    accounts = _labelled(found.accounts, labels)
    tasks = _tasks(settings, contracts, accounts, offers, known)
    states = {a.id: a.state for a in accounts if a.state not in (None, ACTIVE)}
    return Plan(
        accounts=accounts,
        tasks=tasks,
        skipped={t: f"account is {states[t.scope.account_id]}" for t in tasks if t.scope.account_id in states},
        discovery=found.source,
        discovery_problem=found.problem,
        regions_source=min((o.source for o in offers.values()), default="settings"),
        regions_problem=next((o.problem for o in offers.values() if o.problem), None),
        calls=hub.calls,
    )


def _asked(
    settings: Settings, hub: Hub, services: Collection[str], known: Known | None, *, force: bool
) -> tuple[Discovery, dict[str, Offer]]:
    """Everything for which AWS may have to be asked."""

    def ask() -> tuple[Discovery, dict[str, Offer]]:
        return discover(settings, hub, known, force=force), {service: offer(hub, service) for service in services}

    if settings.organization is None and not services:
        return ask()  # the settings say it all
    hub.check()
    try:
        return hub.unless_stopped(ask)
    finally:
        hub.close()


def _labelled(accounts: Sequence[Account], labels: Mapping[str, Labels]) -> tuple[Account, ...]:
    strangers = labels.keys() - {a.id for a in accounts}
    if strangers:
        _log.info("labels of %d accounts that this run does not cover are left out", len(strangers))
    found = ((a, labels.get(a.id, {})) for a in accounts)
    return tuple(replace(a, labels=own, name=a.name or own.get("name")) for a, own in found)


def _tasks(
    settings: Settings,
    contracts: Sequence[Contract],
    accounts: Sequence[Account],
    offers: Mapping[str, Offer],
    known: Known | None,
) -> tuple[Task, ...]:
    tasks: dict[Task, None] = {}
    for contract in contracts:
        live = offers.get(contract.service)
        found = scopes(settings, accounts, contract.service, live.regions if live else None)
        tasks |= dict.fromkeys(Task(contract.name, scope) for scope in found)
        if known and (live is None or live.source != "ssm"):
            tasks |= dict.fromkeys(_kept(contract, settings, accounts, known))
    return tuple(tasks)


def _kept(contract: Contract, settings: Settings, accounts: Sequence[Account], known: Known) -> list[Task]:
    """Known tasks that `auto` or a wildcard still means: botocore's list may lack a region that AWS has."""
    patterns = {a.id: patterns_of(settings, a) for a in accounts}
    return sorted(
        task
        for task in known.tasks
        if task.resource == contract.name
        and any(fnmatchcase(task.scope.region, pattern) for pattern in patterns.get(task.scope.account_id, ()))
    )
