"""A dashboard: joins three feeds over and over until it is told to stop, and counts what went wrong.

`python -m benchmarks.feed_reader pyarrow|duckdb|bi FOLDER`, with the folder of current.json. A mixed answer is one in
which rows are of two snapshots, or a builder lacks its subnets or its scope.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

import duckdb
import pyarrow.parquet as pq

from benchmarks.findings import say

PAUSE_S = 0.05  # four readers that never rest would leave two cores nothing to publish with
FEEDS = ("image_builders", "image_builder_subnets", "coverage")
_JOIN = """
with joined as (
    select b.image_builder_key, b.snapshot_id as a, s.snapshot_id as b, c.snapshot_id as c
    from {0} as b
    left join {1} as s on b.image_builder_key = s.image_builder_key
    left join {2} as c on b.scope_key = c.scope_key
)
select count(distinct image_builder_key), count(*) filter (a is distinct from b or a is distinct from c),
    count(distinct a), min(a), (select count(*) from {1}) - count(b)
from joined"""
Answer = tuple[int, int, str]
"""Builders, rows that do not fit, and the snapshot that they are of."""


def of_generation(folder: Path) -> dict[str, str]:
    """The files of the three feeds, as current.json has them now."""
    current = json.loads((folder / "current.json").read_text())
    return {feed: str(folder / current["feeds"][feed]) for feed in FEEDS}


def by_pyarrow(folder: Path) -> Answer:
    """Read whole files of a generation and join them here."""
    tables = {feed: pq.read_table(path, partitioning=None) for feed, path in of_generation(folder).items()}
    builders, subnets, coverage = (tables[feed].to_pylist() for feed in FEEDS)
    keys, scopes = {s["image_builder_key"] for s in subnets}, {c["scope_key"] for c in coverage}
    odd = sum(b["image_builder_key"] not in keys or b["scope_key"] not in scopes for b in builders)
    odd += len(keys - {b["image_builder_key"] for b in builders})
    snapshots = {row["snapshot_id"] for row in (*builders, *subnets, *coverage)}
    return len(builders), odd + len(snapshots) - 1, min(snapshots)


def by_duckdb(folder: Path) -> Answer:
    """Join files of a generation in SQL."""
    paths = of_generation(folder)
    with duckdb.connect() as con:
        return _asked(con, [f"read_parquet('{paths[feed]}', hive_partitioning = false)" for feed in FEEDS])


def by_database(folder: Path) -> Answer:
    """Join tables of bi.duckdb, opened read-only for each question as dashboards do."""
    with duckdb.connect(str(folder / "bi.duckdb"), read_only=True) as con:
        return _asked(con, FEEDS)


READERS: Mapping[str, Callable[[Path], Answer]] = {"pyarrow": by_pyarrow, "duckdb": by_duckdb, "bi": by_database}


def _asked(con: duckdb.DuckDBPyConnection, tables: Any) -> Answer:
    builders, odd, snapshots, snapshot, orphans = con.execute(_JOIN.format(*tables)).fetchall()[0]
    return builders, odd + orphans + snapshots - 1, snapshot


def read(kind: str, folder: Path, stop: Event) -> dict[str, Any]:
    """Ask until `stop`; how often, of how many snapshots, which errors, which mixed answers."""
    reads, snapshots, builders, errors, mixed = 0, set[str](), set[int](), list[str](), list[str]()
    while not stop.wait(PAUSE_S):
        reads += 1
        try:
            found, odd, snapshot = READERS[kind](folder)
        except Exception as error:  # noqa: BLE001  whatever a dashboard would show its user
            errors.append(f"{type(error).__name__}: {error}"[:200])
            continue
        snapshots.add(snapshot)
        builders.add(found)
        if odd:
            mixed.append(f"{odd} rows of {snapshot}")
    told = {"reads": reads, "snapshots": len(snapshots), "builders": sorted(builders)}
    return told | {"errors": errors[:5], "mixed": mixed[:5], "n_errors": len(errors), "n_mixed": len(mixed)}


def main() -> None:
    """Read until a line comes."""
    kind, folder = sys.argv[1:]
    stop, told = Event(), list[dict[str, Any]]()
    reader = Thread(target=lambda: told.append(read(kind, Path(folder), stop)))
    reader.start()
    say("reading")
    sys.stdin.readline()
    stop.set()
    reader.join()
    say(json.dumps(told[0]))


if __name__ == "__main__":
    main()
