"""Find the accounts of a run: those of the settings, of the organization, or of the newest snapshot.

A discovery without an account ends the account and its rows. So a list that failed, is empty, or lacks too many
accounts is not used: the run uses the accounts of the newest snapshot instead, and reports the problem.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from appstream_export.errors import NothingExtracted, ScopeError, SettingsError
from appstream_export.extract.accounts import Account, list_configured_accounts
from appstream_export.extract.discovery.control_plane import ControlPlaneClient
from appstream_export.extract.discovery.organization import (
    Member,
    OrganizationalUnit,
    OrganizationListing,
    check_filters,
    is_chosen,
    is_excluded,
    list_organization,
)
from appstream_export.model import Task
from appstream_export.settings import OrganizationSettings, Settings
from appstream_export.status import Status

ACCEPT_FLAG = "--accept-drop"
DROPPED_ACCOUNTS_MAX = 3  # up to this number, accounts may leave at once, whatever the percentage
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousSnapshot:
    """Contents of the newest snapshot: its rows of `accounts`, and the tasks of its `scope_runs`."""

    accounts: Sequence[Mapping[str, Any]] = ()
    tasks: frozenset[Task] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Discovery:
    """The accounts of a run and their source: listed, organization, or last_known.

    `problem` is a one-line message for the user; it counts as a failure of the run.
    """

    accounts: tuple[Account, ...]
    source: str
    problem: str | None = None


def discover_accounts(
    settings: Settings, client: ControlPlaneClient, previous: PreviousSnapshot | None, *, accept_drop: bool
) -> Discovery:
    """Return the accounts to read, from AWS Organizations if the settings name an organization.

    `previous` is None before the first snapshot. `accept_drop` accepts a list that lacks many known accounts.

    Raises SettingsError if no account is left or a filter names an unknown account or unit, NothingExtracted if the
    list fails and there is no earlier snapshot.
    """
    organization = settings.organization
    if organization is None:
        return Discovery(tuple(list_configured_accounts(settings)), "listed")
    try:
        listing = list_organization(client, organization)
        if not accept_drop:
            _check_account_drop(listing, previous, settings.lake.max_drop_percent)
    except ScopeError as error:
        _log.debug("discovery failed", exc_info=True)
        return _fall_back_to_previous_accounts(settings, organization, client.partition, previous, error.reason)
    check_filters(listing, organization, is_first=previous is None)
    members = [m for m in listing.members if is_chosen(m, organization)]
    found = [_build_account(m, organization, client.partition) for m in members]
    accounts = _merge_accounts(settings, listing.members, found)
    if not accounts:
        fix = (
            "widen include_* or narrow exclude_*"
            if listing.members
            else "AWS lists no accounts: check that it is the right organization"
        )
        raise SettingsError("[organization]: no account is left to read", fix=fix)
    return Discovery(accounts, "organization")


def _check_account_drop(listing: OrganizationListing, previous: PreviousSnapshot | None, max_drop_percent: int) -> None:
    """Raise ScopeError if the list is empty, or lacks more known accounts than usually close in a day."""
    if not listing.members:
        raise ScopeError(Status.GUARDED, "the list is empty; check that it is the right organization")
    before = {row["account_id"] for row in (previous.accounts if previous else ()) if row["source"] == "organization"}
    lost = sorted(before - {m.id for m in listing.members})
    if len(lost) > DROPPED_ACCOUNTS_MAX and len(lost) * 100 > max_drop_percent * len(before):
        which = f"{len(lost)} of {len(before)} known accounts, such as {lost[0]}"
        raise ScopeError(
            Status.GUARDED, f"the list lacks {which} (more than {max_drop_percent} percent); accept with {ACCEPT_FLAG}"
        )


def _fall_back_to_previous_accounts(
    settings: Settings, organization: OrganizationSettings, partition: str, previous: PreviousSnapshot | None, why: str
) -> Discovery:
    """Return the accounts of the newest snapshot, also those of the settings, since they may have become members."""
    rows = previous.accounts if previous else ()
    members = [_build_member_from_row(row) for row in rows]
    found = [
        replace(_build_account(m, organization, partition), source=row["source"])
        for row, m in zip(rows, members, strict=True)
        if not is_excluded(m, organization)
    ]
    accounts = _merge_accounts(settings, members, found)
    problem = f"the organization's accounts are not known: {why}"
    if not found:
        raise NothingExtracted(f"nothing committed: {problem}; and no earlier snapshot has accounts")
    return Discovery(
        accounts, "last_known", f"{problem}; the run uses the {len(found)} accounts of the newest snapshot"
    )


def _build_member_from_row(row: Mapping[str, Any]) -> Member:
    unit = OrganizationalUnit(row["ou_path"]) if row["ou_path"] else None
    return Member(id=row["account_id"], name=row["account_name"], state=row["state"], unit=unit)


def _build_account(member: Member, organization: OrganizationSettings, partition: str) -> Account:
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


def _merge_accounts(settings: Settings, members: Iterable[Member], found: Iterable[Account]) -> tuple[Account, ...]:
    """Return the accounts found, then `[[accounts]]`, which replace found accounts of the same id."""
    about = {m.id: m for m in members}
    own = {a.id: _complete_account(a, about.get(a.id)) for a in list_configured_accounts(settings)}
    return (*(a for a in found if a.id not in own), *own.values())


def _complete_account(account: Account, member: Member | None) -> Account:
    if member is None:
        return account
    ou_path = member.unit.path if member.unit else None
    return replace(account, name=account.name or member.name, state=member.state, ou_path=ou_path)
