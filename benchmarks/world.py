"""Contents of the page server: accounts, regions and image builders, made from numbers alone.

They are the same in every process, so a proof knows the truth of each scope without asking the server.
"""

import json
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any

REGIONS = (
    *("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-central-2"),
    *("eu-south-1", "eu-south-2", "ap-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
    *("ap-southeast-1", "ap-southeast-2", "ca-central-1", "ca-west-1", "sa-east-1", "il-central-1"),
)
_ACCOUNT_0 = 100_000_000_000
_ACCOUNT_MARK, _REGION_MARK = "<account>", "<region>"

Row = tuple[object, ...]
"""One builder as proofs compare it: name, Arn, state, created (µs since 1970), subnets, security groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Contents and behaviour of the server. Latency in milliseconds, rates as parts of 1."""

    accounts: int = 100
    items: int = 3
    """Image builders per account and region."""
    images: int = 0
    """Images per account and region."""
    generation: int = 0
    """In each, the oldest builder of a scope is deleted, a new one is created, and the others change state."""
    page_size: int = 50
    latency_ms: tuple[float, float] = (0.0, 0.0)
    denied: float = 0.0
    """Part of the scopes that are always denied."""
    closed: tuple[str, ...] = ()
    """Opt-in regions that no account has enabled."""
    fault_rate: float = 0.0
    """Part of all calls, STS included, that go wrong."""
    faults: tuple[str, ...] = ()
    """The kinds of fault to choose from, by name; see `benchmarks.faults`."""
    calls_per_s: float | None = None
    """Throttle: calls per second for each account and region, with a burst of the same size."""
    seed: int = 0

    def account_ids(self) -> list[str]:
        """Return the accounts that have builders; any other account exists too, and is empty."""
        return [account_id(n) for n in range(self.accounts)]

    def neighbour(self, account: str) -> str:
        """Return another account."""
        return account_id((int(account) - _ACCOUNT_0 + 1) % self.accounts)

    def is_denied(self, account: str, region: str) -> bool:
        """Whether this scope is one of the denied."""
        return self.denied > 0 and chance(self.seed, "denied", account, region) < self.denied

    def fault(self, *call: object) -> str | None:
        """Return the fault of this call, if any: the same for the same words, in any order of calls."""
        if not self.fault_rate or chance(self.seed, "fault", *call) >= self.fault_rate:
            return None
        return self.faults[int(chance(self.seed, "kind", *call) * len(self.faults))]

    def items_of(self, account: str, region: str) -> list[dict[str, Any]]:
        """Return the builders of a scope as AWS would list them."""
        held = range(self.generation, self.generation + self.items) if self._holds(account) else ()
        return [image_builder(account, region, n, self.generation) for n in held]

    def truth(self, account: str, region: str) -> list[Row]:
        """Return the rows that a complete answer must leave, by name."""
        return sorted(map(row, self.items_of(account, region)))

    def page(self, account: str, region: str, number: int) -> bytes:
        """Return the JSON of one page; raises IndexError beyond the last."""
        if not self._holds(account):
            return b'{"ImageBuilders": []}'
        template = _templates(self.items, self.page_size, self.generation)[number]
        return _fill(template, account, region)

    def list_images(self, account: str, region: str) -> bytes:
        """Return the JSON of the images of a scope, which its builders made, in one page."""
        if not self._holds(account):
            return b'{"Images": []}'
        return _fill(_render_images(self.images, self.items), account, region)

    def list_tags(self, account: str, region: str) -> bytes:
        """Return the JSON of the tagging API's only page: two tags for each builder of a scope."""
        if not self._holds(account):
            return b'{"ResourceTagMappingList": [], "PaginationToken": ""}'
        return _fill(_render_tags(self.items, self.generation), account, region)

    def pages_per_scope(self) -> int:
        """Return the calls that a scope without faults takes."""
        return len(_templates(self.items, self.page_size, self.generation))

    def _holds(self, account: str) -> bool:
        return _ACCOUNT_0 <= int(account) < _ACCOUNT_0 + self.accounts


def account_id(number: int) -> str:
    """Return the id of the n-th account."""
    return f"{_ACCOUNT_0 + number:012d}"


def chance(*words: object) -> float:
    """Return a number in [0, 1) that only the words decide, so that threads and processes cannot change it."""
    digest = blake2b("/".join(map(str, words)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 256**7


def image_builder(account: str, region: str, n: int, generation: int) -> dict[str, Any]:
    """Return a builder with every part that is slow to read: nested fields, two lists, a time with microseconds."""
    name = f"builder-{account}-{region}-{n:06d}"
    return {
        "Name": name,
        "Arn": f"arn:aws:appstream:{region}:{account}:image-builder/{name}",
        "ImageArn": f"arn:aws:appstream:{region}::image/AppStream-WinServer2022-06-17-2026",
        "Description": "Workstation image of the design team, monthly refresh",
        "DisplayName": f"Design {n}",
        "VpcConfig": {"SubnetIds": [f"subnet-{n % 97:017x}"], "SecurityGroupIds": [f"sg-{n % 89:017x}", "sg-0ff1ce"]},
        "InstanceType": "stream.standard.medium",
        "Platform": "WINDOWS_SERVER_2022",
        "IamRoleArn": f"arn:aws:iam::{account}:role/image-builder",
        "State": ("RUNNING", "STOPPED", "STOPPED", "PENDING")[(n + generation) % 4],
        "CreatedTime": 1_750_000_000.123456 + n,
        "EnableDefaultInternetAccess": n % 2 == 0,
        "NetworkAccessConfiguration": {"EniPrivateIpAddress": f"10.0.{n % 256}.7", "EniId": f"eni-{n:017x}"},
        "ImageBuilderErrors": [],
        "AppstreamAgentVersion": "06-17-2026",
        "LatestAppstreamAgentVersion": "TRUE",
        "AccessEndpoints": [],
    }


def row(item: dict[str, Any]) -> Row:
    """Return the part of a builder that proofs compare."""
    network = item["VpcConfig"]
    created_us = round(item["CreatedTime"] * 1_000_000)
    return (item["Name"], item["Arn"], item["State"], created_us, *map(tuple, network.values()))


@cache
def _templates(items: int, page_size: int, generation: int) -> list[str]:
    """Return the pages of every scope, with marks for account and region: 20,000 scopes share one rendering."""
    made = [image_builder(_ACCOUNT_MARK, _REGION_MARK, n, generation) for n in range(generation, generation + items)]
    pages = [made[start : start + page_size] for start in range(0, max(1, items), page_size)]
    tokens = [{"NextToken": str(number)} for number in range(1, len(pages))]
    return [json.dumps({"ImageBuilders": page} | token) for page, token in zip(pages, [*tokens, {}], strict=True)]


@cache
def _render_images(images: int, builders: int) -> str:
    """Return the page of images of every scope, with marks for account and region."""
    arn = f"arn:aws:appstream:{_REGION_MARK}:{_ACCOUNT_MARK}:image"
    made = [
        {
            "Name": f"image-{n:04d}",
            "Arn": f"{arn}/image-{n:04d}",
            "BaseImageArn": f"arn:aws:appstream:{_REGION_MARK}::image/AppStream-WinServer2022-06-17-2026",
            "ImageBuilderName": f"builder-{_ACCOUNT_MARK}-{_REGION_MARK}-{n % max(1, builders):06d}",
            "Visibility": "PRIVATE",
            "State": "AVAILABLE",
            "Platform": "WINDOWS_SERVER_2022",
            "CreatedTime": 1_750_000_000.5 + n,
            "AppstreamAgentVersion": "06-17-2026",
            "Applications": [{"Name": "cad", "DisplayName": "CAD", "LaunchPath": "C:\\cad.exe", "Enabled": True}],
        }
        for n in range(images)
    ]
    return json.dumps({"Images": made})


@cache
def _render_tags(builders: int, generation: int) -> str:
    """Return the tags of the builders of every scope, with marks for account and region."""
    held = (image_builder(_ACCOUNT_MARK, _REGION_MARK, n, generation) for n in range(generation, generation + builders))
    tags = [{"Key": "owner", "Value": "design"}, {"Key": "cost centre", "Value": "4100"}]
    found = [{"ResourceARN": builder["Arn"], "Tags": tags} for builder in held]
    return json.dumps({"ResourceTagMappingList": found, "PaginationToken": ""})


def _fill(template: str, account: str, region: str) -> bytes:
    """Return a page of a scope."""
    return template.replace(_ACCOUNT_MARK, account).replace(_REGION_MARK, region).encode()
