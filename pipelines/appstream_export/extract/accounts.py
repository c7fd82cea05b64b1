"""AWS accounts to read, and the credentials used for each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from appstream_export.model import SHARED_ACCOUNT_ID
from appstream_export.settings import Secret, Settings

ACTIVE = "ACTIVE"
"""The state of an account that can be read."""


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account, read with a role, a profile, a role assumed from a profile, or boto3's default chain.

    `source` is `settings` or `organization`. Discovery sets `state` and `ou_path`.
    """

    id: str
    name: str | None = None
    role_arn: str | None = None
    profile: str | None = None
    external_id: Secret | None = field(default=None, repr=False)
    regions: tuple[str, ...] | None = None
    source: str = "settings"
    state: str | None = None
    ou_path: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


def list_configured_accounts(settings: Settings) -> list[Account]:
    """Return the `[[accounts]]` of the settings, in order; raises SettingsError if an external_id variable is unset."""
    # Read the variables now, so that an unset one fails before any call.
    for account in settings.accounts:
        if account.external_id:
            account.external_id.reveal()
    return [
        Account(
            id=a.id,
            name=a.name,
            role_arn=a.role_arn,
            profile=a.profile,
            external_id=a.external_id,
            regions=a.regions,
        )
        for a in settings.accounts
    ]


def map_accounts(accounts: Iterable[Account]) -> dict[str, Account]:
    """Return the accounts by the id in their scopes. The shared id leads to the first account that is not suspended."""
    found = {account.id: account for account in accounts}
    usable = next((a for a in found.values() if a.state in (None, ACTIVE)), None)
    return found | ({SHARED_ACCOUNT_ID: usable} if usable else {})


def strip_secrets(accounts: Iterable[Account]) -> tuple[Account, ...]:
    """Return the accounts without their external ids, so that they can be written to a file for another process."""
    return tuple(replace(account, external_id=None) for account in accounts)


def restore_secrets(accounts: Iterable[Account], settings: Settings) -> tuple[Account, ...]:
    """Return the accounts with the external ids of this process's settings."""
    own = {account.id: account.external_id for account in settings.accounts}
    usual = settings.organization.external_id if settings.organization else None
    return tuple(replace(account, external_id=own.get(account.id, usual)) for account in accounts)
