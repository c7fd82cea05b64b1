"""A dashboard: joins feeds again and again, and checks that each answer is whole and of one snapshot.

Of v2, it also reads facts, whose rows do not say their snapshot: the newest run must be that of the other feeds, and
days must be those of the lives in dim_image_builder.

`python -m benchmarks.feed_reader pyarrow|bi FOLDER`, with the folder of current.json, `feeds/v1` or `feeds/v2`; see
`benchmarks.reading`.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
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
_FACTS = """
select (select max(export_run_key) <> $snapshot from fact_export_run)::int
    + (select count(*) from fact_image_builder_day anti join dim_image_builder using (image_builder_life_key))
    + (select count(*) from dim_image_builder anti join fact_image_builder_day using (image_builder_life_key))"""
Answer = tuple[int, int, str]
"""Builders, rows that do not match, and the snapshot."""


def read_with_pyarrow(folder: Path) -> Answer:
    """Read whole files of a generation and join them in Python."""
    current = json.loads((folder / "current.json").read_text())

    def read_feed(name: str) -> list[dict[str, Any]]:
        files = current["feeds"][name]
        files = [files] if isinstance(files, str) else files
        return pa.concat_tables(pq.read_table(folder / file, partitioning=None) for file in files).to_pylist()

    builders, subnets, coverage = map(read_feed, FEEDS[folder.name])
    keys, scopes = {s["image_builder_key"] for s in subnets}, {c["scope_key"] for c in coverage}
    odd = sum(b["image_builder_key"] not in keys or b["scope_key"] not in scopes for b in builders)
    odd += len(keys - {b["image_builder_key"] for b in builders})
    snapshots = {row["snapshot_id"] for row in (*builders, *subnets, *coverage)}
    if folder.name == "v2":
        days, lives = (
            {row["image_builder_life_key"] for row in read_feed(name)}
            for name in ("fact_image_builder_day", "dim_image_builder")
        )
        odd += len(days ^ lives) + ({max(row["export_run_key"] for row in read_feed("fact_export_run"))} != snapshots)
    return len(builders), odd + len(snapshots) - 1, min(snapshots)


def read_database(folder: Path) -> Answer:
    """Join tables of bi.duckdb, opened read-only for each query as dashboards do."""
    names = dict(zip(("builders", "subnets", "scopes"), FEEDS[folder.name], strict=True))
    with duckdb.connect(str(folder / "bi.duckdb"), read_only=True) as con:
        builders, odd, snapshots, snapshot, orphans = con.execute(_JOIN.format(**names)).fetchall()[0]
        if folder.name == "v2":
            odd += con.execute(_FACTS, {"snapshot": snapshot}).fetchall()[0][0]
        return builders, odd + orphans + snapshots - 1, snapshot


READERS: Mapping[str, Callable[[Path], Answer]] = {"pyarrow": read_with_pyarrow, "bi": read_database}


def read(kind: str, folder: Path) -> Read:
    """Read once: the snapshot with its number of builders, and rows that do not match."""
    builders, odd, snapshot = READERS[kind](folder)
    return f"{snapshot}: {builders}", [f"{odd} rows of {snapshot}"] if odd else []


if __name__ == "__main__":
    read_until_line(lambda: read(sys.argv[1], Path(sys.argv[2])))
