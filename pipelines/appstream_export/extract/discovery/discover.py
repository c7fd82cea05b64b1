"""Whose image builders this run is about: the settings' accounts, the organization's, or the last known ones.

Accounts that are absent from a discovery end, and their rows with them. So a list that failed, is empty, or has shrunk
beyond belief is not used: the newest snapshot's accounts stand in, and the run says so.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from appstream_export.errors import BadSettings, NothingSeen, ScopeError
from appstream_export.extract.accounts import Account, listed
from appstream_export.extract.discovery.control_plane import Hub
from appstream_export.extract.discovery.organization import (
    Census,
    Member,
    Unit,
    check_filters,
    is_chosen,
    is_excluded,
    take_census,
)
from appstream_export.model import Task
from appstream_export.settings import OrganizationSettings, Settings

LOST_MAX = 3  # so few accounts may leave at once, whatever the percentage
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the newest snapshot has: rows of `accounts`, and the tasks of `scope_runs`."""

    accounts: Sequence[Mapping[str, Any]] = ()
    tasks: frozenset[Task] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Discovery:
    """The accounts and where they come from: listed, organization, or last_known.

    `problem` is one line for the user; it counts as a failure of the run.
    """

    accounts: tuple[Account, ...]
    source: str
    problem: str | None = None


def discover(settings: Settings, hub: Hub, known: Known | None, *, force: bool) -> Discovery:
    """Ask the organization, if there is one. `known` is None before the first snapshot, `force` accepts a short list.

    Raises BadSettings where no account is left or a filter names what is not there, NothingSeen where the first
    discovery of all fails.
    """
    organization = settings.organization
    if organization is None:
        return Discovery(tuple(listed(settings)), "listed")
    try:
        census = take_census(hub, organization)
        if not force:
            _refuse_loss(census, known, settings.lake.guard_percent)
    except ScopeError as error:
        _log.debug("discovery failed", exc_info=True)
        return _last_known(settings, organization, hub.partition, known, error.reason)
    check_filters(census, organization, is_first=known is None)
    members = [m for m in census.members if is_chosen(m, organization)]
    found = [_behind_role(m, organization, hub.partition) for m in members]
    accounts = _merged(settings, census.members, found)
    if not accounts:
        fix = "widen include_* or exclude_*" if census.members else "AWS lists none: is it the right organization?"
        raise BadSettings(f"[organization]: no account is left to read; {fix}")
    return Discovery(accounts, "organization")


def _refuse_loss(census: Census, known: Known | None, guard_percent: int) -> None:
    """Raise ScopeError where the list has lost more accounts than close in a day."""
    if not census.members:
        raise ScopeError("guarded", "the list is empty; is it the right organization?")
    before = {row["account_id"] for row in (known.accounts if known else ()) if row["source"] == "organization"}
    lost = sorted(before - {m.id for m in census.members})
    if len(lost) > LOST_MAX and len(lost) * 100 > guard_percent * len(before):
        which = f"{len(lost)} of {len(before)} known accounts, such as {lost[0]}"
        raise ScopeError("guarded", f"the list lacks {which} (more than {guard_percent} percent); accept with --force")


def _last_known(
    settings: Settings, organization: OrganizationSettings, partition: str, known: Known | None, why: str
) -> Discovery:
    """The newest snapshot's accounts, listed ones included: any of them may be a member by now."""
    rows = known.accounts if known else ()
    members = [_remembered(row) for row in rows]
    found = [
        replace(_behind_role(m, organization, partition), source=row["source"])
        for row, m in zip(rows, members, strict=True)
        if not is_excluded(m, organization)
    ]
    accounts = _merged(settings, members, found)
    problem = f"the organization's accounts are not known: {why}"
    if not found:
        raise NothingSeen(f"nothing committed: {problem}; and no earlier snapshot has any")
    return Discovery(accounts, "last_known", f"{problem}; the newest snapshot's {len(found)} accounts stand in")


def _remembered(row: Mapping[str, Any]) -> Member:
    unit = Unit(row["ou_path"]) if row["ou_path"] else None
    return Member(id=row["account_id"], name=row["account_name"], state=row["state"], unit=unit)


def _behind_role(member: Member, organization: OrganizationSettings, partition: str) -> Account:
    return Account(
        id=member.id,
        name=member.name,
        role_arn=f"arn:{partition}:iam::{member.id}:role/{organization.role_name}",
        profile=organization.admin_profile,
        external_id=organization.external_id,
        source="organization",
        state=member.state,
        ou_path=member.unit.path if member.unit else None,
    )


def _merged(settings: Settings, members: Iterable[Member], found: Iterable[Account]) -> tuple[Account, ...]:
    """What was found, with `[[accounts]]` in place of their own entries and behind them."""
    about = {m.id: m for m in members}
    own = {a.id: _completed(a, about.get(a.id)) for a in listed(settings)}
    return (*(a for a in found if a.id not in own), *own.values())


def _completed(account: Account, member: Member | None) -> Account:
    if member is None:
        return account
    ou_path = member.unit.path if member.unit else None
    return replace(account, name=account.name or member.name, state=member.state, ou_path=ou_path)
