from .control_plane import ControlPlaneClient as ControlPlaneClient
from .discover import (
    ACCEPT_FLAG as ACCEPT_FLAG,
    Discovery as Discovery,
    PreviousSnapshot as PreviousSnapshot,
    discover_accounts as discover_accounts,
)
from .service_regions import (
    ServiceRegions as ServiceRegions,
    find_absent_regions as find_absent_regions,
    find_service_regions as find_service_regions,
    list_unlisted_literals as list_unlisted_literals,
)
