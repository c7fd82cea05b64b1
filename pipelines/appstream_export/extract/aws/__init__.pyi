from .clients import CLOCK_SKEW_MAX_S as CLOCK_SKEW_MAX_S, ApiCall as ApiCall, Clients as Clients, Clock as Clock
from .compat import create_clients as create_clients
from .credentials import (
    CredentialSource as CredentialSource,
    Sessions as Sessions,
    get_configured_region as get_configured_region,
    list_profiles as list_profiles,
)
from .endpoints import list_endpoints as list_endpoints
from .errors import build_malformed_error as build_malformed_error, sanitize_text as sanitize_text
from .guard import check_emulator as check_emulator
from .rate_limit import CALLS_PER_S as CALLS_PER_S, RateLimiter as RateLimiter
from .regions import (
    build_scopes as build_scopes,
    find_home_partition as find_home_partition,
    find_partition as find_partition,
    get_home_region as get_home_region,
    get_region_patterns as get_region_patterns,
    is_opt_in_region as is_opt_in_region,
    list_botocore_regions as list_botocore_regions,
)
