"""The accounts of AWS Organizations, their units, and the filters of the settings.

Accounts come from ListAccounts. Their units come from `Paths` if AWS sends them, else from a walk that lists the
accounts of each unit. Filters by unit need the walk; without them it only fills `ou_path`, and may fail.
"""

import logging
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from appstream_export.errors import ScopeError, SettingsError, suggest_correction
from appstream_export.extract.aws import build_malformed_error
from appstream_export.extract.discovery.control_plane import (
    LIST_ACCOUNTS,
    LIST_ROOTS,
    LIST_UNIT_ACCOUNTS,
    LIST_UNITS,
    ControlPlaneClient,
)
from appstream_export.model import ACCOUNT_ID
from appstream_export.settings import OrganizationSettings
from appstream_export.status import Status

OPTIONAL_CALLS_MAX = 100  # half a minute at the rate limit of Organizations: enough for one column
UNITS_MAX = 10_000  # AWS's quota is 2,000 units
_UNIT_ID = re.compile(r"ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|r-[0-9a-z]{4,32}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OrganizationalUnit:
    """An organizational unit, or the root. `path` joins names by /; `ids` are those from the root to this unit."""

    path: str
    ids: tuple[str, ...] = ()

    def is_under(self, word: str) -> bool:
        """Return whether it is, or is below, the unit of an id or a path of names. The root's name may be left out."""
        if _UNIT_ID.fullmatch(word):
            return word in self.ids
        # Paths are compared with a slash at the end, so that Prod does not match Production.
        below_root = self.path.partition("/")[2]
        return any(f"{path}/".startswith(f"{word.strip('/')}/") for path in (self.path, below_root))


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An account of the organization. `unit` is None if it is unknown."""

    id: str
    name: str | None = None
    state: str | None = None
    unit_id: str | None = None
    unit: OrganizationalUnit | None = None


@dataclass(slots=True)
class OrganizationListing:
    """The complete list of AWS: every account, chosen or not, by id, and the units that were requested."""

    members: list[Member]
    units: Mapping[str, OrganizationalUnit] = field(default_factory=dict)


def list_organization(client: ControlPlaneClient, organization: OrganizationSettings) -> OrganizationListing:
    """Request the organization from AWS; raises ScopeError if the list may be incomplete."""
    members = {m.id: m for m in map(_parse_member, client.list_items(LIST_ACCOUNTS))}
    walk = _UnitWalk(client, lists_accounts=any(m.unit_id is None for m in members.values()))
    by_unit = bool(organization.include_ous or organization.exclude_ous)
    _try_unit_walk(walk, is_needed=by_unit)
    placed = [_assign_unit(member, walk) for _, member in sorted(members.items())]
    lost = next((m.id for m in placed if m.unit is None), None)
    if by_unit and lost:
        why = f"account {lost} is in none of the listed units: the organization changed during the listing"
        raise ScopeError(Status.ERROR, f"{LIST_UNITS.operation}: {why}")
    return OrganizationListing(placed, walk.units)


def check_filters(listing: OrganizationListing, organization: OrganizationSettings, *, is_first: bool) -> None:
    """Raise SettingsError for a unit that the organization lacks, and before the first snapshot also for an account.

    Later, a missing account is only a warning: it may have left, which must not stop a nightly run.
    """
    known = sorted(m.id for m in listing.members)
    for key in ("include_accounts", "exclude_accounts"):
        for account_id in getattr(organization, key):
            if account_id not in known:
                error = _build_missing_error(key, f"account {account_id}", suggest_correction(account_id, known))
                if is_first:
                    raise error
                _log.warning(str(error))
    units = listing.units
    for key in ("include_ous", "exclude_ous"):
        for word in getattr(organization, key):
            if not any(unit.is_under(word) for unit in units.values()):
                near = suggest_correction(word, [*units, *(unit.path for unit in units.values())])
                raise _build_missing_error(key, f'unit "{word}"', near)


def is_chosen(member: Member, organization: OrganizationSettings) -> bool:
    """Return whether the filters choose an account: any include_*, or all without include_*; exclude_* wins."""
    takes_all = not (organization.include_accounts or organization.include_ous)
    is_included = member.id in organization.include_accounts or _is_in_units(member, organization.include_ous)
    return (takes_all or is_included) and not is_excluded(member, organization)


def is_excluded(member: Member, organization: OrganizationSettings) -> bool:
    """Return whether exclude_* names an account, or a unit above it if its unit is known."""
    return member.id in organization.exclude_accounts or _is_in_units(member, organization.exclude_ous)


class _UnitWalk:
    """The tree of units below the root, and the unit of each account."""

    def __init__(self, client: ControlPlaneClient, *, lists_accounts: bool) -> None:
        self._client, self._lists_accounts = client, lists_accounts
        self.units: dict[str, OrganizationalUnit] = {}
        self.unit_id_by_account: dict[str, str] = {}

    def walk_units(self, calls_max: int | None) -> None:
        """Request each unit; raises ScopeError, also if it would need more than `calls_max` calls."""
        first = self._client.calls
        waiting = deque((root, OrganizationalUnit("")) for root in self._client.list_items(LIST_ROOTS))
        while waiting:
            if len(self.units) >= UNITS_MAX or (calls_max and self._client.calls - first >= calls_max):
                raise ScopeError(Status.ERROR, f"more than {len(self.units)} units")
            raw, parent = waiting.popleft()
            unit_id, unit = _parse_unit(raw, parent)
            self.units[unit_id] = unit
            waiting.extend((child, unit) for child in self._client.list_items(LIST_UNITS, ParentId=unit_id))
            if self._lists_accounts:
                self.unit_id_by_account |= {
                    _parse_member(a).id: unit_id for a in self._client.list_items(LIST_UNIT_ACCOUNTS, ParentId=unit_id)
                }


def _try_unit_walk(walk: _UnitWalk, *, is_needed: bool) -> None:
    try:
        walk.walk_units(None if is_needed else OPTIONAL_CALLS_MAX)
    except ScopeError as error:
        if is_needed:
            raise
        walk.units.clear()  # else a part of the tree would give only some accounts a path
        _log.warning("ou_path stays empty: %s", error.reason)


def _parse_member(raw: Any) -> Member:
    """Parse an account as AWS sends it: `State`, else the older `Status`."""
    try:
        account_id, state, name = raw["Id"], raw.get("State") or raw.get("Status"), raw.get("Name")
        paths = [path for path in raw.get("Paths") or () if isinstance(path, str)]
        if not ACCOUNT_ID.fullmatch(account_id) or not all(v is None or isinstance(v, str) for v in (state, name)):
            raise ValueError(account_id)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise build_malformed_error(
            LIST_ACCOUNTS.operation, "an account has no id of 12 digits, or its name or state is not text"
        ) from error
    above = [step for path in paths[:1] for step in path.split("/") if _UNIT_ID.fullmatch(step)]
    return Member(id=account_id, name=name, state=state, unit_id=above[-1] if above else None)


def _parse_unit(raw: Any, parent: OrganizationalUnit) -> tuple[str, OrganizationalUnit]:
    try:
        unit_id, name = str(raw["Id"]), str(raw["Name"])
    except (KeyError, TypeError) as error:
        raise build_malformed_error(LIST_UNITS.operation, "a unit has no id or no name") from error
    return unit_id, OrganizationalUnit(f"{parent.path}/{name}".lstrip("/"), (*parent.ids, unit_id))


def _assign_unit(member: Member, walk: _UnitWalk) -> Member:
    home = member.unit_id or walk.unit_id_by_account.get(member.id)
    return replace(member, unit_id=home, unit=walk.units.get(home or ""))


def _is_in_units(member: Member, words: Iterable[str]) -> bool:
    return member.unit is not None and any(member.unit.is_under(word) for word in words)


def _build_missing_error(key: str, what: str, correction: str | None) -> SettingsError:
    return SettingsError(f"[organization] {key}: the organization has no {what}", fix=correction or "remove it")
