"""Compare the columns of the feeds to publish with those that readers see."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from appstream_export.contracts import Contract
from appstream_export.errors import ConfigurationError, StorageFailed
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.datapackage import parse_feeds
from appstream_export.feeds.generations import VERSIONS, GenerationStore, format_feed_name
from appstream_export.feeds.star import build_version_feeds
from appstream_export.lake.storage import Store
from appstream_export.settings import FeedsSettings


class ColumnChange(NamedTuple):
    """A column of a published feed that will be added (no previous type), removed (no next type) or of another type."""

    feed: str
    column_name: str
    previous_type: str | None
    next_type: str | None


def find_column_changes(store: Store, contracts: Sequence[Contract], settings: FeedsSettings) -> list[ColumnChange]:
    """Return the differences to the served feeds, removed feeds included; columns of new feeds are no difference.

    Feeds of v2 are named `v2/<feed>`. Without served feeds, or with damaged ones, which the next publication replaces,
    there are none.
    """
    return [
        change._replace(feed=format_feed_name(version, change.feed))
        for version in VERSIONS
        for change in _compare_version(store, version, contracts, settings)
    ]


def _compare_version(
    store: Store, version: str, contracts: Sequence[Contract], settings: FeedsSettings
) -> list[ColumnChange]:
    generations = GenerationStore(store, file_mode=0o600, version=version)
    with suppress(StorageFailed, ConfigurationError):
        if current := generations.load_current():
            feeds = build_version_feeds(version, contracts, settings)
            return [*_compare_columns(parse_feeds(generations.load_package(current.name)), feeds)]
    return []


def _compare_columns(previous: Iterable[Feed], following: Iterable[Feed]) -> Iterator[ColumnChange]:
    types = {feed.name: {column.name: column.type for column in feed.columns} for feed in following}
    for feed in previous:
        before, after = {column.name: column.type for column in feed.columns}, types.get(feed.name, {})
        for name in dict.fromkeys([*before, *after]):
            if before.get(name) != after.get(name):
                yield ColumnChange(feed.name, name, before.get(name), after.get(name))
