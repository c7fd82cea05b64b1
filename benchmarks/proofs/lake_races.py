"""Processes that commit at once into one warehouse: one line of snapshots that a model can follow to the last row."""

import multiprocessing
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from random import Random
from typing import Any

from appstream_export.errors import CommitConflict
from appstream_export.lake.snapshots.manifest import KIND_SWEEP, find_attempt, load_history
from appstream_export.lake.storage.base import HashingWriter
from appstream_export.settings import S3Settings
from benchmarks.findings import Findings
from benchmarks.proofs.lake_places import BUCKET, FOLDER, opened
from tests.lake.lakes import Lake
from tests.lake.model import Item, answer
from tests.lake.stores import Around, Deaf
from tests.lake.told import Run, Told

BOUND_S = 100.0
SHARED = "999999999999/eu-west-1"
"""A scope that every process exports: of its answers the newest counts, whichever commits last."""
DEAF_EVERY = 3  # rounds

Result = tuple[dict[str, Run], Counter[str]]
"""Runs and counts of a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is."""

    rounds: tuple[tuple[str, int], ...] = ((FOLDER, 12), (BUCKET, 6))
    """Places, and how often each process commits there."""
    processes: int = 5
    seed: int = 1


FULL = Size()
QUICK = Size(rounds=((FOLDER, 3), (BUCKET, 2)), processes=3)
COUNTED = (
    *("committed", "conflicts", "second tries", "lost answers", "fresh files written twice"),
    "lost, torn or out of line",
)


def prove(size: Size, folder: Path) -> Findings:
    """Race in each place; a table of commits, lost races, and counts that must be 0."""
    found, rows = Findings(f"Races: {size.processes} processes commit at once, seed {size.seed}"), []
    for where, rounds in size.rounds:
        with opened(where, folder) as make:
            tally = _race(found, where, make(), size, rounds)
            rows.append([where, size.processes * rounds, *(tally[name] for name in COUNTED)])
    found.table(["place", "attempts", *COUNTED], rows)
    found.figures = {name: sum(int(str(row[2 + n])) for row in rows) for n, name in enumerate(COUNTED)}
    return found


def _race(found: Findings, where: str, lake: Lake, size: Size, rounds: int) -> Counter[str]:
    told = Told(lake)
    scopes = [*(f"{number:012}/eu-west-1" for number in range(1, size.processes + 1)), SHARED]
    told.commit(*(answer(scope, {}, minute=1) for scope in scopes), planned=scopes)
    told.check()
    tally: Counter[str] = Counter()
    for runs, counted in _run_processes(lake, scopes, size, rounds):
        told.runs |= runs
        tally += counted
    try:
        told.check()
        assert len(told.settle()) == 1 + tally["committed"], "reported commits are not those in the history"  # noqa: S101
        ended = tally["committed"] + tally["conflicts"]
        assert ended == size.processes * rounds, "an attempt ended otherwise"  # noqa: S101
        for manifest in load_history(told.healthy):
            mine = find_attempt(told.healthy, run_id=manifest.run_id, attempt_id=manifest.attempt_id)
            assert manifest.kind == KIND_SWEEP and mine == manifest, "an attempt is not found again"  # noqa: S101, PT018
        told.tidy()
        told.check()
    except (AssertionError, KeyError) as error:
        tally["lost, torn or out of line"] = 1
        found.promise(False, f"{where}: {type(error).__name__}: {error}")
    again = tally["fresh files written twice"]
    found.promise(not again, f"{where}: {again} fresh files were written twice")
    return tally


def _run_processes(lake: Lake, scopes: list[str], size: Size, rounds: int) -> Iterator[Result]:
    """Yield the runs and counts of each process; they begin together."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    results, begin = context.Queue(), context.Barrier(size.processes)
    jobs = [
        context.Process(target=_commits, args=(lake.store.root, lake.s3, scopes, number, size, rounds, begin, results))
        for number in range(size.processes)
    ]
    for job in jobs:
        job.start()
    try:
        for _ in jobs:
            with suppress(Empty):  # it has ended early: its commits will be missing
                yield results.get(timeout=BOUND_S)
    finally:
        for job in jobs:
            job.join(timeout=5)
            job.kill()


def _commits(
    place: Any, s3: S3Settings | None, scopes: list[str], number: int, size: Size, rounds: int, begin: Any, results: Any
) -> None:
    """Commit the own scope and the shared one in each round, in a minute that orders the answers."""
    told, tally = Told(Lake(place, s3=s3)), Counter[str]()
    begin.wait(timeout=BOUND_S)
    for turn in range(rounds):
        order = Random(f"{size.seed}/{turn}").sample(range(size.processes), size.processes)  # noqa: S311
        minute = 2 + turn * size.processes + order.index(number)
        item = Item(f"S{minute}", subnets=(f"subnet-{minute}",))
        answers = [answer(scopes[number], {"mine": item}, minute=minute), answer(SHARED, {"ours": item}, minute=minute)]
        counting = _Counting(told.healthy)
        told.lake.store = Deaf(counting) if turn % DEAF_EVERY == number % DEAF_EVERY else counting
        told.lake.minute = minute - 1
        try:
            told.commit(*answers, planned=scopes, attempt=f"{number}-{turn}")
            tally["committed"] += 1
        except CommitConflict as error:
            tally["conflicts" if "other commits came first; run again" in str(error) else "unclear"] += 1
        tally["lost answers"] += isinstance(told.lake.store, Deaf)
        tally["second tries"] += max(counting.tries, default=0)
        tally["fresh files written twice"] += sum(max(0, times - 1) for times in counting.fresh.values())
    results.put((told.runs, tally))


class _Counting(Around):
    """A store that counts the files of a commit, and its tries."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.fresh: Counter[str] = Counter()
        self.tries: set[int] = set()

    @contextmanager
    def open_output(self, path: str) -> Generator[HashingWriter]:
        """Count, then write."""
        kind, _, rest = path.rpartition("/")[2].partition("-")
        self.fresh[path] += kind == "fresh"
        self.tries |= set() if kind == "fresh" else {int(rest.partition("-")[0])}
        with self._store.open_output(path) as sink:
            yield sink
