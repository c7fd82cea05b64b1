"""What a commit costs: `uv run python -m benchmarks.commit [--builders N] [--rounds N] [--large N]`.

Its rival writes the same Parquet files, through the same store, and does nothing else. Only ratios within one run mean
anything: the situations take turns, and medians are compared. CPU tells more than the clock where a machine is shared.
"""

import sys
import tempfile
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from appstream_export.contracts import load_contracts
from appstream_export.contracts.model import list_snapshot_tables
from appstream_export.lake.catalog.connect import publish_catalog
from appstream_export.lake.snapshots import validation
from appstream_export.lake.snapshots.manifest import Manifest
from appstream_export.lake.snapshots.parquet import open_parquet_file, read_row_groups, write_rows
from appstream_export.lake.snapshots.producer import SnapshotProducer
from appstream_export.lake.snapshots.staged_snapshot import StagedSnapshot
from appstream_export.lake.snapshots.workspace import CommitWorkspace
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.base import Store
from appstream_export.lake.storage.factory import open_store
from appstream_export.model import Outcome, Page, RunListener, Scope, Status, Task
from appstream_export.run.ingest import ingest_pages
from benchmarks.children import peak_mb, told
from benchmarks.estate import Estate, Took, at, commit_outcomes
from benchmarks.findings import Findings, environment, say
from benchmarks.world import REGIONS, World

PER_SCOPE = 50  # builders: one full page
PART_ROUNDS = 3
SIZES = (10_000, 100_000)  # builders; the largest is asked for
PARTS: dict[str, tuple[Any, str]] = {
    "a DuckDB is opened": (CommitWorkspace, "__init__"),
    "tasks are decided": (SnapshotProducer, "_decide_tasks"),
    "changes are told, rows are carried": (SnapshotProducer, "_write_contract_tables"),
    "of it the rows that are carried": (SnapshotProducer, "_write_carried_rows"),
    "operational tables are written": (SnapshotProducer, "_write_records"),
    "files are checked": (validation, "check_files"),
    "DuckDB is closed": (CommitWorkspace, "__exit__"),
}
"""Steps of a commit and what does them."""


@dataclass(frozen=True)
class Cost:
    """Of one snapshot."""

    changes: int
    alone: Took
    """Writing its files from rows in memory."""
    commit: Took
    """All that follows the draft, up to the manifest."""
    publish: Took
    """The catalog."""

    @property
    def whole(self) -> Took:
        """Commit and catalog."""
        return Took(self.commit.wall_s + self.publish.wall_s, self.commit.cpu_s + self.publish.cpu_s)


def situations(builders: int) -> dict[str, Estate]:
    """Snapshots that follow each other in a warehouse."""
    return {
        "first": Estate(builders),
        "unchanged": Estate(builders, hour=1, moment=0),
        "1% changed": Estate(builders, hour=2, moment=1),
        "1% denied": Estate(builders, hour=3, moment=1, denied_every=100),
    }


def costs(builders: int, rounds: int) -> dict[str, list[Cost]]:
    """Of each situation, round by round."""
    found = defaultdict[str, list[Cost]](list)
    for _ in range(rounds):
        for name, one in _round(builders):
            found[name].append(one)
    return found


def compared(builders: int, measured: Mapping[str, list[Cost]]) -> Findings:
    """Commit and publish over writing the same files alone."""
    rounds = max(map(len, measured.values()))
    found = Findings(f"A commit of {builders} builders over writing the same Parquet files alone, {rounds} rounds")
    for clock in ("wall_s", "cpu_s"):
        found.table(
            [clock, "change rows", "alone", "commit", "publish", "commit / alone", "with publish / alone"],
            [_row(name, some, clock) for name, some in measured.items()],
        )
    return found


def by_part(builders: int, rounds: int) -> Findings:
    """Median CPU seconds of each part of a commit in each situation."""
    found = Findings(f"A commit of {builders} builders by part, {rounds} rounds")
    took = defaultdict[str, list[dict[str, Took]]](list)
    with _clocks() as clocks:
        for _ in range(rounds):
            for name, _ in _round(builders):
                took[name].append(dict(clocks))
                clocks.clear()
    rows = [[part, *(median(one[part].cpu_s for one in some) for some in took.values())] for part in PARTS]
    found.table(["cpu_s", *took], rows)
    return found


@contextmanager
def _clocks() -> Generator[dict[str, Took]]:
    """How long each part takes while the block lasts."""
    clocks = defaultdict[str, Took](Took)
    own = {part: getattr(*place) for part, place in PARTS.items()}
    for part, (owner, name) in PARTS.items():
        setattr(owner, name, _timed(own[part], clocks, part))
    try:
        yield clocks
    finally:
        for part, (owner, name) in PARTS.items():
            setattr(owner, name, own[part])


def _timed(function: Callable[..., Any], clocks: dict[str, Took], part: str) -> Callable[..., Any]:
    def timed(*args: Any, **more: Any) -> Any:
        with clocks[part]:
            return function(*args, **more)

    return timed


def _round(builders: int) -> Iterator[tuple[str, Cost]]:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder, create=True)
        for name, estate in situations(builders).items():
            alone, commit, publishing = Took(), Took(), Took()
            draft = estate.write(store, alone)
            made = estate.commit(store, draft, commit)
            with publishing:
                publish_catalog(store, load_contracts())
            write_rest(store, made, draft, alone)
            yield name, Cost(made.counts["changes"], alone, commit, publishing)


def write_rest(store: Store, made: Manifest, draft: StagedSnapshot, took: Took) -> None:
    """Write the files of a snapshot again that its draft did not hold: under `alone` instead of `tables`."""
    ours = {file.path for files in draft.files.values() for file in files}
    for path in {file.path for file in made.files} - ours:
        file = open_parquet_file(store, path)
        rows = list(read_row_groups(file))
        with took:
            write_rows(store, path.replace(paths.TABLES, "alone"), file.schema_arrow, rows)


def _row(name: str, rounds: list[Cost], clock: str) -> list[object]:
    alone, commit, publish, whole = (
        median(getattr(took, clock) for took in some)
        for some in zip(*((c.alone, c.commit, c.publish, c.whole) for c in rounds), strict=True)
    )
    return [name, rounds[-1].changes, alone, commit, publish, commit / alone, whole / alone]


def memory(large: int) -> Findings:
    """Peak memory of sweep and commit, of a first and a second snapshot, in a process per size."""
    found, rows = Findings("Peak memory of two sweeps and their commits, the second with 1% of the scopes changed"), []
    for size in (*SIZES, large):
        told_ = told("benchmarks.commit", "--peak", str(size))
        rows.append([size, *map(float, told_.split())])
    smallest = rows[0][1]
    table = [[size, peak, peak / smallest, *rest] for size, peak, *rest in rows]
    found.table(["builders", "peak MB", "over the first", "of it the sweep MB", "change rows", "seconds"], table)
    return found


def peak(builders: int) -> str:
    """Two snapshots of that size in this process: peak MB, of it before the first commit, change rows, seconds."""
    took, swept, changes = Took(), 0.0, 0
    with tempfile.TemporaryDirectory() as folder, took:
        store = open_store(folder, create=True)
        for hour in range(2):
            draft = StagedSnapshot(store, list_snapshot_tables(load_contracts()), paths.generate_snapshot_id())
            outcomes = ingest_pages(
                answers(builders, hour), load_contracts(), draft.write, enum_values={}, listener=RunListener()
            )
            swept = swept or peak_mb()
            changes += commit_outcomes(store, draft, outcomes.values(), at(hour)).counts["changes"]
            publish_catalog(store, load_contracts())
    return f"{peak_mb():.0f} {swept:.0f} {changes} {took.wall_s:.0f}"


def answers(builders: int, hour: int) -> Iterator[Page | Outcome]:
    """Pages and outcomes of an hour, each scope with one page, made when they are asked for."""
    scopes = -(-builders // PER_SCOPE)
    before, after = (
        World(accounts=-(-scopes // len(REGIONS)), items=PER_SCOPE, generation=generation) for generation in (0, 1)
    )
    for number in range(scopes):
        account, region = before.account_ids()[number // len(REGIONS)], REGIONS[number % len(REGIONS)]
        world = after if hour and number % 100 == 0 else before
        yield from _answer(Task("image_builders", Scope(account, region)), world, at(hour))


def _answer(task: Task, world: World, when: datetime) -> Iterator[Page | Outcome]:
    items = world.items_of(task.scope.account_id, task.scope.region)
    yield Page(task, 0, items, when)
    yield Outcome(task=task, status=Status.OK, attempted_at=when, finished_at=when, items=len(items))


def main() -> int:
    """Print all figures."""
    parser = ArgumentParser(description=__doc__)
    for name, value in (("builders", 50_000), ("rounds", 9), ("large", 1_000_000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--peak", type=int, help=f"only: {peak.__doc__}")
    asked = parser.parse_args()
    if asked.peak:
        say(peak(asked.peak))
        return 0
    say(environment())
    for found in (
        compared(asked.builders, costs(asked.builders, asked.rounds)),
        by_part(asked.builders, min(PART_ROUNDS, asked.rounds)),
        memory(asked.large),
    ):
        say(f"\n{found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
