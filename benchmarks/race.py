"""How a race is run: rivals as processes on one page server, in turned order round by round, equal rows each time.

Which figures come of one, and what they may be: race_figures.py.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import duckdb

from benchmarks.children import Aws, Child, Hung
from benchmarks.contents import contents, truth
from benchmarks.findings import say
from benchmarks.rivals import OURS, Rival
from benchmarks.world import REGIONS, World

BOUND_S = 600.0
BESIDE_ROUNDS = 3
"""Of rivals on whom no budget stands."""
WORKERS = 16  # threads of every rival: more only wait for the GIL where there is no latency


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked: so many accounts, each with so many regions and items in each."""

    name: str
    accounts: int
    regions: int
    items: int

    @property
    def world(self) -> World:
        """It as the page server holds it, without latency: only work counts."""
        return World(accounts=self.accounts, items=self.items)

    @property
    def scopes(self) -> int:
        """Accounts times regions."""
        return self.accounts * self.regions

    @property
    def calls(self) -> int:
        """Pages of all scopes."""
        return self.scopes * self.world.pages_per_scope()

    def __str__(self) -> str:
        return f"{self.name}: {self.scopes:,} scopes, {self.scopes * self.items:,} items, {self.calls:,} pages"


SPARSE = Load(name="sparse", accounts=15, regions=20, items=16)
DENSE = Load(name="dense", accounts=10, regions=5, items=1_000)


@dataclass(frozen=True, slots=True)
class Lap:
    """One process, start to end. `told` is what it says of itself: CPU, imports, peak memory."""

    process_s: float
    told: Mapping[str, Any]
    server_cpu_s: float
    calls: int = 0
    """Pages that the server was asked for."""

    def number(self, what: str) -> float:
        """`process_s`, or what the process says of itself."""
        return self.process_s if what == "process_s" else float(self.told[what])


@dataclass(slots=True)
class Race:
    """Laps of each rival that is still in; reasons of those that are not."""

    load: Load
    laps: dict[str, list[Lap]] = field(default_factory=dict)
    disqualified: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, what: str) -> list[float]:
        """One number of each lap; none where the rival is out. Raises KeyError for what nobody took."""
        return [lap.number(what) for lap in self.laps.get(name, [])]

    def server_share(self, name: str) -> float:
        """The page server's CPU over the rival's wall: far below 1, or it was the bottleneck."""
        laps = self.laps[name]
        return sum(lap.server_cpu_s for lap in laps) / sum(lap.process_s for lap in laps)


def run(load: Load, rivals: Mapping[str, Rival], pythons: Mapping[str, Path], rounds: int, folder: Path) -> Race:
    """A first round to check and warm up, then those that count. Who loses a row is out for good, and it is said."""
    race = Race(load)
    with Aws(load.world) as aws:
        track = _Track(aws, load, pythons, folder)
        for n in range(rounds + 1):
            running = [name for name, rival in rivals.items() if _runs(rival, n) and name not in race.disqualified]
            turn = n % max(1, len(running))
            for name in running[turn:] + running[:turn]:
                try:
                    lap = track.lap(name, rivals[name])
                except _Lost as lost:
                    race.laps.pop(name, None)
                    race.disqualified[name] = str(lost)
                    say(f"DISQUALIFIED {rivals[name].title} ({load.name}): {lost}")
                else:
                    if n:
                        race.laps.setdefault(name, []).append(lap)
    return race


def _runs(rival: Rival, n: int) -> bool:
    return rival.is_judged or n <= BESIDE_ROUNDS


class _Lost(Exception):
    """A rival did not end, or left other rows than the page server holds."""


class _Track:
    """Where laps are run: one page server, and the truth about it."""

    def __init__(self, aws: Aws, load: Load, pythons: Mapping[str, Path], folder: Path) -> None:
        self._aws, self._pythons, self._folder = aws, pythons, folder
        accounts, regions = load.world.account_ids(), list(REGIONS[: load.regions])
        self._truth = truth(load.world, accounts, regions)
        self._job = {
            "url": aws.url,
            "accounts": accounts,
            "regions": regions,
            "workers": WORKERS,
            "pages": load.world.pages_per_scope(),
            "world": {"items": load.items},
            "tables": str(folder / OURS),  # of the lap before: what the floor of writing writes again
        }

    def lap(self, name: str, rival: Rival) -> Lap:
        """One process, its rows checked; raises _Lost."""
        place = self._folder / name
        shutil.rmtree(place, ignore_errors=True)
        self._aws.change()
        began = perf_counter()
        try:
            with Child(f"benchmarks.rivals.{rival.module}", python=self._pythons[rival.environment]) as child:
                told = child.ask({**self._job, **rival.more, "folder": str(place)}, BOUND_S)
                process_s = perf_counter() - began
            why = contents(rival.layout, place).unlike(self._truth) if rival.layout else None
        except (Hung, duckdb.Error) as error:
            raise _Lost(f"{type(error).__name__}: {error}") from error
        if why:
            raise _Lost(why)
        served = self._aws.change()
        return Lap(process_s, told, float(served["cpu_s"]), int(served["calls"].get("DescribeImageBuilders", 0)))
