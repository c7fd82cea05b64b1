"""The lines that a DuckDB of one's own needs before it can read a warehouse in a bucket.

Ours reads through the storage port; any other one has extensions for S3, and a secret that says how to get there. No
credential is written: DuckDB finds them where boto3 does.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from appstream_export.contracts import Contract
from appstream_export.lake.catalog.connect import none_yet
from appstream_export.lake.catalog.views import statements
from appstream_export.lake.snapshots.manifest import history
from appstream_export.lake.sql import literal
from appstream_export.lake.storage.s3 import STAND_IN, S3Store
from appstream_export.settings import S3Settings, is_loopback

_SECRET = "appstream_export"  # noqa: S105 - what DuckDB calls its name


def lines(store: Any, settings: S3Settings, contracts: Sequence[Contract]) -> Iterator[str]:
    """Every line for the bucket of `store`: access, and with contracts the catalog's views too, made in memory."""
    yield f"-- {store.root}, for a DuckDB of your own; install downloads an extension once."
    yield from (f"{statement};" for statement in _access(store, settings))
    if contracts:
        manifests = history(store)
        if not manifests:
            raise none_yet(store)
        yield from (f"{statement};" for statement in statements(contracts, manifests, store.uri))


def _access(store: S3Store, settings: S3Settings) -> list[str]:
    where = {"scope": store.root, "region": store.region}
    if settings.profile:
        where["profile"] = settings.profile
    parts = ["type s3", *_credentials(store), *(f"{key} {literal(value)}" for key, value in where.items())]
    parts += _endpoint(store.endpoint_url)
    return [
        *(f"{verb} {extension}" for extension in ("httpfs", "aws") for verb in ("install", "load")),
        f"create or replace secret {_SECRET} ({', '.join(parts)})",
        "set TimeZone = 'UTC'",
    ]


def _credentials(store: S3Store) -> list[str]:
    if store.endpoint_url and is_loopback(store.endpoint_url):
        return ["provider config", f"key_id {literal(STAND_IN)}", f"secret {literal(STAND_IN)}"]
    return ["provider credential_chain"]


def _endpoint(url: str | None) -> list[str]:
    if url is None:
        return []
    at = urlsplit(url)
    tls = "true" if at.scheme == "https" else "false"
    return [f"endpoint {literal(at.netloc)}", "url_style 'path'", f"use_ssl {tls}"]
