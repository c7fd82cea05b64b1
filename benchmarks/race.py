"""A race: rivals as processes on one page server, in turned order round by round, checked for equal rows each time."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import duckdb

from benchmarks.children import Aws, Child, Hung
from benchmarks.contents import Contents, contents, truth
from benchmarks.findings import say
from benchmarks.rivals import OURS, Rival
from benchmarks.world import REGIONS, World

BOUND_S = 600.0
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

    @property
    def cpu_s(self) -> float:
        """All CPU, start and imports included."""
        return float(self.told["cpu_s"])

    @property
    def peak_mb(self) -> float:
        """Most memory."""
        return float(self.told["peak_mb"])


@dataclass(slots=True)
class Race:
    """Laps of each rival that is still in; reasons of those that are not."""

    load: Load
    laps: dict[str, list[Lap]] = field(default_factory=dict)
    disqualified: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, what: str) -> list[float]:
        """One number of each lap; none where the rival is out."""
        return [float(getattr(lap, what, 0.0) or lap.told.get(what, 0.0)) for lap in self.laps.get(name, [])]

    def server_share(self, name: str) -> float:
        """The page server's CPU over the rival's wall: far below 1, or it was the bottleneck."""
        laps = self.laps[name]
        return sum(lap.server_cpu_s for lap in laps) / sum(lap.process_s for lap in laps)


def run(load: Load, rivals: Mapping[str, Rival], pythons: Mapping[str, Path], rounds: int, folder: Path) -> Race:
    """A first round to check and warm up, then those that count. Who loses a row is out for good, and it is said."""
    race = Race(load)
    accounts, regions = load.world.account_ids(), list(REGIONS[: load.regions])
    wanted = truth(load.world, accounts, regions)
    job = {"accounts": accounts, "regions": regions, "workers": WORKERS, "pages": load.world.pages_per_scope(),
           "world": {"items": load.items}, "tables": str(folder / OURS)}  # fmt: skip
    with Aws(load.world) as aws:
        for n in range(rounds + 1):
            names = [name for name in rivals if name not in race.disqualified]
            for name in names[n % len(names) :] + names[: n % len(names)]:
                rival = rivals[name]
                lap = _lap(race, name, rival, aws, job | {"url": aws.url} | rival.more, pythons, wanted, folder)
                if n and lap is not None:
                    race.laps.setdefault(name, []).append(lap)
    return race


def _lap(
    race: Race,
    name: str,
    rival: Rival,
    aws: Aws,
    job: dict[str, Any],
    pythons: Mapping[str, Path],
    wanted: Contents,
    folder: Path,
) -> Lap | None:
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    aws.change()
    began = perf_counter()
    try:
        with Child(f"benchmarks.rivals.{rival.module}", python=pythons[rival.environment]) as child:
            told = child.ask(job | {"folder": str(place)}, BOUND_S)
            process_s = perf_counter() - began
        served = aws.change()
        why = contents(rival.layout, place).unlike(wanted) if rival.layout else None
    except (Hung, duckdb.Error) as error:
        why, told, process_s, served = f"{type(error).__name__}: {error}", {}, 0.0, aws.change()
    if why:
        race.laps.pop(name, None)
        race.disqualified[name] = why
        say(f"DISQUALIFIED {rival.title} ({race.load.name}): {why}")
        return None
    return Lap(process_s, told, float(served["cpu_s"]))
