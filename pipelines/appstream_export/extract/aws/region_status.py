"""An account's list of enabled regions: proof of why a region refuses a session, which the refusal alone is not."""

from collections.abc import Callable
from typing import Any

from botocore.credentials import Credentials

from appstream_export.errors import RetriableScopeError, ScopeError
from appstream_export.extract.aws.clients import ApiCall, Clients
from appstream_export.extract.aws.errors import build_malformed_error

PAGES_MAX = 20  # ListRegions returns at most 50 regions a page; AWS has some 40
_ENABLED = frozenset({"ENABLED", "ENABLED_BY_DEFAULT"})


def list_enabled_regions(clients: Clients, region: str, credentials: Credentials) -> frozenset[str] | None:
    """Return the account's enabled regions, from the first of two operations that is allowed; None if neither is.

    Raises ScopeError if neither succeeds and one failed with an error that may be temporary, which proves nothing.
    """
    problem: ScopeError | None = None
    requests: tuple[Callable[[Clients, str, Credentials], frozenset[str]], ...] = (_list_by_account, _list_by_ec2)
    for request in requests:
        try:
            return request(clients, region, credentials)
        except ScopeError as error:
            problem = error if isinstance(error, RetriableScopeError) else problem
    if problem is not None:
        raise problem
    return None


def _list_by_account(clients: Clients, region: str, credentials: Credentials) -> frozenset[str]:
    found: set[str] = set()
    params: dict[str, Any] = {"MaxResults": 50}
    for _ in range(PAGES_MAX):
        answer = clients.call_operation("account", region, "ListRegions", params, ApiCall(credentials))
        regions = answer.get("Regions") or []
        found |= {r["RegionName"] for r in regions if r.get("RegionOptStatus") in _ENABLED and "RegionName" in r}
        if not answer.get("NextToken"):
            return _check_list(found, region, "ListRegions")
        params = params | {"NextToken": answer["NextToken"]}
    raise build_malformed_error("ListRegions", f"{PAGES_MAX} pages, and a token for another page")


def _list_by_ec2(clients: Clients, region: str, credentials: Credentials) -> frozenset[str]:
    answer = clients.call_operation("ec2", region, "DescribeRegions", {}, ApiCall(credentials))
    found = {r["RegionName"] for r in answer.get("Regions") or [] if "RegionName" in r}
    return _check_list(found, region, "DescribeRegions")


def _check_list(found: set[str], region: str, operation: str) -> frozenset[str]:
    """Return the list if it holds the region that was called, which only a damaged answer lacks; else raise."""
    if region not in found:
        raise build_malformed_error(operation, f"the list of regions lacks {region}, which answered")
    return frozenset(found)
