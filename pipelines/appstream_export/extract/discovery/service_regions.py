"""The regions in which AWS offers a service, from AWS's own list; `regions = "auto"` selects them."""

import logging
from collections.abc import Collection
from dataclasses import dataclass

from appstream_export.errors import ScopeError, SettingsError
from appstream_export.extract.aws import find_partition, list_botocore_regions
from appstream_export.extract.discovery.control_plane import GET_PARAMETERS, ControlPlaneClient
from appstream_export.model import REGION
from appstream_export.settings import AUTO, Settings, is_pattern

ATTEMPTS_MAX = 3  # few, because botocore's list is the fallback
_PATH = "/aws/service/global-infrastructure/services/{}/regions"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceRegions:
    """A service's regions in the run's partition. `source` is ssm, or botocore if SSM returned none (`problem`)."""

    regions: tuple[str, ...]
    source: str
    problem: str | None = None


def find_service_regions(client: ControlPlaneClient, service: str) -> ServiceRegions:
    """Return the regions from SSM's public parameters, else from botocore's list; raises SettingsError for none."""
    live, why = _request_live_regions(client, service)
    if live:
        _log.info("SSM: %s is offered in %d regions of %s", service, len(live), client.partition)
        return ServiceRegions(live, "ssm")
    problem = f'regions = "auto": botocore\'s own list for {service} is used, which may be out of date: {why}'
    _log.warning(problem)
    if not (known := list_botocore_regions(service, client.partition)):
        raise SettingsError(
            f'regions = "auto": no region of {client.partition} is known to offer {service}', fix="list the regions"
        )
    return ServiceRegions(tuple(known), "botocore", problem)


def list_unlisted_literals(settings: Settings, services: Collection[str]) -> dict[str, frozenset[str]]:
    """Return the regions by service that the settings name literally and botocore's list lacks."""
    own = () if settings.regions == AUTO else settings.regions
    named = {*own, *(region for account in settings.accounts for region in account.regions or ())}
    literals = {region for region in named if not is_pattern(region)}
    found = {s: frozenset(r for r in literals if _is_unlisted(r, s)) for s in services}
    return {service: regions for service, regions in found.items() if regions}


def find_absent_regions(
    client: ControlPlaneClient, service: str, regions: Collection[str], known: ServiceRegions | None
) -> frozenset[str]:
    """Return the `regions` that AWS's own list lacks too; none if there is no such list, which proves nothing."""
    live, why = (known.regions, known.problem) if known else _request_live_regions(client, service)
    if not live or (known and known.source != "ssm"):
        names = ", ".join(sorted(regions))
        _log.warning("regions: cannot check that %s is offered in %s: %s", service, names, why)
        return frozenset()
    absent = frozenset(regions) - {*live}
    for region in sorted(absent):
        _log.warning("regions: %s is not offered in %s, according to AWS and botocore; check the name", service, region)
    return absent


def _request_live_regions(client: ControlPlaneClient, service: str) -> tuple[tuple[str, ...], str]:
    """Return AWS's own list, or an empty list and the reason."""
    try:
        found = _parse_regions(client.list_items(GET_PARAMETERS, attempts_max=ATTEMPTS_MAX, Path=_PATH.format(service)))
    except ScopeError as error:
        return (), error.reason
    live = tuple(sorted(region for region in found if _is_in_partition(client.partition, region)))
    return live, "no region of this partition is among its parameters"


def _is_unlisted(region: str, service: str) -> bool:
    try:
        return region not in list_botocore_regions(service, find_partition(region))
    except SettingsError:  # `build_scopes` raises it with its fix
        return False


def _is_in_partition(partition: str, region: str) -> bool:
    try:
        return find_partition(region) == partition
    except SettingsError:  # a region of a partition that the installed botocore does not know
        return False


def _parse_regions(parameters: Collection[object]) -> set[str]:
    values = {p.get("Value") for p in parameters if isinstance(p, dict)}
    return {value for value in values if isinstance(value, str) and REGION.fullmatch(value)}
