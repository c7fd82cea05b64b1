"""Differences between two generations of feeds, and whether a dashboard would miss something."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import msgspec

from appstream_export.contracts import Column, Contract
from appstream_export.errors import ConfigurationError
from appstream_export.feeds import datapackage
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.generations import PACKAGE, VERSIONS, GenerationStore, format_feed_name
from appstream_export.feeds.publish import DEFAULT_SETTINGS
from appstream_export.feeds.star import build_version_feeds
from appstream_export.lake.storage import Store, translate_storage_errors
from appstream_export.settings import FeedsSettings

CURRENT, NEXT = "current", "next"
"""The served generation, and the feeds that would be published now."""
_SIMILARITY_MIN = 0.6  # difflib's ratio of two names from which a column or feed may be a renamed one


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference; `is_breaking` if something was removed or changed."""

    feed: str
    text: str
    is_breaking: bool

    def __str__(self) -> str:
        return f"{'breaks' if self.is_breaking else 'adds'}  {self.feed}: {self.text}"


def diff_feeds(
    store: Store,
    contracts: Sequence[Contract],
    settings: FeedsSettings = DEFAULT_SETTINGS,
    *,
    old: str = CURRENT,
    new: str = NEXT,
) -> list[Difference]:
    """Return the differences from `old` to `new`; each is a generation, a folder with one, `current` or `next`.

    Raises ConfigurationError if there is no such generation.
    """
    with translate_storage_errors(store):
        before, after = (_load_versions(store, contracts, settings, name) for name in (old, new))
    # A folder holds one version, and a generation may be older than v2: of others, nothing is known there.
    is_whole = new in (CURRENT, NEXT) or before.keys().isdisjoint(after)
    found = list[Difference]()
    for version, feeds in before.items():
        if version in after:
            differences = list_differences(feeds, after[version])
            found += [replace(d, feed=format_feed_name(version, d.feed)) for d in differences]
        elif is_whole:
            found.append(Difference(version, "the version is no longer published", is_breaking=True))
    return found


def list_differences(old: Mapping[str, Feed], new: Mapping[str, Feed]) -> Iterator[Difference]:
    """Yield the differences of feeds by name; within each feed, breaking ones come first."""
    for name in sorted(old.keys() - new.keys()):
        near = _suggest_renamed_feed(old[name].columns, {n: new[n].columns for n in new.keys() - old.keys()}, name)
        yield Difference(name, f"the feed is gone{near}", is_breaking=True)
    for name in sorted(old.keys() & new.keys()):
        yield from _list_column_differences(name, old[name], new[name])
    for name in sorted(new.keys() - old.keys()):
        yield Difference(name, "a new feed", is_breaking=False)


def _list_column_differences(name: str, old: Feed, new: Feed) -> Iterator[Difference]:
    before, after = {c.name: c for c in old.columns}, {c.name: c for c in new.columns}
    added = [c for c in new.columns if c.name not in before]
    for column in (c for c in old.columns if c.name not in after):
        hint = _suggest_renamed_column(column, added)
        yield Difference(name, f"column {column.name} {column.type} is gone{hint}", is_breaking=True)
    for column in (c for c in old.columns if c.name in after and after[c.name].type != c.type):
        text = f"column {column.name} was {column.type} and is {after[column.name].type}"
        yield Difference(name, text, is_breaking=True)
    if old.key != new.key:
        yield Difference(name, f"the key was {old.key} and is {new.key}", is_breaking=True)
    for column in added:
        yield Difference(name, f"column {column.name} {column.type}", is_breaking=False)


def _suggest_renamed_column(column: Column, added: Sequence[Column]) -> str:
    """Return a hint at the added column with the same type and the same description or a similar name; else ''."""
    same = [c for c in added if c.type == column.type]
    by_doc = [c.name for c in same if c.doc == column.doc]
    alike = sorted(
        (c.name for c in same if _compute_similarity(c.name, column.name) >= _SIMILARITY_MIN),
        key=lambda n: -_compute_similarity(n, column.name),
    )
    found = [*by_doc, *alike]
    return f"; renamed to {found[0]}?" if found else ""


def _suggest_renamed_feed(columns: Sequence[Column], added: Mapping[str, Sequence[Column]], name: str) -> str:
    """Return a hint at the added feed with the same columns or a similar name; else ''."""
    shape = [(c.name, c.type) for c in columns]
    same = [n for n, found in sorted(added.items()) if [(c.name, c.type) for c in found] == shape]
    alike = [n for n in sorted(added) if _compute_similarity(n, name) >= _SIMILARITY_MIN]
    found = [*same, *alike]
    return f"; renamed to {found[0]}?" if found else ""


def _compute_similarity(left: str, right: str) -> float:
    return SequenceMatcher(None, left, right).ratio()


def _load_versions(
    store: Store, contracts: Sequence[Contract], settings: FeedsSettings, name: str
) -> dict[str, dict[str, Feed]]:
    """Return the feeds of each version that there is of a generation; raises ConfigurationError if there is none."""
    if name == NEXT:
        versions = [version for version in VERSIONS if version in settings.versions]
        return {
            version: _build_feeds_by_name(build_version_feeds(version, contracts, settings)) for version in versions
        }
    if "/" in name or name == ".":
        return _parse_folder_feeds(Path(name))
    stores = [GenerationStore(store, file_mode=int(settings.file_mode, 8), version=version) for version in VERSIONS]
    found = [own for own in stores if (own.has_current() if name == CURRENT else name in own.list_generations())]
    return {own.version: _load_feeds(own, name) for own in found or stores[:1]}


def _load_feeds(generations: GenerationStore, name: str) -> dict[str, Feed]:
    name = generations.require_current().name if name == CURRENT else name
    return _build_feeds_by_name(datapackage.parse_feeds(generations.load_package(name)))


def _build_feeds_by_name(feeds: Iterable[Feed]) -> dict[str, Feed]:
    return {feed.name: feed for feed in feeds}


def _load_package(folder: Path) -> dict[str, Any]:
    file = folder if folder.name == PACKAGE else folder / PACKAGE
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{file}: cannot be read as a data package of feeds: {error}") from error


def _parse_folder_feeds(folder: Path) -> dict[str, dict[str, Feed]]:
    package = _load_package(folder)
    try:
        return {datapackage.get_feeds_version(package): _build_feeds_by_name(datapackage.parse_feeds(package))}
    except (KeyError, TypeError) as error:
        raise ConfigurationError(f"{folder}: cannot be read as a data package of feeds: {error}") from error
