"""A warehouse whose star has every awkward case: a life that ended, a builder made again, an account that left."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from appstream_export.feeds import publish_feeds
from appstream_export.settings import FeedsSettings
from tests.lake.lakes import A, B, C, Lake, bad, builder, failed, ok

PRICES = [
    {"region": "*", "instance_type": "stream.standard.large", "platform": "*", "usd_per_hour": 0.5,
     "disk_usd_per_gb_month": 0.1, "valid_from": datetime(2026, 1, 1, tzinfo=UTC), "source_sha256": "0"},
]  # fmt: skip


def folder(lake: Lake) -> Path:
    """The served generation of v2."""
    root = Path(lake.store.root, "feeds", "v2")
    return root / json.loads((root / "current.json").read_text())["generation"]


def table(lake: Lake, feed: str) -> list[dict[str, Any]]:
    """Rows of a feed of v2."""
    return [row for file in list_files(lake, feed) for row in pq.read_table(file, partitioning=None).to_pylist()]


def list_files(lake: Lake, feed: str) -> list[Path]:
    """The files of a feed of v2, as current.json names them."""
    root = Path(lake.store.root, "feeds", "v2")
    return [root / path for path in json.loads((root / "current.json").read_text())["feeds"][feed]]


def star(place: Path, **settings: Any) -> Lake:
    """A builder that lasts, one that was deleted and made again, and one of an account that is no longer covered."""
    lake = Lake(place)
    a = builder(
        "a", state="RUNNING", instance_type="stream.standard.large", root_volume_size_gb=500, subnets=["s1"],
        errors=["E"], latest_appstream_agent_version="TRUE", enable_default_internet_access=True,
        description="=cmd()",
    )  # fmt: skip
    accounts = [{"account_id": i, "account_name": i[0], "source": "settings", "labels_json": '{"team": "x"}'}
                for i in ("111122223333", "444455556666")]  # fmt: skip
    lake.commit(ok(A, a, builder("b", state="STOPPED")), ok(B), ok(C, builder("c", state="RUNNING")), accounts=accounts)
    lake.commit(ok(A, a), failed(B), ok(C, builder("c", state="RUNNING")), accounts=accounts)
    again = ok(A, a, builder("b", state="RUNNING"), quarantine=[bad("a", "Platform")])
    lake.commit(again, failed(B), planned=[A, B], accounts=accounts[:1], prices=PRICES)
    publish_feeds(lake.store, lake.contracts, FeedsSettings(account_labels=("team",), **settings))
    return lake
