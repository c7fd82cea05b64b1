"""The regions in which AWS offers a service, as AWS itself publishes them: what `regions = "auto"` means."""

import logging
from collections.abc import Collection
from dataclasses import dataclass

from appstream_export.errors import ScopeError, SettingsError
from appstream_export.extract.aws import find_partition, list_botocore_regions
from appstream_export.extract.discovery.control_plane import GET_PARAMETERS, ControlPlaneClient
from appstream_export.model import REGION

ATTEMPTS_MAX = 3  # there is another list to fall back on
_PATH = "/aws/service/global-infrastructure/services/{}/regions"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceRegions:
    """A service's regions in the run's partition; `source` is ssm, or botocore where SSM gave none (`problem`)."""

    regions: tuple[str, ...]
    source: str
    problem: str | None = None


def find_service_regions(client: ControlPlaneClient, service: str) -> ServiceRegions:
    """Ask SSM's public parameters, which follow AWS at once, else botocore's list; raises SettingsError for none."""
    try:
        found = _parse_regions(client.list_items(GET_PARAMETERS, attempts_max=ATTEMPTS_MAX, Path=_PATH.format(service)))
        live = tuple(sorted(region for region in found if _is_in_partition(client.partition, region)))
        why = "no region of this partition is among its parameters"
    except ScopeError as error:
        live, why = (), error.reason
    if live:
        _log.info("%s is offered in %d regions of %s, says SSM", service, len(live), client.partition)
        return ServiceRegions(live, "ssm")
    problem = f'regions = "auto": botocore\'s own list for {service}, which may lag behind AWS: {why}'
    _log.warning(problem)
    if not (known := list_botocore_regions(service, client.partition)):
        raise SettingsError(
            f'regions = "auto": no region of {client.partition} is known to offer {service}', fix="list them"
        )
    return ServiceRegions(tuple(known), "botocore", problem)


def _is_in_partition(partition: str, region: str) -> bool:
    try:
        return find_partition(region) == partition
    except SettingsError:  # of a partition that this botocore does not know
        return False


def _parse_regions(parameters: Collection[object]) -> set[str]:
    values = {p.get("Value") for p in parameters if isinstance(p, dict)}
    return {value for value in values if isinstance(value, str) and REGION.fullmatch(value)}
