"""Datasets of the dashboard: feeds joined to their dimensions, so that one filter fits the charts of all of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appstream_export.contracts import Column
from appstream_export.errors import ContractError
from appstream_export.feeds.contract_feeds import Feed

OPTIONAL = ("label_", "tag_")
"""Prefixes of columns that settings add to dimensions."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a chart reads: a table of bi.duckdb, or the rows of `sql`."""

    name: str
    doc: str
    sql: str | None
    columns: tuple[Column, ...]


def build_datasets(dashboard: Mapping[str, Any], feeds: Sequence[Feed]) -> Iterator[Dataset]:
    """Yield the joins that dashboard.toml describes; raises ContractError for a feed or column that does not exist."""
    known = {feed.name: feed for feed in feeds}
    for described in dashboard["dataset"]:
        selected = list(_list_columns(described, known))
        listed = ",\n    ".join(text for text, _ in selected)
        sql = f"select\n    {listed}\nfrom {described['from']}"
        yield Dataset(described["name"], described["doc"], sql, tuple(column for _, column in selected))


def _list_columns(described: Mapping[str, Any], feeds: Mapping[str, Feed]) -> Iterator[tuple[str, Column]]:
    """Yield each column as SQL and with its description; `d.*` stands for the optional ones of a feed."""
    for word in described["columns"]:
        alias, _, name = word.partition(".")
        feed = feeds.get(described["feeds"][alias])
        if feed is None:
            raise ContractError(f"dashboard.toml: {described['name']}: there is no feed {described['feeds'][alias]}")
        found = [c for c in feed.columns if c.name.startswith(OPTIONAL)] if name == "*" else [
            c for c in feed.columns if c.name == name
        ]  # fmt: skip
        if not found and name != "*":
            raise ContractError(f"dashboard.toml: {described['name']}: the feed {feed.name} has no column {name}")
        yield from ((f"{alias}.{column.name}", column) for column in found)
    for computed in described.get("computed", ()):
        yield f"{computed['sql']} as {computed['name']}", Column(computed["name"], computed["type"], computed["doc"])
