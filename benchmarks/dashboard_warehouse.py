"""A warehouse for dashboards to draw: 64 accounts, 5,120 builders, a month of snapshots, with feeds of v2.

Rows are made from numbers, so that each account, state, error, exposure and change is the same in every warehouse.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appstream_export.feeds import publish_feeds
from appstream_export.settings import FeedsSettings
from tests.lake.lakes import START, Answer, Lake, builder, failed, ok

REGIONS = ("eu-west-1", "us-east-1")
HOURS = 48
"""From one snapshot to the next."""
_STATES = ("RUNNING", "STOPPED", "STOPPED", "STOPPED", "FAILED", "PENDING", "SNAPSHOTTING")
_SIZES = ("small", "medium", "large", "xlarge")
_PRICES = [
    {"region": "*", "instance_type": f"stream.standard.{size}", "platform": "*", "usd_per_hour": 0.1 * 2**n,
     "disk_usd_per_gb_month": 0.12, "valid_from": datetime(2025, 1, 1, tzinfo=UTC), "source_sha256": "0"}
    for n, size in enumerate(_SIZES[:3])  # the fourth has no price
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardSize:
    """How much there is to draw."""

    accounts: int = 64
    builders: int = 40
    """In each account and region."""
    snapshots: int = 16


def write_dashboard_warehouse(place: Path, size: DashboardSize, *, csv: bool = False) -> Path:
    """Commit the snapshots, publish v2 with the label `team`, and return the warehouse."""
    lake = Lake(place)
    for number in range(size.snapshots):
        answers = list(_list_answers(size, number))
        lake.commit_at(number * HOURS, *answers, accounts=_list_accounts(size), prices=_PRICES)
    publish_feeds(lake.store, lake.contracts, FeedsSettings(account_labels=("team",), versions=("v2",), csv=csv))
    return Path(lake.store.root)


def _list_accounts(size: DashboardSize) -> list[dict[str, Any]]:
    return [
        {"account_id": _name_id(n), "account_name": f"studio-{n:02}", "source": "settings",
         "labels_json": f'{{"team": "team {n % 7}"}}'}
        for n in range(size.accounts)
    ]  # fmt: skip


def _name_id(account: int) -> str:
    return f"{100_000_000_000 + account}"


def _list_answers(size: DashboardSize, number: int) -> Iterator[Answer]:
    """Yield what a snapshot was told; in the newest, one account in sixteen does not answer."""
    for account in range(size.accounts):
        for place, region in enumerate(REGIONS):
            scope = f"{_name_id(account)}/{region}"
            if number == size.snapshots - 1 and number and account % 16 == 3:
                yield failed(scope, reason="not authorized to perform appstream:DescribeImageBuilders")
                continue
            first = (account * len(REGIONS) + place) * size.builders
            # In each snapshot, the oldest builder of one scope in eight is gone, and a new one exists.
            gone = (number + account) // 8
            yield ok(scope, *(_describe(n + gone, account, number) for n in range(first, first + size.builders)))


def _describe(n: int, account: int, number: int) -> dict[str, Any]:
    state = _STATES[(n + number * (n % 5 == 0)) % len(_STATES)]
    return builder(
        f"builder-{n:05}",
        state=state,
        instance_type=f"stream.standard.{_SIZES[(n + account) % len(_SIZES)]}",
        platform="WINDOWS_SERVER_2022",
        root_volume_size_gb=(200, 200, 500)[n % 3],
        created_time=START - timedelta(days=n % 400),
        enable_default_internet_access=n % 11 == 0,
        disable_imdsv1=n % 13 != 0,
        latest_appstream_agent_version="FALSE" if n % 6 == 0 else "TRUE",
        appstream_agent_version=f"{1 + n % 12:02}-01-2025",
        errors=["DOMAIN_JOIN_ERROR_ACCESS_DENIED"] if state == "FAILED" else [],
        subnets=[f"subnet-{n % 97:08x}"],
    )
