"""How long answers take after a long history: `uv run python -m benchmarks.questions`.

Hourly snapshots of 50,000 builders of which 1% change state in each; then every named question, mart and check, in a
connection that is open already, and what opening one costs. Medians; they depend on the machine, ratios less so.
"""

import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa

from appstream_export.contracts import load_contracts, sql_files
from appstream_export.lake.catalog import checks
from appstream_export.lake.catalog.connect import connect_warehouse, publish_catalog
from appstream_export.lake.catalog.named_queries import run_named_query
from appstream_export.lake.snapshots.manifest import load_head
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.factory import open_store
from benchmarks.estate import PER_SCOPE, Estate, at
from benchmarks.findings import Findings, environment, say

ROUNDS = 3
PRICED = 90  # of 97 instance types


@dataclass(frozen=True)
class Lasting(Estate):
    """The same builders hour by hour; only states and times are made anew, for speed."""

    made: list[dict[str, pa.Table]] = field(default_factory=list)

    def parts(self) -> Iterator[dict[str, pa.Table]]:
        """The parts of the first hour, with this hour's states."""
        if not self.made:
            self.made.extend(Estate(self.builders).parts())
        for part in self.made:
            yield {name: _at(table, self.hour) for name, table in part.items()}


def _at(table: pa.Table, moment: int) -> pa.Table:
    observed = pa.repeat(pa.scalar(at(moment), pa.timestamp("us", "UTC")), table.num_rows)
    table = table.set_column(table.schema.get_field_index("observed_at"), table.schema.field("observed_at"), observed)
    if "state" not in table.schema.names:
        return table
    places = (int(name.removeprefix("builder-")) for name in table["name"].to_pylist())
    states = [("RUNNING", "STOPPED")[(n % 100 <= moment % 100) ^ (moment // 100 % 2)] for n in places]
    return table.set_column(table.schema.get_field_index("state"), table.schema.field("state"), pa.array(states))


def prices() -> list[dict[str, Any]]:
    """A list that knows most instance types."""
    row = {"region": "*", "platform": "*", "usd_per_hour": 0.5, "disk_usd_per_gb_month": 0.1, "source_sha256": "0"}
    return [
        row | {"instance_type": f"instance_type {n}", "valid_from": datetime(2020, 1, 1, tzinfo=UTC)}
        for n in range(PRICED)
    ]


def build(folder: str, builders: int, snapshots: int) -> None:
    """The warehouse, going on where an earlier build of it ended."""
    store, made = open_store(folder, create=True), list[dict[str, pa.Table]]()
    newest = load_head(store)
    for moment in range(newest.seq if newest else 0, snapshots):
        estate = Lasting(builders, hour=moment, made=made)
        estate.commit(store, estate.write(store), prices=prices())
        if moment % 20 == 0:
            say(f"{moment + 1} of {snapshots} snapshots")
    publish_catalog(store, load_contracts())


def opening(folder: str) -> Findings:
    """Seconds to publish the catalog, to open it, and to make its views in memory."""
    found, store = Findings("Opening it"), open_store(folder)
    rows: list[list[object]] = [["publish the catalog", _median(lambda: publish_catalog(store, load_contracts()))]]
    rows.append(["connect and count builders", _median(lambda: _counted(folder))])
    (Path(folder) / paths.CATALOG_FILE).unlink()
    rows.append(["the same without a catalog", _median(lambda: _counted(folder))])
    publish_catalog(store, load_contracts())
    found.table(["what", "s"], rows)
    return found


def answers(folder: str) -> list[Findings]:
    """Seconds of each mart read whole, each question with its defaults, and each check."""
    told = []
    with closing(connect_warehouse(folder)) as con:
        marts = Findings("Views and marts, every row of every column")
        marts.table(["view", "rows", "s"], [_timed(v.name, lambda v=v: con.sql(f"from {v.name}").to_arrow_table())
                                            for v in sql_files.load_view_files()])  # fmt: skip
        questions = Findings("Named questions, with their defaults")
        questions.table(
            ["question", "rows", "s"],
            [_timed(q.name, lambda q=q: run_named_query(con, q, {})) for q in sql_files.load_sql_files("queries")],
        )
        checked = Findings("Checks")
        spent = []
        for check in sql_files.load_sql_files("checks"):
            spent.append(
                _timed(check.name, lambda check=check: con.sql(f"from ({check.sql}\n) limit 20").to_arrow_table())
            )
        checked.table(
            ["check", "rows shown", "s"],
            [*spent, ["all, as after a commit", 0, _median(lambda: checks.run_checks(con))]],
        )
        told += [marts, questions, checked]
    return told


def _timed(name: str, read: Callable[[], pa.Table]) -> list[object]:
    return [name, read().num_rows, _median(read)]


def _counted(folder: str) -> None:
    with closing(connect_warehouse(folder)) as con:
        con.sql("select count(*) from image_builders").fetchall()


def _median(act: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return median(times)


def main() -> int:
    """Print all figures."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--builders", type=int, default=50_000)
    parser.add_argument("--snapshots", type=int, default=200)
    parser.add_argument("--keep", metavar="DIR", help="build the warehouse there, or ask the one that is there")
    asked = parser.parse_args()
    say(environment())
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or scratch
        build(folder, asked.builders, asked.snapshots)
        say(f"\n{asked.snapshots} hourly snapshots of {asked.builders} builders, {PER_SCOPE} in each scope")
        for found in (opening(folder), *answers(folder)):
            say(f"\n{found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
