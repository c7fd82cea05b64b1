"""Which regions an account has enabled, as AWS lists them: proof where a refusal alone would prove nothing."""

from collections.abc import Callable
from typing import Any

from botocore.credentials import Credentials

from appstream_export.errors import RetriableScopeError, ScopeError
from appstream_export.extract.aws.clients import ApiCall, Clients
from appstream_export.extract.aws.errors import build_malformed_error

PAGES_MAX = 20  # ListRegions gives at most 50 a page; AWS has some 40 regions
_ENABLED = frozenset({"ENABLED", "ENABLED_BY_DEFAULT"})


def list_enabled_regions(clients: Clients, region: str, credentials: Credentials) -> frozenset[str] | None:
    """Return the account's enabled regions, by the first of two operations that is allowed; None where neither is.

    Raises ScopeError where one of them failed in a way that may pass: that proves nothing.
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
    raise build_malformed_error("ListRegions", f"{PAGES_MAX} pages, and a token for one more")


def _list_by_ec2(clients: Clients, region: str, credentials: Credentials) -> frozenset[str]:
    answer = clients.call_operation("ec2", region, "DescribeRegions", {}, ApiCall(credentials))
    found = {r["RegionName"] for r in answer.get("Regions") or [] if "RegionName" in r}
    return _check_list(found, region, "DescribeRegions")


def _check_list(found: set[str], region: str, operation: str) -> frozenset[str]:
    """Return a list that holds at least the region that was asked; a damaged answer holds none."""
    if region not in found:
        raise build_malformed_error(operation, f"the list of regions lacks {region}, which answered")
    return frozenset(found)
