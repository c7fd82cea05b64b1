"""Regions of accounts: expand wildcards and literals to regions of one partition. Nothing here calls AWS."""

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import botocore.session

from appstream_export.contracts import get_botocore_loader
from appstream_export.errors import SettingsError, suggest_correction
from appstream_export.extract.accounts import Account, list_configured_accounts
from appstream_export.extract.aws.guard import create_session_without_files
from appstream_export.model import NEW_REGION, Scope
from appstream_export.settings import AUTO, Settings, is_pattern

# Regions opened before 20 March 2019 are always enabled in every account. Later regions of this partition are opt-in.
_DEFAULT_REGIONS = frozenset(
    """us-east-1 us-east-2 us-west-1 us-west-2 ca-central-1 sa-east-1 eu-central-1 eu-north-1 eu-west-1 eu-west-2
    eu-west-3 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-southeast-1 ap-southeast-2""".split()  # noqa: SIM905
)
_HOME_REGIONS = {"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}  # always enabled
_ONE_PARTITION = "write one configuration for each"


@cache
def _get_botocore_session() -> botocore.session.Session:
    return create_session_without_files()


@cache
def _load_partitions() -> list[dict[str, Any]]:
    # Without a session, which is slow to create and would read all endpoints to find a region.
    return get_botocore_loader().load_data("partitions")["partitions"]


@cache
def list_botocore_regions(service: str, partition: str = "aws") -> list[str]:
    """Return the service's regions in the installed botocore, without a call to AWS. The list may be out of date."""
    return sorted(_get_botocore_session().get_available_regions(service, partition))


@cache
def find_partition(region: str) -> str:
    """Return the partition of a region, such as `aws` for us-east-1; raises SettingsError if no partition matches."""
    for partition in _load_partitions():
        if region in list_partition_regions(partition["id"]) or re.fullmatch(partition["regionRegex"], region):
            return partition["id"]
    raise _build_unknown_region(region)


def is_opt_in_region(region: str) -> bool:
    """Return whether accounts must enable the region first; only the partition `aws` has such regions."""
    return region not in _DEFAULT_REGIONS and find_partition(region) == "aws"


def get_home_region(partition: str, configured: str | None = None) -> str:
    """Return the region for calls to a partition's global services: one that is always enabled, if known."""
    return _HOME_REGIONS.get(partition) or configured or min(list_partition_regions(partition))


def choose_sts_region(partition: str, configured: str | None) -> str:
    """Return the region for STS calls: the configured one if it is enabled in every account, else the home region."""
    if configured and find_partition(configured) == partition and not is_opt_in_region(configured):
        return configured
    return get_home_region(partition)


def filter_region(configured: str | None) -> str | None:
    """Return the configured region, or None if it is unset or not a region, such as aws-global."""
    try:
        return configured if configured and find_partition(configured) else None
    except SettingsError:
        return None


def expand_region_patterns(patterns: Sequence[str], available: Sequence[str]) -> list[str]:
    """Return the regions that match `patterns`, in that order, without repeats; raises SettingsError with the fix.

    A wildcard selects from `available`. A literal is accepted even if botocore does not know it yet, provided that it
    is named like a region. Regions of two partitions are refused, because no credentials are valid in both.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        found |= dict.fromkeys(
            _match_regions(pattern, available) if is_pattern(pattern) else [_validate_region(pattern, available)]
        )
    _check_single_partition(found)
    return list(found)


def list_partition_regions(partition: str) -> list[str]:
    """Return every region of a partition that botocore knows."""
    found = next((p["regions"] for p in _load_partitions() if p["id"] == partition), {})
    return [region for region in found if not region.endswith("-global")]


def build_scopes(
    settings: Settings, accounts: Sequence[Account], service: str, service_regions: Sequence[str] | None = None
) -> list[Scope]:
    """Return the scopes to request: every account in each of its regions, account by account; raises SettingsError.

    `auto` and wildcards select from AWS's own list (`service_regions`) if given, else from botocore's list.
    """
    wanted = {a.id: get_region_patterns(settings, a) for a in accounts}
    candidates = (
        _list_candidate_regions(service, _resolve_partition(accounts, wanted.values()), wanted.values())
        if service_regions is None
        else service_regions
    )
    expanded = {patterns: expand_region_patterns(patterns, candidates) for patterns in set(wanted.values())}
    _check_single_partition(region for regions in expanded.values() for region in regions)
    return [Scope(a.id, region) for a in accounts for region in expanded[wanted[a.id]]]


def _list_candidate_regions(service: str, partition: str, wanted: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the regions that wildcards select from; without wildcards, do not load the service's model."""
    has_wildcards = any(is_pattern(p) for patterns in wanted for p in patterns)
    return list_botocore_regions(service, partition) if has_wildcards else list_partition_regions(partition)


def get_region_patterns(settings: Settings, account: Account) -> tuple[str, ...]:
    """Return the names and wildcards of an account's regions; `auto` becomes `*`."""
    if account.regions is not None:
        return account.regions
    return ("*",) if settings.regions == AUTO else settings.regions


def find_home_partition(settings: Settings, configured: str | None) -> str:
    """Return the partition of the role ARNs and regions in the settings, else of the configured region."""
    accounts = list_configured_accounts(settings)
    if settings.organization and (admin := settings.organization.admin_role_arn):
        accounts.append(Account(id=admin.split(":")[4], role_arn=admin))
    own = () if settings.regions == AUTO else settings.regions
    return _resolve_partition(accounts, [own, *(a.regions for a in accounts if a.regions)], configured)


def _match_regions(pattern: str, available: Sequence[str]) -> list[str]:
    regions = [r for r in available if fnmatchcase(r, pattern)]
    if not regions:
        raise SettingsError(f'regions: "{pattern}" matches none of {", ".join(available) or "the offered regions"}')
    return regions


def _validate_region(region: str, available: Sequence[str] = ()) -> str:
    known = region in _list_known_regions()
    # botocore's regionRegex alone would accept us-esat-1.
    if not known and not (NEW_REGION.fullmatch(region) and find_partition(region)):
        raise _build_unknown_region(region, available)
    return region


@cache
def _list_known_regions() -> list[str]:
    return [region for p in _load_partitions() for region in list_partition_regions(p["id"])]


def _build_unknown_region(region: str, available: Sequence[str] = ()) -> SettingsError:
    near = suggest_correction(region, [*available, *_list_known_regions()])
    return SettingsError(f'regions: "{region}" is not the name of a region', fix=near)


def _check_single_partition(regions: Iterable[str]) -> None:
    first: dict[str, str] = {}
    for region in regions:
        first.setdefault(find_partition(region), region)
    if len(first) > 1:
        mix = " and ".join(f"{region} ({partition})" for partition, region in first.items())
        raise SettingsError(f"regions: {mix} are different partitions of AWS", fix=_ONE_PARTITION)


def _resolve_partition(
    accounts: Sequence[Account], wanted: Iterable[tuple[str, ...]], configured: str | None = None
) -> str:
    """Return the partition of role ARNs and literal regions, else the first partition that a wildcard matches."""
    patterns = list(dict.fromkeys(p for each in wanted for p in each))
    arns = {a.role_arn.split(":")[1]: f"role {a.role_arn}" for a in accounts if a.role_arn}
    named = arns | {find_partition(_validate_region(p)): p for p in patterns if not is_pattern(p)}
    if len(named) > 1:
        mix = " and ".join(f"{who} ({partition})" for partition, who in named.items())
        raise SettingsError(f"{mix} are in different partitions of AWS", fix=_ONE_PARTITION)
    if named:
        return next(iter(named))
    first = [find_partition(configured)] if configured else []
    candidates = [*first, *(p["id"] for p in _load_partitions())]
    return next((p for p in candidates if not patterns or _has_match(patterns, list_partition_regions(p))), "aws")


def _has_match(patterns: Sequence[str], regions: Sequence[str]) -> bool:
    return any(fnmatchcase(region, pattern) for pattern in patterns for region in regions)
