"""Sizes of all measurements; and races: rivals as processes on one page server, in turned order, with equal rows."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import duckdb

from benchmarks.children import ROOT, Aws, Child, Hung, run_uv
from benchmarks.contents import read_contents, write_truth
from benchmarks.findings import say
from benchmarks.proofs import scale
from benchmarks.rivals import FLOORS, RIVALS, Rival
from benchmarks.world import REGIONS, World

BOUND_S = 600.0
WORKERS = 16  # threads of every rival: without latency, more only wait for the GIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The work of a race: accounts, regions of each, and items in each region."""

    name: str
    accounts: int
    regions: int
    items: int

    @property
    def world(self) -> World:
        """The page server's World, without latency: only work counts."""
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
WIDE = Load(name="20,000 scopes", accounts=1_000, regions=20, items=3)
CALLED = (
    Load(name="calls of 16", accounts=200, regions=20, items=16),
    Load(name="calls of 50", accounts=100, regions=5, items=400),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured. Where `is_timed` is off, sizes are too small to judge budgets of time and memory."""

    dlt_python: Path
    rounds: int = 5
    sparse: Load = SPARSE
    dense: Load = DENSE
    wide: Load = WIDE
    """Of this one only whole runs are measured, and no plain script: it makes a client for each scope."""
    called: tuple[Load, Load] = CALLED
    """Pages of 16 items, and of 50."""
    rivals: Mapping[str, Rival] = field(default_factory=lambda: {**RIVALS, **FLOORS})
    scaled: scale.Size = scale.FULL
    sharded: int = 20_000
    """Scopes that one process and two shards sweep."""
    items: tuple[int, int] = (10_000, 1_000_000)
    committed: int = 50_000
    kept: tuple[int, int] = (5_000, 200)
    """Builders and snapshots of a long history."""
    aged: tuple[int, int] = (1_000, 365)
    """Builders and days of daily snapshots, after which what follows a commit is measured."""
    aged_long: tuple[int, int] = (5_000, 730)
    """The same of a larger estate, whose history takes minutes to make."""
    is_timed: bool = True


def shrink(size: Size) -> Size:
    """Return the same with small sizes: all of it takes three minutes."""
    return replace(
        size, rounds=1, sparse=replace(size.sparse, accounts=3), dense=replace(size.dense, accounts=2, regions=3),
        wide=replace(size.wide, accounts=10),
        called=(replace(size.called[0], accounts=5), replace(size.called[1], accounts=5)),
        scaled=replace(scale.QUICK, accounts=10), sharded=200, items=(1_000, 5_000), committed=1_000, kept=(200, 5),
        aged=(100, 5), aged_long=(100, 5), is_timed=False,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lap:
    """One process, start to end. `costs` is its own report: CPU, imports, peak memory, or `process_s` of its child."""

    process_s: float
    costs: Mapping[str, Any]
    server_cpu_s: float
    calls: int = 0
    """Pages that it requested."""

    def take(self, what: str) -> float:
        """Return `process_s`, or one of its costs; raises KeyError for a cost that it does not report."""
        return self.process_s if what == "process_s" else float(self.costs[what])


@dataclass(slots=True)
class Race:
    """Laps of each rival that ended with equal rows, and why the others are disqualified."""

    load: Load
    laps: dict[str, list[Lap]] = field(default_factory=dict)
    disqualified: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, what: str) -> list[float]:
        """Return one number of each lap; none where the rival is disqualified."""
        return [lap.take(what) for lap in self.laps.get(name, [])]

    def compute_server_share(self, name: str) -> float:
        """Return the page server's CPU over the rival's wall: far below 1, or the server was the bottleneck."""
        laps = self.laps[name]
        return sum(lap.server_cpu_s for lap in laps) / sum(lap.process_s for lap in laps)


def run_race(load: Load, rivals: Mapping[str, Rival], python: Path, rounds: int, folder: Path) -> Race:
    """Run a first round to check and warm up, then those that count; `python` is the one that has dlt."""
    race = Race(load)
    with Aws(load.world) as aws:
        track = _Track(aws, load, python, folder)
        for number in range(rounds + 1):
            running = [name for name in rivals if name not in race.disqualified]
            turn = number % max(1, len(running))
            for name in running[turn:] + running[:turn]:
                try:
                    lap = track.run_lap(name, rivals[name])
                except _Disqualified as why:
                    race.laps.pop(name, None)
                    race.disqualified[name] = str(why)
                    say(f"DISQUALIFIED {rivals[name].title} ({load.name}): {why}")
                else:
                    race.laps.setdefault(name, []).extend([lap] if number else [])
    return race


class _Disqualified(Exception):
    """A rival did not end, or left other rows than the page server holds."""


class _Track:
    """One page server, and the rows that each lap must leave."""

    def __init__(self, aws: Aws, load: Load, python: Path, folder: Path) -> None:
        self._aws, self._python, self._folder = aws, python, folder
        regions = list(REGIONS[: load.regions])
        self._truth = write_truth(load.world, regions, folder / "truth")
        self._job = {
            "url": aws.url,
            "accounts": load.world.account_ids(),
            "regions": regions,
            "workers": WORKERS,
            "pages": load.world.pages_per_scope(),
        }

    def run_lap(self, name: str, rival: Rival) -> Lap:
        """Run one process and check its rows; raises _Disqualified."""
        place = self._folder / name
        shutil.rmtree(place, ignore_errors=True)
        self._aws.change()
        python = self._python if rival.needs_dlt else sys.executable
        began = perf_counter()
        try:
            with Child(f"benchmarks.rivals.{rival.module}", python=python) as child:
                costs = child.ask({**self._job, **rival.more, "folder": str(place)}, BOUND_S)
                process_s = perf_counter() - began
            why = read_contents(rival.layout, place).describe_difference(self._truth) if rival.layout else None
        except (Hung, duckdb.Error) as error:
            raise _Disqualified(f"{type(error).__name__}: {error}") from error
        if why:
            raise _Disqualified(why)
        served = self._aws.change()
        return Lap(
            costs.get("process_s", process_s),
            costs,
            float(served["cpu_s"]),
            int(served["calls"].get("DescribeImageBuilders", 0)),
        )


def install_dlt() -> Path:
    """Return the Python of an environment with this package and dlt, made from uv.lock; raises Unreachable."""
    place = ROOT / ".benchmarks" / "dlt"
    run_uv(
        "sync", "--quiet", "--locked", "--compile-bytecode", "--no-default-groups", "--group", "rivals",
        "--python", sys.executable, environ={"UV_PROJECT_ENVIRONMENT": str(place)},
    )  # fmt: skip
    return place / "bin" / "python"
