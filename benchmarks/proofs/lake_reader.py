"""A process that reads a warehouse without end, and compares each read with the World whose rows it must be.

    python -m benchmarks.proofs.lake_reader '{"place": "warehouse", "s3": null, "world": {...}, "regions": [...]}'

Each read joins every table of one snapshot in several statements, batch by batch with pauses, so that commits happen
in the middle of it. A line on its standard input ends it with a line of JSON: how often it read, and what was wrong.
"""

import json
import select
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from appstream_export.errors import ExportError
from appstream_export.lake.catalog.connect import connect_warehouse
from appstream_export.lake.duckdb import stream_batches
from appstream_export.settings import S3Settings
from benchmarks.findings import say
from benchmarks.warehouse import ROWS, difference
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


@dataclass(slots=True)
class Tally:
    """What a reader met."""

    reads: int = 0
    torn: int = 0
    errors: int = 0
    generations: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reader:
    """`place` is the warehouse; `world` what AWS holds, whatever its generation."""

    place: str
    s3: S3Settings | None
    world: World
    regions: tuple[str, ...]

    def read(self) -> tuple[int, list[str]]:
        """The generation that the newest snapshot shows, and how its tables disagree."""
        with closing(connect_warehouse(self.place, s3=self.s3)) as con:
            rows = _by_scope(_slowly(con, ROWS))
            generation, wrong = self._unlike(rows)
            again, _ = self._unlike(_by_scope(_slowly(con, ROWS)))
            if again != generation:
                wrong.append(f"generation {generation}, and then {again} on the same connection")
            wrong += self._disagreeing(con, sum(map(len, rows.values())), generation)
        return generation, wrong

    def read_feeds(self) -> list[str]:
        """What is torn in `bi.duckdb`, where there is one."""
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
        """The oldest builder's number is the generation; every row of every scope must be of it."""
        names = (str(row[0]) for rows in found.values() for row in rows)
        generation = min((int(name.rpartition("-")[2]) for name in names), default=-1)
        world = replace(self.world, generation=generation)
        truth = {(a, r): world.truth(a, r) for a in world.account_ids() for r in self.regions}
        wrong = [f"{s}: {difference(found.get(s, []), rows)}" for s, rows in truth.items() if found.get(s) != rows]
        return generation, wrong[:1]

    def _disagreeing(self, con: duckdb.DuckDBPyConnection, builders: int, generation: int) -> Iterator[str]:
        """Tables about the export that do not belong to those rows."""
        asked = con.execute("select count(*), count(*) filter (status = 'ok' and not is_stale) from scope_runs")
        if (runs := asked.fetchall()[0]) != (self._scopes, self._scopes):
            yield f"scope_runs: {runs} instead of {self._scopes} ok"
        told = con.execute("select items from snapshots order by seq desc limit 1").fetchall()[0][0]
        history = con.execute(
            "select count(*) from image_builders_history semi join"
            " (select snapshot_id from snapshots where kind = 'sweep' order by seq desc limit 1) using (snapshot_id)"
        ).fetchall()[0][0]
        if not builders == told == history:
            yield f"{builders} builders, snapshots say {told}, the history {history}"
        born = con.execute("select name from image_builder_changes where change = 'created'").fetchall()
        if late := [name for (name,) in born if int(name.rpartition("-")[2]) < generation]:
            yield f"created: {late[0]}, but the rows are of generation {generation}"


def _slowly(con: duckdb.DuckDBPyConnection, sql: str) -> Iterator[tuple[Any, ...]]:
    reader = stream_batches(con, sql, BATCH_ROWS)
    for batch in reader:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
        time.sleep(PAUSE_S)


def _by_scope(rows: Iterator[tuple[Any, ...]]) -> dict[tuple[str, str], list[Row]]:
    found: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for account, region, *rest in rows:
        found[account, region].append(tuple(tuple(v) if isinstance(v, list) else v for v in rest))
    return {scope: sorted(of_scope) for scope, of_scope in found.items()}


def main(arguments: Sequence[str]) -> None:
    """Read until a line comes."""
    told = json.loads(arguments[0])
    s3 = S3Settings(**told["s3"]) if told["s3"] else None
    reader = Reader(told["place"], s3, World(**told["world"]), tuple(told["regions"]))
    tally = Tally()
    while not select.select([sys.stdin], [], [], 0)[0]:
        try:
            generation, wrong = reader.read()
            wrong += reader.read_feeds()
        except (ExportError, duckdb.Error, OSError) as error:
            tally.errors += 1
            tally.wrong.append(f"{type(error).__name__}: {error}")
            continue
        tally.reads += 1
        tally.torn += bool(wrong)
        tally.generations.add(generation)
        tally.wrong += wrong
    say(json.dumps({"reads": tally.reads, "torn": tally.torn, "errors": tally.errors, "wrong": tally.wrong[:3],
                    "generations": len(tally.generations)}))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
