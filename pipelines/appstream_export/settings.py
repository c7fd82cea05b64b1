"""The user's settings: one TOML file and a few environment variables, checked completely before a command starts.

They are read at the start of a command, never at import, and are frozen. They name profiles, roles and variables.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from itertools import count
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from appstream_export.errors import SettingsError, suggest_correction
from appstream_export.location import S3_SCHEME, expand_user, validate_location
from appstream_export.model import ACCOUNT_ID, KNOWN_REGIONS, NEW_REGION, REGION
from appstream_export.settings_environment import SettingOverrides, read_overrides
from appstream_export.settings_file import DEFAULT_FILE, INIT_FIX, find_settings_file
from appstream_export.settings_problems import (
    SettingProblem,
    ValueChecker,
    build_settings_error,
    find_removed_positions,
    remove_values,
)
from appstream_export.user_text import TomlPath, read_user_text

AUTO = "auto"
"""`regions = "auto"`: all regions in which AWS offers the service."""
_ROLE_NAME = re.compile(r"[\w+=,.@-]+(/[\w+=,.@-]+)*", re.ASCII)
_ROLE_ARN = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/[\w+=,.@/-]+")
_CRON_FIELDS = 5
_OWNER = re.compile(r"team:[\w .-]+|[^@\s]+@[^@\s]+\.[^@\s]+")
SESSION_MIN_S, SESSION_MAX_S = 1800, 43200


class Secret(str):
    """A secret string, shown as *** everywhere. `env:NAME` names an environment variable, which is read when needed."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Return a Secret of the text; a Secret is returned as it is, because its str() would be ***."""
        return text if isinstance(text, cls) else super().__new__(cls, text)

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    @property
    def is_variable(self) -> bool:
        """True if it names an environment variable."""
        return str.__str__(self).startswith("env:")

    @property
    def variable_name(self) -> str:
        """The environment variable that it names."""
        return str.__str__(self).removeprefix("env:") if self.is_variable else ""

    def reveal(self, environ: Mapping[str, str] = os.environ, *, key: str = "external_id") -> str:
        """Return the text; raises SettingsError with the settings' key if its environment variable is not set."""
        text = str.__str__(self)  # str(self) is ***
        if not self.is_variable:
            return text
        name = text.removeprefix("env:")
        if not environ.get(name):
            raise SettingsError(f'{key} = "env:{name}": the environment variable {name} is not set', fix="set it")
        return environ[name]


_DURATION = r"\d{1,6}[mhd]"
_INTERVAL = r"(?!0+[mhd])" + _DURATION  # not 0: data due every 0 minutes would always be late
_INTERVAL_WORDS = 'a duration above 0 such as "90m", "24h" or "7d"'
_VARIABLE_WORDS = 'the name of an environment variable, such as "env:NAME"'
_RESOURCES_WORDS = 'a list of resources such as ["image_builders"]'
_REGIONS_WORDS = '"auto" or a list such as ["us-east-1", "eu-*"]'
_REGION_LIST_WORDS = 'a list such as ["us-east-1", "eu-*"]'


class AccountSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[accounts]]` block: an account to read, and its credentials (a role, a profile, or boto3's default)."""

    id: str
    name: str | None = None
    role_arn: str | None = None
    profile: str | None = None
    external_id: Secret | None = None
    regions: Annotated[tuple[str, ...] | None, Meta(description=_REGION_LIST_WORDS)] = None


class OrganizationSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[organization]`: AWS Organizations lists the accounts to read.

    The credentials of `admin_profile` (default: boto3's own) list the accounts, after assuming `admin_role_arn` if that
    is set, and assume `role_name` in each account. Units are given by id or by the path of their names.
    """

    role_name: str
    external_id: Secret | None = None
    admin_role_arn: str | None = None
    admin_profile: str | None = None
    include_ous: tuple[str, ...] = ()
    exclude_ous: tuple[str, ...] = ()
    include_accounts: tuple[str, ...] = ()
    exclude_accounts: tuple[str, ...] = ()


class AwsSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[aws]`: the connection to AWS. `session_policy` restricts each role's session to the operations of the export.

    `allow_http` permits endpoints on other machines without TLS, so the network can read tokens and data.
    `regional_session_tokens` declares that session tokens from outside (environment, files, programs, SSO) were issued
    by regional STS endpoints, so that enabled opt-in regions accept them.
    """

    endpoint_url: str | None = None
    allow_http: bool = False
    ca_bundle: str | None = None
    session_policy: bool = False
    session_duration_s: int = 3600
    regional_session_tokens: bool = False


class ExtractSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[extract]`: the requests to AWS. `max_failed_ratio` limits failed / (ok + failed) tasks.

    A task ends as `timeout` if it is not complete `task_timeout_s` after its first request, or `run_timeout_s` after
    the run's first request. `use_documented_client_api` is slower, but uses only documented parts of botocore.
    """

    workers: Annotated[int, Meta(ge=1, le=256)] = 64
    max_attempts: Annotated[int, Meta(ge=1, le=50)] = 8
    page_size: Annotated[int, Meta(ge=1, le=1000)] | None = None
    names: tuple[str, ...] = ()
    max_items: Annotated[int, Meta(ge=1)] | None = None
    max_failed_ratio: Annotated[float, Meta(ge=0, le=1)] = 0.0
    task_timeout_s: Annotated[float, Meta(gt=0)] = 300.0
    run_timeout_s: Annotated[float, Meta(gt=0)] = 3600.0
    use_documented_client_api: bool = False


class S3Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[lake.s3]`: the connection to a warehouse at `s3://bucket/prefix`. By default boto3 finds everything.

    `profile` is a profile of the AWS config files; `kms_key_id` encrypts every object with that key. `ca_bundle`,
    `access_key_id` and `secret_access_key` are for an S3 service other than AWS; the two keys name environment
    variables (`env:NAME`). `allow_http` permits an endpoint on another machine without TLS.
    """

    endpoint_url: str | None = None
    allow_http: bool = False
    region: str | None = None
    profile: str | None = None
    access_key_id: Annotated[Secret, Meta(description=_VARIABLE_WORDS)] | None = None
    secret_access_key: Annotated[Secret, Meta(description=_VARIABLE_WORDS)] | None = None
    kms_key_id: Annotated[str, Meta(min_length=1)] | None = None
    ca_bundle: str | None = None


class EmulatedS3Settings(S3Settings, frozen=True, kw_only=True):
    """The connection to a bucket of the emulator at `[aws] endpoint_url`: no credentials, and no other host."""


class RetentionSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[lake.retention]`: how long `expire` retains the last snapshot of each hour, day and month; 0 retains none.

    The newest snapshot and all rows of the change tables are always retained.
    """

    hourly_days: Annotated[int, Meta(ge=0, le=36_500)] = 7
    daily_days: Annotated[int, Meta(ge=0, le=36_500)] = 90
    monthly_months: Annotated[int, Meta(ge=0, le=1_200)] = 24


class LakeSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[lake]`: the warehouse. `file_mode` is octal as in chmod; folders get the matching x bits."""

    max_drop_percent: Annotated[int, Meta(ge=1, le=100)] = 50
    warn_drop_percent: Annotated[int, Meta(ge=1, le=100)] = 20
    file_mode: Literal["0600", "0640", "0644", "0660", "0664"] = "0600"
    catalog_root: str | None = None
    freshness_interval: Annotated[str, Meta(pattern=f"^{_INTERVAL}$", description=_INTERVAL_WORDS)] | None = None
    retention: RetentionSettings = RetentionSettings()
    s3: S3Settings = S3Settings()

    @property
    def freshness_timedelta(self) -> timedelta | None:
        """`freshness_interval` as a timedelta."""
        return None if self.freshness_interval is None else parse_duration(self.freshness_interval)


class ContractsSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[contracts]`: the resources to export. `folder` has contracts of your own, one `<resource>.toml` each.

    `resources` lists what is on; by default that is `image_builders`, and every contract of `folder`. Scopes of a
    resource with a `cadence` are requested only when that time has passed since their last request.
    """

    folder: Annotated[str, Meta(min_length=1)] | None = None
    resources: Annotated[tuple[str, ...], Meta(description=_RESOURCES_WORDS)] | None = None
    cadence: Mapping[str, str] = {}

    @property
    def cadence_timedeltas(self) -> Mapping[str, timedelta]:
        """`cadence` as timedeltas, by resource."""
        return {name: parse_duration(text) for name, text in self.cadence.items()}


class SqlSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sql]`: SQL of your own. `folder` has the subfolders `views`, `marts`, `feeds`, `checks` and `queries`."""

    folder: Annotated[str, Meta(min_length=1)] | None = None


class FeedsSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[feeds]`: the data for dashboards. `prices` is a CSV file of hourly prices; `account_labels` become columns.

    So do the keys of `tags`, if the resource tags is on.

    `platform_support` is a CSV file of platforms' end of support, which replaces the shipped one.

    `file_mode` is octal as in chmod and separate from the warehouse's, because other users read feeds. `csv` also
    writes each feed as CSV, `xlsx` each feed of v2 as an Excel file. `keep_generations` published generations are
    retained for current readers. If `publish` is off, runs do not publish feeds, and the command `feeds publish` does;
    `report` is the same for report.html. `history_days` limits the feeds of days, spans and changes to so many days
    before the snapshot; by default they hold the whole history. `versions` are published; the
    files of a version that is left out are removed.
    """

    publish: bool = True
    report: bool = True
    versions: Annotated[tuple[Literal["v1", "v2"], ...], Meta(min_length=1, max_length=2)] = ("v1", "v2")
    csv: bool = False
    xlsx: bool = False
    prices: str | None = None
    platform_support: str | None = None
    file_mode: Literal["0600", "0640", "0644", "0660", "0664"] = "0640"
    keep_generations: Annotated[int, Meta(ge=2, le=1_000)] = 24
    account_labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    history_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None


class MetricsSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[metrics]`: each run writes its figures to `file` in the OpenMetrics text format, also if it failed.

    The file is replaced whole, and other users may read it, such as the node exporter of Prometheus.
    """

    file: Annotated[str, Meta(min_length=1)] | None = None


class HeartbeatSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[heartbeat]`: each run requests `url`/start, then `url` if it ends with exit code 0, else `url`/fail.

    Services such as healthchecks.io raise an alarm if no request comes in time. The URL is as secret as a password.
    """

    url: Secret | None = None


class DagsterSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[dagster]`: schedules, owners of assets, alerts about failed runs, and the executor of sharded runs.

    `cron` starts `cron_job`; if it is set, the schedule is on from the start, otherwise it exists but is off. Alerts
    are posted to `alert_webhook`, which is as secret as a password. The job `prune_runs` deletes runs older than
    `keep_runs_days`. The job `snapshot_sharded` has `shards` processes, which `executor` runs; `executor_config` is
    that executor's own configuration, as in `execution: config:` of a run.

    `on_incomplete` is whether assets downstream of a table run (`continue`) or not (`stop`) after a run that did not
    see enough of AWS; `incomplete_severity` is that of the check `complete` of its tables. `ui_url` is the address of
    Dagster's webserver, for links in alerts.
    """

    cron: str | None = None
    cron_job: Literal["snapshot", "snapshot_sharded"] = "snapshot"
    shards: Annotated[int, Meta(ge=1, le=16)] = 4
    executor: Literal["in_process", "multiprocess", "dask", "celery", "kubernetes"] = "multiprocess"
    executor_config: Mapping[str, Any] = {}
    timezone: str = "UTC"
    maintenance_cron: str | None = None
    owners: tuple[str, ...] = ("team:appstream-export",)
    dashboard_url: str | None = None
    alert_webhook: Secret | None = None
    ui_url: str | None = None
    on_incomplete: Literal["continue", "stop"] = "continue"
    incomplete_severity: Literal["warn", "error"] = "warn"
    keep_runs_days: Annotated[int, Meta(ge=1, le=3_650)] = 30


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of the whole file. Loaded paths are absolute; relative ones in the file are relative to its folder.

    With an organization, missing regions mean `auto`.
    """

    warehouse: str = "warehouse"
    regions: Annotated[tuple[str, ...] | Literal["auto"], Meta(description=_REGIONS_WORDS)] = ()
    accounts: tuple[AccountSettings, ...] = ()
    account_labels_file: str | None = None
    organization: OrganizationSettings | None = None
    aws: AwsSettings = AwsSettings()
    extract: ExtractSettings = ExtractSettings()
    contracts: ContractsSettings = ContractsSettings()
    sql: SqlSettings = SqlSettings()
    lake: LakeSettings = LakeSettings()
    feeds: FeedsSettings = FeedsSettings()
    dagster: DagsterSettings = DagsterSettings()
    metrics: MetricsSettings = MetricsSettings()
    heartbeat: HeartbeatSettings = HeartbeatSettings()

    @property
    def is_local_aws(self) -> bool:
        """True if the endpoint is an emulator on this machine, so that no other host may be contacted."""
        return self.aws.endpoint_url is not None and is_loopback(self.aws.endpoint_url)

    @property
    def s3(self) -> S3Settings:
        """The connection to the warehouse's bucket; by default a bucket of the AWS emulator, if one is used."""
        s3, aws = self.lake.s3, self.aws
        ca_bundle = s3.ca_bundle or aws.ca_bundle
        if s3.endpoint_url is None and self.is_local_aws:
            return EmulatedS3Settings(
                endpoint_url=aws.endpoint_url, ca_bundle=ca_bundle, region=s3.region, kms_key_id=s3.kms_key_id
            )
        return msgspec.structs.replace(s3, ca_bundle=ca_bundle)

    def find_interval(self, resource: str, default: timedelta | None = None) -> timedelta | None:
        """Return how often the rows of a resource are due: with each snapshot, or by its cadence if that is longer.

        `default` replaces an unset `freshness_interval`. None means that neither is set.
        """
        found = (self.lake.freshness_timedelta or default, self.contracts.cadence_timedeltas.get(resource))
        return max((every for every in found if every is not None), default=None)


RENAMED_KEYS: Mapping[str, str] = {
    "accounts_file": "account_labels_file",
    "aws.session_s": "session_duration_s",
    "extract.compatible": "use_documented_client_api",
    "lake.guard_percent": "max_drop_percent",
    "lake.expected_every": "freshness_interval",
}
"""Keys of version 0.3.0, by section, and their new names."""
PATH_SETTINGS: frozenset[TomlPath] = frozenset(
    {
        ("account_labels_file",),
        ("aws", "ca_bundle"),
        ("contracts", "folder"),
        ("sql", "folder"),
        ("lake", "s3", "ca_bundle"),
        ("feeds", "prices"),
        ("feeds", "platform_support"),
        ("metrics", "file"),
    }
)
"""Settings that hold a path of this machine; so does `warehouse`, which has its own variable."""


@dataclass(frozen=True)
class SettingsText:
    """A settings file that was read, and what environment variables replace in it."""

    file: Path
    text: str
    raw: Mapping[str, Any]
    overrides: SettingOverrides


def read_settings(
    path: Path | None = None, environ: Mapping[str, str] = os.environ, *, needs_accounts: bool = True
) -> Settings:
    """Read, check and complete the settings; raises SettingsError with file, line and fix.

    Variables such as `APPSTREAM_EXPORT_EXTRACT__WORKERS` replace values of the file. Commands that send requests to AWS
    need accounts; for the others, an analyst's file with `warehouse` is enough.
    """
    return parse_settings_text(read_settings_text(path, environ), needs_accounts=needs_accounts)


def read_settings_text(path: Path | None, environ: Mapping[str, str]) -> SettingsText:
    """Find and read the settings file and the variables; raises SettingsError if one cannot be read."""
    file = find_settings_file(path, environ)
    if file is None:
        raise SettingsError(f"no configuration: there is no ./{DEFAULT_FILE}", fix=INIT_FIX)
    try:
        text = read_user_text(file)
        raw = tomllib.loads(text)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{file}: not readable as TOML: {why}") from error
    return SettingsText(file, text, raw, read_overrides(Settings, environ, PATH_SETTINGS))


def parse_settings_text(found: SettingsText, *, needs_accounts: bool = True) -> Settings:
    """Check and complete settings that were read; raises SettingsError."""
    overrides = found.overrides
    return parse_settings(
        overrides.apply(found.raw),
        found.file,
        found.text,
        needs_accounts=needs_accounts,
        variables=overrides.variables,
    )


def parse_settings(
    raw: Mapping[str, Any],
    file: Path,
    text: str | None = None,
    *,
    needs_accounts: bool = True,
    variables: Mapping[TomlPath, str] = MappingProxyType({}),
) -> Settings:
    """Return the settings of a parsed file. `file` is for messages, and its folder for relative paths.

    Raises SettingsError with all problems; with the file's `text` they have line numbers. `variables` are the
    environment variables from which values come, by their paths.
    """
    problems: list[SettingProblem] = []
    # msgspec stops at the first wrong value, so only if it finds one are all values checked one by one. The remaining
    # values are then checked for contradictions, so that one attempt reports everything.
    try:
        settings = _convert_settings(raw)
    except msgspec.ValidationError:
        problems = ValueChecker(Settings, _decode_secret, RENAMED_KEYS).find_problems(raw)
        settings = _convert_settings(remove_values(raw, problems))
    removed = find_removed_positions(problems, "accounts")
    contradictions = _find_contradictions(settings, (n for n in count() if n not in removed), needs_accounts)
    problems += [p for p in contradictions if not any(map(p.is_caused_by, problems))]
    if problems:
        raise build_settings_error(file, text, problems, variables)
    return _resolve_paths(settings, file.parent)


def _resolve_paths(settings: Settings, folder: Path) -> Settings:
    def resolve(place: str | None) -> str | None:
        return place and resolve_location(place, folder)

    replace = msgspec.structs.replace
    s3 = replace(settings.lake.s3, ca_bundle=resolve(settings.lake.s3.ca_bundle))
    return replace(
        settings,
        warehouse=resolve_location(settings.warehouse, folder),
        account_labels_file=resolve(settings.account_labels_file),
        aws=replace(settings.aws, ca_bundle=resolve(settings.aws.ca_bundle)),
        contracts=replace(settings.contracts, folder=resolve(settings.contracts.folder)),
        sql=replace(settings.sql, folder=resolve(settings.sql.folder)),
        lake=replace(settings.lake, s3=s3),
        feeds=replace(
            settings.feeds,
            prices=resolve(settings.feeds.prices),
            platform_support=resolve(settings.feeds.platform_support),
        ),
        metrics=MetricsSettings(file=resolve(settings.metrics.file)),
    )


def _convert_settings(raw: Mapping[str, Any]) -> Settings:
    settings = msgspec.convert(raw, Settings, dec_hook=_decode_secret)
    return msgspec.structs.replace(settings, regions=settings.regions or AUTO) if settings.organization else settings


def _find_contradictions(
    settings: Settings, positions: Iterator[int], needs_accounts: bool
) -> Iterator[SettingProblem]:
    """Yield invalid values and invalid combinations of values; types have already been checked.

    `positions` are the positions in the file of the accounts; invalid accounts may have been removed.
    """
    yield from _check_warehouse(settings.warehouse)
    if settings.organization:
        yield from _check_organization(settings.organization, settings.accounts)
    if needs_accounts and not settings.accounts and not settings.organization:
        fix = 'add [[accounts]] with id = "111122223333", or [organization] with role_name'
        yield SettingProblem(("accounts",), "no account to read", fix, needs=("organization",))
    yield from _check_accounts(settings, positions)
    yield from _check_regions("regions", ("regions",), () if settings.regions == AUTO else settings.regions)
    yield from _check_endpoint(("aws",), "[aws]", settings.aws)
    yield from _check_s3(settings)
    yield from _check_session(settings.aws.session_duration_s)
    yield from _check_extract(settings.extract)
    yield from _check_contracts(settings)
    yield from _check_dagster(settings.dagster)
    yield from _check_monitoring(settings.metrics, settings.heartbeat)


def _check_warehouse(location: str) -> Iterator[SettingProblem]:
    try:
        validate_location(location)
    except SettingsError as error:
        yield SettingProblem(("warehouse",), error.message, error.fix)


def parse_duration(text: str) -> timedelta:
    """Return the timedelta of a text such as `90m`, `24h` or `7d`; raises ValueError for any other text."""
    found = re.fullmatch(_DURATION, text, re.ASCII)
    if not found:
        raise ValueError(f'"{text}" is not a duration such as 90m, 24h or 7d')
    units = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
    return int(text[:-1]) * units[text[-1]]


def compute_freshness_windows(every: timedelta) -> tuple[timedelta, timedelta]:
    """Return the ages at which data is late, for a warning and for an error, if it is due `every` interval."""
    return every * 1.5, every * 2.5


def has_user_part(url: str) -> bool:
    """Return whether a URL contains a user or a password; False for an invalid URL."""
    try:
        return "@" in urlsplit(url).netloc
    except ValueError:  # such as http://[::1
        return False


def find_endpoint_problem(url: str, *, allow_http: bool) -> str | None:
    """Return why no request may be sent to a URL, or None: it contains a password, or it lacks TLS.

    A password in a URL would appear in logs and tables; so the text does not repeat such a URL.
    """
    if has_user_part(url):
        return "it contains a user or a password"
    if url.lower().startswith("http:") and not allow_http and not is_loopback(url):
        return f"{url} is not on this machine, and without TLS the network can read tokens and data"
    return None


def is_loopback(url: str) -> bool:
    """Return whether a URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_pattern(region: str) -> bool:
    """Return whether a region entry is a wildcard such as `eu-*`."""
    return any(c in region for c in "*?[")


def resolve_location(place: str, folder: Path) -> str:
    """Return a location as loaded settings hold it: a bucket unchanged, a path made absolute from a folder."""
    if place.startswith(S3_SCHEME):
        return place
    return str((folder / expand_user(place)).resolve())


def _check_accounts(settings: Settings, positions: Iterator[int]) -> Iterator[SettingProblem]:
    first: dict[str, int] = {}
    for account, n in zip(settings.accounts, positions, strict=False):
        path: TomlPath = ("accounts", n)
        where = f"[[accounts]] number {n + 1}"
        if not ACCOUNT_ID.fullmatch(account.id):
            fix = "write it as text, with its leading zeros"
            yield SettingProblem((*path, "id"), f'{where}: id "{account.id}" is not 12 digits', fix)
        elif first.setdefault(account.id, n) != n:
            yield SettingProblem((*path, "id"), f"{where}: account {account.id} is listed twice", "keep one")
        yield from _check_role(account, path, where)
        if account.regions is not None:
            place = f"[[accounts]] {account.id} regions"
            yield from _check_regions(place, (*path, "regions"), account.regions)
        if account.regions is None and not settings.regions:
            fix = 'add regions = ["us-east-1"] at the top of the file'
            yield SettingProblem(path, f"{where}: no regions", fix, needs=("regions",))


def _check_organization(
    organization: OrganizationSettings, accounts: tuple[AccountSettings, ...]
) -> Iterator[SettingProblem]:
    where, at = "[organization]:", "organization"
    role, admin = organization.role_name, organization.admin_role_arn
    if not _ROLE_NAME.fullmatch(role):
        message = f'{where} role_name "{role}" is not the name of a role, such as AppStreamExportReader'
        yield SettingProblem((at, "role_name"), message)
    if admin is not None and not _ROLE_ARN.fullmatch(admin):
        message = f'{where} admin_role_arn "{admin}" is not of the form arn:aws:iam::111122223333:role/NAME'
        yield SettingProblem((at, "admin_role_arn"), message)
    for key in ("include_accounts", "exclude_accounts"):
        for n, account in enumerate(getattr(organization, key)):
            if not ACCOUNT_ID.fullmatch(account):
                message, fix = f'{where} account "{account}" is not 12 digits', "write it as text, with leading zeros"
                yield SettingProblem((at, key, n), message, fix)
    for kind in ("accounts", "ous"):
        both = {*getattr(organization, f"include_{kind}")} & {*getattr(organization, f"exclude_{kind}")}
        if both:
            message = f"{where} {min(both)} is in include_{kind} and in exclude_{kind}"
            yield SettingProblem((at, f"exclude_{kind}"), message, "keep one")
    if excluded := {a.id for a in accounts} & {*organization.exclude_accounts}:
        message = f"{where} exclude_accounts names {min(excluded)}, which [[accounts]] lists"
        yield SettingProblem((at, "exclude_accounts"), message, "keep one")


def _check_role(account: AccountSettings, path: TomlPath, where: str) -> Iterator[SettingProblem]:
    if account.external_id and not account.role_arn:
        message = f"{where}: external_id needs role_arn"
        yield SettingProblem((*path, "external_id"), message, "add role_arn or remove external_id")
    if account.role_arn is None or not ACCOUNT_ID.fullmatch(account.id):
        return
    found = _ROLE_ARN.fullmatch(account.role_arn)
    if not found:
        message = f'{where}: role_arn "{account.role_arn}" is not of the form arn:aws:iam::{account.id}:role/NAME'
        yield SettingProblem((*path, "role_arn"), message)
    elif found[2] != account.id:
        message = f"{where}: role_arn belongs to account {found[2]}, not to {account.id}"
        yield SettingProblem((*path, "role_arn"), message, "correct one of the two")


def _check_regions(where: str, path: TomlPath, regions: tuple[str, ...]) -> Iterator[SettingProblem]:
    for n, region in enumerate(regions):
        if is_pattern(region) and re.fullmatch(r"[a-z0-9*?\[\]!-]+", region):
            continue
        if region not in KNOWN_REGIONS and not (REGION.fullmatch(region) and NEW_REGION.fullmatch(region)):
            message = f'{where}: "{region}" is not the name of a region, such as us-east-1 or eu-*'
            yield SettingProblem((*path, n), message, suggest_correction(region, KNOWN_REGIONS))


def _decode_secret(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"expected `str`, got `{type(value).__name__}`")


def _check_session(session_duration_s: int) -> Iterator[SettingProblem]:
    path = ("aws", "session_duration_s")
    what = f"[aws] session_duration_s: {session_duration_s} seconds is too"
    if session_duration_s < SESSION_MIN_S:
        why = "sessions are renewed 10 minutes before they end, so short ones would be renewed all the time"
        yield SettingProblem(path, f"{what} short: {why}", f"set {SESSION_MIN_S} or more")
    if session_duration_s > SESSION_MAX_S:
        why = f"AWS allows a role at most {SESSION_MAX_S}, and 3600 if roles are chained"
        yield SettingProblem(path, f"{what} long: {why}", f"set {SESSION_MAX_S} or less")


def _check_extract(extract: ExtractSettings) -> Iterator[SettingProblem]:
    for key in ("max_failed_ratio", "task_timeout_s", "run_timeout_s"):
        if not isfinite(getattr(extract, key)):
            yield SettingProblem(("extract", key), f"[extract] {key}: {getattr(extract, key)} is not a finite number")


def _check_contracts(settings: Settings) -> Iterator[SettingProblem]:
    chosen = settings.contracts
    for path, folder in ((("contracts", "folder"), chosen.folder), (("sql", "folder"), settings.sql.folder)):
        if folder and "://" in folder:
            message = f'[{path[0]}] folder: "{folder}" is not a folder of this machine'
            yield SettingProblem(path, message, "SQL and contracts are never read from a warehouse: name a folder")
    if chosen.resources == ():
        message = "[contracts] resources: no resource is on, so there is nothing to export"
        yield SettingProblem(("contracts", "resources"), message, 'add one, such as "image_builders"')
    for name, text in chosen.cadence.items():
        if not re.fullmatch(_INTERVAL, text, re.ASCII):
            message = f'[contracts.cadence] {name}: "{text}" is not {_INTERVAL_WORDS}'
            yield SettingProblem(("contracts", "cadence", name), message)


def _check_dagster(dagster: DagsterSettings) -> Iterator[SettingProblem]:
    where = "[dagster]"
    for key, cron in (("cron", dagster.cron), ("maintenance_cron", dagster.maintenance_cron)):
        if cron is not None and len(cron.split()) != _CRON_FIELDS:
            message = f'{where} {key}: "{cron}" is not of the form "0 * * * *": minute, hour, day, month, weekday'
            yield SettingProblem(("dagster", key), message)
    if not _is_timezone(dagster.timezone):
        from zoneinfo import available_timezones

        fix = suggest_correction(dagster.timezone, sorted(available_timezones())) or "use one such as Europe/Berlin"
        message = f'{where} timezone: "{dagster.timezone}" is not a known time zone'
        yield SettingProblem(("dagster", "timezone"), message, fix)
    for n, owner in enumerate(dagster.owners):
        if not _OWNER.fullmatch(owner):
            message = f'{where} owners: "{owner}" is neither an email address nor a team such as "team:cloud-costs"'
            yield SettingProblem(("dagster", "owners", n), message)
    yield from _check_dagster_urls(dagster)


def _check_dagster_urls(dagster: DagsterSettings) -> Iterator[SettingProblem]:
    for key, url in (("dashboard_url", dagster.dashboard_url), ("ui_url", dagster.ui_url)):
        if url is not None and not _is_web_url(url):
            message = f'[dagster] {key}: "{url}" is not a URL such as https://bi.example.com/d/1'
            yield SettingProblem(("dagster", key), message)
        elif url is not None and has_user_part(url):
            message = f"[dagster] {key}: it contains a user or a password, which all who see it can read"
            yield SettingProblem(("dagster", key), message, "remove it from the URL")
    webhook = dagster.alert_webhook
    if webhook is not None and not webhook.is_variable and has_user_part(webhook.reveal()):
        message = "[dagster] alert_webhook: it contains a user or a password, which would not be sent"
        yield SettingProblem(("dagster", "alert_webhook"), message, "remove it from the URL")


def _check_monitoring(metrics: MetricsSettings, heartbeat: HeartbeatSettings) -> Iterator[SettingProblem]:
    if metrics.file and "://" in metrics.file:
        message = f'[metrics] file: "{metrics.file}" is not a file of this machine'
        yield SettingProblem(("metrics", "file"), message, "name one, such as /var/lib/node_exporter/appstream.prom")
    url = heartbeat.url
    if url is None or url.is_variable:
        return
    if not _is_web_url(url.reveal()):
        message = "[heartbeat] url: it is not a URL such as https://hc-ping.com/..."
        yield SettingProblem(("heartbeat", "url"), message)
    elif has_user_part(url.reveal()):
        message = "[heartbeat] url: it contains a user or a password, which would not be sent"
        yield SettingProblem(("heartbeat", "url"), message, "remove it from the URL")


def _is_timezone(name: str) -> bool:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # commands that only read start faster without it

    try:
        return bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _is_web_url(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:  # such as http://[::1
        return False


def _check_endpoint(path: TomlPath, section: str, settings: AwsSettings | S3Settings) -> Iterator[SettingProblem]:
    url = settings.endpoint_url
    if url is None:
        return
    if not _is_web_url(url):
        message = f'{section} endpoint_url: "{url}" is not a URL such as http://127.0.0.1:4599'
        yield SettingProblem((*path, "endpoint_url"), message)
    elif found := find_endpoint_problem(url, allow_http=settings.allow_http):
        yield SettingProblem(
            (*path, "endpoint_url"), f"{section} endpoint_url: {found}", suggest_endpoint_fix(section, url)
        )


def suggest_endpoint_fix(section: str, url: str) -> str:
    """Return the fix for a URL's problem that `find_endpoint_problem` found."""
    if has_user_part(url):
        return "remove it from the URL: keys come from a profile or from the environment"
    return f"use https, or set {section} allow_http = true"


def _check_s3_keys(s3: S3Settings) -> Iterator[SettingProblem]:
    keys = {key: getattr(s3, key) for key in ("access_key_id", "secret_access_key")}
    for key, value in keys.items():
        if value is not None and not value.is_variable:
            message = f"[lake.s3] {key}: it must be {_VARIABLE_WORDS}, so that the file contains no key"
            yield SettingProblem(("lake", "s3", key), message)
    if set(keys.values()) == {None}:
        return
    if None in keys.values():
        missing = next(key for key, value in keys.items() if value is None)
        yield SettingProblem(
            ("lake", "s3"), f"[lake.s3] {missing} is missing, but the other half of the key is set", "add it"
        )
    if s3.profile is not None:
        message = "[lake.s3] profile: access_key_id and secret_access_key are set too"
        yield SettingProblem(("lake", "s3", "profile"), message, "keep the profile or the keys")


def _check_s3(settings: Settings) -> Iterator[SettingProblem]:
    s3 = settings.lake.s3
    yield from _check_endpoint(("lake", "s3"), "[lake.s3]", s3)
    yield from _check_s3_keys(s3)
    if s3.region is not None and not REGION.fullmatch(s3.region):
        message = f'[lake.s3] region: "{s3.region}" is not the name of a region, such as us-east-1'
        yield SettingProblem(("lake", "s3", "region"), message, suggest_correction(s3.region, KNOWN_REGIONS))
    if settings.warehouse.startswith("s3://"):
        if settings.lake.catalog_root is not None:
            message = "[lake] catalog_root: there is no catalog file on S3"
            yield SettingProblem(("lake", "catalog_root"), message, "remove the key")
    elif s3 != S3Settings():
        fix = 'name a bucket, such as warehouse = "s3://bucket/prefix", or remove the section'
        message = f"[lake.s3] is for warehouses on S3, but {settings.warehouse} is a folder"
        yield SettingProblem(("lake", "s3"), message, fix, needs=("warehouse",))
