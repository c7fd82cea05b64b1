"""The matrix of the unkind world: how a region ends, for each mix of network or clock, session token and its source."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from appstream_export.contracts import load_contracts
from appstream_export.errors import NothingExtracted
from appstream_export.model import Outcome, RunListener
from appstream_export.run import Request, execute_run
from appstream_export.settings import Settings, parse_settings
from tests.world import HOME, MEXICO, SPAIN, World

ACCOUNT = "111122223333"
ANSWERS = ("answers", "not enabled")
DEAD = ("name", "refused", "no route", "dropped", "reset", "proxy", "no FIPS host")
CLOCKS = {"clock ahead": 600, "clock behind": -600}
"""Seconds by which our clock is ahead of AWS's."""
TOKENS: Mapping[str, Mapping[str, str]] = {
    "role": {},
    "keys": {},
    "v1": {"AWS_SESSION_TOKEN": "v1"},
    "v2": {"AWS_SESSION_TOKEN": "v2"},
}
REGION_BY_SOURCE = {"auto": SPAIN, "listed": SPAIN, "unlisted": MEXICO}


@dataclass(frozen=True, slots=True)
class End:
    """How a cell's region ended, and the home region beside it, and the exit code of the run."""

    status: str
    exit_code: int
    home: str = "ok"


class _Outcomes(RunListener):
    """Notes how tasks end; no checks run, which take most of the time and say nothing of a network."""

    def __init__(self) -> None:
        self.stop = Event()
        self.statuses: dict[str, str] = {}

    def on_outcome(self, outcome: Outcome) -> None:
        """Note what a run without any answer leaves nowhere else."""
        self.statuses[outcome.task.scope.region] = str(outcome.status)

    def on_stage(self, name: str) -> None:
        """Leave out what follows the commit."""
        if name == "commit":
            self.stop.set()


@dataclass(frozen=True, slots=True)
class Cell:
    """One mix."""

    network: str
    token: str
    source: str

    def __str__(self) -> str:
        return f"{self.network} x {self.token} x {self.source}"

    @property
    def region(self) -> str:
        """The region that the cell is about."""
        return REGION_BY_SOURCE[self.source]

    @property
    def expected(self) -> End:
        """The end that this mix must come to."""
        if self.network in CLOCKS:
            return End("denied", 4, "denied")  # nothing answers, and there is no earlier snapshot
        if self.network in DEAD:
            return End("unavailable", 0) if self.source == "unlisted" else End("network", 3)
        if self.token == "v1" or (self.token == "v2" and self.network == "not enabled"):
            return End("denied", 3)  # whose tokens they are is not proved
        return End("ok", 0) if self.network == "answers" else End("disabled", 0)

    def observe(self, folder: Path, patching: AbstractContextManager[pytest.MonkeyPatch]) -> End:
        """Run an export in this mix."""
        with World(folder / "world") as world, patching as patch:
            self._prepare(world, patch)
            regions = ["auto"] if self.source == "auto" else [HOME, self.region]
            # Each try that is dropped waits a second.
            extract = {"max_attempts": 1 if self.network == "dropped" else 2, "workers": 8, "task_timeout_s": 3}
            settings = build_settings(world, *regions, role=self.token == "role", extract=extract)
            outcomes = _Outcomes()
            try:
                result = execute_run(
                    settings, load_contracts(), Request(publish=False), listener=outcomes, stop=outcomes.stop
                )
            except NothingExtracted as error:
                return End(outcomes.statuses[self.region], error.exit_code, outcomes.statuses[HOME])
        ended = {task.scope.region: str(outcome.status) for task, outcome in result.outcomes.items()}
        return End(ended[self.region], result.exit_code, ended[HOME])

    def _prepare(self, world: World, patch: pytest.MonkeyPatch) -> None:
        world.offered = (HOME, SPAIN)
        if self.network == "not enabled":
            world.closed.add((ACCOUNT, self.region))
        elif self.network == "no FIPS host":
            patch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
        elif self.network in DEAD:
            world.break_network(self.region, self.network)
        world.clock_ahead_s = CLOCKS.get(self.network, 0)
        keys = {"AWS_ACCESS_KEY_ID": f"AKIA{ACCOUNT}", "AWS_SECRET_ACCESS_KEY": "secret-word"}
        world.enter(patch, **keys, **TOKENS[self.token])


CELLS = [Cell(*mix) for mix in product((*ANSWERS, *DEAD, *CLOCKS), TOKENS, REGION_BY_SOURCE)]


def list_cells_of_tests() -> Iterator[Any]:
    """Yield the mixes to test. Of those in which the token plays no part, one source is enough: the rest is proved.

    By default each network is tried with one source, each token with one; every other mix is slow.
    """
    sources = (*REGION_BY_SOURCE,)
    networks = (*DEAD, *CLOCKS)
    for cell in CELLS:
        if cell.network in ANSWERS:
            is_quick = cell.source == ("auto" if cell.network == "answers" else "listed")
        elif cell.token == "role":
            is_quick = cell.source == sources[networks.index(cell.network) % len(sources)]
        elif cell.source == "auto":
            is_quick = False
        else:
            continue
        yield pytest.param(cell, id=str(cell), marks=() if is_quick else pytest.mark.slow)


def build_settings(
    world: World,
    *regions: str,
    role: bool = True,
    ids: tuple[str, ...] = (ACCOUNT,),
    extract: dict[str, Any] | None = None,
    **aws: Any,
) -> Settings:
    """Settings of a run in the world, impatient ones."""
    accounts = [{"id": i} | ({"role_arn": f"arn:aws:iam::{i}:role/reader"} if role else {}) for i in ids]
    mapping = {
        "regions": "auto" if regions == ("auto",) else list(regions),
        "accounts": accounts,
        "aws": aws,
        "extract": extract or {"max_attempts": 2, "workers": 8, "task_timeout_s": 3},
        "feeds": {"publish": False, "report": False},
    }
    return parse_settings(mapping, world.folder / "appstream-export.toml")
