"""A dashboard: joins three feeds again and again, and checks that each answer is whole and of one snapshot.

`python -m benchmarks.feed_reader pyarrow|bi FOLDER`, with the folder of current.json, `feeds/v1` or `feeds/v2`; see
`benchmarks.reading`.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from benchmarks.reading import Read, read_until_line

FEEDS = {
    "v1": ("image_builders", "image_builder_subnets", "coverage"),
    "v2": ("image_builder_latest", "image_builder_subnets", "dim_scope"),
}
_JOIN = """
with joined as (
    select b.image_builder_key, b.snapshot_id as a, s.snapshot_id as b, c.snapshot_id as c
    from {builders} as b
    left join {subnets} as s on b.image_builder_key = s.image_builder_key
    left join {scopes} as c on b.scope_key = c.scope_key
)
select count(distinct image_builder_key), count(*) filter (a is distinct from b or a is distinct from c),
    count(distinct a), min(a), (select count(*) from {subnets}) - count(b)
from joined"""
Answer = tuple[int, int, str]
"""Builders, rows that do not match, and the snapshot."""


def read_with_pyarrow(folder: Path) -> Answer:
    """Read whole files of a generation and join them in Python."""
    current = json.loads((folder / "current.json").read_text())
    feeds = [current["feeds"][feed] for feed in FEEDS[folder.name]]
    files = [folder / (feed if isinstance(feed, str) else feed[0]) for feed in feeds]
    builders, subnets, coverage = (pq.read_table(file, partitioning=None).to_pylist() for file in files)
    keys, scopes = {s["image_builder_key"] for s in subnets}, {c["scope_key"] for c in coverage}
    odd = sum(b["image_builder_key"] not in keys or b["scope_key"] not in scopes for b in builders)
    odd += len(keys - {b["image_builder_key"] for b in builders})
    snapshots = {row["snapshot_id"] for row in (*builders, *subnets, *coverage)}
    return len(builders), odd + len(snapshots) - 1, min(snapshots)


def read_database(folder: Path) -> Answer:
    """Join tables of bi.duckdb, opened read-only for each query as dashboards do."""
    names = dict(zip(("builders", "subnets", "scopes"), FEEDS[folder.name], strict=True))
    with duckdb.connect(str(folder / "bi.duckdb"), read_only=True) as con:
        builders, odd, snapshots, snapshot, orphans = con.execute(_JOIN.format(**names)).fetchall()[0]
        return builders, odd + orphans + snapshots - 1, snapshot


READERS: Mapping[str, Callable[[Path], Answer]] = {"pyarrow": read_with_pyarrow, "bi": read_database}


def read(kind: str, folder: Path) -> Read:
    """Read once: the snapshot with its number of builders, and rows that do not match."""
    builders, odd, snapshot = READERS[kind](folder)
    return f"{snapshot}: {builders}", [f"{odd} rows of {snapshot}"] if odd else []


if __name__ == "__main__":
    read_until_line(lambda: read(sys.argv[1], Path(sys.argv[2])))
