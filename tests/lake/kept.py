"""A warehouse as it was, to go back to: putting it back is much cheaper than making it again."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appstream_export.lake.storage.s3 import S3Store

_ALL = datetime(2100, 1, 1, tzinfo=UTC)
"""Later than the beginning of any upload."""


def keep(store: Any) -> Callable[[], None]:
    """Remember every byte that lies there; whoever calls the answer puts all back, under the same names."""
    return _in_bucket(store) if isinstance(store, S3Store) else _in_folder(store.root)


def _in_folder(warehouse: Path) -> Callable[[], None]:
    aside = warehouse.with_name(f"{warehouse.name}-kept")
    shutil.copytree(warehouse, aside)

    def back() -> None:
        shutil.rmtree(warehouse)
        shutil.copytree(aside, warehouse)

    return back


def _in_bucket(store: S3Store) -> Callable[[], None]:
    """Only objects that are others by now are touched: each request takes an emulated S3 some milliseconds."""
    client, bucket = store._client, {"Bucket": store._bucket}

    def tags() -> dict[str, str]:
        found = client.get_paginator("list_objects_v2").paginate(**bucket, Prefix=store._prefix)
        return {each["Key"]: each["ETag"] for page in found for each in page.get("Contents", ())}

    kept = tags()
    contents = {key: client.get_object(**bucket, Key=key)["Body"].read() for key in kept}

    def back() -> None:
        there = tags()
        store.abort_uploads(_ALL)
        if others := [{"Key": key} for key in there.keys() - kept.keys()]:
            client.delete_objects(**bucket, Delete={"Objects": others, "Quiet": True})
        for key, content in contents.items():
            if there.get(key) != kept[key]:
                client.put_object(**bucket, Key=key, Body=content)

    return back
