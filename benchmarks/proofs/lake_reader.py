"""A process that reads a warehouse without end, and compares each read with the World whose rows it must be.

    python -m benchmarks.proofs.lake_reader '{"place": "warehouse", "s3": null, "world": {...}, "regions": [...]}'

Each read joins every table of one snapshot in several statements, batch by batch with pauses, so that commits happen
in the middle of it. See `benchmarks.reading`.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from appstream_export.lake.catalog.connect import connect_warehouse
from appstream_export.lake.duckdb import stream_batches
from appstream_export.settings import S3Settings
from benchmarks.reading import Read, read_until_line
from benchmarks.warehouse import ROWS, difference, group_rows
from benchmarks.world import Row, World

BATCH_ROWS, PAUSE_S = 64, 0.005
_FEEDS = """
select count(*), count(distinct snapshot_id), count(*) filter (s.n is distinct from 1 or g.n is distinct from 2)
from image_builders
left join (select image_builder_key, count(*) as n from image_builder_subnets group by all) as s
using (image_builder_key)
left join (select image_builder_key, count(*) as n from image_builder_security_groups group by all) as g
using (image_builder_key)
"""
_FEED_SNAPSHOTS = """
select distinct snapshot_id from image_builders union select distinct snapshot_id from image_builder_subnets
union select distinct snapshot_id from image_builder_security_groups union select distinct snapshot_id from coverage
"""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the warehouse at `place`, whose rows must be those of `world` in some generation."""

    place: str
    s3: S3Settings | None
    world: World
    regions: tuple[str, ...]

    def read(self) -> tuple[int, list[str]]:
        """Return the generation that the newest snapshot shows, and how its tables disagree."""
        with closing(connect_warehouse(self.place, s3=self.s3)) as con:
            rows = group_rows(_slowly(con, ROWS))
            generation, wrong = self._unlike(rows)
            again, _ = self._unlike(group_rows(_slowly(con, ROWS)))
            if again != generation:
                wrong.append(f"generation {generation}, and then {again} on the same connection")
            wrong += self._disagreeing(con, sum(map(len, rows.values())), generation)
        return generation, wrong

    def read_feeds(self) -> list[str]:
        """Describe a torn `bi.duckdb`, where there is one."""
        file = Path(self.place, "feeds", "v1", "bi.duckdb")
        if self.s3 or not file.exists():
            return []
        with closing(duckdb.connect(file, read_only=True)) as con:
            counts, snapshots = con.execute(_FEEDS).fetchall()[0], con.execute(_FEED_SNAPSHOTS).fetchall()
        whole = (self._scopes * self.world.items, 1, 0)
        return (
            [] if counts == whole and len(snapshots) == 1 else [f"bi.duckdb: {counts} instead of {whole}, {snapshots}"]
        )

    @property
    def _scopes(self) -> int:
        return self.world.accounts * len(self.regions)

    def _unlike(self, found: dict[tuple[str, str], list[Row]]) -> tuple[int, list[str]]:
        """Return the generation, which is the oldest builder's number, and the first scope with rows of another."""
        names = (str(row[0]) for rows in found.values() for row in rows)
        generation = min((int(name.rpartition("-")[2]) for name in names), default=-1)
        world = replace(self.world, generation=generation)
        truth = {(a, r): world.truth(a, r) for a in world.account_ids() for r in self.regions}
        wrong = [f"{s}: {difference(found.get(s, []), rows)}" for s, rows in truth.items() if found.get(s) != rows]
        return generation, wrong[:1]

    def _disagreeing(self, con: duckdb.DuckDBPyConnection, builders: int, generation: int) -> Iterator[str]:
        """Yield tables about the export that do not match those rows."""
        scopes = con.execute("select count(*), count(*) filter (status = 'ok' and not is_stale) from scope_runs")
        if (runs := scopes.fetchall()[0]) != (self._scopes, self._scopes):
            yield f"scope_runs: {runs} instead of {self._scopes} ok"
        items = con.execute("select items from snapshots order by seq desc limit 1").fetchall()[0][0]
        history = con.execute(
            "select count(*) from image_builders_history semi join"
            " (select snapshot_id from snapshots where kind = 'sweep' order by seq desc limit 1) using (snapshot_id)"
        ).fetchall()[0][0]
        if not builders == items == history:
            yield f"{builders} builders, snapshots say {items}, the history {history}"
        created = con.execute("select name from image_builder_changes where change = 'created'").fetchall()
        if late := [name for (name,) in created if int(name.rpartition("-")[2]) < generation]:
            yield f"created: {late[0]}, but the rows are of generation {generation}"


def _slowly(con: duckdb.DuckDBPyConnection, sql: str) -> Iterator[tuple[Any, ...]]:
    reader = stream_batches(con, sql, BATCH_ROWS)
    for batch in reader:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
        time.sleep(PAUSE_S)


def read(reader: Reader) -> Read:
    """Read catalog and feeds once."""
    generation, wrong = reader.read()
    return str(generation), [*wrong, *reader.read_feeds()]


if __name__ == "__main__":
    chosen = json.loads(sys.argv[1])
    bucket = S3Settings(**chosen["s3"]) if chosen["s3"] else None
    chosen_reader = Reader(chosen["place"], bucket, World(**chosen["world"]), tuple(chosen["regions"]))
    read_until_line(lambda: read(chosen_reader))
