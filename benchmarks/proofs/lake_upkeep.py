"""One round of upkeep of a warehouse, in a process that may be killed: `python -m benchmarks.proofs.lake_upkeep {...}`.

Thinning keeps only the newest snapshot; gc leaves what readers may still have open.
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from appstream_export.contracts import load_contracts
from appstream_export.lake.maintenance.expire import expire_snapshots
from appstream_export.lake.maintenance.vacuum import vacuum_warehouse
from appstream_export.lake.storage.factory import open_store
from appstream_export.settings import RetentionSettings, S3Settings


def main(arguments: Sequence[str]) -> None:
    """Thin, then collect."""
    told = json.loads(arguments[0])
    store = open_store(told["place"], create=True, s3=S3Settings(**told["s3"]) if told["s3"] else None)
    policy, now = RetentionSettings(hourly_days=0, daily_days=0, monthly_months=1), datetime.now(UTC)
    expire_snapshots(store, now=now, policy=policy, tool_version="0")
    vacuum_warehouse(store, load_contracts(), now=now, grace=timedelta(seconds=told["grace_s"]))


if __name__ == "__main__":
    main(sys.argv[1:])
