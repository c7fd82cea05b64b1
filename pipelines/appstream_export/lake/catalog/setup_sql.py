"""Render the SQL with which any other DuckDB can read a warehouse in a bucket.

This program's DuckDB reads through the storage port; others need extensions for S3, and a secret with the settings. No
credentials are written: DuckDB finds them where boto3 does.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from appstream_export.contracts import Contract
from appstream_export.lake.catalog.connect import load_existing_history
from appstream_export.lake.catalog.views import render_catalog_statements
from appstream_export.lake.duckdb import quote_literal
from appstream_export.lake.storage import PLACEHOLDER_KEY, S3Store
from appstream_export.settings import S3Settings, is_loopback

_SECRET_NAME = "appstream_export"  # noqa: S105 - the name of a DuckDB secret


def render_setup_lines(store: Any, settings: S3Settings, contracts: Sequence[Contract]) -> Iterator[str]:
    """Yield SQL lines that give access to the bucket of `store` and, with contracts, create its views in memory."""
    yield f"-- {store.root}, for a DuckDB of your own; install downloads an extension once."
    yield from (f"{statement};" for statement in _build_access_statements(store, settings))
    if contracts:
        statements = render_catalog_statements(contracts, load_existing_history(store), store.resolve_uri)
        yield from (f"{statement};" for statement in statements)


def _build_access_statements(store: S3Store, settings: S3Settings) -> list[str]:
    where = {"scope": store.root, "region": store.region}
    if settings.profile:
        where["profile"] = settings.profile
    parts = [
        "type s3",
        *_build_credential_options(store),
        *(f"{key} {quote_literal(value)}" for key, value in where.items()),
    ]
    parts += _build_endpoint_options(store.endpoint_url)
    return [
        *(f"{verb} {extension}" for extension in ("httpfs", "aws") for verb in ("install", "load")),
        f"create or replace secret {_SECRET_NAME} ({', '.join(parts)})",
        "set TimeZone = 'UTC'",
    ]


def _build_credential_options(store: S3Store) -> list[str]:
    if store.endpoint_url and is_loopback(store.endpoint_url):
        return [
            "provider config",
            f"key_id {quote_literal(PLACEHOLDER_KEY)}",
            f"secret {quote_literal(PLACEHOLDER_KEY)}",
        ]
    return ["provider credential_chain"]


def _build_endpoint_options(url: str | None) -> list[str]:
    if url is None:
        return []
    at = urlsplit(url)
    tls = "true" if at.scheme == "https" else "false"
    return [f"endpoint {quote_literal(at.netloc)}", "url_style 'path'", f"use_ssl {tls}"]
