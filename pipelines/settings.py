"""What the user set: one TOML file plus a few environment variables, checked whole before anything else happens.

Read at the start of a command, never at import. Frozen; holds names of profiles and roles, never a secret.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from pipelines.errors import BadSettings, did_you_mean
from pipelines.scope import ACCOUNT_ID, REGION

DEFAULT_FILE = "appstream-export.toml"
_ROLE_ARN = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/[\w+=,.@/-]+")
_NOT_YET = {
    "organization": "discovery through AWS Organizations is not built yet; list [[accounts]]",
    "feeds": "feeds are not built yet; take the section out",
    "dagster": "schedules are not built yet; take the section out",
    "accounts_file": "account labels are not built yet; take the key out",
    "lake.retention": "thinning is not built yet; take the key out",
    "lake.s3": "warehouses on S3 are not built yet; take the section out",
}


SESSION_MIN_S, SESSION_MAX_S = 1800, 43200


class Secret(str):
    """A word that goes to AWS alone: shown as *** everywhere. `env:NAME` stands for a variable, read when needed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def reveal(self, environ: Mapping[str, str] = os.environ) -> str:
        """The word itself; raises BadSettings when its variable is not set."""
        text = str.__str__(self)
        if not text.startswith("env:"):
            return text
        name = text.removeprefix("env:")
        if not environ.get(name):
            raise BadSettings(f'external_id = "env:{name}": the environment variable {name} is not set; set it')
        return environ[name]


class AccountSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[accounts]]`: who is read, and through which door (a role, a profile, or boto3's own credentials)."""

    id: str
    name: str | None = None
    role_arn: str | None = None
    profile: str | None = None
    external_id: Secret | None = None
    regions: tuple[str, ...] | None = None


class AwsSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[aws]`: how AWS is reached. `session_policy` narrows each role's session to the operations that are asked."""

    endpoint_url: str | None = None
    ca_bundle: str | None = None
    session_policy: bool = False
    session_s: int = 3600


class ExtractSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[extract]`: how AWS is asked. `max_failed_ratio` is failed / (ok + failed) of the asked tasks.

    A task that is not through `task_timeout_s` after its first call, and every task that is open `run_timeout_s` after
    the asking began, ends as `timeout`. `compatible` is the slow way that needs nothing undocumented of botocore.
    """

    workers: Annotated[int, Meta(ge=1, le=256)] = 32
    max_attempts: Annotated[int, Meta(ge=1, le=50)] = 8
    page_size: Annotated[int, Meta(ge=1, le=1000)] | None = None
    names: tuple[str, ...] = ()
    max_items: Annotated[int, Meta(ge=1)] | None = None
    max_failed_ratio: Annotated[float, Meta(ge=0, le=1)] = 0.0
    task_timeout_s: Annotated[float, Meta(gt=0)] = 300.0
    run_timeout_s: Annotated[float, Meta(gt=0)] = 3600.0
    compatible: bool = False


class LakeSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[lake]`: how the warehouse is kept. `file_mode` is octal as in chmod; folders get the matching x bits."""

    guard_percent: Annotated[int, Meta(ge=1, le=100)] = 50
    file_mode: Literal["0600", "0640", "0644", "0660", "0664"] = "0600"
    catalog_root: str | None = None
    expected_every: Annotated[str, Meta(pattern=r"^\d+[mhd]$")] | None = None


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. `warehouse` is absolute once loaded; relative paths in the file are relative to the file."""

    warehouse: str = "warehouse"
    regions: tuple[str, ...] = ()
    accounts: tuple[AccountSettings, ...] = ()
    aws: AwsSettings = AwsSettings()
    extract: ExtractSettings = ExtractSettings()
    lake: LakeSettings = LakeSettings()

    @property
    def is_local_aws(self) -> bool:
        """The endpoint is an emulator on this machine, so no other host may be contacted."""
        return self.aws.endpoint_url is not None and is_loopback(self.aws.endpoint_url)


def find_file(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """`--config`, `APPSTREAM_EXPORT_CONFIG` or `./appstream-export.toml`, in this order; None when there is none."""
    named = given or (Path(v) if (v := environ.get("APPSTREAM_EXPORT_CONFIG")) else None)
    if named is not None:
        if not named.is_file():
            raise BadSettings(f"{named}: no such file; write one with: appstream-export init")
        return named
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).is_file() else None


def load(given: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read, check and complete the settings; raises BadSettings with file, place and fix."""
    file = find_file(given, environ)
    if file is None:
        raise BadSettings(f"no configuration: there is no ./{DEFAULT_FILE}; write one with: appstream-export init")
    try:
        text = file.read_text("utf-8")
        raw = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{file}: not readable as TOML: {error}") from error
    return from_mapping(raw, file)


def from_mapping(raw: Mapping[str, Any], file: Path) -> Settings:
    """Check a parsed file. `file` is for messages, and the folder that relative paths start from."""
    _refuse_later(raw, file)
    if raw.get("regions") == "auto":
        raise BadSettings(f'{file}: regions = "auto" is not built yet; list them, such as ["us-east-1", "eu-*"]')
    try:
        settings = msgspec.convert(raw, Settings, dec_hook=_secret)
    except msgspec.ValidationError as error:
        raise BadSettings(f"{file}: {_explain(str(error))}") from error
    _check_accounts(settings, file)
    _check_regions("regions", settings.regions, file)
    _check_endpoint(settings.aws.endpoint_url, file)
    _check_session(settings.aws.session_s, file)
    return msgspec.structs.replace(settings, warehouse=_absolute(settings.warehouse, file.parent))


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_pattern(region: str) -> bool:
    """Whether a region entry is a wildcard such as `eu-*`."""
    return any(c in region for c in "*?[")


def _absolute(warehouse: str, folder: Path) -> str:
    if warehouse.startswith("s3://"):
        return warehouse
    return str((folder / Path(warehouse).expanduser()).resolve())


def _refuse_later(raw: Mapping[str, Any], file: Path) -> None:
    for path, why in _NOT_YET.items():
        at: Any = raw
        for step in path.split("."):
            at = at.get(step) if isinstance(at, Mapping) else None
        if at is not None:
            raise BadSettings(f"{file}: {path}: {why}")
    if str(raw.get("warehouse", "")).startswith("s3://"):
        raise BadSettings(f"{file}: warehouse: {_NOT_YET['lake.s3']}")


def _explain(error: str) -> str:
    """msgspec's message in the words of the file: `[extract] unknown key "worker"; did you mean "workers"?`."""
    message, _, path = error.partition(" - at `$")
    where = path.rstrip("`").lstrip(".")
    if unknown := re.search(r"unknown field `(.+?)`", message):
        return _place(where) + f'unknown key "{unknown[1]}"{did_you_mean(unknown[1], _known_keys(where))}'
    section, _, key = where.rpartition(".")
    return _place(section) + (f"{key}: " if key else "") + message[:1].lower() + message[1:]


def _place(section: str) -> str:
    """`extract` → `[extract] `; `accounts[0].x` → `[[accounts]] number 1 `; the top of the file → nothing."""
    if listed := re.match(r"accounts\[(\d+)\]", section):
        return f"[[accounts]] number {int(listed[1]) + 1} "
    return f"[{section}] " if section else ""


def _known_keys(where: str) -> list[str]:
    kinds: dict[str, type[Struct]] = {
        "": Settings,
        "aws": AwsSettings,
        "extract": ExtractSettings,
        "lake": LakeSettings,
    }
    kind = kinds.get(where, AccountSettings if where.startswith("accounts") else Settings)
    return sorted(field.name for field in msgspec.structs.fields(kind))


def _check_accounts(settings: Settings, file: Path) -> None:
    seen: set[str] = set()
    if not settings.accounts:
        raise BadSettings(f'{file}: no account to read; add [[accounts]] with id = "111122223333"')
    for n, account in enumerate(settings.accounts, 1):
        where = f"{file}: [[accounts]] number {n}"
        if not ACCOUNT_ID.fullmatch(account.id):
            raise BadSettings(f'{where}: id "{account.id}" is not 12 digits; write it as text, zeros in front included')
        if account.id in seen:
            raise BadSettings(f"{where}: account {account.id} is listed twice; keep one")
        seen.add(account.id)
        _check_role(account, where)
        if account.regions is not None:
            _check_regions(f"[[accounts]] {account.id} regions", account.regions, file)
        if account.regions is None and not settings.regions:
            raise BadSettings(f'{where}: no regions; add regions = ["us-east-1"] at the top of the file')


def _check_role(account: AccountSettings, where: str) -> None:
    if account.external_id and not account.role_arn:
        raise BadSettings(f"{where}: external_id goes with role_arn; add role_arn or take external_id out")
    if account.role_arn is None:
        return
    found = _ROLE_ARN.fullmatch(account.role_arn)
    if not found:
        raise BadSettings(f'{where}: role_arn "{account.role_arn}" is not like arn:aws:iam::{account.id}:role/NAME')
    if found[2] != account.id:
        raise BadSettings(
            f"{where}: role_arn belongs to account {found[2]}, not to {account.id}; correct one of the two"
        )


def _check_regions(where: str, regions: tuple[str, ...], file: Path) -> None:
    for region in regions:
        if not REGION.fullmatch(region) and not (is_pattern(region) and re.fullmatch(r"[a-z0-9*?\[\]!-]+", region)):
            raise BadSettings(f'{file}: {where}: "{region}" is not the name of a region, such as us-east-1 or eu-*')


def _secret(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"expected `str`, got `{type(value).__name__}`")


def _check_session(session_s: int, file: Path) -> None:
    where = f"{file}: [aws] session_s: {session_s} seconds is too"
    if session_s < SESSION_MIN_S:
        why = "sessions are renewed 10 minutes before their end, so short ones would be asked for all the time"
        raise BadSettings(f"{where} short: {why}; take {SESSION_MIN_S} or more")
    if session_s > SESSION_MAX_S:
        raise BadSettings(f"{where} long: AWS gives a role at most {SESSION_MAX_S}, and 3600 where roles are chained")


def _check_endpoint(url: str | None, file: Path) -> None:
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        raise BadSettings(f'{file}: [aws] endpoint_url: "{url}" is not like http://127.0.0.1:4599')
