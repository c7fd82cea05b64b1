"""Where the export reads from: AWS, the accounts and the user's files. Dagster shows them, and does not run them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from appstream_export.contracts import Column, Contract
from appstream_export.settings import Settings

_ANSWERED_TABLES = ("scope_runs", "quarantine", "drift")  # rows about AWS's answers, of all resources
_MEMBERS = (
    Column("Id", "string", "AWS account, 12 digits."),
    Column("Name", "string", "Name of the account."),
    Column("State", "string", "State in the organization."),
    Column("Paths", "string", "Organizational units from the root down."),
)
_LISTED = (
    Column("id", "string", "AWS account, 12 digits."),
    Column("name", "string", "Name of the account."),
)
_LABELED = (Column("account_id", "string", "AWS account, 12 digits; every other column is a label."),)
_PRICED = (
    Column("region", "string", "AWS region; * for all."),
    Column("instance_type", "string", "Instance type; * for all."),
    Column("platform", "string", "Platform; * for all."),
    Column("usd_per_hour", "number", "Price of the instance per hour."),
    Column("disk_usd_per_gb_month", "number", "Price per month of a GB of root volume above 200 GB."),
    Column("valid_from", "date", "Day from which the price is valid."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalSource:
    """A source outside Dagster. `name` is its key, parts separated by slashes."""

    name: str
    doc: str
    kind: str
    columns: tuple[Column, ...]
    origins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Tables that are read from it, with the source column of each of their columns that has one."""


def list_external_sources(contracts: Sequence[Contract], settings: Settings) -> list[ExternalSource]:
    """Return AWS's answers of each resource, and the sources that the settings name: accounts, labels, prices."""
    return [*map(_build_aws_source, contracts), *_list_configured_sources(settings)]


def _build_aws_source(contract: Contract) -> ExternalSource:
    origins = {
        table.name: {column.name: table.build_source_path(column) for column in table.source_columns}
        for table in contract.tables
    }
    members = {table.build_source_path(column): column for table in contract.tables for column in table.source_columns}
    return ExternalSource(
        name=f"aws/{contract.service}/{contract.name}",
        doc=f"AWS's answers to {contract.operation}, of all accounts and regions of a run.",
        kind="aws",
        columns=tuple(Column(path, column.type, column.doc) for path, column in members.items()),
        origins=origins | {name: {} for name in _ANSWERED_TABLES},
    )


def _list_configured_sources(settings: Settings) -> Iterator[ExternalSource]:
    if settings.organization:
        yield ExternalSource(
            name="aws/organizations/accounts",
            doc="The accounts of the organization.",
            kind="aws",
            columns=_MEMBERS,
            origins={
                "accounts": {"account_id": "Id", "account_name": "Name", "state": "State", "ou_path": "Paths"},
            },
        )
    if settings.accounts:
        yield ExternalSource(
            name="settings/accounts",
            doc="The accounts that the settings list.",
            kind="toml",
            columns=_LISTED,
            origins={"accounts": {"account_id": "id", "account_name": "name"}},
        )
    if settings.account_labels_file:
        yield ExternalSource(
            name="files/account_labels",
            doc="Labels of accounts, from the file that account_labels_file names.",
            kind="csv",
            columns=_LABELED,
            origins={"accounts": {}},
        )
    if settings.feeds.prices:
        yield ExternalSource(
            name="files/prices",
            doc="The price list that [feeds] prices names.",
            kind="csv",
            columns=_PRICED,
            origins={"prices": {column.name: column.name for column in _PRICED}},
        )
